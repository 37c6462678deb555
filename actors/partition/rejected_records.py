"""Rejected records: dead letters, which could not become rows, and rows that came too late for the metrics.

Both are kept under their (split, offset) in a table of their own, the newest up to a limit, and are written in the
transaction that commits what they stand beside, so that a replay neither loses nor doubles one. Everything here takes a
transaction and never begins or commits one.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack
import polars as pl

from actors.partition.part import Entry, Fields, Part, Saved, Tables
from actors.partition.sealing import unseal
from actors.source.protocol import DeadLetter

if TYPE_CHECKING:
    from actors.shard import Txn

COUNT_FIELDS = {"dead_letters": "dead_letter_count", "late_rows": "late_row_count"}
"""Tables of rejected records, and the field of the partition's record that counts all there were."""

_RECORD = struct.Struct(">IQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRow:
    """A row that the metrics discarded."""

    split: int
    """Number of the split, from 0."""

    offset: int
    """Offset of the row in its split."""

    late_by: int | None
    """Ticks of the time column by which its key was ahead of it; `None` for a row without a time."""

    row: tuple[Any, ...]
    """Values in the order of the schema, times in ticks."""

    @property
    def reason(self) -> str:
        """Why it was discarded."""
        return "has no time" if self.late_by is None else f"late by {self.late_by} ticks"


class RecordTable(Part):
    """The newest records of one table; what is not written yet is pending."""

    def __init__(self, name: str, tables: Tables, count_max: int) -> None:
        self._name = name
        self._table = tables[name]
        self._count_max = count_max
        self._count_field = COUNT_FIELDS[name]
        self._pending: dict[bytes, bytes] = {}
        self.count = 0
        """Records committed, of all time."""

    def add(self, split: int, offset: int, content: Sequence[Any]) -> None:
        """Take a record; it is kept from the next write on."""
        self._pending[encode_record(split, offset)] = msgpack.packb(content)

    @property
    def total(self) -> int:
        """What `count` is after the next write."""
        return self.count + len(self._pending)

    def entries(self) -> list[Entry]:
        """Return the records since the last flush."""
        return [(self._name, key, value) for key, value in self._pending.items()]

    def fields(self) -> Fields:
        """Return the count."""
        return {self._count_field: self.total}

    def write(self, txn: "Txn", now_us: int) -> None:
        """Delete what is too much."""
        # Those of a split give way to newer ones of the same, so that a noisy split does not hide the others.
        excess = int(txn.stat(db=self._table)["entries"]) - self._count_max
        with txn.cursor(self._table) as cursor:
            for split in sorted({decode_record(key)[0] for key in self._pending}):
                while (
                    excess > 0 and cursor.set_range(encode_record(split, 0)) and decode_record(cursor.key())[0] == split
                ):
                    cursor.delete()
                    excess -= 1

    def saved(self) -> None:
        """Forget what has been written."""
        self.count = self.total
        self._pending.clear()

    def load(self, saved: Saved) -> None:
        """Take over the count; shards of older versions have none."""
        self.count = saved.record.get(self._count_field, 0)

    def scan(self, txn: "Txn", count_max: int) -> list[tuple[int, int, list[Any]]]:
        """Return split, offset and content of committed records, oldest first."""
        found: list[tuple[int, int, list[Any]]] = []
        with txn.cursor(self._table) as cursor:
            for key, value in cursor:
                if len(found) >= count_max:
                    break
                found.append((*decode_record(key), msgpack.unpackb(unseal(key, value))))
        return found

    def validate(self) -> None:
        """Assert that records can be read and that the count counts."""
        assert self.count >= 0
        for key, value in self._pending.items():
            decode_record(key)
            assert isinstance(msgpack.unpackb(value), list), value


def encode_record(split: int, offset: int) -> bytes:
    """Return the key bytes of a record."""
    return _RECORD.pack(split, offset)


def decode_record(key: bytes) -> tuple[int, int]:
    """Return split and offset of a record's key bytes."""
    split, offset = _RECORD.unpack(key)
    return int(split), int(offset)


def add_letters(records: RecordTable, letters: Sequence[DeadLetter], first: int) -> None:
    """Take the dead letters from an offset on."""
    for letter in letters:
        if letter.offset >= first:
            records.add(letter.split, letter.offset, (letter.reason, letter.raw))


def scan_letters(records: RecordTable, txn: "Txn", count_max: int) -> list[DeadLetter]:
    """Return committed dead letters, oldest first."""
    found = records.scan(txn, count_max)
    return [DeadLetter(split=split, offset=at, reason=reason, raw=raw) for split, at, (reason, raw) in found]


def add_late(records: RecordTable, split: int, discarded: pl.DataFrame) -> None:
    """Take rows as the engine's `take_late` gives them."""
    for *row, offset, late_by in discarded.iter_rows():
        records.add(split, offset, (late_by, row))


def scan_late(records: RecordTable, txn: "Txn", count_max: int) -> list[LateRow]:
    """Return committed late rows, oldest first."""
    found = records.scan(txn, count_max)
    return [LateRow(split=split, offset=at, late_by=by, row=tuple(row)) for split, at, (by, row) in found]
