"""What every source of a broker promises, shown with the real server: killed, paused, trimmed, read from anywhere."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from cluster.local.speed import slowness
from config.settings import JobSettings
from tests.support.brokers import Server, free_port, kafka_command, nats_command, needs, redis_command, running
from tests.support.jobs import make_trades_job
from tests.support.reading import SplitContent, read_split
from tests.support.repository import ROOT

ROWS = [(1538960461000 + number, f"S{number % 7}", number % 11) for number in range(250)]
BAD = {3: b"\xff\xfe", 4: b"{", 99: b'{"time": 5}', 120: b"x" * 3000, 249: b"[]"}
"""Numbers of the records that no row can be made of, and what they are."""


def message(number: int) -> bytes:
    time_ms, sym, qty = ROWS[number]
    return BAD.get(number, json.dumps({"time": time_ms, "sym": sym, "qty": qty}).encode())


class Broker(ABC):
    """A broker with one stream of records; `server` may be killed and started again."""

    server: Server
    keeps_on_kill = True

    @abstractmethod
    def source(self, **settings: Any) -> dict[str, Any]:
        """Return the settings of a source that reads it."""

    @abstractmethod
    def send(self, messages: Sequence[bytes], split: int = 0) -> None:
        """Add records."""

    def trim(self, count: int) -> None:
        """Keep the newest records alone."""
        pytest.skip("this server cannot be told to trim")

    def job(self, **settings: Any) -> JobSettings:
        return make_trades_job(self.source(**settings))

    def open(self, directory: Path, **settings: Any) -> Source:
        return open_source(self.job(**settings), directory, positions=directory)


class KafkaBroker(Broker):
    keeps_on_kill = False

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.server = stack.enter_context(running(kafka_command(directory)))
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        address = {"bootstrap.servers": f"127.0.0.1:{self.server.port}", "log_level": 0}
        self.admin = AdminClient(address)
        self.admin.create_topics([NewTopic("readings", 3, 1)])["readings"].result(20)
        self._producer = Producer(address)

    def source(self, **settings: Any) -> dict[str, Any]:
        brokers = [f"127.0.0.1:{self.server.port}"]
        return {"type": "kafka", "brokers": brokers, "topic": "readings", "format": "json"} | settings

    def send(self, messages: Sequence[bytes], split: int = 0) -> None:
        for one in messages:
            self._producer.produce("readings", one, partition=split)
        assert self._producer.flush(20) == 0


class NatsBroker(Broker):
    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.server = stack.enter_context(running(nats_command(directory / "nats")))
        self._ask("add_stream", name="readings", subjects=["site.*"])

    def _ask(self, what: str, **settings: Any) -> Any:
        return self._run(lambda client, stream: getattr(stream, what)(**settings))

    def _run(self, work: Callable[[Any, Any], Any]) -> Any:
        import nats

        async def act() -> Any:
            client = await nats.connect(f"nats://127.0.0.1:{self.server.port}")
            try:
                return await work(client, client.jetstream(timeout=20))
            finally:
                await client.close()

        return asyncio.run(act())

    def source(self, **settings: Any) -> dict[str, Any]:
        servers = [f"nats://127.0.0.1:{self.server.port}"]
        return {"type": "nats", "servers": servers, "stream": "readings", "format": "json"} | settings

    def send(self, messages: Sequence[bytes], split: int = 0) -> None:
        async def publish(_: Any, stream: Any) -> None:
            for one in messages:
                await stream.publish(f"site.{split}", one)

        self._run(publish)

    def trim(self, count: int) -> None:
        self._ask("purge_stream", name="readings", keep=count)


class RedisBroker(Broker):
    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.server = stack.enter_context(running(redis_command(directory)))
        import redis

        self.client = stack.enter_context(redis.Redis(port=self.server.port))
        # A stream is there as long as something was added.
        self.client.xadd("readings", {"a": "b"}, id="0-1")
        self.client.xtrim("readings", maxlen=0, approximate=False)

    def source(self, **settings: Any) -> dict[str, Any]:
        url = f"redis://127.0.0.1:{self.server.port}/0"
        return {"type": "redis", "url": url, "streams": ["readings"], "format": "json"} | settings

    def send(self, messages: Sequence[bytes], split: int = 0) -> None:
        with self.client.pipeline() as pipe:
            for one in messages:
                pipe.xadd("readings", {"data": one})
            pipe.execute()

    def trim(self, count: int) -> None:
        self.client.xtrim("readings", maxlen=count, approximate=False)


BROKERS = {"kafka": KafkaBroker, "nats": NatsBroker, "redis": RedisBroker}


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with ExitStack() as stack:
        yield BROKERS[request.param](stack, tmp_path)


def first(source: Source, count: int = 250) -> SplitContent:
    """Read until so many records are there, as a job does, and close the source."""
    content = read_split(source, start=source.earliest_offset(0), batch=64)
    assert len(content.rows) + len(content.dead_letters) == count
    return content


def until(condition: Callable[[], bool]) -> None:
    due_s = time.monotonic() + 20 * slowness()
    while not condition():
        assert time.monotonic() < due_s, "it takes too long"
        time.sleep(0.05)


def test_every_record_is_a_row_or_a_dead_letter_wherever_reading_begins(broker: Broker, tmp_path: Path) -> None:
    broker.send(list(map(message, range(250))))
    form = {"type": "json", "record_size_bytes_max": 2000}
    source = broker.open(tmp_path, format=form)
    content = first(source)
    assert [row for _, row in content.rows] == [row for number, row in enumerate(ROWS) if number not in BAD]
    offsets = sorted([offset for offset, _ in content.rows] + [letter.offset for letter in content.dead_letters])
    assert [offsets.index(letter.offset) for letter in content.dead_letters] == sorted(BAD)
    assert [letter.raw for letter in content.dead_letters] == [BAD[number][:1024] for number in sorted(BAD)]
    for start, batch in ((100, 7), (0, 250), (249, 1), (3, 33)):
        again = read_split(source, start=offsets[start], batch=batch)
        assert again.rows == tuple(one for one in content.rows if one[0] >= offsets[start])
        assert again.next_offset == content.next_offset
    source.close()
    source.close()


def test_a_job_goes_on_where_it_was_and_takes_what_comes(broker: Broker, tmp_path: Path) -> None:
    broker.send(list(map(message, range(100))))
    source = broker.open(tmp_path)
    content = first(source, 100)
    source.close()
    broker.send(list(map(message, range(100, 250))))
    source = broker.open(tmp_path)
    assert source.earliest_offset(0) <= content.next_offset
    rest = read_split(source, start=content.next_offset)
    assert len(rest.rows) + len(rest.dead_letters) == 150
    broker.send([message(0)])
    until(lambda: source.read(0, rest.next_offset, 10).offsets.size == 1)
    source.close()


def test_a_broker_that_is_killed_is_said_and_reading_goes_on_at_the_same_offset(broker: Broker, tmp_path: Path) -> None:
    broker.send(list(map(message, range(250))))
    source = broker.open(tmp_path)
    content = first(source)
    broker.server.kill()

    until(lambda: "answer" in trouble(source, content.next_offset))
    source.close()
    with pytest.raises(SourceError, match="answer"):
        broker.open(tmp_path)
    if not broker.keeps_on_kill:
        return
    broker.server.start()
    source = broker.open(tmp_path)
    broker.send([message(0)])
    assert [row for _, row in read_split(source, start=content.next_offset).rows] == [ROWS[0]]
    assert first(source, 251).rows[:-1] == content.rows
    source.close()


def test_a_broker_that_says_nothing_is_waited_for_in_bounded_time(broker: Broker, tmp_path: Path) -> None:
    broker.send([message(0)])
    source = broker.open(tmp_path)
    content = first(source, 1)
    broker.server.pause()
    try:
        started_s = time.monotonic()
        while not (said := trouble(source, content.next_offset)):
            assert time.monotonic() - started_s < 12 * slowness(), "a server that is paused goes unnoticed"
            time.sleep(0.05)
        assert "answer" in said or "nothing" in said
    finally:
        broker.server.go_on()
    broker.send([message(1)])
    until(lambda: has_rows(source, content.next_offset))
    source.close()


def trouble(source: Source, offset: int) -> str:
    try:
        source.read(0, offset, 10)
    except SourceError as error:
        return str(error)
    return ""


def has_rows(source: Source, offset: int) -> bool:
    try:
        return source.read(0, offset, 10).next_offset > offset
    except SourceError:
        return False


def test_what_was_trimmed_before_it_was_read_is_a_gap_and_what_was_read_is_none(broker: Broker, tmp_path: Path) -> None:
    broker.send(list(map(message, range(100))))
    source = broker.open(tmp_path)
    content = first(source, 100)
    broker.trim(10)
    # All of that was read.
    assert read_split(source, start=content.next_offset).next_offset == content.next_offset
    source.close()
    source = broker.open(tmp_path)
    assert source.earliest_offset(0) <= content.next_offset
    broker.send(list(map(message, range(100, 200))))
    broker.trim(20)
    with pytest.raises(SourceError, match="is gone"):
        source.read(0, content.next_offset, 10)
    assert source.earliest_offset(0) > content.next_offset
    assert len(read_split(source, start=source.earliest_offset(0)).rows) == 20
    source.close()


def test_an_offset_that_was_never_reached_is_refused(broker: Broker, tmp_path: Path) -> None:
    if isinstance(broker, KafkaBroker):
        pytest.skip("this server does not say where a partition ends")
    broker.send([message(0)])
    source = broker.open(tmp_path)
    next_offset = first(source, 1).next_offset
    with pytest.raises(SourceError, match="never reached"):
        source.read(0, next_offset + 1, 10)
    source.close()


def test_a_stream_that_is_not_there_is_named(broker: Broker, tmp_path: Path) -> None:
    key = {"kafka": "topic", "nats": "stream", "redis": "streams"}[broker.source()["type"]]
    with pytest.raises(SourceError, match="'other'"):
        broker.open(tmp_path, **{key: ["other"] if key == "streams" else "other"})


def test_a_job_begins_at_a_time_or_at_what_comes(broker: Broker, tmp_path: Path) -> None:
    if isinstance(broker, KafkaBroker):
        pytest.skip("this server does not find offsets by times")
    broker.send(list(map(message, range(50))))
    time.sleep(0.01)
    begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03}"
    source = broker.open(tmp_path, start=begun)
    offset = source.earliest_offset(0)
    assert read_split(source, start=offset).rows == ()
    broker.send([message(50)])
    assert [row for _, row in read_split(source, start=offset).rows] == [ROWS[50]]
    source.close()
    # The next time it begins where it began.
    source = broker.open(tmp_path, start=begun)
    assert source.earliest_offset(0) <= offset
    source.close()


@pytest.mark.slow
def test_a_run_reads_a_broker_until_nothing_comes(broker: Broker, tmp_path: Path) -> None:
    broker.send([message(number) for number in range(250) if number not in BAD])
    job = {"job": "a", "schema": {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}, "time": "time", "key": ["sym"]}
    text = json.dumps(job | {"metrics": ["qty > 9"], "source": broker.source()})
    (tmp_path / "job.yaml").write_text(text)
    command = [sys.executable, "-m", "cluster", "run", str(tmp_path / "job.yaml"), "--json", "--until-idle", "1s"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(ended.stdout.splitlines()) == sum(row[2] > 9 for number, row in enumerate(ROWS) if number not in BAD)
    assert "245 rows from 2018-10-08" in ended.stderr


def refusal(job: JobSettings, directory: Path) -> str:
    with pytest.raises(SourceError) as error:
        open_source(job, directory)
    return str(error.value)


def test_credentials_that_are_wrong_are_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("wrong\n")
    security = {"username": "reader", "password": f"file:{tmp_path / 'secret'}"}
    with ExitStack() as stack:
        nats = stack.enter_context(running(nats_command(tmp_path / "nats", "--user", "reader", "--pass", "right")))
        servers = [f"nats://127.0.0.1:{nats.port}"]
        source = {"type": "nats", "servers": servers, "stream": "a", "format": "json", "security": security}
        job = make_trades_job(source)
        # The connection may be closed before the reason is heard.
        until(lambda: "Authorization" in refusal(job, tmp_path))
        account = ["--user", "reader", "on", ">right", "~*", "+@all"]
        redis = stack.enter_context(running(redis_command(tmp_path, *account)))
        source = {"type": "redis", "url": f"redis://127.0.0.1:{redis.port}", "streams": ["a"], "format": "fields"}
        with pytest.raises(SourceError, match="invalid username-password pair"):
            open_source(make_trades_job(source | {"security": security}), tmp_path)


def test_nobody_at_an_address_is_said_in_bounded_time(tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    for source in (
        {"type": "kafka", "brokers": [place], "topic": "a"},
        {"type": "nats", "servers": [f"nats://{place}"], "stream": "a"},
        {"type": "redis", "url": f"redis://{place}", "streams": ["a"]},
    ):
        started_s = time.monotonic()
        with pytest.raises(SourceError, match="answer"):
            open_source(make_trades_job(source | {"format": "json"}), tmp_path)
        assert time.monotonic() - started_s < 8 * slowness()


def test_subjects_are_splits(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = NatsBroker(stack, tmp_path)
        for number in range(6):
            broker.send([message(number + 10)], split=number % 3)
        source = broker.open(tmp_path, subjects=["site.0", "site.2"])
        assert [split.name for split in source.splits()] == ["readings/site.0", "readings/site.2"]
        found = [[row for _, row in read_split(source, split).rows] for split in (0, 1)]
        assert found == [[ROWS[10], ROWS[13]], [ROWS[12], ROWS[15]]]
        source.close()


@pytest.mark.slow
def test_nothing_is_missing_or_doubled_when_the_leader_of_three_servers_is_killed(tmp_path: Path) -> None:
    needs("nats")
    routes = [free_port() for _ in range(3)]
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for number, route in enumerate(routes):
            others = ",".join(f"nats://127.0.0.1:{one}" for one in routes)
            options = ["-n", f"n{number}", "--cluster_name", "c", "-cluster", f"nats://127.0.0.1:{route}"]
            command = nats_command(tmp_path / f"n{number}", *options, "-routes", others)
            servers[f"n{number}"] = stack.enter_context(running(command))
        urls = [f"nats://127.0.0.1:{one.port}" for one in servers.values()]
        until(lambda: asyncio.run(asked(urls, add_stream)) is not None)
        leader = asyncio.run(asked(urls, publish, range(100)))
        job = make_trades_job({"type": "nats", "servers": urls, "stream": "readings", "format": "json"})
        source, offset, rows = open_source(job, tmp_path, positions=tmp_path), 0, []

        def read_to(count: int) -> bool:
            nonlocal source, offset
            try:
                batch = source.read(0, offset, 1000)
                rows.extend(batch.frame["time"].to_physical().to_list())
                offset = batch.next_offset
            except SourceError:
                # As a job does, after a pause.
                source.close()
                with contextlib.suppress(SourceError):
                    source = open_source(job, tmp_path, positions=tmp_path)
            return len(rows) >= count

        until(lambda: read_to(100))
        servers[leader].kill()
        until(lambda: asyncio.run(asked(urls, publish, range(100, 200))) is not None)
        until(lambda: read_to(200))
        assert sorted(set(rows)) == rows
        assert set(rows) >= {1538960461000 + number for number in range(200)}
        source.close()


async def asked(urls: list[str], work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what some work at servers comes to, `None` while they cannot do it."""
    import nats
    from nats.errors import Error

    try:
        client = await nats.connect(urls, max_reconnect_attempts=1)
    except (Error, OSError):
        return None
    try:
        return await work(client.jetstream(timeout=5), *arguments)
    except (Error, OSError):
        return None
    finally:
        await client.close()


