"""The watcher of sequences: the last event ids of a key, in order.

What a key has learned is saved apart from its latest ids, because only these change with every row.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from actors.detectors.findings import Finding, MakeDetail
from actors.detectors.groups import Batch, segments
from actors.detectors.known_things import KnownThings, Thing, with_tuples


class LatestIds:
    """The event ids of each key that the next row completes to a sequence."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._ids: dict[int, list[Any]] = {}
        self.changed: set[int] = set()

    def extend(self, code: int, ids: Sequence[Any]) -> list[Any]:
        """Add event ids of a key and return all that were held, followed by these."""
        whole = [*self._ids.get(code, ()), *ids]
        self._ids[code] = whole[-self._count :]
        self.changed.add(code)
        return whole

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return self._ids

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        return self._ids[code]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        self._ids[code] = [with_tuples(event_id) for event_id in saved]

    def validate(self) -> None:
        """Assert that no key keeps more ids than the next row completes."""
        for code, ids in self._ids.items():
            assert 0 < len(ids) <= self._count, f"group {code} keeps {ids}"


class EventSequenceWatcher:
    """Sequences of event ids, per key."""

    def __init__(
        self, columns: Sequence[str], length: int, known: KnownThings, latest: LatestIds, make_detail: MakeDetail
    ) -> None:
        self.metric = f"new sequence of {', '.join(columns)}"
        self.changed = known.changed
        self.codes, self.encode, self.decode = known.codes, known.encode, known.decode
        self.validate = known.validate
        self._columns = list(columns)
        self._length = length
        self._known = known
        self._latest = latest
        self._make_detail = make_detail

    def observe(self, batch: Batch) -> list[Finding]:
        """Learn from a batch and return the rows that complete an unknown sequence."""
        ids = event_ids(batch, self._columns)
        findings: list[Finding] = []
        for code, start, end in segments(batch):
            rows = [row for row in range(start, end) if ids[row] is not None]
            whole = self._latest.extend(code, [ids[row] for row in rows]) if rows else []
            windows = list(zip(*(whole[place:] for place in range(self._length)), strict=False))
            self._observe_key(batch, code, windows, rows[len(rows) - len(windows) :], findings)
        return findings

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Let a sequence count as known for a key."""
        del now
        self._known.accept(code, with_tuples(list(value)))

    def _observe_key(
        self, batch: Batch, code: int, windows: list[Thing], rows: list[int], findings: list[Finding]
    ) -> None:
        known = self._known.of(code)
        for window, row in zip(windows, rows, strict=True):
            if window in known:
                continue
            if batch.is_learning[row]:
                self._known.learn(code, window)
            elif code not in self._known.muted:
                shown = {"value": window, "known": self._known.learned_count(code)}
                findings.append(Finding((row,), self._make_detail(code, shown)))
                self._known.note_reported(code, window)


def event_ids(batch: Batch, columns: Sequence[str]) -> list[Any]:
    """Return the event id of each row: a value, a tuple of values, or `None` when a column is NULL."""
    if len(columns) == 1:
        return batch.frame[columns[0]].to_list()
    rows = zip(*(batch.frame[name].to_list() for name in columns), strict=True)
    return [None if None in row else row for row in rows]
