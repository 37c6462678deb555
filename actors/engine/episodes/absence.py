"""Absence: keys from which no row has come for too long, as seen at ticks. Pure; event time only.

A key is silent when a tick (`actors.engine.ticks`) finds its latest row at least `absent_after` older; that is reported
once, and the key is forgotten until another row of it comes. A row that is as old as that when it comes does not count.
Ticks that do not go beyond the one before are ignored, so one may be given again.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
import polars as pl

from actors.engine.ticks import Ticks


class Silence(NamedTuple):
    """A key that has become silent."""

    key: tuple[Any, ...]
    last: int
    """Time of its latest row."""


class AbsenceWatch:
    """Latest times of the keys of every split, and the split's latest tick."""

    def __init__(self, time_column: str, key_columns: Sequence[str], absent_after: int | None) -> None:
        self._time_column = time_column
        self._key_columns = list(key_columns)
        self._absent_after = absent_after
        self._ticks = Ticks()
        self._latest: dict[int, dict[tuple[Any, ...], int]] = {}
        self._oldest: dict[int, int] = {}
        """By split a time that no latest time is below, so that most ticks need not look at any key."""

    @property
    def ticks(self) -> dict[int, int]:
        """Latest tick of each split."""
        return dict(self._ticks.latest)

    def is_fresh(self, split: int, time: int) -> bool:
        """Return whether a tick goes beyond those before."""
        return self._ticks.is_fresh(split, time)

    def see(self, split: int, frame: pl.DataFrame) -> None:
        """Take rows."""
        if self._absent_after is None or frame.is_empty():
            return
        known = self._latest.setdefault(split, {})
        tick = self._ticks.latest.get(split)
        time, keys = pl.col(self._time_column), self._key_columns
        # A time so large that silence after it is beyond 64 bits says nothing.
        newest = time.filter(time < (1 << 63) - self._absent_after).max().alias("newest time")
        found = frame.group_by(keys).agg(newest) if keys else frame.select(newest)
        for *key, time in found.iter_rows():
            if time is None or (tick is not None and time <= tick - self._absent_after):
                continue
            place = tuple(key)
            known[place] = max(known.get(place, time), time)
            self._oldest[split] = min(self._oldest.get(split, time), time)

    def tick(self, split: int, time: int) -> list[Silence]:
        """Let the time of a split reach a moment; return the keys that have become silent, in the order of keys."""
        if not self._ticks.is_fresh(split, time):
            return []
        self._ticks.reach(split, time)
        known = self._latest.get(split)
        if self._absent_after is None or not known or self._oldest[split] > time - self._absent_after:
            return []
        silent = [Silence(key, last) for key, last in known.items() if last <= time - self._absent_after]
        for one in silent:
            del known[one.key]
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
        return bytes(msgpack.packb([sorted(self._ticks.latest.items()), list(latest.items())]))

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        ticks, latest = msgpack.unpackb(snapshot)
        self._ticks = Ticks()
        for split, time in ticks:
            self._ticks.reach(split, time)
        self._latest = {split: {tuple(key): time for key, time in known} for split, known in latest}
        self._oldest = {split: min(known.values()) for split, known in self._latest.items() if known}