async def add_stream(stream: Any) -> Any:
    return await stream.add_stream(name="readings", subjects=["site.*"], num_replicas=3)


async def publish(stream: Any, numbers: Iterable[int]) -> str:
    for number in numbers:
        text = json.dumps({"time": 1538960461000 + number, "sym": "A", "qty": 6})
        # The same message again, after a failure, is known by its id.
        await stream.publish("site.0", text.encode(), headers={"Nats-Msg-Id": str(number)})
    return str((await stream.stream_info("readings")).cluster.leader)


def test_entries_of_fields_are_rows(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = RedisBroker(stack, tmp_path)
        broker.client.xadd("readings", {"TIME": 1, "sym": "A", "qty": 6}, id="5-0")
        broker.client.xadd("readings", {"time": 2, "sym": "", "qty": ""}, id="5-1")
        broker.client.xadd("readings", {"time": 3, "sym": "B"}, id="6-0")
        broker.client.xadd("readings", {"time": 4, "sym": b"\xff", "qty": "6"}, id="6-1")
        source = broker.open(tmp_path, format="fields", sequence_bits=4)
        content = read_split(source, start=source.earliest_offset(0))
        assert content.rows == ((80, (1, "A", 6)), (81, (2, "", None)))
        assert [(one.offset, one.reason) for one in content.dead_letters] == [
            (96, "the entry has no field 'qty'"),
            (97, "the field 'sym' is not UTF-8 text"),
        ]
        broker.client.xadd("readings", {"time": 4, "sym": "C", "qty": "6"}, id="7-16")
        with pytest.raises(SourceError, match="the entry 7-16 of readings has an id beyond what offsets hold"):
            source.read(0, content.next_offset, 10)
        source.close()


def test_partitions_of_a_topic_are_splits(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = KafkaBroker(stack, tmp_path)
        broker.send([message(10)], split=1)
        broker.send([message(11), b"", message(12)], split=2)
        source = broker.open(tmp_path)
        assert [split.name for split in source.splits()] == ["readings/0", "readings/1", "readings/2"]
        found = [[row for _, row in read_split(source, split).rows] for split in range(3)]
        assert found == [[], [ROWS[10]], [ROWS[11], ROWS[12]]]
        source.close()


@pytest.mark.slow
def test_partitions_that_are_added_to_a_topic_appear(tmp_path: Path) -> None:
    from confluent_kafka.admin import NewTopic

    with ExitStack() as stack:
        broker = KafkaBroker(stack, tmp_path)
        source = broker.open(tmp_path)
        assert len(source.splits()) == 3
        # This server cannot add partitions, but forgets everything when it is started anew.
        broker.server.kill()
        broker.server.start()
        broker.admin.create_topics([NewTopic("readings", 5, 1)])["readings"].result(20)

        def has_five() -> bool:
            # Only who reads is told of anything.
            trouble(source, 0)
            return len(source.splits()) == 5

        until(has_five)
        source.close()


@pytest.mark.slow
def test_retention_of_kafka_that_overtakes_a_job_is_said(tmp_path: Path) -> None:
    needs("confluent_kafka")
    from confluent_kafka import Producer

    # The mock cluster of the client keeps 100,000 messages of a partition, or 5 MB.
    mock = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    (place,) = mock.list_topics(timeout=20).brokers.values()
    address = f"{place.host}:{place.port}"
    producer = Producer({"bootstrap.servers": address, "log_level": 0, "linger.ms": 50})
    producer.produce("readings", message(0), partition=0)
    assert producer.flush(20) == 0
    source = open_source(
        make_trades_job({"type": "kafka", "brokers": [address], "topic": "readings", "format": "json"}), tmp_path
    )
    assert read_split(source, start=source.earliest_offset(0)).next_offset == 1
    for number in range(1, 150_000):
        producer.produce("readings", message(number % 3), partition=0)
        if number % 10_000 == 0:
            producer.flush(20)
    assert producer.flush(60) == 0
    source.close()
    source = open_source(
        make_trades_job({"type": "kafka", "brokers": [address], "topic": "readings", "format": "json"}), tmp_path
    )
    with pytest.raises(SourceError, match="offset 1 of readings/0 is gone: the broker keeps offsets from"):
        source.read(0, 1, 10)
    earliest = source.earliest_offset(0)
    assert earliest > 1
    assert source.read(0, earliest, 10).offsets.tolist() == list(range(earliest, earliest + 10))
    with pytest.raises(SourceError, match="never reached"):
        source.read(0, 200_000, 10)
    source.close()
