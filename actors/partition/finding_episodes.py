"""Episodes of detectors: what they find of a key at its rows, as the times during which they found something.

A row of which a detector raises an anomaly is a true evaluation of that anomaly's type, and each other row of the key a
clear one; what becomes of them is said by `actors.engine.episodes.episode`, as of metrics. Detectors replay no rows
that the shard has, so open episodes are entries of the shard, current at every flush: in the table of what is learned,
below a number that no detector has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.engine.episodes.episode import (
    Alert,
    Change,
    Episode,
    EpisodeId,
    EpisodeState,
    Evaluation,
    Lifecycle,
    Origin,
    Step,
    advance,
    end,
    follow,
    interrupt,
)
from actors.engine.episodes.tracker import EpisodeChanges, Notice
from actors.partition.part import Entry, Fields, Part, Saved
from actors.partition.sealing import unseal
from actors.partition.ticks import SeenTick
from config.settings import JobSettings
from config.specs import detector_lifecycles, metric_ticks

TABLE = "detectors"
"""Table of the shard that has the open episodes."""

PREFIX = b"\xff\xfe"
"""What their keys begin with."""

Offsets = np.ndarray[Any, np.dtype[np.int64]]

_Place = tuple[int, int, tuple[Any, ...]]
"""Split, type and key of an open episode."""


class FindingEpisodes(Part):
    """The open episodes of the detectors of one partition.

    `type_counts` has the number of types of each detector; `put` takes those that a snapshot has brought.
    """

    def __init__(
        self,
        job: JobSettings,
        type_counts: Sequence[int],
        put: Callable[[Mapping[EpisodeId, Episode | None]], None],
    ) -> None:
        self._time_column, self._key_columns = job.time_column, job.key_columns
        # Of key columns that only some metrics have.
        self._no_more_key = (None,) * (len(job.all_key_columns) - len(job.key_columns))
        self._put_open = put
        self._rules: dict[int, Lifecycle] = {}
        base = len(job.metrics)
        for rule, count in zip(detector_lifecycles(job), type_counts, strict=True):
            if rule is not None:
                self._rules |= dict.fromkeys(range(base, base + count), rule)
            base += count
        self._absent_after = metric_ticks(job, job.absent)
        self._idle_after = metric_ticks(job, job.engine.idle_key_ttl) + metric_ticks(job, job.engine.max_lateness)
        self._is_forgetful = job.engine.idle_key_ttl is not None
        self._alerts: dict[_Place, Alert] = {}
        # Places whose episodes the shard does not have as they are.
        self._unsaved: set[_Place] = set()

    def observe(
        self,
        split: int,
        frame: pl.DataFrame,
        offsets: Offsets,
        frames: Sequence[pl.DataFrame],
        ticks: Sequence[SeenTick],
    ) -> EpisodeChanges:
        """Take rows and ticks that the shard does not have, with the anomalies that detectors have raised of the rows.

        Those are in a frame for each detector, which has a `type` and an `offset` and the columns of the key.
        """
        placed: list[tuple[int, Change]] = []
        if not self._rules:
            return _changes_of(placed)
        names = ["type", "offset", *self._key_columns]
        found = pl.concat([frame.select(names) for frame in frames]).filter(pl.col("type").is_in(list(self._rules)))
        start = 0
        for tick in (*ticks, None):
            stop = len(offsets) if tick is None else int(np.searchsorted(offsets, tick.offset, side="right"))
            if stop > start and (self._alerts or found.height):
                here = found.filter(pl.col("offset").is_between(int(offsets[start]), int(offsets[stop - 1])))
                placed += self._see(split, frame[start:stop], offsets[start:stop], here)
            if tick is not None:
                placed += [(tick.offset, one) for one in self._pass_time(split, tick)]
            start = stop
        return _changes_of(placed)

    def _see(self, split: int, frame: pl.DataFrame, offsets: Offsets, found: pl.DataFrame) -> list[tuple[int, Change]]:
        if frame[self._time_column].null_count():
            is_timed = frame[self._time_column].is_not_null()
            frame, offsets = frame.filter(is_timed), offsets[is_timed.to_numpy()]
        open_types: dict[tuple[Any, ...], set[int]] = {}
        for of_split, kind, key in self._alerts:
            if of_split == split:
                open_types.setdefault(key, set()).add(kind)
        hits: dict[tuple[Any, ...], dict[int, list[int]]] = {}
        for kind, offset, *columns in found.iter_rows():
            hits.setdefault(tuple(columns), {}).setdefault(kind, []).append(offset)
        placed: list[tuple[int, int, Change]] = []
        keys = list({**open_types, **hits})
        for key, rows in zip(keys, self._rows_of(keys, frame), strict=True):
            if not len(rows):
                continue
            times, places = frame[self._time_column].gather(rows).to_numpy(), offsets[rows]
            for kind in sorted(open_types.get(key, set()) | set(hits.get(key, ()))):
                is_true = np.isin(places, hits.get(key, {}).get(kind, ()))
                for offset, change in self._follow((split, kind, key), times, places, is_true):
                    placed.append((offset, kind, change))
        placed.sort(key=lambda one: one[:2])
        return [(offset, change) for offset, _, change in placed]

    def _rows_of(self, keys: Sequence[tuple[Any, ...]], frame: pl.DataFrame) -> list[Offsets]:
        """Return the positions of the rows of each key."""
        if not self._key_columns or not keys:
            return [np.arange(frame.height) for _ in keys]
        names = list(self._key_columns)
        given = frame.select(names)
        wanted = pl.DataFrame([list(key) for key in keys], schema=given.schema, orient="row").with_row_index("of_key")
        joined = given.with_row_index("of_row").join(wanted, on=names, how="inner", nulls_equal=True).sort("of_row")
        numbers, rows = joined["of_key"].to_numpy(), joined["of_row"].to_numpy().astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        return np.split(rows[order], np.searchsorted(numbers[order], np.arange(1, len(keys))))

    def _follow(self, place: _Place, times: Any, offsets: Offsets, is_true: Any) -> Iterator[tuple[int, Change]]:
        """Take the rows of one key as evaluations of one type; give what changes, with the row at which it does."""
        rule, hits = self._rules[place[1]], np.flatnonzero(is_true)
        row = 0
        while (row := self._next_row(self._alerts.get(place), rule, times, hits, row)) < len(times):
            time, offset, alert = int(times[row]), int(offsets[row]), self._alerts.get(place)
            if alert is not None and self._is_apart(alert, rule, time):
                yield from ((offset, change) for change in self._put(place, None, [_nothing_of(alert)]))
                alert = None
            if alert is not None or is_true[row]:
                step = Step(time=time, evaluation=Evaluation.TRUE if is_true[row] else Evaluation.CLEAR)
                origin = Origin(split=place[0], offset=offset, type=place[1], key=place[2] + self._no_more_key)
                changes = self._put(place, *follow(alert, rule, step, partial(_same, origin), False))
                yield from ((offset, change) for change in changes)
            row += 1

    @staticmethod
    def _next_row(alert: Alert | None, rule: Lifecycle, times: Any, hits: Offsets, row: int) -> int:
        """Return the first row from one on that changes something: most are of keys of which nothing new is to say."""
        is_over = alert is not None and alert.cleared_at is not None and alert.episode.state is EpisodeState.FIRING
        if alert is not None and not is_over:
            return row
        next_hit = int(np.searchsorted(hits, row))
        found = int(hits[next_hit]) if next_hit < len(hits) else len(times)
        if alert is not None and alert.cleared_at is not None:
            ends = max(alert.cleared_at, alert.episode.last_true + rule.keep_firing)
            past = np.flatnonzero(times[row:found] >= ends)
            found = row + int(past[0]) if len(past) else found
        return found

    def _is_apart(self, alert: Alert, rule: Lifecycle, time: int) -> bool:
        """Return whether a pending episode comes to nothing since its key had no row for too long."""
        is_pending = alert.episode.state is EpisodeState.PENDING
        return is_pending and 0 < self._absent_after < time - alert.now and rule.hold > 0

    def _pass_time(self, split: int, tick: SeenTick) -> list[Change]:
        """Let time pass for the keys of a split, some of which it shows to be absent."""
        changes: list[Change] = []
        for place, alert in [item for item in self._alerts.items() if item[0][0] == split]:
            rest, done = advance(alert, self._rules[place[1]], tick.time)
            if rest is not None and self._is_forgetful and tick.time - self._last_row(rest) > self._idle_after:
                done = [end(rest, tick.time)]
                rest = None
            elif rest is not None and place[2] in tick.absent_since:
                rest, done = interrupt(rest, tick.absent_since[place[2]])
            if done:
                changes += self._put(place, rest, done)
        return sorted(changes, key=lambda one: one.id)

    @staticmethod
    def _last_row(alert: Alert) -> int:
        return alert.episode.last_true if alert.episode.state is EpisodeState.NO_DATA else alert.now

    def _put(self, place: _Place, alert: Alert | None, changes: list[Change]) -> list[Change]:
        self._unsaved.add(place)
        if alert is None:
            self._alerts.pop(place, None)
        else:
            self._alerts[place] = alert
        return changes

    def entries(self) -> list[Entry]:
        """Return the episodes that are open, or have ended, since they were last saved."""
        return [(TABLE, *self._entry(place)) for place in sorted(self._unsaved, key=_encode_place)]

    def _entry(self, place: _Place) -> tuple[bytes, bytes | None]:
        alert = self._alerts.get(place)
        return PREFIX + _encode_place(place), None if alert is None else _encode(alert)

    def saved(self) -> None:
        """Note that what `entries` gave is durable."""
        self._unsaved.clear()

    def load(self, saved: Saved) -> None:
        """Take over the open episodes of a shard, unless its detectors were others."""
        if saved.is_of_other_job:
            return
        with saved.txn.cursor(saved.tables[TABLE]) as cursor:
            placed = cursor.set_range(PREFIX)
            while placed and cursor.key().startswith(PREFIX):
                key = bytes(cursor.key())
                self._take(key[len(PREFIX) :], unseal(key, bytes(cursor.value())))
                placed = cursor.next()

    def _take(self, key: bytes, value: bytes) -> None:
        split, kind, columns = msgpack.unpackb(key)
        # Without a sink that takes episodes nothing may follow them any more.
        place = (split, kind, tuple(columns))
        if kind in self._rules:
            self._alerts[place] = _decode(place, self._no_more_key, value)
        else:
            self._unsaved.add(place)

    def snapshot(self) -> Fields:
        """Return the open episodes."""
        # Equal state has equal bytes, in whichever order episodes have begun.
        found = sorted((_encode_place(place), _encode(one)) for place, one in self._alerts.items())
        return {"finding_episodes": found} if self._rules else {}

    def restore(self, body: Fields) -> None:
        """Take over what `snapshot` gave; snapshots of older versions have no such episodes."""
        for key, value in body.get("finding_episodes", ()):
            self._take(key, value)
        self._unsaved |= set(self._alerts)
        self._put_open({alert.episode.id: alert.episode for alert in self._alerts.values()})

    def validate(self) -> None:
        """Assert that each open episode stands at its place and is encoded as it is."""
        for place, alert in self._alerts.items():
            named = alert.episode.split, alert.episode.type, alert.episode.key
            assert named == (*place[:2], place[2] + self._no_more_key), place
            assert alert.episode.end is None, alert
            assert _decode(place, self._no_more_key, _encode(alert)) == alert, alert


def _changes_of(placed: Sequence[tuple[int, Change]]) -> EpisodeChanges:
    notices = [Notice(offset, one.episode) for offset, one in placed if one.is_news and one.episode is not None]
    return EpisodeChanges(changed={one.id: one.episode for _, one in placed}, notices=notices)


def _same(origin: Origin) -> Origin:
    return origin


def _nothing_of(alert: Alert) -> Change:
    return Change(alert.episode.id, None, False)


def _encode_place(place: _Place) -> bytes:
    return bytes(msgpack.packb(place))


def _encode(alert: Alert) -> bytes:
    one = alert.episode
    times = (one.start, one.fired_at, one.last_true, one.turned_at)
    return bytes(msgpack.packb((one.offset, str(one.state), *times, one.count, alert.now, alert.cleared_at)))


def _decode(place: _Place, no_more_key: tuple[None, ...], value: bytes) -> Alert:
    offset, state, start, fired_at, last_true, turned_at, count, now, cleared_at = msgpack.unpackb(value)
    split, kind, key = place
    begun = Episode(
        split=split, offset=offset, type=kind, key=key + no_more_key, start=start, state=EpisodeState(state)
    )
    episode = replace(begun, fired_at=fired_at, last_true=last_true, turned_at=turned_at, count=count)
    return Alert(episode=episode, now=now, cleared_at=cleared_at)
