"""Order-sensitive functions: values that depend on the earlier rows of the same key.

A sequence object holds the state of one call for all keys and is evaluated over batches whose rows are sorted by key
and arrival. What it keeps for a key does not depend on how the key's rows were cut into batches.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from actors.engine.functions.aggregates import Aggregate, Mergeable
from actors.engine.functions.partials import Count, Derived, with_derived, without_derived
from actors.engine.keys.idle import KeyState
from actors.engine.keys.kept import WINDOW_ROWS_GUESS, Kept, Work
from actors.engine.keys.log import KeyedLog
from actors.engine.keys.per_key import PerKey
from actors.engine.vectors.segments import Layout, accumulate, chunks, expand, lower_bound
from actors.engine.vectors.vector import DTYPES, Array, Type, Vector, both_valid, filler, simplified, validity

EXPANSION_ROWS_MAX = 2_000_000
"""Rows of overlapping ranges that are laid out at once."""

_LONG_AGO = np.iinfo(np.int64).min // 4


class SequenceState(Protocol):
    """State of one order-sensitive call for all keys."""

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the call's value for every row and take the rows into the state."""

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""

    def kept(self) -> Kept:
        """Return what is kept of each key."""

    def work(self) -> Work:
        """Return what a row costs."""


def constant_work(why: str) -> Work:
    """Return the work of what does the same for every row."""
    return Work(order="O(1)", per="row", why=why, weight=1)


def _fill_of(kind: Type) -> Any:
    return "" if kind is Type.TEXT else DTYPES[kind](0)


def _filled(values: Array, valid: Array | None, fill: Any) -> Array:
    """Return values to keep; where there is none, what stands there must not depend on how it was computed."""
    return values if valid is None else np.where(valid, values, fill)


class PreviousState:
    """The value of the row before."""

    def __init__(self, kind: Type) -> None:
        # By key number: the latest row's value, the fill where that is NULL or there is no row, and which of the two.
        self.last = PerKey(value=_fill_of(kind), valid=np.False_)

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the previous row's value for every row."""
        values, valid = vectors[0]
        numbers, starts = layout.numbers, layout.starts
        self.last.cover(numbers)
        last, last_valid = self.last["value"], self.last["valid"]
        earlier = np.empty_like(values)
        earlier[1:] = values[:-1]
        earlier[starts] = last[numbers]
        carried_valid = last_valid[numbers]
        kept = values[layout.lasts], None if valid is None else valid[layout.lasts]
        last[numbers] = _filled(*kept, self.last.fill("value"))
        if valid is None and carried_valid.all():
            return Vector(earlier, None)
        there = np.empty(layout.row_count, dtype=np.bool_)
        there[1:] = True if valid is None else valid[:-1]
        there[starts] = carried_valid
        last_valid[numbers] = True if valid is None else valid[layout.lasts]
        return simplified(earlier, there)

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self.last]

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        return self.last.kept("the value of the row before")

    def work(self) -> Work:
        """Return what a row costs."""
        return constant_work("takes the value of the row before")

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self.last.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self.last.load(state)


