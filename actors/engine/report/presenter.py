"""The presenter: anomalies as frames, with integer times or with the dates and times that people read."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from actors.engine.arguments import CheckedSettings
from actors.engine.evaluated import Evaluated
from actors.engine.language.terms import MetricKind
from actors.engine.report.output import Firing
from actors.engine.vectors.vector import Array
from actors.frames import logical_type, polars_schema, present_times, shown_times
from actors.model import Column

SMALL_COUNT = 100
"""Anomalies up to this number are gathered in Python, which costs less than a call of Polars."""

SMALL_LIST = 20
"""Lists up to this length are looked through in Python."""

SMALL_FRAME = 256
"""Frames up to this size are gathered from in Python."""


class Presenter:
    """Makes frames of anomalies: time, key columns, `type`, `metric`, `offset`, `ordinal`."""

    def __init__(self, settings: CheckedSettings) -> None:
        schema, time_column = settings.schema, settings.time_column
        self._time_column = time_column
        self._key_columns = settings.key_columns
        self._of_windows = {i for i, metric in enumerate(settings.metrics) if metric.kind is MetricKind.WINDOW}
        self._texts = list(settings.descriptions)
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

    def frame(self, evaluated: Evaluated, is_dated: bool) -> pl.DataFrame:
        """Return anomalies as a frame, with integer times or with Polars dates and times."""
        anomalies, batch = evaluated.anomalies, evaluated.batch
        count = len(anomalies.rows)
        if not count:
            return self.empty(is_dated)
        if count <= SMALL_COUNT and batch.frame.height <= SMALL_FRAME:
            rows, metrics = anomalies.rows.tolist(), anomalies.metric_index.tolist()
            keys = [self._few(batch.frame.get_column(name), rows) for name in self._key_columns]
            texts = pl.Series("metric", [self._texts[index] for index in metrics], dtype=pl.String)
            types = pl.Series("type", anomalies.metric_index.view(np.int32))
        else:
            chosen = pl.Series(anomalies.rows.astype(np.uint32))
            keys = [batch.frame.get_column(name)[chosen] for name in self._key_columns]
            # Casting takes half of the time that making another series does.
            metric = pl.Series("type", anomalies.metric_index)
            types, texts = metric.cast(pl.Int32), self._text_series[metric]
        named = [pl.Series(self._time_column, evaluated.anomaly_times(self._time_column)), *keys]
        if is_dated:
            named = [_dated(column, self._dated.get(column.name)) for column in named]
        own = [
            types,
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
        count = len(rows)
        if frame.height == 1:
            # Copying the one value takes a third of the time that making a series does.
            at_row = self._of_windows.isdisjoint(metrics)
            copied = (self._time_column, *self._key_columns) if at_row else self._key_columns
            named = [] if at_row else [pl.Series(self._time_column, times)]
            named += [frame.get_column(name).new_from_index(0, count) for name in copied]
            offset = pl.Series("offset", offsets[rows].tolist())
            ordinal = _ONLY.new_from_index(0, 1) if count == 1 else pl.Series("ordinal", range(count), dtype=pl.Int32)
        else:
            # One series of all numbers, since to make one takes three times as long as to cut and cast it.
            wide = pl.Series(self._time_column, [*times, *offsets[rows].tolist(), *_ordinals_of(rows), *rows, *metrics])
            chosen = wide.slice(3 * count).cast(_POSITION)
            named = [wide.slice(0, count)]
            named += [frame.get_column(name)[chosen.slice(0, count)] for name in self._key_columns]
            offset = wide.slice(count, count).alias("offset")
            ordinal = wide.slice(2 * count, count).cast(_ORDINAL).alias("ordinal")
        if is_dated:
            time = self._dated.get(self._time_column)
            # Of few numbers Python finds the bounds faster than Polars does.
            bounds = (min(times), max(times)) if count <= SMALL_LIST else None
            named[0] = named[0] if time is None else shown_times(named[0], time, bounds)
            named[1:] = [_dated(column, self._dated.get(column.name)) for column in named[1:]]
        if metrics.count(metrics[0]) == count:
            types, texts = (every.new_from_index(metrics[0], count) for every in (self._type_series, self._text_series))
        else:
            metric = pl.Series("", metrics).cast(_POSITION) if frame.height == 1 else chosen.slice(count)
            types, texts = self._type_series[metric], self._text_series[metric]
        # Adding columns to a frame of one costs a third of making a frame.
        return named[0].to_frame().hstack([*named[1:], types, texts, offset, ordinal])

    def _few(self, values: pl.Series, rows: list[int]) -> pl.Series:
        listed = values.to_list()
        return pl.Series(values.name, [listed[row] for row in rows], dtype=self._types[values.name])


def _ordinals_of(rows: list[int]) -> list[int]:
    """Return how many entries before each have the same row, for ascending rows."""
    ordinals = [0] * len(rows)
    if len(set(rows)) < len(rows):
        for place in range(1, len(rows)):
            if rows[place] == rows[place - 1]:
                ordinals[place] = ordinals[place - 1] + 1
    return ordinals


_POSITION, _ORDINAL = pl.UInt32(), pl.Int32()

_ONLY = pl.Series("ordinal", [0], dtype=_ORDINAL)


def _dated(values: pl.Series, column: Column | None) -> pl.Series:
    return values if column is None else shown_times(values, column)
