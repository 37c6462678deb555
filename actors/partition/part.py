"""What the parts of a partition have in common.

A *part* keeps one concern of a partition: marks, metrics, detectors, anomalies, episodes, rejected records, events. It
is changed by rows; a flush makes it durable together with all others, in one transaction. What it keeps is of up to
three kinds: *entries* in tables of its own; *fields* of the one record that is written whole at every flush; and what
a *snapshot* carries to another shard. A part takes transactions and never begins or commits one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.partition.sealing import unseal

if TYPE_CHECKING:
    from actors.shard import Txn

Tables = Mapping[str, Any]
"""Handles of the shard's tables, by name."""

Entry = tuple[str, bytes, bytes | None]
"""Table, key and value of an entry to be written; `None` deletes it."""

Fields = Mapping[str, Any]
"""Fields of the record or of a snapshot, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a shard has."""

    txn: "Txn"
    """A read of the shard; closed once all parts are loaded."""

    tables: Tables
    """Tables of the shard."""

    record: Fields
    """The record of the last flush."""

    is_of_other_job: bool
    """Whether metrics or detectors were others, whose state is of no use."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return one entry of a table."""
        found: bytes | None = self.txn.get(key, db=self.tables[table])
        return None if found is None else unseal(key, found)

    def entries(self, table: str) -> list[tuple[bytes, bytes]]:
        """Return all entries of a table."""
        with self.txn.cursor(self.tables[table]) as cursor:
            return [(bytes(key), unseal(key, bytes(value))) for key, value in cursor]


class Part:
    """One part; what it does not have is nothing."""

    def entries(self) -> Iterable[Entry]:
        """Return what the next flush has to write, in an order in which later ones win."""
        return ()

    def fields(self) -> Fields:
        """Return the part's fields of the record, as they are after the flush whose `entries` were just asked for."""
        return {}

    def write(self, txn: "Txn", now_us: int) -> None:
        """Change what only the transaction of the flush can tell; may be called again, after the map has grown."""

    def saved(self) -> None:
        """Note that the flush is durable."""

    def load(self, saved: Saved) -> None:
        """Take over what a shard has, into a part that has seen nothing."""

    def snapshot(self) -> Fields:
        """Return what a snapshot carries at the rows received so far; a `Capture` stands for its bytes."""
        return {}

    def restore(self, body: Fields) -> None:
        """Take over what a snapshot carries, into a part that has seen nothing; all of it is due at the next flush."""

    def validate(self) -> None:
        """Assert every invariant."""
