"""Partial aggregates: what is kept of some rows so that aggregates over them, and over more rows, can be finished.

A partial aggregate is a tuple of *components*, each an array with one entry per segment (a row, a pane or a window).
With vectors,

- `gather` makes the components of segments of rows;
- `fold` adds the rows of panes to carried components, in arrival order, with the operations of a plain loop, so that
  the bits of the result do not depend on where the rows were cut into batches;
- `reduce` joins components that stand next to one another;
- `scan` gives the running components of each key after every row.

For few rows the same is source text over *places*, local variables of the generated function: `fold_row` and `join_row`
do what `fold` and `reduce` do, with the same operations in the same order, so that the bits are the same.

Here are the protocol and what counts rows; the others are in `edges`, `totals` and `moments`. Aggregates that share an
argument share its partial aggregates; `actors.engine.functions.aggregates` finishes results.
"""

# The operations are described once, in the protocol.

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from actors.engine.rows.code import Operand, present
from actors.engine.vectors.segments import Layout, accumulate, starts_of
from actors.engine.vectors.vector import Array, Vector, both_valid

Components = tuple[Array, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A value that the generated function keeps of a partial aggregate."""

    component: int
    """Number of the component that holds it."""

    validity: int | None = None
    """Number of the component that says whether it is NULL; `None` if it cannot be."""

    high: int | None = None
    """Number of the component with its bits above 64; `None` if it has none."""


class Runs:
    """Consecutive runs of rows, the panes of a batch; carried components belong to the first run of each key."""

    def __init__(self, starts: Array, lengths: Array, firsts: Array) -> None:
        self.starts = starts
        self.lengths = lengths
        self.firsts = firsts
        """Number of the first run of each key."""

        self.is_one_each = len(firsts) == len(starts)
        """Whether every key has one run."""

    def at_firsts(self, values: Array) -> Array:
        """Return the value of each key's first run."""
        return values if self.is_one_each else values.take(self.firsts)

    @cached_property
    def run_of_row(self) -> Array:
        """Number of the run that each row belongs to."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)

    def sums(self, values: Array) -> Array:
        """Return the sums of whole numbers over each run."""
        running = np.cumsum(values)
        totals: Array = running.take(self.starts + (self.lengths - 1))
        totals[1:] -= totals[:-1].copy()
        return totals

    def spread(self, neutral: tuple[Any, ...], carry: Components) -> Components:
        """Return components for every run: the carried ones for the first of each key, neutral ones for others."""
        if self.is_one_each:
            return tuple(carried.copy() for carried in carry)
        spread = []
        for fill, carried in zip(neutral, carry, strict=True):
            component = np.full(len(self.starts), fill, dtype=carried.dtype)
            component[self.firsts] = carried
            spread.append(component)
        return tuple(spread)


class KeptWhole:
    """What partial aggregates have in common of which no component follows from another."""

    __slots__ = ()

    @property
    def derived(self) -> None:
        return None

    def outgrows(self, vectors: Sequence[Vector] | None) -> bool:
        return False


class OneNumber(KeptWhole):
    """What partial aggregates have in common whose component is one number, joined by a function of two."""

    __slots__ = ()

    @property
    def ufunc(self) -> np.ufunc:
        """What joins two numbers."""
        raise NotImplementedError

    @property
    def neutral(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def rows(self, vectors: Sequence[Vector]) -> Array:
        """Return the number of each row, and the neutral one for rows that are left out."""
        raise NotImplementedError

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        return self.reduce((self.rows(vectors),), starts)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        (result,) = runs.spread(self.neutral, carry)
        self.ufunc.at(result, runs.run_of_row, self.rows(vectors))
        return (result,)

    def reduce(self, components: Components, starts: Array) -> Components:
        return (self.ufunc.reduceat(components[0], starts),)

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        return (accumulate(self.ufunc, self.rows(vectors), layout, carry[0]),)

    @property
    def places(self) -> tuple[Place, ...]:
        return single_places(1)


class Partial(Protocol):
    """The operations of a partial aggregate; instances are values, equal if they compute the same."""

    @property
    def what(self) -> str:
        """Its name for people."""

    @property
    def neutral(self) -> tuple[Any, ...]:
        """Components of no rows; the numpy type of each says the type of the component."""

    @property
    def derived(self) -> Callable[[Array], Array] | None:
        """How the second component follows from the first as long as numbers are small; it is left out then."""

    def outgrows(self, vectors: Sequence[Vector] | None) -> bool:
        """Return whether rows make numbers that are not small; without rows, whether they all do."""

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        """Return the components of segments of rows; segments are not empty and follow one another."""

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        """Return the components of each run of rows; the first run of each key continues from carried ones."""

    def reduce(self, components: Components, starts: Array) -> Components:
        """Return the joined components of each segment; segments are not empty and follow one another."""

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        """Return the components of all rows of a key up to each row, continuing from carried ones."""

    @property
    def places(self) -> tuple[Place, ...] | None:
        """What the generated function keeps; `None` if only vectors can do it."""

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        """Return lines that add a row, given the names of places and the operands."""

    @property
    def join_row(self) -> Callable[..., Any]:
        """From a sequence of values of panes for each place to the joined places: a tuple if they are several."""


def single_places(count: int) -> tuple[Place, ...]:
    """Return places for components that stand for themselves."""
    return tuple(Place(component=number) for number in range(count))


def added(totals: Array, runs: Runs, carried: Array) -> Array:
    """Return totals of runs, to which what is carried has been added at the first run of each key."""
    if runs.is_one_each:
        summed: Array = totals + carried
        return summed
    result = totals.copy()
    result[runs.firsts] += carried
    return result


def where_all(vectors: Sequence[Vector]) -> Any:
    """Return where no argument is NULL; `None` for everywhere."""
    valid = None
    for vector in vectors:
        valid = both_valid(valid, vector.valid)
    return valid


def lines_where(condition: str, lines: Sequence[str]) -> list[str]:
    """Return lines under a condition; an empty one always holds."""
    return [f"if {condition}:", *(f"    {line}" for line in lines)] if condition else list(lines)


@dataclass(frozen=True, slots=True)
class _Counting(KeptWhole):
    """What is a whole number and is added up; the component is that number."""

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0),)

    def reduce(self, components: Components, starts: Array) -> Components:
        return (np.add.reduceat(components[0], starts),)

    @property
    def places(self) -> tuple[Place, ...]:
        return single_places(1)

    @property
    def join_row(self) -> Callable[..., Any]:
        return sum


@dataclass(frozen=True, slots=True)
class Size(_Counting):
    """Number of rows, NULL or not."""

    @property
    def what(self) -> str:
        return "number of rows"

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        return self.reduce((np.ones(len(vectors[0].values), dtype=np.int64),), starts)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        return (added(runs.lengths, runs, carry[0]),)

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        return (accumulate(np.add, np.ones(layout.row_count, dtype=np.int64), layout, carry[0]),)

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        return [f"{places[0]} += 1"]


@dataclass(frozen=True, slots=True)
class Count(_Counting):
    """Number of rows in which no argument is NULL."""

    @property
    def what(self) -> str:
        return "number of values"

    def rows(self, vectors: Sequence[Vector]) -> Array:
        """Return 1 for each row in which no argument is NULL, else 0."""
        valid = where_all(vectors)
        return np.ones(len(vectors[0].values), dtype=np.int64) if valid is None else valid.astype(np.int64)

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        return self.reduce((self.rows(vectors),), starts)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        if all(vector.valid is None for vector in vectors):
            return (added(runs.lengths, runs, carry[0]),)
        return (added(runs.sums(self.rows(vectors)), runs, carry[0]),)

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        return (accumulate(np.add, self.rows(vectors), layout, carry[0]),)

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        return lines_where(present(operands), [f"{places[0]} += 1"])


Derived = tuple[str, str, Callable[[Array], Array]]
"""Names in a state of two components, and how the second follows from the first as long as numbers are small."""


def without_derived(state: dict[str, Array], derived: Iterable[Derived]) -> dict[str, Array]:
    """Return a state without components that follow from others now; so it is that of versions without them."""
    follows = {second for first, second, derive in derived if np.array_equal(derive(state[first]), state[second])}
    return {name: array for name, array in state.items() if name not in follows}


def with_derived(state: dict[str, Array], derived: Iterable[Derived]) -> dict[str, Array]:
    """Return a state with the components that were left out."""
    return {second: derive(state[first]) for first, second, derive in derived if second not in state} | state


def reduce_ranges(partial: Partial, components: Components, lengths: Array) -> Components:
    """Return the joined components of segments that follow one another, without work where all have length 1."""
    if len(lengths) == len(components[0]):
        return components
    return partial.reduce(components, starts_of(lengths))
