"""What counts as an observation of a variable, and when it is a change.

`default`: every value; a change is a value never seen. `CharsetDetector`: a change brings a character never seen.
`ValueRangeDetector`: numbers only; a change lies outside the range so far. `BigramFrequencyDetector`: a change has a
pair of neighbouring characters never seen, or pairs that are common on average.

Each function takes a block of values, updates what is known and returns which of the values were observations (`None`
for all) and the ascending indexes, among those, of the changes.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

from actors.persistency.arguments import number
from actors.persistency.errors import PersistencyValueError
from actors.persistency.values import canonical_value

Observed = tuple[list[int] | None, Sequence[int]]
"""Indexes of the values that were observations (`None`: all of them), and of the changes among the observations."""

Semantics = Callable[[set[Any], dict[Any, Any], Sequence[Any]], Observed]
"""Takes what is known, extra state, and a block of values."""


def find_semantics(name: str, config: Any) -> Semantics:
    """Return the semantics of that name; `config` is a mapping or an object with the settings as attributes.

    Raises:
        PersistencyValueError: there is none of that name.
    """
    if name not in SEMANTICS:
        raise PersistencyValueError(f"no value semantics {name!r}; use one of {', '.join(SEMANTICS)}")
    return SEMANTICS[name](config)


def _bigrams_of(config: Any) -> Semantics:
    threshold = number("prob_thresh", _setting(config, "prob_thresh", 0.05))
    skip_repetitions = bool(_setting(config, "skip_repetitions", True))
    return lambda known, extra, values: _observe_bigrams(known, extra, values, threshold, skip_repetitions)


def observe_values(known: set[Any], extra: dict[Any, Any], values: Sequence[Any]) -> Observed:
    """Take a block of values, of which those never seen are changes."""
    del extra
    return None, find_fresh(known, values)[1]


def find_fresh(known: set[Any], values: Sequence[Any]) -> tuple[Sequence[Any], Sequence[int]]:
    """Add values to those known; return them in the form by which they are told apart, and the indexes of new ones."""
    try:
        fresh = set(values).difference(known)
    except TypeError:
        values = [canonical_value(value) for value in values]
        fresh = set(values).difference(known)
    if not fresh:
        return values, ()
    if not _PLAIN_KINDS.issuperset(map(type, fresh)) and any(canonical_value(value) is not value for value in fresh):
        values = [canonical_value(value) for value in values]
        fresh = set(values).difference(known)
    known |= fresh
    if len(fresh) == len(values):
        return values, range(len(values))
    changed: list[int] = []
    for index, value in enumerate(values):
        if value in fresh:
            changed.append(index)
            fresh.discard(value)
            if not fresh:
                break
    return values, changed


_PLAIN_KINDS = frozenset({str, int, bool, bytes, type(None)})
"""Types of which every value is its own canonical form."""


def _observe_characters(known: set[Any], extra: dict[Any, Any], values: Sequence[Any]) -> Observed:
    del extra
    changed: list[int] = []
    for index, value in enumerate(values):
        characters = set(_text_of(value))
        if not characters <= known:
            known |= characters
            changed.append(index)
    return None, changed


def _observe_range(known: set[Any], extra: dict[Any, Any], values: Sequence[Any]) -> Observed:
    del extra
    observed: list[int] = []
    changed: list[int] = []
    for index, value in enumerate(values):
        number = parse_number(value)
        if number is None:
            continue
        if not known or not min(known) <= number <= max(known):
            changed.append(len(observed))
            limits = {min(known, default=number), max(known, default=number), number}
            known.clear()
            known.update((min(limits), max(limits)))
        observed.append(index)
    return (None if len(observed) == len(values) else observed), changed


def parse_number(value: Any) -> int | float | None:
    """Return a value as a number, integral ones as `int`, or `None` when it is none."""
    if isinstance(value, int):
        return int(value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if isnan(number):
        return None
    return int(number) if number.is_integer() else number


def _observe_bigrams(
    known: set[Any], extra: dict[Any, Any], values: Sequence[Any], threshold: float, skip_repetitions: bool
) -> Observed:
    pair_counts: dict[Any, dict[Any, int]] = extra.setdefault("freq", {})
    totals: dict[Any, int] = extra.setdefault("total_freq", {})
    changed: list[int] = []
    for index, value in enumerate(values):
        text = _text_of(value)
        pairs = list(zip([_EDGE, *text], [*text, _EDGE], strict=True))
        if skip_repetitions and text in known:
            continue
        known.add(text)
        shares = [pair_counts.get(a, {}).get(b, 0) / totals[a] if totals.get(a) else 0.0 for a, b in pairs]
        if 0.0 in shares or sum(shares) / len(shares) > threshold:
            changed.append(index)
        for a, b in pairs:
            row = pair_counts.setdefault(a, {})
            row[b] = row.get(b, 0) + 1
            totals[a] = totals.get(a, 0) + 1
    return None, changed


_EDGE = -1
"""Stands for what is before the first and after the last character."""


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else str(canonical_value(value))


def _setting(config: Any, name: str, default: Any) -> Any:
    if isinstance(config, Mapping):
        return config.get(name, default)
    return getattr(config, name, default)


SEMANTICS: Mapping[str, Callable[[Any], Semantics]] = {
    "default": lambda config: observe_values,
    "CharsetDetector": lambda config: _observe_characters,
    "ValueRangeDetector": lambda config: _observe_range,
    "BigramFrequencyDetector": _bigrams_of,
}
"""The semantics by name, each made of its settings."""
