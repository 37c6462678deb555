"""Pending rows: what was registered and is not on disk yet.

Rows stand in two groups per server: *taken* ones, which the flush under way writes, and *open* ones. Each group has the
sequence number of its last call, so that a query, which sees in its own transaction up to which number everything is on
disk, knows whether a group is there already. Rows of one group are joined when somebody looks at them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from actors.store.events.columns import Columns, join_columns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Rows of calls that go to disk together."""

    sequence: int
    """Number of the last call in the group."""

    rows: Mapping[int, Columns]
    """Rows by server, in the order of their ids."""


@dataclass(slots=True, eq=False)
class _Gathering:
    sequence: int = 0
    parts: dict[int, list[Columns]] = field(default_factory=dict)
    row_count: int = 0
    size_bytes: int = 0

    def joined(self) -> Group:
        for server, parts in self.parts.items():
            if len(parts) > 1:
                self.parts[server] = [join_columns(parts)]
        return Group(sequence=self.sequence, rows={server: parts[0] for server, parts in self.parts.items()})


class PendingRows:
    """Rows that wait for the flush; the caller serialises all calls."""

    def __init__(self, sequence: int) -> None:
        self._taken = _Gathering(sequence)
        self._open = _Gathering(sequence)

    @property
    def sequence(self) -> int:
        """Number of the last call."""
        return self._open.sequence

    @property
    def row_count(self) -> int:
        """Rows that are not known to be on disk."""
        return self._taken.row_count + self._open.row_count

    @property
    def size_bytes(self) -> int:
        """About the memory that they take."""
        return self._taken.size_bytes + self._open.size_bytes

    def add(self, rows: Mapping[int, Columns]) -> int:
        """Add the rows of one call, by server, and return the call's number."""
        self._open.sequence += 1
        for server, columns in rows.items():
            if len(columns):
                self._open.parts.setdefault(server, []).append(columns)
                self._open.row_count += len(columns)
                self._open.size_bytes += columns.size_bytes
        return self._open.sequence

    def groups(self) -> tuple[Group, Group]:
        """Return everything that is pending."""
        return self._taken.joined(), self._open.joined()

    def take(self) -> Group:
        """Return everything that is pending as one group, for the flush to write."""
        for server, parts in self._open.parts.items():
            self._taken.parts.setdefault(server, []).extend(parts)
        self._taken.sequence = self._open.sequence
        self._taken.row_count += self._open.row_count
        self._taken.size_bytes += self._open.size_bytes
        self._open = _Gathering(self._open.sequence)
        return self._taken.joined()

    def validate(self) -> None:
        """Assert that rows are counted, and stand with their server in the order of ids."""
        for gathered in (self._taken, self._open):
            parts = [one for server_parts in gathered.parts.values() for one in server_parts]
            assert gathered.row_count == sum(map(len, parts))
            assert gathered.size_bytes == sum(one.size_bytes for one in parts)
        for group in self.groups():
            for server, columns in group.rows.items():
                columns.validate()
                assert (columns.server == server).all()
                positions = list(zip(columns.session.tolist(), columns.instance.tolist(), strict=True))
                assert all(before < after for before, after in pairwise(positions))
        assert self._taken.sequence <= self._open.sequence

    def written(self) -> None:
        """Drop what was taken: it is on disk."""
        self._taken = _Gathering(self._taken.sequence)
