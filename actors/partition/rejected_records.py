"""Records that a partition sets aside: dead letters, and rows that came too late for the metrics.

Both are kept under their (split, offset) in a table of their own, the newest up to a limit, and are written in the
transaction that commits what they stand beside, so that a replay neither loses nor doubles one. Everything here takes a
transaction and never begins or commits one.
"""

from collections.abc import ItemsView, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import polars as pl

from actors.partition.anomaly_table import decode_record, encode_record
from actors.source.protocol import DeadLetter


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


class SetAside:
    """The newest records of one table; what is not written yet is `pending`."""

    def __init__(self, table: Any, count_max: int) -> None:
        self._table = table
        self._count_max = count_max
        self._pending: dict[bytes, bytes] = {}
        self.count = 0
        """Records committed, of all time."""

    def add(self, split: int, offset: int, content: Sequence[Any]) -> None:
        """Take a record; it is kept from the next write on."""
        self._pending[encode_record(split, offset)] = msgpack.packb(content)

    def entries(self) -> ItemsView[bytes, bytes]:
        """Return what the next write has to put into the table."""
        return self._pending.items()

    @property
    def total(self) -> int:
        """What `count` is after the next write."""
        return self.count + len(self._pending)

    def trim(self, txn: Any) -> None:
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

    def mark_saved(self) -> None:
        """Forget what has been written."""
        self.count = self.total
        self._pending.clear()

    def scan(self, txn: Any, count_max: int) -> list[tuple[int, int, list[Any]]]:
        """Return split, offset and content of committed records, oldest first."""
        found: list[tuple[int, int, list[Any]]] = []
        with txn.cursor(self._table) as cursor:
            for key, value in cursor:
                if len(found) >= count_max:
                    break
                found.append((*decode_record(key), msgpack.unpackb(value)))
        return found


def add_letters(records: SetAside, letters: Sequence[DeadLetter], first: int) -> None:
    """Take the dead letters from an offset on."""
    for letter in letters:
        if letter.offset >= first:
            records.add(letter.split, letter.offset, (letter.reason, letter.raw))


def scan_letters(records: SetAside, txn: Any, count_max: int) -> list[DeadLetter]:
    """Return committed dead letters, oldest first."""
    found = records.scan(txn, count_max)
    return [DeadLetter(split=split, offset=at, reason=reason, raw=raw) for split, at, (reason, raw) in found]


def add_late(records: SetAside, split: int, discarded: pl.DataFrame) -> None:
    """Take rows as the engine's `take_late` gives them."""
    for *row, offset, late_by in discarded.iter_rows():
        records.add(split, offset, (late_by, row))


def scan_late(records: SetAside, txn: Any, count_max: int) -> list[LateRow]:
    """Return committed late rows, oldest first."""
    found = records.scan(txn, count_max)
    return [LateRow(split=split, offset=at, late_by=by, row=tuple(row)) for split, at, (by, row) in found]
