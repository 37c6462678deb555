"""The outbox: committed anomalies and notices that the sinks have not taken.

The ids of a split only grow from commit to commit, so it is one mark for each split and sink, the last id that the sink
has, and the tables above it. Marks stand under the split and a digest of the sink's identity. Shards of before have one
mark for each split, under the split alone: a sink without a mark of its own begins there, and without either at the
beginning.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from actors.model import AnomalyId
from actors.partition.anomaly_table import ID_SIZE, AnomalyTable, encode_id
from actors.partition.episode_table import EpisodeTable
from actors.partition.part import Entry, Part, Saved, Tables
from actors.partition.sealing import damaged, seal, unseal
from actors.shard.shard import Txn

SINK_DIGEST_SIZE = 16
"""Bytes of the digest of a sink's identity."""

_SPLIT = struct.Struct(">I")


def digest_of(sink: str) -> bytes:
    """Return what stands for the identity of a sink in keys."""
    return hashlib.blake2b(sink.encode(), digest_size=SINK_DIGEST_SIZE).digest()


class Outbox(Part):
    """What waits for each sink; `sinks` are their identities, and a number of a sink is a position in them."""

    def __init__(
        self, tables: Tables, anomalies: AnomalyTable, episodes: EpisodeTable, sinks: Sequence[str] = ()
    ) -> None:
        self._tables = tables
        self._anomalies = anomalies
        self._episodes = episodes
        self._sinks = tuple(sinks)
        self._digests = [digest_of(sink) for sink in sinks]
        # One is counted by the thread that flushes, the others by those that deliver; what was there is below zero.
        self._in_count = 0
        self._out_counts = [0] * len(self._sinks)
        self._arriving_count = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """Anomalies and notices that wait, by the identity of the sink."""
        return {sink: self._in_count - out for sink, out in zip(self._sinks, self._out_counts, strict=True)}

    def entries(self) -> Sequence[Entry]:
        """Count what arrives; the tables that it is in are written by others."""
        self._arriving_count = self._anomalies.pending_count + self._episodes.pending_notice_count
        return ()

    def saved(self) -> None:
        """Count what has arrived."""
        self._in_count += self._arriving_count

    def load(self, saved: Saved) -> None:
        """Count what waits."""
        self.recount(saved.txn)

    def recount(self, txn: Txn) -> None:
        """Count what waits anew: a second copy that gets its marks from the first counts nothing on the way."""
        self._in_count = 0
        self._out_counts = [-sum(1 for _ in self._waiting(txn, sink)) for sink in range(len(self._sinks))]

    def marks(self, txn: Txn) -> dict[bytes, bytes]:
        """Return the marks by their places, for a second copy of the shard."""
        with txn.cursor(self._tables["outbox"]) as cursor:
            return {bytes(place): unseal(bytes(place), bytes(stored)) for place, stored in cursor}

    def raise_marks(self, txn: Txn, marks: Mapping[bytes, bytes]) -> None:
        """Take the marks of another copy, which may be of rows that have not come yet; none goes back."""
        for place, mark in marks.items():
            stored = txn.get(place, db=self._tables["outbox"])
            if stored is None or unseal(place, stored) < mark:
                txn.put(place, seal(place, mark), db=self._tables["outbox"])
        if self._sinks:
            for split in {place[: _SPLIT.size] for place in marks}:
                last = min(self._mark(txn, split, sink) or b"" for sink in range(len(self._sinks)))
                self._episodes.forget_up_to(txn, split, last)

    def oldest(self, txn: Txn, sink: int, count_max: int) -> list[tuple[bytes, bytes]]:
        """Return entries that wait for a sink, split after split, in the order of ids."""
        return list(islice(self._waiting(txn, sink), count_max))

    def take_out(self, txn: Txn, sink: int, taken: Sequence[AnomalyId]) -> None:
        """Mark anomalies, each split's in the order of ids, and all before them as taken by a sink."""
        last_everywhere = {}
        for split, last in {anomaly_id.split: anomaly_id for anomaly_id in taken}.items():
            key = _SPLIT.pack(split)
            place = key + self._digests[sink]
            txn.put(place, seal(place, encode_id(last)), db=self._tables["outbox"])
            last_everywhere[split] = min(self._mark(txn, key, other) or b"" for other in range(len(self._sinks)))
        self._episodes.forget(txn, [one for one in taken if encode_id(one) <= last_everywhere[one.split]])

    def note_taken(self, sink: int, count: int) -> None:
        """Note that the marks of so many are durable."""
        self._out_counts[sink] += count

    def validate(self) -> None:
        """Assert that nothing was taken that had not come."""
        assert all(count >= 0 for count in self.counts.values()), self.counts

    def _mark(self, txn: Txn, split: bytes, sink: int) -> bytes | None:
        for place in (split + self._digests[sink], split):
            if (stored := txn.get(place, db=self._tables["outbox"])) is not None:
                mark = unseal(place, stored)
                # A mark of another split would hide what waits.
                if len(mark) != ID_SIZE or mark[: _SPLIT.size] != split:
                    raise damaged(place)
                return mark
        return None

    def _waiting(self, txn: Txn, sink: int) -> Iterator[tuple[bytes, bytes]]:
        return merge(*(self._above_marks(txn, self._tables[name], sink) for name in ("anomalies", "notices")))

    def _above_marks(self, txn: Txn, table: Any, sink: int) -> Iterator[tuple[bytes, bytes]]:
        """Give the entries above a sink's marks, split after split, in the order of ids."""
        with txn.cursor(table) as cursor:
            placed = cursor.first()
            while placed:
                split = bytes(cursor.key()[: _SPLIT.size])
                mark = self._mark(txn, split, sink)
                if mark is not None and cursor.set_range(mark) and cursor.key() == mark:
                    cursor.next()
                while (key := bytes(cursor.key())) and key[: _SPLIT.size] == split:
                    yield key, bytes(cursor.value())
                    cursor.next()
                placed = bool(key)
