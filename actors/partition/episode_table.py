"""The episodes of one partition: a table of all of them, and notices for the sinks of those that have turned.

That is: fired, lost their key, found it again, or ended.

An episode is stored under split, offset of the row that began it, metric and start (and, for those that began at a
tick, what sets them apart), so a replay overwrites it. A
*notice* is stored like an anomaly, in a table of its own until every sink has it. Its ordinal is above those of
anomalies: `LATE_ORDINALS + n * partitions + partition`, n counted from 0 for each row, because one row may be where
several partitions see that something has come to an end. Everything here takes a transaction and never begins one.
"""

import heapq
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgpack

from actors.engine.episodes.episode import Episode, EpisodeId, EpisodeState
from actors.engine.report.output import LATE_ORDINALS, Numbering
from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly
from actors.partition.anomaly_table import decode_id, encode_id
from actors.partition.part import Entry, Part, Tables
from actors.partition.sealing import unseal
from actors.sink.protocol import EPISODE_START

if TYPE_CHECKING:
    from actors.engine.episodes.tracker import EpisodeChanges
    from actors.shard import Txn

__all__ = ["LATE_ORDINALS", "TABLES", "EpisodeFilter", "EpisodeTable", "LateOrdinals", "episode_fields"]

TABLES = ("episodes", "notices")
"""Tables of the shard."""

_KEY = struct.Struct(">IQIQ")
_ORDINAL = struct.Struct(">I")
_ZERO = 1 << 63