class EarlierState:
    """The value a fixed number of rows earlier."""

    def __init__(self, kind: Type, distance: int) -> None:
        self.distance = distance
        # The latest `distance` rows of each key, oldest first: the value (the filler for NULL), whether it is there.
        self.log = KeyedLog((DTYPES[kind], np.bool_))
        self._filler = filler(kind)

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the earlier value for every row."""
        if not self.distance:
            return vectors[0]
        values, valid = vectors[0]
        first = self.log.append(layout, (_filled(values, valid, self._filler), validity(vectors[0])))
        # Position in the log of each row's earlier one; it is below the key's first where there is none.
        wanted = expand(first, layout.lengths) - self.distance
        there = wanted >= np.repeat(self.log.starts[layout.numbers], layout.lengths)
        position = np.where(there, wanted, first[0])
        values, valid = (column[position] for column in self.log.columns)
        self.log.keep_last(layout.numbers, self.distance)
        return simplified(np.where(there, values, self._filler), there & valid)

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self.log]

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        return self.log.kept("look-back rows", entry_count_max=self.distance)

    def work(self) -> Work:
        """Return what a row costs."""
        return constant_work(f"takes the value {self.distance} rows earlier")

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self.log.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self.log.load(state)


class ComparedState:
    """A row's value together with an earlier one, such as their difference."""

    def __init__(self, earlier: SequenceState, combine: Callable[[Vector, Vector], Vector]) -> None:
        self.earlier = earlier
        self._combine = combine

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the combination for every row."""
        return self._combine(vectors[0], self.earlier.evaluate(vectors, layout))

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return self.earlier.keyed()

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        return self.earlier.kept()

    def work(self) -> Work:
        """Return what a row costs."""
        return self.earlier.work()

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self.earlier.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self.earlier.load(state)


class FilledState:
    """The last value that is there, at most `limit` rows old."""

    def __init__(self, kind: Type, limit: int | None) -> None:
        self.limit = limit
        # By key number: the latest value that was there, and how many rows ago that was (0: in the latest row;
        # `_LONG_AGO`, which is negative: never).
        self.last = PerKey(value=_fill_of(kind), age=np.int64(_LONG_AGO))

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the filled value for every row."""
        values, valid = vectors[0].values, validity(vectors[0])
        self.last.cover(layout.numbers)
        rows = np.arange(layout.row_count)
        # Position of the latest valid row up to each row. One below its key's first row belongs to another key (or is
        # -1), so that what is carried holds.
        latest = np.maximum.accumulate(np.where(valid, rows, -1))
        starts = np.repeat(layout.starts, layout.lengths)
        carried = latest < starts
        carried_age = np.repeat(self.last["age"][layout.numbers], layout.lengths)
        age = np.where(carried, np.where(carried_age < 0, _LONG_AGO, carried_age + rows - starts + 1), rows - latest)
        result = np.where(
            carried, np.repeat(self.last["value"][layout.numbers], layout.lengths), values[np.maximum(latest, 0)]
        )
        there = (age >= 0) if self.limit is None else (age >= 0) & (age <= self.limit)
        self.last["value"][layout.numbers] = result[layout.lasts]
        self.last["age"][layout.numbers] = age[layout.lasts]
        return simplified(result, there)

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self.last]

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        return self.last.kept("the last value that is there, and its age")

    def work(self) -> Work:
        """Return what a row costs."""
        return constant_work("remembers one value")

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self.last.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self.last.load(state)


def _columns(vectors: Sequence[Vector]) -> list[Array]:
    return [array for vector in vectors for array in (vector.values, validity(vector))]


def _dtypes(kinds: Sequence[Type]) -> list[Any]:
    return [dtype for kind in kinds for dtype in (DTYPES[kind], np.bool_)]


def _gather(columns: Sequence[Array], positions: Array) -> list[Vector]:
    return [simplified(columns[i][positions], columns[i + 1][positions]) for i in range(0, len(columns), 2)]


def _concatenate(parts: list[Vector]) -> Vector:
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts])
    return simplified(values, np.concatenate([validity(part) for part in parts]))


