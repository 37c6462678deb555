"""The reorder buffer: rows wait until their key has moved on far enough, and leave in the order of their times.

The *watermark* of a key is the latest time seen in its rows. A row leaves when the watermark is at least `max_lateness`
past it, at the row that brought the watermark there (or at once, if it comes later than that); rows that leave
at one row do so in order of time, then of offset. So what leaves when depends on the rows of a key alone, not on how
they are cut into batches or on which other keys there are. A row of a key always waits behind its latest time, so the
rows that wait are all the state there is. Every row has a time here. A tick raises the watermark of all keys of its
split, if there are ticks; rows that leave at one do so in order of time, then of offset, too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from actors.engine.arguments import CheckedSettings
from actors.engine.keys.idle import KeyState
from actors.engine.keys.kept import Kept
from actors.engine.keys.numbers import KeyNumbers
from actors.engine.keys.times import NEVER
from actors.engine.report.output import Anomalies
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.segments import accumulate, layout_of, lower_bound, run_lengths, run_starts
from actors.engine.vectors.vector import Array
from actors.frames import polars_schema

_ROW_SIZES: dict[pl.DataType, int] = {pl.String(): 28, pl.Boolean(): 1}
"""Bytes of a value in a row that waits; others take eight."""


class Waiting(NamedTuple):
    """Rows of one split that wait, in the order in which they came."""

    frame: pl.DataFrame
    offsets: Array


class NoReordering:
    """Stands for the buffer where rows do not wait."""

    def push(self, split: int, frame: pl.DataFrame, offsets: Array, tick: Any) -> Batch:
        """Return the rows as they came."""
        return Batch(frame, offsets)

    def leave(self, split: int, time: int) -> pl.DataFrame | None:
        """Return that no row leaves."""

    def renumbered(self, found: pl.DataFrame) -> pl.DataFrame:
        """Return anomalies as they are."""
        return found

    def placed(self, anomalies: Anomalies, batch: Batch) -> Anomalies:
        """Return anomalies as they are."""
        return anomalies

    def forget_keys(self) -> None:
        """Forget nothing."""

    def kept(self) -> list[Kept]:
        """Return that nothing is kept."""
        return []


class ReorderBuffer:
    """Rows that wait, by split; equal rows make equal buffers, however they were cut."""

    def __init__(self, settings: CheckedSettings) -> None:
        schema = settings.schema
        self._types = polars_schema(schema)
        self._time_column = settings.time_column
        self._key_columns = settings.key_columns
        self._max_lateness = settings.max_lateness
        self._are_text = [schema[key].type.is_text for key in settings.key_columns]
        self._keys = KeyNumbers(self._are_text)
        self._waiting: dict[int, Waiting] = {}

    def kept(self) -> list[Kept]:
        """Return what is kept of each key, and of each row that waits."""
        waiting = Kept(
            what="rows that wait",
            key_size_bytes=0,
            entry_size_bytes=8 + sum(_ROW_SIZES.get(kind, 8) for kind in self._types.values()),
            entry="row",
            held_size_bytes=sum(int(w.frame.estimated_size()) + w.offsets.nbytes for w in self._waiting.values()),
        )
        return [*self._keys.kept(), waiting]

    def push(self, split: int, frame: pl.DataFrame, offsets: Array, tick: Any) -> Batch:
        """Take rows of a split whose latest tick is given; return those that leave.

        Each has the offset of the row at which it leaves, and an ordinal among those that leave there.
        """
        held = self._waiting.get(split, Waiting(pl.DataFrame(schema=self._types), np.zeros(0, dtype=np.int64)))
        rows = pl.concat([held.frame, frame], rechunk=True)
        places = np.concatenate((held.offsets, offsets))
        times = rows.get_column(self._time_column).to_numpy()
        trigger = self._triggers(rows, times, len(held.offsets), tick)
        leaves = trigger >= 0
        self._waiting[split] = Waiting(rows.filter(pl.Series(~leaves)), places[~leaves])
        leaving = leaves.nonzero()[0]
        in_order = leaving[np.lexsort((places[leaving], times[leaving], trigger[leaving]))]
        given = places[trigger[in_order]]
        return Batch(rows[in_order], given, ordinals_of(given))

    def leave(self, split: int, time: int) -> pl.DataFrame | None:
        """Return the rows that leave when the time of a split reaches a moment; `None` if none has ever waited."""
        held = self._waiting.get(split)
        if held is None:
            return None
        times = held.frame.get_column(self._time_column).to_numpy()
        leaves = times <= time - self._max_lateness
        self._waiting[split] = Waiting(held.frame.filter(pl.Series(~leaves)), held.offsets[~leaves])
        leaving = leaves.nonzero()[0]
        return held.frame[leaving[np.lexsort((held.offsets[leaving], times[leaving]))]]

    def _triggers(self, rows: pl.DataFrame, times: Array, held_count: int, tick: Any) -> Array:
        """Return the position of the row at which each row leaves, -1 for those that wait.

        The rows that waited before come first, `held_count` of them.
        """
        trigger = np.full(rows.height, -1)
        if not rows.height:
            return trigger
        keys = [rows.get_column(name) for name in self._key_columns]
        numbers = self._keys.number(keys, rows.height)
        order = np.argsort(numbers, kind="stable")
        starts = run_starts(np.sort(numbers))
        lengths = run_lengths(starts, len(order))
        layout = layout_of(np.arange(len(starts)), lengths)
        # From here on rows are sorted by key and arrival: `order` says which row is where, `at` is its time. The
        # watermark of a key begins with its tick and the rows that waited, and grows row by row from then on.
        at, is_held = times[order], order < held_count
        carried = np.maximum(np.maximum.reduceat(np.where(is_held, at, NEVER), starts), tick)
        seen = np.where(is_held, np.repeat(carried, lengths), at)
        watermarks = accumulate(np.maximum, seen, layout, carried)
        stops = np.repeat(starts + lengths, lengths)
        found = lower_bound(watermarks, np.arange(len(order)), stops, at + self._max_lateness)
        leaves = found < stops
        trigger[order[leaves]] = order[found[leaves]]
        return trigger

    def renumbered(self, found: pl.DataFrame) -> pl.DataFrame:
        """Return anomalies in the order of offsets with their ordinals counted anew for each offset."""
        ordinals = ordinals_of(found.get_column("offset").to_numpy())
        return found.with_columns(pl.Series("ordinal", ordinals, dtype=pl.Int32))

    def placed(self, anomalies: Anomalies, batch: Batch) -> Anomalies:
        """Return anomalies with ordinals that count those of an offset, not of a row."""
        return anomalies._replace(ordinals=ordinals_of(batch.offsets[anomalies.rows]).astype(np.int32))

    def forget_keys(self) -> None:
        """Forget which keys there have been; rows that wait stay."""
        self._keys = KeyNumbers(self._are_text)

    def keyed(self) -> Sequence[KeyState]:
        """Return that nothing is kept by the numbers of the engine's keys."""
        return []

    def validate(self, key_count: int) -> None:
        """Assert what is always true."""
        for waiting in self._waiting.values():
            assert waiting.frame.schema == self._types, waiting.frame.schema
            assert waiting.frame.height == len(waiting.offsets)
            assert not waiting.frame.get_column(self._time_column).null_count()
            assert (waiting.offsets[1:] > waiting.offsets[:-1]).all()

    def state(self) -> dict[str, Array]:
        """Return the rows that wait as arrays, split by split."""
        splits = sorted(split for split, waiting in self._waiting.items() if len(waiting.offsets))
        frames = [self._waiting[split].frame for split in splits]
        rows = pl.concat(frames) if frames else pl.DataFrame(schema=self._types)
        counts = [len(self._waiting[split].offsets) for split in splits]
        offsets = [self._waiting[split].offsets for split in splits]
        state = {
            "split": np.repeat(np.array(splits, dtype=np.int64), np.array(counts, dtype=np.int64)),
            "offset": np.concatenate([np.zeros(0, dtype=np.int64), *offsets]),
        }
        for number, column in enumerate(rows.iter_columns()):
            there, filled = column.is_not_null().to_numpy(), _filled(column)
            state |= {f"valid{number}": there, f"column{number}": filled}
        return state

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        columns = []
        for number, (name, kind) in enumerate(self._types.items()):
            values = pl.Series(name, state[f"column{number}"].tolist(), dtype=kind)
            there = pl.Series(state[f"valid{number}"].astype(np.bool_))
            columns.append(values if there.all() else pl.select(pl.when(there).then(values).alias(name)).to_series())
        rows, splits = pl.DataFrame(columns), state["split"]
        self._waiting = {}
        for split in np.unique(splits).tolist():
            where = (splits == split).nonzero()[0]
            self._waiting[split] = Waiting(rows[where], state["offset"][where])


def ordinals_of(offsets: Array) -> Array:
    """Return the position of each anomaly among those of its offset."""
    if not len(offsets):
        return offsets
    starts = run_starts(offsets)
    ordinals: Array = np.arange(len(offsets)) - np.repeat(starts, run_lengths(starts, len(offsets)))
    return ordinals


def _filled(column: pl.Series) -> Array:
    if column.dtype == pl.String:
        return np.array(column.fill_null("").to_list(), dtype=object)
    if column.dtype == pl.Boolean:
        return column.fill_null(False).to_numpy()
    if column.dtype == pl.Float64:
        return column.fill_null(0.0).to_numpy()
    return column.fill_null(0).to_numpy().astype(np.int64)
