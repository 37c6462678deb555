"""The option --key of queries: the key of anomalies and episodes that somebody means."""

from collections.abc import Sequence

import click

from config.form import JobForm, key_columns_of


def asked_key(form: JobForm, texts: Sequence[str], kind: int | None) -> tuple[str | None, ...] | None:
    """Return the values of all key columns that are asked for, as text; `None` for a column that the key has not.

    Metrics may have keys of their own. Which key is meant is said by the number of values, or by the metric.

    Raises:
        click.BadParameter: no key has so many columns, or several have.
    """
    if not texts:
        return None
    keys = list(
        dict.fromkeys([form.key_columns, *(key_columns_of(form, number) for number in range(len(form.metrics)))])
    )
    if kind is not None:
        keys = [key_columns_of(form, kind)]
    meant = [key for key in keys if len(key) == len(texts)]
    if len(meant) != 1:
        shown = " or ".join(", ".join(key) or "none" for key in keys)
        way = "say by --type which is meant" if meant else "give one for each"
        raise click.BadParameter(f"{len(texts)} values of --key, but the key columns are: {shown}; {way}")
    values = dict(zip(meant[0], texts, strict=True))
    return tuple(values.get(name) for name in form.all_key_columns)
