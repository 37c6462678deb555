"""The short path: few rows, one after the other, over the same state as the vectors.

A call of numpy costs about as much as a row in plain Python, and a batch takes some two hundred of them, so few rows
are cheaper without. The keys at hand have their state in tuples; the arrays are behind until `settle` brings them up to
date, which the engine does before anything else looks at them.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl

from actors.engine.arguments import CheckedSettings
from actors.engine.keys.kept import Kept
from actors.engine.keys.numbers import KeyNumbers
from actors.engine.report.output import Firing
from actors.engine.rows.program import RowProgram
from actors.engine.vectors.batch import Batch, all_between
from actors.engine.vectors.vector import Array
from actors.model import ColumnType

KEYS_MAX = 1 << 16
"""Keys at hand; with more, all are written back and forgotten."""

_TUPLE_SIZE_BYTES, _VALUE_SIZE_BYTES = 40, 36
"""Bytes of a tuple, and of each value in it with its reference, about."""

_WHOLE_ROWS_MAX = 20
"""Rows of a batch up to which taking whole rows out of a frame is cheaper than taking columns."""


@dataclass(frozen=True, slots=True)
class TestedRows:
    """What the rows of a batch gave."""

    batch: Batch
    fired: list[Firing]
    late: list[tuple[int, int]]
    """Number of each late row, and by how many ticks its key was ahead of it."""

    closings: list[tuple[int, Any]]
    """Number of each row that closed windows, with the tuple of its key before it."""

    def find(self, offset: int, ordinal: int) -> Firing | None:
        """Return the anomaly of an offset with that number."""
        of_row = [entry for entry in self.fired if self.batch.offsets[entry[0]] == offset]
        return of_row[ordinal] if 0 <= ordinal < len(of_row) else None

    def closings_by_turn(self) -> list[list[tuple[int, Any]]]:
        """Return the rows that closed windows, in parts that have each key once."""
        turns: list[list[tuple[int, Any]]] = []
        seen: dict[int, int] = {}
        for closing in self.closings:
            turn = seen[closing[1][0]] = seen.get(closing[1][0], -1) + 1
            if turn == len(turns):
                turns.append([])
            turns[turn].append(closing)
        return turns


class NoRows:
    """Stands for the short path where the metrics have none."""

    rows_max = 0

    def test(self, batch: Batch, split: int) -> TestedRows | None:
        """Refuse: no batch is short enough."""
        raise AssertionError(batch.frame.height)

    def settle(self) -> None:
        """Write nothing."""

    def forget(self) -> None:
        """Forget nothing."""

    def kept(self) -> list[Kept]:
        """Return that nothing is kept."""
        return []


class RowByRow:
    """Tests few rows and keeps the state of the keys at hand."""

    def __init__(self, program: RowProgram, keys: KeyNumbers, settings: CheckedSettings) -> None:
        schema = settings.schema
        self._program = program
        self._keys = keys
        self._is_single_key = len(settings.key_columns) == 1
        self._time_column, self._time_range = settings.time_column, settings.time_range
        self._places = {name: schema.names.index(name) for name in program.columns}
        self._checked = [(name, schema[name].type is ColumnType.DOUBLE) for name in program.tested_columns]
        self._states: dict[Any, tuple[Any, ...]] = {}
        self._is_settled = True

    @property
    def rows_max(self) -> int:
        """Rows of a batch up to which the short path is the faster one."""
        return self._program.rows_max

    def test(self, batch: Batch, split: int) -> TestedRows | None:
        """Test rows of a split; `None`, and nothing has changed, if one has no time that can be computed with."""
        columns = self._columns(batch.frame)
        times, (low, high) = columns[self._time_column], self._time_range
        if len(times) > _WHOLE_ROWS_MAX:
            are_timed = all_between(batch.frame.get_column(self._time_column), low, high)
        else:
            are_timed = None not in times and low <= min(times) and max(times) <= high
        if not are_timed:
            return None
        tested = TestedRows(batch, [], [], [])
        function = self._program.test_complete if self._is_complete(columns) else self._program.test
        self._is_settled = not self._program.is_stateful
        numbers = range(batch.frame.height)
        fire, late, shut = tested.fired.append, tested.late.append, tested.closings.append
        function.compiled()(numbers, *columns.values(), self._states, self._load, fire, late, shut, split)
        return tested

    def _columns(self, frame: pl.DataFrame) -> dict[str, Sequence[Any]]:
        if frame.height <= _WHOLE_ROWS_MAX:
            values = list(zip(*frame.rows(), strict=True))
            return {name: values[place] for name, place in self._places.items()}
        return {name: frame.get_column(name).to_list() for name in self._places}

    def _is_complete(self, columns: Mapping[str, Sequence[Any]]) -> bool:
        """Return whether no tested column holds NULL, NaN or infinity."""
        for name, is_real in self._checked:
            values = columns[name]
            if None in values:
                return False
            if is_real and (total := sum(values)) - total != 0.0:
                return False
        return True

    def _load(self, key: Any) -> tuple[Any, ...]:
        """Return the state of a key that is not at hand."""
        if len(self._states) >= KEYS_MAX:
            self.settle()
            self._states.clear()
            self._is_settled = False
        number = self._keys.number_of((key,) if self._is_single_key else key)
        state = self._states[key] = (number, *[field.read(number) for field in self._program.fields])
        return state

    def settle(self) -> None:
        """Write the state of the keys at hand to the arrays."""
        if self._is_settled:
            return
        self._is_settled = True
        states = sorted(self._states.values(), key=itemgetter(0))
        if states:
            numbers, *columns = zip(*states, strict=True)
            self.write(np.array(numbers, dtype=np.int64), columns)

    def write(self, numbers: Array, columns: Sequence[Sequence[Any]]) -> None:
        """Write the state of keys, which ascend, to the arrays: for each field a column of values."""
        for field, values in zip(self._program.fields, columns, strict=True):
            field.write(numbers, values)

    def kept(self) -> list[Kept]:
        """Return what the keys at hand take; there are at most `KEYS_MAX` of them."""
        fields = 1 + len(self._program.fields)
        tuples = len(self._states) * (_TUPLE_SIZE_BYTES + fields * _VALUE_SIZE_BYTES)
        return [Kept(what="keys at hand", key_size_bytes=0, held_size_bytes=sys.getsizeof(self._states) + tuples)]

    def forget(self) -> None:
        """Forget the keys at hand, because the arrays are about to change."""
        self._states.clear()
        self._is_settled = True
