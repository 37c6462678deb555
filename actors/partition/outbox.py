"""The outbox: committed anomalies and notices that the sinks have not taken.

The ids of a split only grow from commit to commit, so it is one mark for each split, the last id that every sink has,
and the tables above it.
"""

import struct
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from actors.model import AnomalyId
from actors.partition.anomaly_table import ID_SIZE, AnomalyTable, encode_id
from actors.partition.episode_table import EpisodeTable
from actors.partition.part import Entry, Part, Saved, Tables
from actors.partition.sealing import damaged, seal, unseal
from actors.shard.shard import Txn

_SPLIT = struct.Struct(">I")


class Outbox(Part):
    """What waits for the sinks; nothing in a job without sinks."""

    def __init__(self, tables: Tables, anomalies: AnomalyTable, episodes: EpisodeTable, *, has_sinks: bool) -> None:
        self._tables = tables
        self._anomalies = anomalies
        self._episodes = episodes
        self._has_sinks = has_sinks
        # One is counted by the thread that flushes, the other by the one that delivers.
        self._in_count = self._out_count = 0
        self._arriving_count = 0

    @property
    def count(self) -> int:
        """Anomalies and notices that wait."""
        return self._in_count - self._out_count

    def entries(self) -> Sequence[Entry]:
        """Count what arrives; the tables that it is in are written by others."""
        self._arriving_count = self._anomalies.pending_count + self._episodes.pending_notice_count
        return ()

    def saved(self) -> None:
        """Count what has arrived."""
        if self._has_sinks:
            self._in_count += self._arriving_count

    def load(self, saved: Saved) -> None:
        """Count what waits."""
        if self._has_sinks:
            self._in_count = sum(1 for _ in self._waiting(saved.txn))

    def oldest(self, txn: Txn, count_max: int) -> list[tuple[bytes, bytes]]:
        """Return entries that wait, split after split, in the order of ids."""
        return list(islice(self._waiting(txn), count_max)) if self._has_sinks else []

    def take_out(self, txn: Txn, taken: Sequence[AnomalyId]) -> None:
        """Mark anomalies, each split's in the order of ids, and all before them as taken by every sink."""
        for split, last in {anomaly_id.split: anomaly_id for anomaly_id in taken}.items():
            key = _SPLIT.pack(split)
            txn.put(key, seal(key, encode_id(last)), db=self._tables["outbox"])
        self._episodes.forget(txn, taken)

    def note_taken(self, count: int) -> None:
        """Note that the marks of so many are durable."""
        self._out_count += count

    def validate(self) -> None:
        """Assert that nothing was taken that had not come."""
        assert 0 <= self._out_count <= self._in_count, (self._out_count, self._in_count)

    def _waiting(self, txn: Txn) -> Iterator[tuple[bytes, bytes]]:
        marks = self._tables["outbox"]
        return merge(*(_above_marks(txn, self._tables[name], marks) for name in ("anomalies", "notices")))


def _mark_of(txn: Txn, marks: Any, split: bytes) -> bytes | None:
    stored = txn.get(split, db=marks)
    if stored is None:
        return None
    mark = unseal(split, stored)
    # A mark of another split would hide what waits.
    if len(mark) != ID_SIZE or mark[: _SPLIT.size] != split:
        raise damaged(split)
    return mark


def _above_marks(txn: Txn, table: Any, marks: Any) -> Iterator[tuple[bytes, bytes]]:
    """Give the entries above the marks, split after split, in the order of ids."""
    with txn.cursor(table) as cursor:
        placed = cursor.first()
        while placed:
            split = bytes(cursor.key()[: _SPLIT.size])
            mark = _mark_of(txn, marks, split)
            if mark is not None and cursor.set_range(mark) and cursor.key() == mark:
                cursor.next()
            while (key := bytes(cursor.key())) and key[: _SPLIT.size] == split:
                yield key, bytes(cursor.value())
                cursor.next()
            placed = bool(key)
