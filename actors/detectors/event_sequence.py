"""The kind `event_sequence`: the last event ids of a key, in an order that the key has not learned.

What a key has learned is saved apart from its latest ids, because only these change with every row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actors.detectors.checks import check_count
from actors.detectors.errors import DetectorSpecError, DetectorValueError
from actors.detectors.findings import MakeDetail, UnusualRows
from actors.detectors.groups import GroupedRows, segments
from actors.detectors.known_things import KnownThings, Thing, with_tuples
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind
from actors.detectors.specs import KnownSpec
from actors.detectors.values import event_id_value
from actors.model import Schema

SEQUENCE_LENGTH_MAX = 100
"""Longest sequence of event ids."""


@detector_kind("event_sequence")
@dataclass(frozen=True, slots=True, kw_only=True)
class EventSequenceSpec(KnownSpec):
    """Reports sequences of event ids that their key has not learned. Rows without an event id do not count."""

    detail_names: ClassVar[tuple[str, ...]] = ("value", "known")

    watches_events: ClassVar[bool] = True

    length: int
    """Number of event ids in a sequence; the first `length - 1` rows of a key complete none."""

    def _check(self) -> None:
        KnownSpec._check(self)
        check_count(repr(self.name), "length", self.length, at_least=2)
        if self.length > SEQUENCE_LENGTH_MAX:
            raise DetectorSpecError(f"length {self.length} of {self.name!r} must be from 2 to {SEQUENCE_LENGTH_MAX}")

    def watched_columns(self) -> tuple[tuple[str, ...], ...]:
        """Return the columns of the event id."""
        return (self.event_id_columns,)

    def make_parts(self, given: Materials) -> Parts:
        """Return the watcher of sequences."""
        columns = given.names(self.event_id_columns)
        latest = LatestIds(self.length - 1)
        known = KnownThings(self.distinct_count_max, reports_once=self.reports_once)
        watcher = EventSequenceWatcher(columns, self.length, known, latest, given.detail_of(columns))
        return Parts(watchers=[watcher], memories=[latest])

    @property
    def takes_lists(self) -> bool:
        """Whether a value that is accepted is a list: a sequence is one."""
        return True

    def event_ids_in(self, value: Any) -> Sequence[Any]:
        """Return the event ids that a value is made of."""
        return tuple(value)

    def checked_value(self, schema: Schema, about: str, value: Any) -> Any:
        """Return a sequence that is to be accepted.

        Raises:
            DetectorValueError: it is none of so many event ids.
        """
        columns = [schema[name] for name in self.event_id_columns]
        if not isinstance(value, list | tuple) or len(value) != self.length:
            raise DetectorValueError(f"{value!r} is not a sequence of {self.length} event ids")
        return [event_id_value(columns, event_id) for event_id in value]


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
        self.about: str | None = ", ".join(columns)
        self.metric = f"new sequence of {self.about}"
        self.changed = known.changed
        self.codes, self.encode, self.decode = known.codes, known.encode, known.decode
        self.validate = known.validate
        self._columns = list(columns)
        self._length = length
        self._known = known
        self._latest = latest
        self._make_detail = make_detail

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Learn from a batch and return the rows that complete an unknown sequence."""
        ids = event_ids(batch, self._columns)
        findings: list[UnusualRows] = []
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
        self, batch: GroupedRows, code: int, windows: list[Thing], rows: list[int], findings: list[UnusualRows]
    ) -> None:
        known = self._known.of(code)
        for window, row in zip(windows, rows, strict=True):
            if window in known:
                continue
            if batch.is_learning[row]:
                self._known.learn(code, window)
            elif code not in self._known.muted:
                shown = {"value": window, "known": self._known.learned_count(code)}
                findings.append(UnusualRows((row,), self._make_detail(code, shown)))
                self._known.note_reported(code, window)


def event_ids(batch: GroupedRows, columns: Sequence[str]) -> list[Any]:
    """Return the event id of each row: a value, a tuple of values, or `None` when a column is NULL."""
    if len(columns) == 1:
        return batch.frame[columns[0]].to_list()
    rows = zip(*(batch.frame[name].to_list() for name in columns), strict=True)
    return [None if None in row else row for row in rows]