class MovingState:
    """An aggregate over the last `window` rows of the key."""

    def __init__(self, aggregate: Aggregate, kinds: Sequence[Type], window: int, period_min: int | None) -> None:
        self._aggregate = aggregate
        self._window = window
        self._period_min = period_min
        # The latest `window - 1` rows of each key, oldest first: for each argument its value and whether it is there.
        self._log = KeyedLog(_dtypes(kinds))

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the moving aggregate for every row."""
        first = self._log.append(layout, _columns(vectors))
        # By row of the batch: its position in the log, where its key's history begins, and where its range does.
        positions = expand(first, layout.lengths)
        starts = np.repeat(self._log.starts[layout.numbers], layout.lengths)
        low = np.maximum(positions - self._window + 1, starts)
        lengths = positions - low + 1
        parts = [self._part(low[part], lengths[part]) for part in chunks(lengths, EXPANSION_ROWS_MAX)]
        self._log.keep_last(layout.numbers, self._window - 1)
        return _concatenate(parts)

    def _part(self, low: Array, lengths: Array) -> Vector:
        vectors = _gather(self._log.columns, expand(low, lengths))
        values, valid = self._aggregate.reduce(vectors, lengths)
        if self._period_min is None:
            return Vector(values, both_valid(valid, lengths == self._window))
        (count,) = Mergeable((Count(),), lambda parts: Vector(parts[0][0], None)).reduce(vectors, lengths)[:1]
        return Vector(values, both_valid(valid, count >= self._period_min))

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self._log]

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        return self._log.kept("look-back rows", entry_count_max=self._window - 1)

    def work(self) -> Work:
        """Return what a row costs."""
        why = f"looks at the last {self._window} rows again"
        return Work(order=f"O({self._window} rows)", per="row", why=why, weight=self._window)

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self._log.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self._log.load(state)


class TimedState:
    """An aggregate over the rows whose time lies in `(T - window, T]`, T being the row's own.

    Times of a key should not decrease. If they do, rows that lay a window behind the latest time have been forgotten.
    """

    def __init__(self, aggregate: Aggregate, kinds: Sequence[Type], window: int, empty_is_zero: bool) -> None:
        self._aggregate = aggregate
        self._window = window
        self._empty_is_zero = empty_is_zero
        # Rows of each key that a later one may look at: time (`_LONG_AGO` for NULL), the latest time up to the row,
        # which ascends and is what is searched, and for each argument its value and whether it is there.
        self._log = KeyedLog([np.int64, np.int64, *_dtypes(kinds[1:])])

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the aggregate for every row; the first vector holds the times."""
        timed = validity(vectors[0])
        times = np.where(timed, vectors[0].values, _LONG_AGO)
        latest = accumulate(np.maximum, times, layout, self._latest(layout.numbers))
        first = self._log.append(layout, [times, latest, *_columns(vectors[1:])])
        positions = expand(first, layout.lengths)
        starts = np.repeat(self._log.starts[layout.numbers], layout.lengths)
        low = lower_bound(self._log.columns[1], starts, positions, latest - self._window + 1)
        lengths = positions - low + 1
        parts = [
            self._part(low[part], lengths[part], times[part], timed[part])
            for part in chunks(lengths, EXPANSION_ROWS_MAX)
        ]
        keep = lower_bound(
            self._log.columns[1],
            self._log.starts[layout.numbers],
            self._log.stops_for(layout.numbers),
            latest[layout.lasts] - self._window + 1,
        )
        self._log.keep_last(layout.numbers, self._log.stops_for(layout.numbers) - keep)
        return _concatenate(parts)

    def _latest(self, numbers: Array) -> Array:
        stops = self._log.stops_for(numbers)
        if not len(self._log.columns[1]):
            return np.full(len(numbers), _LONG_AGO)
        return np.where(self._log.lengths[numbers] > 0, self._log.columns[1][np.maximum(stops - 1, 0)], _LONG_AGO)

    def _part(self, low: Array, lengths: Array, times: Array, timed: Array) -> Vector:
        positions = expand(low, lengths)
        # Where times fall back, some of a range lie outside the row's own window, or after it.
        run = np.repeat(np.arange(len(lengths)), lengths)
        then, now = self._log.columns[0][positions], times[run]
        inside = (then > now - self._window) & (then <= now)
        if not inside.all():
            positions, run = positions[inside], run[inside]
            lengths = np.bincount(run, minlength=len(lengths))
        vectors = _gather(self._log.columns[2:], positions)
        values, valid = self._aggregate.reduce(vectors, lengths)
        if timed.all():
            return Vector(values, valid)
        if self._empty_is_zero:
            return Vector(np.where(timed, values, 0), valid)
        return Vector(values, both_valid(valid, timed))

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self._log]

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        return self._log.kept(f"rows of the last {self._window} ticks, with their times")

    def work(self) -> Work:
        """Return what a row costs."""
        why = f"looks at the rows of the last {self._window} ticks again"
        return Work(order="O(rows of its window)", per="row", why=why, weight=WINDOW_ROWS_GUESS)

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self._log.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self._log.load(state)


class CumulativeState:
    """An aggregate over all rows of the key so far."""

    def __init__(self, aggregate: Mergeable) -> None:
        self.aggregate = aggregate
        # For each partial aggregate its components over all rows of each key, by key number.
        self.carried = [
            PerKey(**{f"component{i}": fill for i, fill in enumerate(partial.neutral)})
            for partial in aggregate.partials
        ]

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the running aggregate for every row."""
        finished = []
        for partial, carried in zip(self.aggregate.partials, self.carried, strict=True):
            carried.cover(layout.numbers)
            names = [f"component{i}" for i in range(len(partial.neutral))]
            carry = tuple(carried[name][layout.numbers] for name in names)
            components = partial.scan(vectors, layout, carry)
            for name, component in zip(names, components, strict=True):
                carried[name][layout.numbers] = component[layout.lasts]
            finished.append(components)
        return self.aggregate.finish(finished)

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return self.carried

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        parts = [carried.kept("running partial aggregates") for carried in self.carried]
        return Kept(
            what=parts[0].what,
            key_size_bytes=sum(part.key_size_bytes for part in parts),
            held_size_bytes=sum(part.held_size_bytes for part in parts),
        )

    def work(self) -> Work:
        """Return what a row costs."""
        return constant_work("adds to running partial aggregates")

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        state = {f"{i}.{name}": array for i, part in enumerate(self.carried) for name, array in part.state().items()}
        return without_derived(state, self._derived())

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        state = with_derived(state, self._derived())
        for i, part in enumerate(self.carried):
            part.load({name: state[f"{i}.{name}"] for name in part.state()})

    def _derived(self) -> list[Derived]:
        partials = enumerate(self.aggregate.partials)
        return [(f"{i}.component0", f"{i}.component1", p.derived) for i, p in partials if p.derived is not None]
