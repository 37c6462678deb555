"""Absence: keys from which no row has come for too long, as seen at ticks. Pure; event time only.

A key is silent when a tick (`actors.engine.ticks`) finds its latest row at least `absent_after` older; that is reported
once, and the key is *absent* until another row of it comes. A row that is as old as that when it comes does not count.
Ticks that do not go beyond the one before are ignored, so one may be given again.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
import polars as pl

from actors.engine.ticks import Ticks
from actors.engine.vectors.vector import Array


class Silence(NamedTuple):
    """A key that has become silent."""

    key: tuple[Any, ...]
    last: int
    """Time of its latest row."""


class Return(NamedTuple):
    """A key that was absent and is back."""

    key: tuple[Any, ...]
    mark: Any
    """What `mark` has kept of its absence."""

    offset: int
    """Offset of the row that shows it."""

    time: int
    """Time of that row."""


class AbsenceWatch:
    """Latest times of the keys of every split, those that are absent, and the split's latest tick."""

    def __init__(self, time_column: str, key_columns: Sequence[str], absent_after: int | None) -> None:
        self._time_column = time_column
        self._key_columns = list(key_columns)
        self._absent_after = absent_after
        self._ticks = Ticks()
        self._latest: dict[int, dict[tuple[Any, ...], int]] = {}
        self._oldest: dict[int, int] = {}
        """By split a time that no latest time is below, so that most ticks need not look at any key."""
        self._absent: dict[int, dict[tuple[Any, ...], tuple[int, Any]]] = {}
        """By split, of each key that is absent, its latest time, and the mark."""

    @property
    def ticks(self) -> dict[int, int]:
        """Latest tick of each split."""
        return dict(self._ticks.latest)

    def is_fresh(self, split: int, time: int) -> bool:
        """Return whether a tick goes beyond those before."""
        return self._ticks.is_fresh(split, time)

    def absent(self, split: int) -> dict[tuple[Any, ...], tuple[int, Any]]:
        """Return the keys of a split that are absent, each with its latest time and its mark."""
        return dict(self._absent.get(split, {}))

    def mark(self, split: int, key: tuple[Any, ...], mark: Any) -> None:
        """Keep something, which can be saved, of the absence of a key that has just become silent."""
        known = self._absent[split]
        known[key] = known[key][0], mark

    def see(self, split: int, frame: pl.DataFrame, offsets: Array) -> list[Return]:
        """Take rows; return the keys that are back, in the order of the rows that show it."""
        if self._absent_after is None or frame.is_empty():
            return []
        known, absent = self._latest.setdefault(split, {}), self._absent.get(split, {})
        tick = self._ticks.latest.get(split)
        time, keys = pl.col(self._time_column), self._key_columns
        # A time so large that silence after it is beyond 64 bits says nothing.
        counts = time < (1 << 63) - self._absent_after
        if tick is not None:
            counts &= time > tick - self._absent_after
        asked = [time.filter(counts).max().alias("newest time")]
        rows = frame.select(*keys, time)
        if absent:
            row = pl.int_range(frame.height, dtype=pl.Int64, eager=True).alias("number of the row")
            rows = rows.with_columns(row)
            asked.append(pl.col(row.name).filter(counts).first())
        found = rows.group_by(keys).agg(asked) if keys else rows.select(asked)
        back = []
        for values in found.iter_rows():
            place, newest = values[: len(keys)], values[len(keys)]
            if newest is None:
                continue
            if place in absent:
                first = int(values[-1])
                back.append(Return(place, absent.pop(place)[1], int(offsets[first]), frame[self._time_column][first]))
            known[place] = max(known.get(place, newest), newest)
            self._oldest[split] = min(self._oldest.get(split, newest), newest)
        return sorted(back, key=lambda one: one.offset)

    def forget(self, split: int, before: int) -> list[tuple[tuple[Any, ...], int, Any]]:
        """Forget the keys that are absent and whose latest row is older than a time; return them, as `absent` does."""
        known = self._absent.get(split, {})
        gone = [(key, last, mark) for key, (last, mark) in known.items() if last < before]
        for key, _, _ in gone:
            del known[key]
        return sorted(gone, key=lambda one: bytes(msgpack.packb(one[0])))

    def tick(self, split: int, time: int) -> list[Silence]:
        """Let the time of a split reach a moment; return the keys that have become silent, in the order of keys."""
        if not self._ticks.is_fresh(split, time):
            return []
        self._ticks.reach(split, time)
        known = self._latest.get(split)
        if self._absent_after is None or not known or self._oldest[split] > time - self._absent_after:
            return []
        silent = [Silence(key, last) for key, last in known.items() if last <= time - self._absent_after]
        absent = self._absent.setdefault(split, {})
        for one in silent:
            del known[one.key]
            absent[one.key] = one.last, None
        if known:
            self._oldest[split] = min(known.values())
        else:
            del self._oldest[split]
        return sorted(silent, key=lambda one: bytes(msgpack.packb(one.key)))

    def snapshot(self) -> bytes:
        """Return the state as bytes; equal rows and ticks give equal bytes."""
        latest = {
            split: sorted(known.items(), key=lambda one: bytes(msgpack.packb(one[0])))
            for split, known in sorted(self._latest.items())
        }
        state: list[Any] = [sorted(self._ticks.latest.items()), list(latest.items())]
        absent = [
            (split, sorted(((key, *one) for key, one in keys.items()), key=lambda one: bytes(msgpack.packb(one[0]))))
            for split, keys in sorted(self._absent.items())
            if keys
        ]
        return bytes(msgpack.packb([*state, absent] if absent else state))

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        ticks, latest, *rest = msgpack.unpackb(snapshot)
        self._ticks = Ticks()
        for split, time in ticks:
            self._ticks.reach(split, time)
        self._latest = {split: {tuple(key): time for key, time in known} for split, known in latest}
        self._oldest = {split: min(known.values()) for split, known in self._latest.items() if known}
        # Versions before kept nothing of keys that had fallen silent.
        self._absent = {
            split: {tuple(key): (last, mark) for key, last, mark in keys} for split, keys in (rest[0] if rest else ())
        }
