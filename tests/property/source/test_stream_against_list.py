"""A stream table does what a list of rows does, whatever the order of appends, trims and openings."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import actors.stream.blocks
import actors.stream.table
from actors.errors import SourceError
from actors.model import Schema
from actors.stream.table import DurableStreamTable, StreamLimits

SCHEMA = Schema.from_mapping({"time": "TIMESTAMP", "sym": "SYMBOL"})
SPLITS = st.integers(0, 1)


class StreamMachine(RuleBasedStateMachine):
    """Two splits beside two lists; `earliest` is where the lists have been cut."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._patch = pytest.MonkeyPatch()
        for module in (actors.stream.table, actors.stream.blocks):
            self._patch.setattr(module, "BLOCK_ROW_COUNT_MAX", 8)
        self.rows: list[list[tuple[int, str | None]]] = [[], []]
        self.earliest = [0, 0]

    @initialize(row_limit=st.none() | st.integers(1, 30), size_limit=st.none() | st.integers(1, 3000))
    def open(self, row_limit: int | None, size_limit: int | None) -> None:
        self.limits = StreamLimits(row_count_max=row_limit, size_bytes_max=size_limit)
        self.table = DurableStreamTable.open(Path(self._folder.name, "t"), SCHEMA, split_count=2, limits=self.limits)

    @rule(split=SPLITS, count=st.integers(0, 25))
    def append(self, split: int, count: int) -> None:
        known = self.rows[split]
        fresh = [(len(known) + number, None if number % 3 == 0 else f"S{number}") for number in range(count)]
        assert self.table.append(fresh, split) == len(known)
        known += fresh
        earliest = self.table.bounds(split).earliest_offset
        assert earliest >= self.earliest[split]
        if self.limits.size_bytes_max is None:
            kept = len(known) - earliest
            assert kept >= min(self.limits.row_count_max or len(known), len(known) - self.earliest[split])
        self.earliest[split] = earliest

    @rule(split=SPLITS, below=st.integers(-1, 60))
    def trim(self, split: int, below: int) -> None:
        self.earliest[split] = max(self.earliest[split], min(below, len(self.rows[split])))
        assert self.table.trim(split, below) == self.earliest[split]

    @rule()
    def open_again(self) -> None:
        self.table.close()
        self.table = DurableStreamTable.open(Path(self._folder.name, "t"), limits=self.limits)

    @rule(split=SPLITS, offset=st.integers(0, 60), count=st.integers(1, 30))
    def read(self, split: int, offset: int, count: int) -> None:
        if self.earliest[split] <= offset <= len(self.rows[split]):
            frame, next_offset = self.table.read(split, offset, count)
            assert frame.rows() == self.rows[split][offset : offset + count]
            assert next_offset == min(offset + count, len(self.rows[split]))
        else:
            with pytest.raises(SourceError):
                self.table.read(split, offset, count)

    @invariant()
    def blocks_and_bounds_fit(self) -> None:
        if hasattr(self, "table"):
            self.table.validate()

    def teardown(self) -> None:
        if hasattr(self, "table"):
            self.table.close()
        self._patch.undo()
        self._folder.cleanup()


StreamMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestStreamAgainstList = StreamMachine.TestCase