_NOT_OPEN = frozenset((EpisodeState.PENDING, EpisodeState.RESOLVED))
_OPEN_WORDS = tuple(bytes(msgpack.packb(str(state))) for state in EpisodeState if state not in _NOT_OPEN)
"""States of episodes of which sinks were told that they fire, as they are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeFilter:
    """Which episodes a query wants; `None` means all."""

    state: str | None = None
    """`pending`, `firing`, `no data` or `resolved`."""

    key: tuple[Any, ...] | None = None
    """The key, compared as text so that what people type finds it."""

    type: int | None = None
    """Position of the metric."""

    def accepts(self, episode: Episode) -> bool:
        """Return whether the episode is wanted."""
        if self.type is not None and episode.type != self.type:
            return False
        if self.state is not None and str(episode.state) != self.state:
            return False
        return self.key is None or tuple(map(str, episode.key)) == tuple(map(str, self.key))


class LateOrdinals:
    """Numbers what one partition makes known at the rows of a batch."""

    def __init__(self, partition: int, partition_count: int) -> None:
        self._partition = partition
        self._partition_count = partition_count
        self._counts: dict[int, int] = {}

    def next(self, offset: int) -> int:
        """Return the next free ordinal of a row."""
        count = self._counts.get(offset, 0)
        self._counts[offset] = count + 1
        return LATE_ORDINALS + count * self._partition_count + self._partition

    def numbering(self, offset: int) -> Numbering:
        """Return the numbering of what comes next at a row; `skip` what has been numbered by it."""
        taken = self._counts.get(offset, 0)
        return Numbering(LATE_ORDINALS + taken * self._partition_count + self._partition, self._partition_count)

    def skip(self, offset: int, count: int) -> None:
        """Take ordinals of a row as used."""
        self._counts[offset] = self._counts.get(offset, 0) + count


class EpisodeTable(Part):
    """Episodes and notices of one partition; what is not written yet is pending."""

    def __init__(self, tables: Tables, texts: Mapping[int, str], *, has_notices: bool) -> None:
        self._episodes, self._notices = (tables[name] for name in TABLES)
        self._texts = texts
        self._has_notices = has_notices
        self._pending: dict[EpisodeId, Episode | None] = {}
        self._pending_notices: list[tuple[bytes, bytes]] = []

    def put(self, changed: Mapping[EpisodeId, Episode | None]) -> None:
        """Take episodes as they are now, without a notice."""
        self._pending.update(changed)

    def add(self, split: int, changes: "EpisodeChanges", ordinals: LateOrdinals) -> None:
        """Take what has become of episodes."""
        self._pending.update(changes.changed)
        if not self._has_notices:
            return
        for offset, episode in changes.notices:
            place = AnomalyId(split=split, offset=offset, ordinal=ordinals.next(offset))
            detail = json.dumps({"episode": episode_fields(episode)}, ensure_ascii=False)
            text = self._texts[episode.type]
            self._pending_notices.append(
                (encode_id(place), msgpack.packb((episode.since, episode.key, episode.type, text, detail)))
            )

    def skip(self, changes: "EpisodeChanges", ordinals: LateOrdinals) -> None:
        """Take the ordinals that `add` took for the same changes, so that what comes next has its own again."""
        for offset, _ in changes.notices if self._has_notices else ():
            ordinals.skip(offset, 1)

    @property
    def pending_notice_count(self) -> int:
        """Notices that the next write puts into the table."""
        return len(self._pending_notices)

    def entries(self) -> list[Entry]:
        """Return what has become of episodes since the last flush, and the notices of it."""
        table, notices = TABLES
        changed: list[Entry] = [
            (table, _encode_id(place), None if episode is None else _encode(episode))
            for place, episode in self._pending.items()
        ]
        return changed + [(notices, key, value) for key, value in self._pending_notices]

    def saved(self) -> None:
        """Forget what has been written."""
        self._pending.clear()
        self._pending_notices.clear()

    def validate(self) -> None:
        """Assert that pending episodes are stored under their ids, and notices under ordinals of their own."""
        for place, episode in self._pending.items():
            assert episode is None or _decode(_encode_id(place), _encode(episode)).id == episode.id == place, episode
        ids = [decode_id(key) for key, _ in self._pending_notices]
        assert len(set(ids)) == len(ids), "two notices with one id"
        assert all(place.ordinal >= LATE_ORDINALS for place in ids), ids

    def open_notices(self, txn: "Txn") -> list[Anomaly]:
        """Return what a notice would say now of committed episodes that go on; its id is the place of the first row."""
        found = []
        with txn.cursor(self._episodes) as cursor:
            for key, value in cursor:
                # Most have ended, and to decode them takes long; a key may have the word for a state in it.
                if not any(word in value for word in _OPEN_WORDS):
                    continue
                one = _decode(key, value)
                if one.state in _NOT_OPEN or one.end is not None:
                    continue
                detail = json.dumps({"episode": episode_fields(one)}, ensure_ascii=False)
                place = AnomalyId(split=one.split, offset=one.offset, ordinal=one.ordinal)
                found.append(
                    Anomaly(
                        id=place,
                        time=one.since,
                        key=one.key,
                        type=one.type,
                        metric=self._texts[one.type],
                        detail=detail,
                    )
                )
        return found

    def forget(self, txn: "Txn", taken: Iterable[AnomalyId]) -> None:
        """Delete notices that every sink has."""
        for place in taken:
            if place.ordinal >= LATE_ORDINALS:
                txn.delete(encode_id(place), db=self._notices)

    def forget_up_to(self, txn: "Txn", split: bytes, last: bytes) -> None:
        """Delete the notices of a split, whose ids begin with these bytes, up to one that every sink has."""
        with txn.cursor(self._notices) as cursor:
            placed = cursor.set_range(split)
            while placed and split == cursor.key()[: len(split)] and cursor.key() <= last:
                placed = cursor.delete() and bool(cursor.key())

    def scan(self, txn: "Txn", wanted: EpisodeFilter, count_max: int, *, newest_first: bool) -> list[Episode]:
        """Return committed episodes in the order of the rows that began them or, `newest_first`, of their starts."""
        with txn.cursor(self._episodes) as cursor:
            episodes = (_decode(key, value) for key, value in cursor)
            found = (episode for episode in episodes if wanted.accepts(episode))
            if newest_first:
                return heapq.nlargest(count_max, found, key=newest_start)
            return list(islice(found, count_max))


def newest_start(episode: Episode) -> tuple[int, EpisodeId]:
    """Return the place of an episode in the order of starts; the newest is the greatest."""
    return episode.start, episode.id


def episode_fields(episode: Episode) -> dict[str, Any]:
    """Return an episode as plain values, for programs; times are in ticks."""
    return {
        "state": str(episode.state),
        # Of others the times below say it.
        **({} if episode.turned_at is None else {"since": episode.since}),
        "start": episode.start,
        "fired_at": episode.fired_at,
        "end": episode.end,
        "last_true": episode.last_true,
        "count": episode.count,
        "peak": episode.peak,
        "split": episode.split,
        "offset": episode.offset,
    }


def with_peak(detail: str | None, part: str | None) -> str | None:
    """Return the detail of a notice with its peak among `values`, under the text of the part that it is a value of."""
    if detail is None or part is None or not detail.startswith(EPISODE_START):
        return detail
    told = json.loads(detail)
    return json.dumps({**told, "values": {part: told["episode"]["peak"]}}, ensure_ascii=False)


def _encode_id(place: EpisodeId) -> bytes:
    split, offset, kind, start, ordinal = place
    return _KEY.pack(split, offset, kind, start + _ZERO) + (_ORDINAL.pack(ordinal) if ordinal else b"")


def _encode(episode: Episode) -> bytes:
    times = (str(episode.state), episode.fired_at, episode.end, episode.last_true)
    turned = () if episode.turned_at is None else (episode.turned_at,)
    return bytes(msgpack.packb((episode.key, *times, episode.count, episode.peak, *turned)))


def _decode(key: bytes, value: bytes) -> Episode:
    split, offset, kind, start = _KEY.unpack_from(key)
    (ordinal,) = _ORDINAL.unpack_from(key, _KEY.size) if len(key) > _KEY.size else (0,)
    columns, state, fired_at, end, last_true, count, peak, *turned = msgpack.unpackb(unseal(key, value))
    return Episode(
        split=split,
        offset=offset,
        type=kind,
        key=tuple(columns),
        start=start - _ZERO,
        state=EpisodeState(state),
        fired_at=fired_at,
        end=end,
        last_true=last_true,
        count=count,
        peak=peak,
        ordinal=ordinal,
        turned_at=turned[0] if turned else None,
    )
