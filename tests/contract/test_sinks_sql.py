"""Rows of tables, in SQLite and in a real PostgreSQL: each id once, whatever comes again and whoever dies."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.allowed import AllowedPaths
from actors.errors import SinkError
from actors.sink.open import SinkPlaces, open_sinks
from actors.sink.protocol import Sink
from cluster.local.speed import slowness
from tests.support.brokers import Server, needs, postgres_command, running, shared_directory
from tests.support.partition_jobs import make_partition_job
from tests.support.sink_records import sink_records, written

RECORDS = sink_records(5)
METRIC = {"when": "qty > 8", "id": "big", "severity": "error", "summary": "{sym}: {qty}", "for": "1s"}


class Database:
    """A database, and what sends it statements of its own."""

    def __init__(self, settings: dict[str, Any], address: str, server: Server | None = None) -> None:
        needs("sqlalchemy", "pg8000")
        import sqlalchemy

        self._settings = settings
        self._engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.pool.NullPool)
        self.server = server

    def open(self, places: SinkPlaces | None = None, **settings: Any) -> Sink:
        job = make_partition_job(metrics=[METRIC], window=None, sinks=[self._settings | settings])
        (sink,) = open_sinks(job, places or SinkPlaces())
        return sink

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        import sqlalchemy

        with self._engine.begin() as connection:
            answer = connection.execute(sqlalchemy.text(statement))
            return [tuple(row) for row in answer] if answer.returns_rows else []

    def ids(self, table: str = "alarms") -> list[str]:
        return [row[0] for row in self.ask(f"SELECT id FROM {table} ORDER BY id")]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with shared_directory() as directory, running(postgres_command(directory)) as server:
        place = f"127.0.0.1:{server.port}/postgres"
        sink = Database(
            {"type": "sql", "url": f"postgresql://{place}", "security": {"username": "postgres"}, "table": "ready"},
            f"postgresql+pg8000://postgres@{place}",
        ).open()
        # It takes connections before it answers.
        until(lambda: written(sink, RECORDS[:1]))
        sink.close()
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        settings = {"type": "sql", "url": f"sqlite:///{tmp_path}/alarms.db"}
        yield Database(settings, settings["url"])
        return
    server = request.getfixturevalue("postgres")
    place = f"127.0.0.1:{server.port}/postgres"
    settings = {"type": "sql", "url": f"postgresql://{place}", "security": {"username": "postgres"}, "timeout": "2s"}
    found = Database(settings, f"postgresql+pg8000://postgres@{place}", server)
    yield found
    found.ask("DROP TABLE IF EXISTS alarms")


def offsets(ids: list[str]) -> list[int]:
    return [int(one.split("-")[1]) for one in ids]


def test_a_record_is_a_row_with_all_that_is_said_of_it(database: Database) -> None:
    database.open().write(RECORDS[:1])
    names = "id, job, kind, state, metric, rule, severity, summary, type, split, ordinal"
    assert database.ask(f"SELECT {names} FROM alarms") == [
        ("trades/0-0-0", "trades", "anomaly", None, "qty > 8", "big", "error", "A: 9", 0, 0, 0)
    ]
    ((at, key, detail),) = database.ask("SELECT time, key, detail FROM alarms")
    if database.server is None:
        assert (at, json.loads(key)) == ("2018-10-08T01:01:01.003Z", {"sym": "A"})
    else:
        assert (at.isoformat(), key) == ("2018-10-08T01:01:01.003000+00:00", {"sym": "A"})
        assert detail == {"values": {"qty": 9}}
        assert database.ask("SELECT 1 FROM alarms WHERE key->>'sym' = 'A' AND time < now()") == [(1,)]


def test_what_comes_again_is_there_once(database: Database) -> None:
    sink = database.open()
    sink.write(RECORDS[:3])
    sink.close()
    # It died before the mark.
    again = database.open()
    again.write([replace(RECORDS[1], key=("B",)), *RECORDS[2:]])
    assert offsets(database.ids()) == [0, 1, 2, 3, 4]
    assert len(database.ask("SELECT 1 FROM alarms WHERE summary = 'B: 9'")) == 1


def test_columns_are_templates(database: Database) -> None:
    columns = {"host": "{sym}", "n": "{qty}", "at": "{time}", "what": "{severity} {state}"}
    database.open(columns=columns).write(RECORDS[:1])
    assert database.ask("SELECT id, host, n, at, what FROM alarms") == [
        ("trades/0-0-0", "A", "9", "2018-10-08T01:01:01.003Z", "error -")
    ]


def test_a_table_of_others_keeps_its_types(database: Database) -> None:
    kind = "TIMESTAMPTZ" if database.server else "TIMESTAMP"
    database.ask(f"CREATE TABLE alarms (id TEXT PRIMARY KEY, n INTEGER, at {kind}, more TEXT)")
    database.open(columns={"n": "{qty}", "at": "{time}"}).write(RECORDS[:1])
    ((n, more),) = database.ask("SELECT n, more FROM alarms WHERE at > '2018-01-01' AND at < '2019-01-01'")
    assert (n, more) == (9, None)
    with pytest.raises(SinkError, match="the table has no column job, kind"):
        database.open().write(RECORDS[:1])


def test_a_database_that_refuses_one_has_those_before_it(database: Database) -> None:
    database.ask("CREATE TABLE alarms (id TEXT PRIMARY KEY, n INTEGER CHECK (n <> 2))")
    sink = database.open(columns={"n": "{qty}"})
    records = [replace(one, detail=json.dumps({"values": {"qty": one.id.offset}})) for one in RECORDS]
    with pytest.raises(SinkError, match="at trades/0-2-0") as caught:
        sink.write(records)
    assert (caught.value.taken_count, offsets(database.ids())) == (2, [0, 1])
    database.ask("DELETE FROM alarms WHERE n < 0")
    sink.write([replace(records[2], detail='{"values": {"qty": 7}}'), *records[3:]])
    assert offsets(database.ids()) == [0, 1, 2, 3, 4]


def test_odd_texts_are_stored(database: Database) -> None:
    odd = replace(RECORDS[0], key=('"\n\0é\ud800',), time=None, detail='{"value": NaN, "more": "\\u0000"}')
    database.open().write([odd, replace(RECORDS[1], detail="no json", key=(None,))])
    assert len(database.ids()) == 2


def test_a_database_that_is_killed_or_says_nothing_is_waited_for_in_bounded_time(database: Database) -> None:
    server = database.server
    if server is None:
        pytest.skip("a file does not die")
    sink = database.open(timeout="500ms")
    sink.write(RECORDS[:1])
    server.kill()
    with pytest.raises(SinkError, match="comes waits") as caught:
        sink.write(RECORDS[:3])
    assert caught.value.taken_count == 0
    server.start()
    until(lambda: written(sink, RECORDS[:3]))
    server.pause()
    try:
        started_s = time.monotonic()
        with pytest.raises(SinkError, match="comes waits"):
            sink.write(RECORDS)
        assert time.monotonic() - started_s < 5 * slowness()
    finally:
        server.go_on()
    until(lambda: written(sink, RECORDS))
    assert offsets(database.ids()) == [0, 1, 2, 3, 4]


def until(condition: Callable[[], bool]) -> None:
    due_s = time.monotonic() + 20 * slowness()
    while not condition():
        assert time.monotonic() < due_s, "it takes too long"
        time.sleep(0.05)


def test_a_file_that_is_locked_is_waited_for(tmp_path: Path) -> None:
    import sqlite3

    database = Database(
        {"type": "sql", "url": f"sqlite:///{tmp_path}/a.db", "timeout": "100ms"}, f"sqlite:///{tmp_path}/a.db"
    )
    sink = database.open()
    sink.write(RECORDS[:1])
    with sqlite3.connect(tmp_path / "a.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SinkError, match="database is locked"):
            sink.write(RECORDS)
        other.execute("ROLLBACK")
    sink.write(RECORDS)
    assert offsets(database.ids()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///:memory:", "names no file|may not be touched"),
        ("sqlite:////etc/alarms.db", "may not be touched"),
        ("mysql://me:s3cret@a/b", "a database 'mysql' is none that this sink knows"),
        ("s3cret", "the address of the database is none"),
    ],
)
def test_an_address_that_is_none_is_said_without_its_secrets(url: str, message: str, tmp_path: Path) -> None:
    needs("sqlalchemy", "pg8000")
    job = make_partition_job(sinks=[{"type": "sql", "url": "env:PLACE"}])
    (sink,) = open_sinks(job, SinkPlaces(environment={"PLACE": url}, allowed=AllowedPaths.below([tmp_path])))
    with pytest.raises(SinkError, match=message) as caught:
        sink.write(RECORDS)
    assert "s3cret" not in str(caught.value)
