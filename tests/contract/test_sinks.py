"""What every sink promises."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.model import AnomalyId
from actors.sink.ndjson import NdjsonSink
from actors.sink.open import NOWHERE, SinkPlaces, open_sinks
from actors.sink.protocol import Sink, SinkRecord
from tests.support.broker_places import BROKERS, Broker
from tests.support.brokers import needs
from tests.support.memory_sink import MemorySink
from tests.support.partition_jobs import make_partition_job
from tests.support.receiver import receiving

JOB = make_partition_job()

Taken = Callable[[int], list[int]]
"""Gives the places of a partition's anomalies that a sink holds."""

Made = tuple[Sink, Callable[[], Sink], Taken]
"""A sink, what opens it again, and what it holds."""


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


def make_memory(_: Path) -> Made:
    sink = MemorySink()
    return (
        sink,
        lambda: sink,
        lambda partition: [2 * one.id.offset + one.id.ordinal for one in sink.taken.get(partition, [])],
    )


def make_ndjson(directory: Path) -> Made:
    def taken(partition: int) -> list[int]:
        found = []
        for path in sorted((directory / "out").glob(f"partition-{partition:04}-split-*.ndjson")):
            found += [json.loads(line) for line in path.read_text().splitlines()]
        return [2 * line["offset"] + line["ordinal"] for line in found]

    def open_again() -> Sink:
        return NdjsonSink(directory / "out", JOB)

    return open_again(), open_again, taken


class ByPartition:
    """Sinks to one place, each of a job of its own: ids are unique within a job, and these tests repeat them."""

    def __init__(self, settings: Mapping[str, Any], places: SinkPlaces) -> None:
        self._settings = settings
        self._places = places
        self._sinks: dict[int, Sink] = {}

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        for one in anomalies:
            if one.partition not in self._sinks:
                job = make_partition_job(job=f"job{one.partition}", sinks=[self._settings])
                (self._sinks[one.partition],) = open_sinks(job, self._places)
            self._sinks[one.partition].write([one])

    def close(self) -> None:
        for sink in self._sinks.values():
            sink.close()
        self._sinks.clear()


def made_by(settings: Mapping[str, Any], ids: Callable[[], Iterable[str]], places: SinkPlaces = NOWHERE) -> Made:
    """Return a sink whose receiver has records under these ids, in order; it takes each of them once."""

    def taken(partition: int) -> list[int]:
        found = [
            one.removeprefix(f"job{partition}/") for one in dict.fromkeys(ids()) if one.startswith(f"job{partition}/")
        ]
        return [2 * offset + ordinal for _, offset, ordinal in (map(int, one.split("-")) for one in found)]

    return ByPartition(settings, places), lambda: ByPartition(settings, places), taken


@contextmanager
def webhook(_: Path) -> Iterator[Made]:
    with receiving() as receiver:
        settings = {"type": "webhook", "url": receiver.url}
        yield made_by(settings, lambda: [one.headers["idempotency-key"] for one in receiver.posted])


@contextmanager
def stdout(_: Path) -> Iterator[Made]:
    lines: list[str] = []
    places = SinkPlaces(print_line=lines.append)
    yield made_by({"type": "stdout"}, lambda: [json.loads(line)["id"] for line in lines], places)


@contextmanager
def notify(_: Path) -> Iterator[Made]:
    needs("apprise")
    with receiving() as receiver:
        places = SinkPlaces(environment={"PLACE": f"json://127.0.0.1:{receiver.port}"})
        settings = {"type": "notify", "url": "env:PLACE", "only": "anomalies", "text": "{id}"}
        yield made_by(settings, lambda: [one.data["message"] for one in receiver.posted], places)


@contextmanager
def sql(directory: Path) -> Iterator[Made]:
    needs("sqlalchemy", "pg8000")
    path = directory / "alarms.db"

    def ids() -> list[str]:
        with closing(sqlite3.connect(path)) as database:
            is_there = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'alarms'").fetchall()
            return [row[0] for row in database.execute("SELECT id FROM alarms ORDER BY rowid")] if is_there else []

    yield made_by({"type": "sql", "url": f"sqlite:///{path}"}, ids)


