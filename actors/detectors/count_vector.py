"""The watcher of counts: how often each event id occurs in a window of a key.

A window's *vector* is its event ids with their counts, sorted. The open window is saved apart from what was learned,
because only that changes with every row.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.detectors.event_sequence import event_ids
from actors.detectors.findings import Finding, MakeDetail
from actors.detectors.groups import Batch, segments
from actors.detectors.known_things import KnownThings, Thing, with_tuples


@dataclass(slots=True)
class Window:
    """The open window of one key."""

    number: int = 0
    """Which span of time it is; 0 for windows of so many rows."""

    row_count: int = 0
    """Rows it holds."""

    is_learned: bool = False
    """Whether its latest row was learned."""

    counts: Counter[Any] = field(default_factory=Counter)
    """Occurrences of each event id."""


class OpenWindows:
    """The open window of each key."""

    def __init__(self) -> None:
        self._windows: dict[int, Window] = {}
        self.changed: set[int] = set()

    def of(self, code: int) -> Window:
        """Return the open window of a key, which the caller will change."""
        self.changed.add(code)
        return self._windows.setdefault(code, Window())

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return self._windows

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        window = self._windows[code]
        return [window.number, window.row_count, window.is_learned, list(vector_of(window.counts))]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        number, row_count, is_learned, counts = saved
        pairs = {with_tuples(event_id): count for event_id, count in counts}
        self._windows[code] = Window(number, row_count, is_learned, Counter(pairs))

    def validate(self) -> None:
        """Assert that the counts of a window add up to its rows."""
        for code, window in self._windows.items():
            assert window.row_count == window.counts.total(), f"group {code}: {window}"
            assert all(count > 0 for count in window.counts.values()), f"group {code}: {window}"


class CountVectorWatcher:
    """Counts of event ids in windows, per key."""

    def __init__(
        self,
        columns: Sequence[str],
        *,
        row_count: int | None,
        ticks: int | None,
        distance_max: float,
        known: KnownThings,
        windows: OpenWindows,
        make_detail: MakeDetail,
    ) -> None:
        self.metric = f"new counts of {', '.join(columns)}"
        self.changed = known.changed
        self.codes, self.encode, self.decode = known.codes, known.encode, known.decode
        self.validate = known.validate
        self._columns = list(columns)
        self._row_count = row_count
        self._ticks = ticks
        self._distance_max = distance_max
        self._known = known
        self._windows = windows
        self._make_detail = make_detail

    def observe(self, batch: Batch) -> list[Finding]:
        """Count the rows of a batch and return the rows that ended an unusual window."""
        ids = event_ids(batch, self._columns)
        numbers = [0] * batch.row_count if self._ticks is None else (batch.now // self._ticks).tolist()
        is_learning = batch.is_learning.tolist()
        findings: list[Finding] = []
        for code, start, end in segments(batch):
            window = self._windows.of(code)
            for row in range(start, end):
                if numbers[row] != window.number:
                    self._end(code, window, row, findings)
                    window.number = numbers[row]
                if ids[row] is None:
                    continue
                window.counts[ids[row]] += 1
                window.row_count += 1
                window.is_learned = is_learning[row]
                if window.row_count == self._row_count:
                    self._end(code, window, row, findings)
        return findings

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Let counts, given as pairs of event id and count, count as known for a key."""
        del now
        self._known.accept(code, vector_of({with_tuples(event_id): count for event_id, count in value}))

    def _end(self, code: int, window: Window, row: int, findings: list[Finding]) -> None:
        if not window.row_count:
            return
        vector = vector_of(window.counts)
        if window.is_learned:
            self._known.learn(code, vector)
        elif code not in self._known.muted and vector not in self._known.of(code):
            nearest = min((distance(vector, known) for known in self._known.of(code)), default=None)
            if nearest is None or nearest > self._distance_max:
                shown = {"value": vector, "distance": nearest, "known": self._known.learned_count(code)}
                findings.append(Finding((row,), self._make_detail(code, shown)))
                self._known.note_reported(code, vector)
        window.counts.clear()
        window.row_count = 0


def vector_of(counts: dict[Any, int]) -> Thing:
    """Return event ids with their counts, sorted by the text of the id."""
    return tuple(sorted(((event_id, count) for event_id, count in counts.items()), key=lambda pair: str(pair[0])))


def distance(one: Thing, other: Thing) -> float:
    """Return the sum of differing counts over the larger total: 0 for equal vectors, at most 2."""
    ours: dict[Any, int] = dict(one)
    theirs: dict[Any, int] = dict(other)
    differing = sum(abs(ours.get(name, 0) - theirs.get(name, 0)) for name in ours.keys() | theirs.keys())
    return differing / max(sum(ours.values()), sum(theirs.values()))
