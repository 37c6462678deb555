"""Where results go and in which form: a table, lines of JSON, CSV or Parquet, on the standard output or in a file.

A file is written beside its place under another name and moved there when it is complete, so nobody ever finds half of
one. JSON, CSV and Parquet are written as they come; a table is for people, who wait for all of it.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from actors.json_lines import json_line
from cluster.errors import ClusterError
from cluster.show.text import show_cell, show_json_lines, show_rows

Write = Callable[[str], None]
"""Takes the next piece of text."""


class Form(StrEnum):
    """What a result looks like."""

    TABLE = "table"
    """Columns wide enough for people."""

    JSON = "json"
    """One JSON object on each line."""

    CSV = "csv"
    """A header and comma-separated values; what is missing is empty."""

    PARQUET = "parquet"
    """A Parquet file."""


_FORM_OF_SUFFIX = {
    ".json": Form.JSON,
    ".ndjson": Form.JSON,
    ".jsonl": Form.JSON,
    ".csv": Form.CSV,
    ".parquet": Form.PARQUET,
    ".txt": Form.TABLE,
    "": Form.TABLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a result goes and in which form."""

    form: Form = Form.TABLE

    path: Path | None = None
    """File to write; `None` is the standard output."""

    may_overwrite: bool = False
    """Whether a file that is there may be replaced."""

    columns: tuple[str, ...] = ()
    """Wanted columns in their order; none means all."""


def choose_output(
    form: str | None, path: Path | None, *, may_overwrite: bool = False, columns: str | None = None
) -> Output:
    """Return what was asked for; without a form the name of the file decides.

    Raises:
        ClusterError: Parquet without a file, a name that says no form, or a file that is there already.
    """
    by_name = None if path is None else _FORM_OF_SUFFIX.get(path.suffix.lower())
    if form is None and path is not None and by_name is None:
        known = ", ".join(filter(None, _FORM_OF_SUFFIX))
        raise ClusterError(f"the ending of {str(path)!r} names no form; use one of {known}, or say it by --as")
    chosen = Form(form) if form is not None else by_name or Form.TABLE
    if chosen is Form.PARQUET and path is None:
        raise ClusterError("Parquet is no text; name a file with --output FILE.parquet")
    if path is not None and not may_overwrite and path.exists():
        raise ClusterError(f"{path} is there already; --force replaces it")
    names = tuple(name.strip() for name in (columns or "").split(",") if name.strip())
    return Output(form=chosen, path=path, may_overwrite=may_overwrite, columns=names)


def write_records(
    output: Output,
    names: Sequence[str],
    batches: Iterable[Sequence[Mapping[str, Any]]],
    as_record: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> None:
    """Write rows of plain values, whose columns have these names, as a table, or as lines of JSON by `as_record`.

    Raises:
        ClusterError: a column that there is not, or a file that cannot be written.
    """
    chosen = choose_columns(output.columns, names)
    with open_text(output) as write:
        if output.form is Form.TABLE:
            cells = [[show_cell(row[name]) for name in chosen] for rows in batches for row in rows]
            write(show_rows(chosen, cells) + "\n")
            return
        for rows in batches:
            if rows:
                write(show_json_lines(as_record({name: row[name] for name in chosen}) for row in rows) + "\n")


def write_json(output: Output, records: Iterable[Mapping[str, Any]]) -> None:
    """Write records as lines of JSON."""
    with open_text(output) as write:
        for record in records:
            write(json_line(record) + "\n")


def write_next(output: Output, cursor: str | None) -> None:
    """End JSON on the standard output with a line that tells where the next page begins, when there is one."""
    if cursor is not None and output.form is Form.JSON and output.path is None:
        _write_screen(json_line({"next": cursor}) + "\n")


def choose_columns(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the wanted columns, or all.

    Raises:
        ClusterError: there is no such column, or one is named twice.
    """
    for place, name in enumerate(wanted):
        if name in wanted[:place]:
            raise ClusterError(f"column {name!r} is named twice; name it once")
        if name not in known:
            raise ClusterError(f"there is no column {name!r}; the columns are {', '.join(known)}")
    return list(wanted or known)


@contextmanager
def open_text(output: Output) -> Iterator[Write]:
    """Open what text goes to; a file appears when the block has ended well."""
    if output.path is None:
        yield _write_screen
        return
    with fresh_file(output) as path, path.open("w", encoding="utf-8") as file:
        yield lambda text: void(file.write(text))


def void(_: object) -> None:
    """Drop a value that nobody needs."""


def _write_screen(text: str) -> None:
    sys.stdout.write(text)


@contextmanager
def fresh_file(output: Output) -> Iterator[Path]:
    """Give a place beside the file of an output, which gets what is there when the block has ended well.

    Raises:
        ClusterError: a file that may not be replaced, or cannot be written.
    """
    path = output.path
    assert path is not None, "the standard output is no file"
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield fresh
        if output.may_overwrite:
            fresh.replace(path)
        else:
            # A link fails where a file has come meanwhile; a move would replace it.
            path.hardlink_to(fresh)
    except FileExistsError:
        raise ClusterError(f"{path} is there already; --force replaces it") from None
    except OSError as error:
        raise ClusterError(f"{path} cannot be written: {error}; check the directory and its rights") from error
    finally:
        fresh.unlink(missing_ok=True)
