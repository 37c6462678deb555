"""What every sink promises."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.model import AnomalyId, ColumnType
from actors.sink import Sink, SinkRecord
from actors.sink_ndjson import NdjsonSink
from tests.support.memory_sink import MemorySink

Taken = Callable[[int], list[int]]
"""Gives the sequences of a partition that a sink holds."""


def record(sequence: int, partition: int = 0) -> SinkRecord:
    return SinkRecord(
        partition=partition,
        sequence=sequence,
        id=AnomalyId(split=0, offset=10 * sequence, ordinal=0),
        time=1538960461003,
        key={"sym": "A"},
        type=0,
        metric="sum(qty) > 5",
    )


def make_memory(_: Path) -> tuple[Sink, Callable[[], Sink], Taken]:
    sink = MemorySink()
    return sink, lambda: sink, lambda partition: [one.sequence for one in sink.taken.get(partition, [])]


def make_ndjson(directory: Path) -> tuple[Sink, Callable[[], Sink], Taken]:
    def taken(partition: int) -> list[int]:
        path = directory / "out" / f"partition-{partition:04}.ndjson"
        return [json.loads(line)["sequence"] for line in path.read_text().splitlines()] if path.exists() else []

    def open_again() -> Sink:
        return NdjsonSink(directory / "out", ColumnType.TIMESTAMP)

    return open_again(), open_again, taken


@pytest.fixture(params=[make_memory, make_ndjson], ids=["memory", "ndjson"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Sink, Callable[[], Sink], Taken]:
    result: tuple[Sink, Callable[[], Sink], Taken] = request.param(tmp_path)
    return result


def test_is_a_sink_and_writing_nothing_does_nothing(made: tuple[Sink, Callable[[], Sink], Taken]) -> None:
    sink, _, taken = made
    assert isinstance(sink, Sink)
    sink.write([])
    assert taken(0) == []


def test_keeps_the_order_of_each_partition(made: tuple[Sink, Callable[[], Sink], Taken]) -> None:
    sink, _, taken = made
    sink.write([record(0), record(0, partition=3), record(1), record(1, partition=3)])
    sink.write([record(2)])
    assert taken(0) == [0, 1, 2]
    assert taken(3) == [0, 1]


@pytest.mark.parametrize("again", [[0], [0, 1], [1, 2], [0, 1, 2, 3]])
def test_a_known_sequence_is_left_alone(made: tuple[Sink, Callable[[], Sink], Taken], again: list[int]) -> None:
    sink, _, taken = made
    sink.write([record(0), record(1)])
    sink.write([record(sequence) for sequence in again])
    assert taken(0) == list(range(max(2, again[-1] + 1)))


@pytest.mark.parametrize("again", [[0], [1, 2], [2]])
def test_after_opening_again_known_sequences_are_still_known(
    made: tuple[Sink, Callable[[], Sink], Taken], again: list[int]
) -> None:
    sink, open_again, taken = made
    sink.write([record(0), record(1)])
    sink.close()
    open_again().write([record(sequence) for sequence in again])
    assert taken(0) == list(range(max(2, again[-1] + 1)))


def test_two_sinks_take_turns(made: tuple[Sink, Callable[[], Sink], Taken]) -> None:
    sink, open_again, taken = made
    other = open_again()
    sink.write([record(0)])
    other.write([record(0), record(1)])
    sink.write([record(1), record(2)])
    other.write([record(2), record(3)])
    assert taken(0) == [0, 1, 2, 3]


def test_text_of_any_kind_is_taken(made: tuple[Sink, Callable[[], Sink], Taken]) -> None:
    sink, _, taken = made
    odd = replace(record(0), metric='"\n\u2028é', key={"sym": None, "qty": 5}, time=None, detail="no json")
    sink.write([odd, replace(record(1), detail='{"value": 5}')])
    assert taken(0) == [0, 1]


def test_closing_twice_does_nothing(made: tuple[Sink, Callable[[], Sink], Taken]) -> None:
    made[0].close()
    made[0].close()
