"""Output: fired metrics to a frame of anomalies, in the order in which a row by row engine would report them.

The order is: arrival of the causing row; of one row first the windows it closed, oldest first, each with its metrics in
order; then the row's own metrics. The anomalies of one row are numbered from 0, their *ordinal*.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from actors.engine.vectors.batch import Batch
from actors.engine.vectors.vector import Array
from actors.frames import logical_type, polars_schema, present_times
from actors.model import Column, ColumnType, Schema

Firing = tuple[int, int, int, Any, Any]
"""What a row by row test found: row number, position of the metric, time, state of the key before the row, detail."""

LATE_ORDINALS = 1 << 28
"""Ordinals from here on are of what a row makes known beside its own anomalies."""

SMALL_COUNT = 100
"""Anomalies up to this number are gathered in Python, which costs less than a call of Polars."""

SMALL_FRAME = 256
"""Frames up to this size are gathered from in Python."""


class Numbering(NamedTuple):
    """Ordinals of what is made known at one row beside its own anomalies."""

    first: int = LATE_ORDINALS
    stride: int = 1

    def ordinals(self, start: int, count: int) -> Array:
        """Return some ordinals from a position on."""
        return np.arange(start, start + count) * self.stride + self.first


class Fired(NamedTuple):
    """Where one metric fired."""

    metric_index: int
    rows: Array
    """Position in the frame of each causing row."""

    windows: Array | None
    """Number of the closed window; `None` for metrics of rows."""


class Anomalies(NamedTuple):
    """Anomalies of a batch in output order."""

    rows: Array
    """Position in the frame of the causing row."""

    metric_index: Array
    windows: Array
    """Number of the closed window, or the number of windows if the metric is one of rows."""

    ordinals: Array


_NONE = np.zeros(0, dtype=np.int64)
_NOTHING = Anomalies(_NONE, _NONE.astype(np.uint32), _NONE, _NONE.astype(np.int32))


def ordered(fired: Sequence[Fired], row_count: int, window_count: int, metric_count: int) -> Anomalies:
    """Return all anomalies in output order: row, window and metric sorted as one integer, of 32 bits if they fit in."""
    metric_bits = max(metric_count - 1, 1).bit_length()
    window_bits = window_count.bit_length()
    dtype: Any = np.uint32 if row_count.bit_length() + window_bits + metric_bits <= 32 else np.uint64
    parts = []
    for metric_index, rows, windows in fired:
        if not len(rows):
            continue
        part = rows.astype(dtype)
        part <<= window_bits + metric_bits
        if windows is None:
            part |= (window_count << metric_bits) | metric_index
        else:
            part |= (windows.astype(dtype) << metric_bits) | metric_index
        parts.append(part)
    if not parts:
        return _NOTHING
    combined = np.concatenate(parts)
    combined.sort()
    metric = (combined & ((1 << metric_bits) - 1)).astype(np.uint32, copy=False)
    combined >>= metric_bits
    closed = (combined & ((1 << window_bits) - 1)).astype(np.int64)
    combined >>= window_bits
    return Anomalies(combined.astype(np.int64), metric, closed, _ordinals(combined))


def _ordinals(rows: Array) -> Array:
    """Return how many entries before each have the same row, for ascending rows."""
    position = np.arange(len(rows), dtype=np.int32)
    first = position.copy()
    first[1:] *= rows[1:] != rows[:-1]
    np.maximum.accumulate(first, out=first)
    ordinals: Array = position - first
    return ordinals


class Presenter:
    """Makes frames of anomalies: time, key columns, `type`, `metric`, `offset`, `ordinal`."""

    def __init__(self, schema: Schema, time_column: str, key_columns: Sequence[str], texts: Sequence[str]) -> None:
        self._time_column = time_column
        self._key_columns = tuple(key_columns)
        self._texts = list(texts)
        self._text_series = pl.Series("metric", self._texts, dtype=pl.String)
        self._type_series = pl.Series("type", range(len(self._texts)), dtype=pl.Int32)
        types = polars_schema(schema)
        own = {"type": pl.Int32(), "metric": pl.String(), "offset": pl.Int64(), "ordinal": pl.Int32()}
        self._types: dict[str, pl.DataType] = {
            **{name: types[name] for name in (time_column, *self._key_columns)},
            **own,
        }
        self._empty = pl.DataFrame(schema=self._types)
        self._empty_dated = present_times(schema, self._empty)
        shown = [schema[name] for name in (time_column, *self._key_columns)]
        self._dated = {column.name: column for column in shown if logical_type(column.type) != types[column.name]}

    def empty(self, is_dated: bool) -> pl.DataFrame:
        """Return a frame without anomalies."""
        return (self._empty_dated if is_dated else self._empty).clone()

    def frame(self, anomalies: Anomalies, batch: Batch, times: Array, is_dated: bool) -> pl.DataFrame:
        """Return anomalies as a frame, with integer times or with Polars dates and times."""
        count = len(anomalies.rows)
        if not count:
            return self.empty(is_dated)
        if count <= SMALL_COUNT and batch.frame.height <= SMALL_FRAME:
            rows, metrics = anomalies.rows.tolist(), anomalies.metric_index.tolist()
            keys = [self._few(batch.frame.get_column(name), rows) for name in self._key_columns]
            texts = pl.Series("metric", [self._texts[index] for index in metrics], dtype=pl.String)
        else:
            chosen = pl.Series(anomalies.rows.astype(np.uint32))
            keys = [batch.frame.get_column(name)[chosen] for name in self._key_columns]
            texts = self._text_series[pl.Series(anomalies.metric_index)]
        named = [pl.Series(self._time_column, times), *keys]
        if is_dated:
            named = [_dated(column, self._dated.get(column.name)) for column in named]
        own = [
            pl.Series("type", anomalies.metric_index.view(np.int32)),
            texts,
            pl.Series("offset", batch.offsets.take(anomalies.rows)),
            pl.Series("ordinal", anomalies.ordinals),
        ]
        return named[0].to_frame().hstack([*named[1:], *own])

    def few(self, fired: Sequence[Firing], frame: pl.DataFrame, offsets: Array, is_dated: bool) -> pl.DataFrame:
        """Return what a row by row test of a frame found, in output order."""
        if not fired:
            return self.empty(is_dated)
        rows, metrics, times, _, _ = (list(column) for column in zip(*fired, strict=True))
        named = [pl.Series(self._time_column, times)]
        if frame.height == 1:
            named += [frame.get_column(name).new_from_index(0, len(rows)) for name in self._key_columns]
        elif self._key_columns:
            chosen = _indexes(rows)
            named += [frame.get_column(name)[chosen] for name in self._key_columns]
        if is_dated:
            named = [_dated(column, self._dated.get(column.name)) for column in named]
        if metrics.count(metrics[0]) == len(metrics):
            types, texts = (
                every.new_from_index(metrics[0], len(rows)) for every in (self._type_series, self._text_series)
            )
        else:
            chosen = _indexes(metrics)
            types, texts = self._type_series[chosen], self._text_series[chosen]
        own = [types, texts, pl.Series("offset", offsets[rows].tolist()), _ordinals_of(rows)]
        # Adding columns to a frame of one costs a third of making a frame.
        return named[0].to_frame().hstack([*named[1:], *own])

    def _few(self, values: pl.Series, rows: list[int]) -> pl.Series:
        listed = values.to_list()
        return pl.Series(values.name, [listed[row] for row in rows], dtype=self._types[values.name])


def _indexes(numbers: list[int]) -> pl.Series:
    """Return numbers as Polars takes them best; whole numbers without a type are made faster than with one."""
    return pl.Series("", numbers).cast(pl.UInt32)


def _ordinals_of(rows: list[int]) -> pl.Series:
    """Return how many entries before each have the same row, for ascending rows."""
    if len(set(rows)) == len(rows):
        return _ONLY.new_from_index(0, len(rows))
    ordinals = [0] * len(rows)
    for place in range(1, len(rows)):
        if rows[place] == rows[place - 1]:
            ordinals[place] = ordinals[place - 1] + 1
    return pl.Series("ordinal", ordinals, dtype=pl.Int32)


_ONLY = pl.Series("ordinal", [0], dtype=pl.Int32)


def _dated(values: pl.Series, column: Column | None) -> pl.Series:
    if column is None:
        return values
    wanted = logical_type(column.type)
    if isinstance(wanted, pl.Datetime) and wanted.time_unit == _UNITS.get(column.type):
        return values.cast(wanted)
    return present_times(Schema((column,)), pl.DataFrame([values])).to_series()


_UNITS = {ColumnType.NANOTIMESTAMP: "ns", ColumnType.MICROTIMESTAMP: "us", ColumnType.TIMESTAMP: "ms"}
