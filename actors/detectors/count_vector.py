"""The kind `count_vector`: windows of a key in which event ids are counted unlike in any that it has learned.

A window's *vector* is its event ids with their counts, sorted. The open window is saved apart from what was learned,
because only that changes with every row.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from actors.detectors.checks import check_count
from actors.detectors.errors import DetectorSpecError, DetectorValueError
from actors.detectors.event_sequence import event_ids
from actors.detectors.findings import MakeDetail, UnusualRows
from actors.detectors.groups import GroupedRows, segments
from actors.detectors.known_things import KnownThings, Thing, with_tuples
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind
from actors.detectors.specs import KnownSpec
from actors.detectors.values import event_id_value
from actors.model import Schema

DISTANCE_END = 2
"""Distances are below or at this one, so that nothing is farther."""


@detector_kind("count_vector")
@dataclass(frozen=True, slots=True, kw_only=True)
class CountVectorSpec(KnownSpec):
    """Reports windows of a key in which event ids are counted unlike in any window it has learned.

    A window is judged with its last row when it is a number of rows, and with the first row after it when it is a span
    of time; it is learned when its last row is. Spans start at multiples of their size; empty ones are left out.
    """

    detail_names: ClassVar[tuple[str, ...]] = ("value", "distance", "known")

    watches_events: ClassVar[bool] = True

    window_row_count: int | None = None
    """Size of a window in rows; this or `window_ticks`."""

    window_ticks: int | None = None
    """Size of a window in time; this or `window_row_count`."""

    distance_max: float = 0.0
    """Largest distance to a learned window that is still usual: the sum of differing counts over the larger total."""

    def _check(self) -> None:
        KnownSpec._check(self)
        sizes = {
            name: size for name in ("window_row_count", "window_ticks") if (size := getattr(self, name)) is not None
        }
        if len(sizes) != 1:
            raise DetectorSpecError(f"give {self.name!r} either window_row_count or window_ticks, at least 1")
        for name, size in sizes.items():
            check_count(repr(self.name), name, size)
        is_number = isinstance(self.distance_max, int | float) and not isinstance(self.distance_max, bool)
        if not is_number or not 0 <= self.distance_max < DISTANCE_END:
            raise DetectorSpecError(
                f"distance_max {self.distance_max!r} of {self.name!r} must be at least 0, and below {DISTANCE_END}: no "
                "distance exceeds that"
            )

    @property
    def needs_all_times(self) -> bool:
        """Whether windows end with time."""
        return self.window_ticks is not None

    def watched_columns(self) -> tuple[tuple[str, ...], ...]:
        """Return the columns of the event id, unless counts differ even where all event ids are the same."""
        return () if self.window_row_count is None else (self.event_id_columns,)

    def make_parts(self, given: Materials) -> Parts:
        """Return the watcher of windows."""
        windows = OpenWindows()
        columns = given.names(self.event_id_columns)
        watcher = CountVectorWatcher(
            columns,
            row_count=self.window_row_count,
            ticks=self.window_ticks,
            distance_max=self.distance_max,
            known=KnownThings(self.distinct_count_max, reports_once=self.reports_once),
            windows=windows,
            make_detail=given.detail_of(columns),
        )
        return Parts(watchers=[watcher], memories=[windows])

    @property
    def takes_lists(self) -> bool:
        """Whether a value that is accepted is a list: counts are one, of pairs."""
        return True

    def event_ids_in(self, value: Any) -> Sequence[Any]:
        """Return the event ids that a value is made of."""
        return tuple(event_id for event_id, _ in value)

    def checked_value(self, schema: Schema, about: str, value: Any) -> Any:
        """Return counts that are to be accepted.

        Raises:
            DetectorValueError: they are no pairs of event id and count, or those of no window.
        """
        columns = [schema[name] for name in self.event_id_columns]
        pairs = value if isinstance(value, list | tuple) else ()
        if not pairs or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise DetectorValueError(f"{value!r} are not pairs of event id and count")
        found = [[event_id_value(columns, event_id), count] for event_id, count in pairs]
        if not all(type(count) is int and 0 < count < 1 << 63 for _, count in found):
            raise DetectorValueError(f"{value!r} have a count that is none; give a whole number of at least 1")
        if len({str(event_id) for event_id, _ in found}) < len(found):
            raise DetectorValueError(f"{value!r} name an event id twice; give each with one count")
        if self.window_row_count not in (None, sum(count for _, count in found)):
            raise DetectorValueError(f"{value!r} are not the counts of a window of {self.window_row_count} rows")
        return found


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
        self.about: str | None = ", ".join(columns)
        self.metric = f"new counts of {self.about}"
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

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Count the rows of a batch and return the rows that ended an unusual window."""
        ids = event_ids(batch, self._columns)
        numbers = [0] * batch.row_count if self._ticks is None else (batch.now // self._ticks).tolist()
        is_learning = batch.is_learning.tolist()
        findings: list[UnusualRows] = []
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

    def _end(self, code: int, window: Window, row: int, findings: list[UnusualRows]) -> None:
        if not window.row_count:
            return
        vector = vector_of(window.counts)
        if window.is_learned:
            self._known.learn(code, vector)
        elif code not in self._known.muted and vector not in self._known.of(code):
            nearest = min((distance(vector, known) for known in self._known.of(code)), default=None)
            if nearest is None or nearest > self._distance_max:
                shown = {"value": vector, "distance": nearest, "known": self._known.learned_count(code)}
                findings.append(UnusualRows((row,), self._make_detail(code, shown)))
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
