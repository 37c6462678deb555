"""Automatic configuration: which variables of a group are stable enough to be watched.

The first rows of each group go to a stability tracker per variable. When the last of them has come, the variables that
are neither STATIC nor STABLE are muted in that group. The rows may also be handed over on purpose, by `configure`;
then the verdicts are taken at the next batch that is learned or judged.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from actors.detectors.errors import DetectorSpecError
from actors.detectors.groups import GroupedRows, segments
from actors.persistency.event_persistency import EventPersistency
from actors.persistency.stability_tracker import SingleStabilityTracker
from actors.persistency.values import decode_value, encode_value

WATCHED_VERDICTS = frozenset({"STATIC", "STABLE"})
"""Verdicts on variables that are worth watching."""

_DISTINCT_COUNT_MAX = 1000


class Mutable(Protocol):
    """A watcher that can be told to leave a group alone."""

    def mute(self, code: int) -> None:
        """Stop watching a group."""


def stable_variables(persistency: EventPersistency) -> dict[int | str, list[str]]:
    """Return the variables of each event id that are STATIC or STABLE, of trackers filled elsewhere.

    Raises:
        DetectorSpecError: it is no persistency.
    """
    if not isinstance(persistency, EventPersistency):
        raise DetectorSpecError(f"{persistency!r} has no trackers; give an EventPersistency")
    found = {}
    for event_id, backend in persistency.events_data.items():
        classify = getattr(backend, "classify", None)
        verdicts = classify() if callable(classify) else {}
        found[event_id] = [name for name, verdict in verdicts.items() if verdict.type in WATCHED_VERDICTS]
    return found


class Configuration:
    """Trackers of the groups that are being configured, one per watcher."""

    def __init__(self, columns: Sequence[Sequence[str]], watchers: Sequence[Mutable], row_count: int | None) -> None:
        self._columns = [list(names) for names in columns]
        self._watchers = watchers
        self._row_count = row_count
        self._trackers: dict[int, list[SingleStabilityTracker]] = {}
        self._handed_over: set[int] = set()
        self.changed: set[int] = set()

    def settle(self, batch: GroupedRows, *, learns: bool) -> None:
        """Decide for the groups handed over on purpose; then take in the first rows of each group, if it learns."""
        if self._handed_over:
            for code in sorted(self._handed_over):
                self._decide(code)
            self._handed_over.clear()
        limit = self._row_count
        if limit is None or not learns or not batch.row_count or int(batch.ranks.min()) >= limit:
            return
        values = self._values(batch)
        for code, start, end in segments(batch):
            left = limit - int(batch.ranks[start])
            if left > 0:
                self._take(code, values, start, min(end, start + left))
                if end - start >= left:
                    self._decide(code)

    def observe_all(self, batch: GroupedRows) -> None:
        """Take in all rows of a batch, handed over on purpose."""
        values = self._values(batch)
        for code, start, end in segments(batch):
            self._take(code, values, start, end)
            self._handed_over.add(code)

    def codes(self) -> Iterable[int]:
        """Return the groups that are being configured."""
        return self._trackers

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group; nothing once it is configured."""
        states = [encode_value(tracker.to_state()) for tracker in self._trackers.get(code, ())]
        return [code in self._handed_over, states]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        is_handed_over, states = saved
        if states:
            self._trackers[code] = [SingleStabilityTracker.from_state(decode_value(state)) for state in states]
        if is_handed_over:
            self._handed_over.add(code)

    def validate(self) -> None:
        """Assert that there is one tracker for each watcher."""
        for code, trackers in self._trackers.items():
            assert len(trackers) == len(self._watchers), code
        assert self._handed_over <= self._trackers.keys(), self._handed_over

    def _values(self, batch: GroupedRows) -> list[list[Any]]:
        found: list[list[Any]] = []
        for names in self._columns:
            columns = [batch.frame[name].to_list() for name in names]
            found.append(columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)))
        return found

    def _take(self, code: int, values: Sequence[Sequence[Any]], start: int, end: int) -> None:
        trackers = self._trackers.get(code)
        if trackers is None:
            made = (SingleStabilityTracker(max_distinct=_DISTINCT_COUNT_MAX) for _ in self._columns)
            trackers = self._trackers[code] = list(made)
        for tracker, column in zip(trackers, values, strict=True):
            given = [value for value in column[start:end] if value is not None]
            tracker.add_block(given, [None] * len(given))
        self.changed.add(code)

    def _decide(self, code: int) -> None:
        for tracker, watcher in zip(self._trackers.pop(code), self._watchers, strict=True):
            if tracker.classify().type not in WATCHED_VERDICTS:
                watcher.mute(code)
        self.changed.add(code)
