"""Frames on their way to a screen or a file: as a table, as lines of JSON, as CSV or as Parquet.

JSON, CSV and Parquet are written as they come; a table is for people, who wait for all of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from polars import selectors
from polars.io.plugins import register_io_source

from actors.frames import time_texts
from actors.sink.anomaly_frames import json_records
from cluster.show.output import Form, Output, choose_columns, fresh_file, open_text
from cluster.show.text import show_cell, show_json_lines, show_rows

if TYPE_CHECKING:
    from actors.source.protocol import DeadLetter


def show_table(frame: pl.DataFrame) -> str:
    """Return a frame as a plain table with columns wide enough for their values."""
    rows = [[show_cell(value) for value in row] for row in time_texts(frame).iter_rows()]
    return show_rows(frame.columns, rows)


RAW_SHOWN_MAX = 100
"""Characters of a dead letter that a table shows."""


def dead_letter_frame(letters: "Sequence[DeadLetter]", *, is_cut: bool = False) -> pl.DataFrame:
    """Return dead letters as a frame; `is_cut` shortens what is long, for people."""
    length = RAW_SHOWN_MAX if is_cut else None
    return pl.DataFrame(
        {
            "split": pl.Series([letter.split for letter in letters], dtype=pl.Int64),
            "offset": pl.Series([letter.offset for letter in letters], dtype=pl.Int64),
            "reason": pl.Series([letter.reason[:length] for letter in letters], dtype=pl.String),
            "raw": pl.Series(
                [letter.raw.decode("utf-8", errors="backslashreplace")[:length] for letter in letters], dtype=pl.String
            ),
        }
    )


def write_frames(
    output: Output,
    schema: Mapping[str, Any],
    frames: Iterable[pl.DataFrame],
    records: Callable[[pl.DataFrame], Sequence[Mapping[str, Any]]] = json_records,
) -> None:
    """Write frames of one schema, one after the other; `records` makes what lines of JSON say of their rows.

    Raises:
        ClusterError: a column that there is not, or a file that cannot be written.
    """
    names = choose_columns(output.columns, list(schema))
    chosen = (frame.select(names) for frame in frames)
    if output.form is Form.PARQUET:
        _write_parquet(output, {name: schema[name] for name in names}, chosen)
        return
    with open_text(output) as write:
        if output.form is Form.TABLE:
            rows = list(chosen) or [pl.DataFrame(schema={name: schema[name] for name in names})]
            write(show_table(pl.concat(rows)) + "\n")
            return
        if output.form is Form.CSV:
            write(pl.DataFrame(schema=dict.fromkeys(names, pl.String)).write_csv())
        for frame in chosen:
            if frame.height and output.form is Form.CSV:
                write(time_texts(frame).write_csv(include_header=False))
            elif frame.height:
                write(show_json_lines(records(frame)) + "\n")


def _write_parquet(output: Output, schema: Mapping[str, Any], frames: Iterable[pl.DataFrame]) -> None:
    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        # Nothing is asked of the source but all of it, once.
        yield from frames

    with fresh_file(output) as path:
        scanned = register_io_source(read, schema=pl.Schema(schema))
        scanned.with_columns(selectors.datetime().dt.replace_time_zone("UTC")).sink_parquet(path)
