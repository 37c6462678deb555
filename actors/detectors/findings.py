"""What watchers share: anomalies found in a batch, and the distinct values of a batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from actors.detectors.groups import GroupedRows

MakeDetail = Callable[[int, Mapping[str, Any]], str]
"""Takes a group's code and what is to be shown of an anomaly; returns the JSON text of its detail."""

CODE, NOW, ROW, ROWS, GAP, FIRST = "\0code", "\0now", "\0row", "\0rows", "\0gap", "\0first"
"""Columns of `distinct_values`: group, last time, first row, all rows, longest time between two rows, first time."""

_FLOATS = pl.col(pl.Float64)
_PLAIN_ZEROS = pl.when(_FLOATS == 0.0).then(0.0).otherwise(_FLOATS).name.keep()
"""-0.0 and 0.0 are one value: it is not to be shown as whichever comes first in a batch."""


@dataclass(frozen=True, slots=True)
class UnusualRows:
    """Rows of one batch that are anomalies for the same reason."""

    rows: Sequence[int]
    """Indexes in the sorted batch."""

    detail: str
    """JSON object."""


def distinct_values(batch: GroupedRows, columns: Sequence[str], *, with_times: bool) -> pl.DataFrame:
    """Return the distinct values of columns in each group, in the order of their first rows; NULL is no value."""
    rows = pl.int_range(batch.row_count, dtype=pl.Int64, eager=True)
    own = [pl.Series(CODE, batch.codes), rows.alias(ROW)]
    if with_times:
        own.append(pl.Series(NOW, batch.now))
    frame = batch.frame.select(columns).with_columns(own).with_columns(_PLAIN_ZEROS)
    if any(batch.frame[name].null_count() for name in columns):
        frame = frame.drop_nulls(list(columns))
    found = [pl.col(ROW).alias(ROWS), pl.col(ROW).first()]
    if with_times:
        gap = pl.col(NOW).diff().max().fill_null(0).alias(GAP)
        found += [gap, pl.col(NOW).first().alias(FIRST), pl.col(NOW).last()]
    return frame.group_by(CODE, *columns).agg(found).sort(ROW)