@contextmanager
def parquet(directory: Path) -> Iterator[Made]:
    def ids() -> list[str]:
        found = [
            one for path in sorted(directory.glob("out/*.parquet")) for one in pl.read_parquet(path)["id"].to_list()
        ]
        assert len(set(found)) == len(found)
        return found

    # Every write makes a file.
    yield made_by({"type": "parquet", "path": str(directory / "out"), "roll": {"size": 1}}, ids)


def broker(kind: str, servers: "Servers") -> Callable[[Path], AbstractContextManager[Made]]:
    """Return what makes sinks to a place of their own at a broker."""

    @contextmanager
    def make(_: Path) -> Iterator[Made]:
        found = servers.broker(kind)
        found.renew()
        more = {"subject": f"{found.name}.a"} if kind == "nats" else {}
        yield made_by(found.settings(**more), found.ids)

    return make


class Servers:
    """Brokers that are started when they are asked for."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._brokers: dict[str, Broker] = {}

    def broker(self, kind: str) -> Broker:
        if kind not in self._brokers:
            self._brokers[kind] = BROKERS[kind](self._stack, self._directory)
        return self._brokers[kind]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, tmp_path_factory.mktemp("servers"))


SERVICES = {"webhook": webhook, "stdout": stdout, "notify": notify, "sql": sql, "parquet": parquet}


@pytest.fixture(params=["memory", "ndjson", *SERVICES, *BROKERS])
def made(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> Iterator[Made]:
    if request.param in BROKERS:
        with broker(request.param, servers)(tmp_path) as place:
            yield place
    elif request.param in SERVICES:
        with SERVICES[request.param](tmp_path) as service:
            yield service
    else:
        yield make_memory(tmp_path) if request.param == "memory" else make_ndjson(tmp_path)


def test_is_a_sink_and_writing_nothing_does_nothing(made: Made) -> None:
    sink, _, taken = made
    assert isinstance(sink, Sink)
    sink.write([])
    assert taken(0) == []


def test_keeps_the_order_of_each_partition(made: Made) -> None:
    sink, _, taken = made
    sink.write([record(0), record(0, partition=3), record(1), record(1, partition=3)])
    sink.write([record(2)])
    assert taken(0) == [0, 1, 2]
    assert taken(3) == [0, 1]


@pytest.mark.parametrize("again", [[0], [0, 1], [1, 2], [0, 1, 2, 3]])
def test_a_known_anomaly_is_left_alone(made: Made, again: list[int]) -> None:
    sink, _, taken = made
    sink.write([record(0), record(1)])
    sink.write([record(place) for place in again])
    assert taken(0) == list(range(max(2, again[-1] + 1)))


@pytest.mark.parametrize("again", [[0], [1, 2], [2]])
def test_after_opening_again_known_anomalies_are_still_known(made: Made, again: list[int]) -> None:
    sink, open_again, taken = made
    sink.write([record(0), record(1)])
    sink.close()
    open_again().write([record(place) for place in again])
    assert taken(0) == list(range(max(2, again[-1] + 1)))


def test_each_split_counts_for_itself(made: Made) -> None:
    sink, open_again, taken = made
    sink.write([record(0), record(5, split=1), record(1)])
    open_again().write([record(4, split=1), record(2), record(5, split=1), record(6, split=1)])
    # An outbox never goes back, so a receiver that knows ids one by one may take what lies between two of them.
    assert sorted(taken(0)) in ([0, 1, 2, 5, 6], [0, 1, 2, 4, 5, 6])


def test_two_sinks_take_turns(made: Made) -> None:
    sink, open_again, taken = made
    other = open_again()
    sink.write([record(0)])
    other.write([record(0), record(1)])
    sink.write([record(1), record(2)])
    other.write([record(2), record(3)])
    assert taken(0) == [0, 1, 2, 3]


def test_text_of_any_kind_is_taken(made: Made) -> None:
    sink, _, taken = made
    odd = replace(record(0), metric='"\n\u2028é', key=(None,), time=None, detail="no json")
    sink.write([odd, replace(record(1), detail='{"value": 5}')])
    assert taken(0) == [0, 1]


def test_closing_twice_does_nothing(made: Made) -> None:
    made[0].close()
    made[0].close()
