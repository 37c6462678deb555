"""What every sink promises."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.model import AnomalyId
from actors.sink.ndjson import NdjsonSink
from actors.sink.protocol import Sink, SinkRecord
from tests.support.memory_sink import MemorySink
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job()

Taken = Callable[[int], list[int]]
"""Gives the places of a partition's anomalies that a sink holds."""


def record(place: int, partition: int = 0, split: int = 0) -> SinkRecord:
    """Return the anomaly at a place: two of each row."""
    return SinkRecord(
        partition=partition,
        id=AnomalyId(split=split, offset=place // 2, ordinal=place % 2),
        time=1538960461003,
        key=("A",),
        type=0,
        metric="sum(qty) > 5",
    )


def make_memory(_: Path) -> tuple[Sink, Callable[[], Sink], Taken]:
    sink = MemorySink()
    return (
        sink,
        lambda: sink,
        lambda partition: [2 * one.id.offset + one.id.ordinal for one in sink.taken.get(partition, [])],
    )


def make_ndjson(directory: Path) -> tuple[Sink, Callable[[], Sink], Taken]:
    def taken(partition: int) -> list[int]:
        found = []
        for path in sorted((directory / "out").glob(f"partition-{partition:04}-split-*.ndjson")):
            found += [json.loads(line) for line in path.read_text().splitlines()]
        return [2 * line["offset"] + line["ordinal"] for line in found]

    def open_again() -> Sink:
        return NdjsonSink(directory / "out", JOB)

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
def test_a_known_anomaly_is_left_alone(made: tuple[Sink, Callable[[], Sink], Taken], again: list[int]) -> None:
    sink, _, taken = made
    sink.write([record(0), record(1)])
    sink.write([record(place) for place in again])
    assert taken(0) == list(range(max(2, again[-1] + 1)))


@pytest.mark.parametrize("again", [[0], [1, 2], [2]])
def test_after_opening_again_known_anomalies_are_still_known(
    made: tuple[Sink, Callable[[], Sink], Taken], again: list[int]
) -> None:
    sink, open_again, taken = made
    sink.write([record(0), record(1)])
    sink.close()
    open_again().write([record(place) for place in again])
    assert taken(0) == list(range(max(2, again[-1] + 1)))


def test_each_split_counts_for_itself(made: tuple[Sink, Callable[[], Sink], Taken]) -> None:
    sink, open_again, taken = made
    sink.write([record(0), record(5, split=1), record(1)])
    open_again().write([record(4, split=1), record(2), record(5, split=1), record(6, split=1)])
    assert sorted(taken(0)) == [0, 1, 2, 5, 6]


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
    odd = replace(record(0), metric='"\n\u2028é', key=(None,), time=None, detail="no json")
    sink.write([odd, replace(record(1), detail='{"value": 5}')])
    assert taken(0) == [0, 1]


def test_closing_twice_does_nothing(made: tuple[Sink, Callable[[], Sink], Taken]) -> None:
    made[0].close()
    made[0].close()
