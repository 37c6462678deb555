"""Rows a second of a whole job beside each broker: read, decoded, tested by three metrics, and durable.

    PYTHONPATH=. python scripts/bench_brokers.py [--rows 300000] [--rounds 3] [--brokers kafka nats redis mqtt]

The real server of each broker runs beside the job (for Kafka librdkafka's mock cluster, in a process of its own) and
has all messages before the job begins, as JSON; for MQTT they wait in the job's session. The job is one of
`tocsin run`, in this process, with four partitions on disk. Rates are medians of the rounds, from the first read to
everything durable. Beside them stand the CPU time of a million rows in this process, and the ratio to a million rows a
minute.
Needs the extras, and the servers that tests use.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from actors.source.push.mqtt import import_client
from cluster.local.embedded import open_job
from config.load import make_job
from config.settings import JobSettings
from tests.support.brokers import nats_command, redis_command, running
from tests.support.mosquitto import mosquitto_command

MILLION_A_MINUTE = 1_000_000 / 60

SPLIT_COUNT = 4

IN_FLIGHT_MAX = 500

JOB: dict[str, Any] = {
    "job": "bench",
    "schema": {"time": "TIMESTAMP", "sym": "SYMBOL", "price": "DOUBLE", "qty": "LONG"},
    "time": "time",
    "key": ["sym"],
    "metrics": ["qty < 2", "avg(qty) > 600", "price > 1.5 * prev(price)"],
    "window": {"size": "3s", "step": "3s"},
    "partitions": 4,
}


def message(number: int) -> bytes:
    """Return a row as JSON."""
    row = {"time": 1767225600000 + number, "sym": f"S{number % 500}", "price": number % 97 / 7, "qty": number % 1000}
    return json.dumps(row).encode()


Filled = tuple[JobSettings, Callable[[Path], None]]
"""A job, and what gives its broker all messages, given the directory of the job."""


def serve_kafka(pipe: Connection, count: int) -> None:
    """Run a broker with so many messages until someone ends it."""
    from confluent_kafka import Producer

    broker = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    (place,) = broker.list_topics(timeout=10).brokers.values()
    address = f"{place.host}:{place.port}"
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "log_level": 0})
    for number in range(count):
        producer.produce("rows", message(number), partition=number % SPLIT_COUNT)
        if number % 5000 == 0:
            producer.poll(0)
    producer.flush()
    pipe.send(address)
    pipe.recv()


@contextmanager
def kafka(directory: Path, count: int) -> Iterator[Filled]:
    """Run Kafka's mock cluster."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_kafka, args=(theirs, count), daemon=True)
    process.start()
    source = {"type": "kafka", "brokers": [mine.recv()], "topic": "rows", "format": "json"}
    yield make_job(JOB | {"source": source}), lambda _: None
    mine.send(None)
    process.join()


@contextmanager
def nats(directory: Path, count: int) -> Iterator[Filled]:
    """Run a server of NATS."""
    with running(nats_command(directory)) as server:
        url = f"nats://127.0.0.1:{server.port}"

        async def fill() -> None:
            import nats as client

            connection = await client.connect(url)
            stream = connection.jetstream()
            await stream.add_stream(name="rows", subjects=["rows"])
            for start in range(0, count, 500):
                sent = [stream.publish("rows", message(one)) for one in range(start, min(count, start + 500))]
                await asyncio.gather(*sent)
            await connection.close()

        source = {"type": "nats", "servers": [url], "stream": "rows", "format": "json"}
        yield make_job(JOB | {"source": source}), lambda _: asyncio.run(fill())


@contextmanager
def redis(directory: Path, count: int) -> Iterator[Filled]:
    """Run a server of Redis."""
    with running(redis_command(directory, "--appendfsync", "everysec")) as server:
        url = f"redis://127.0.0.1:{server.port}/0"

        def fill(_: Path) -> None:
            import redis as client

            with client.Redis.from_url(url) as connection:
                for start in range(0, count, 1000):
                    pipe = connection.pipeline(transaction=False)
                    for number in range(start, min(count, start + 1000)):
                        pipe.xadd("rows", {"data": message(number)})
                    pipe.execute()

        source = {"type": "redis", "url": url, "streams": ["rows"], "format": "json"}
        yield make_job(JOB | {"source": source}), fill


@contextmanager
def mqtt(directory: Path, count: int) -> Iterator[Filled]:
    """Run a broker of MQTT, whose sessions have room for everything."""
    lines = ["allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0"]
    base = mosquitto_command(directory, *lines)

    def command(port: int) -> Sequence[str]:
        given = base(port)
        path = directory / "mosquitto.conf"
        # Saving everything at each message is for tests that kill it.
        kept = [line for line in path.read_text().splitlines() if not line.startswith("autosave")]
        path.write_text("\n".join(kept) + "\n")
        return given

    with running(command) as server:
        source = {"type": "mqtt", "url": f"mqtt://127.0.0.1:{server.port}", "topics": ["rows"], "format": "json"}
        job = make_job(JOB | {"source": source})

        def fill(home: Path) -> None:
            # The session begins when the job runs first.
            with open_job(job, home, now_us) as first:
                first.run()
                time.sleep(1)
                first.run()
            paho = import_client()
            client = paho.Client(paho.CallbackAPIVersion.VERSION2)
            client.max_inflight_messages_set(IN_FLIGHT_MAX)
            room = threading.Semaphore(IN_FLIGHT_MAX)
            client.on_publish = lambda *_: room.release()
            client.connect("127.0.0.1", server.port)
            client.loop_start()
            for number in range(count):
                room.acquire()
                client.publish("rows", message(number), qos=1)
            for _ in range(IN_FLIGHT_MAX):
                room.acquire()
            client.disconnect()
            client.loop_stop()

        yield job, fill


BROKERS = {"kafka": kafka, "nats": nats, "redis": redis, "mqtt": mqtt}


def now_us() -> int:
    """Return the time."""
    return time.time_ns() // 1000


def measure(name: str, count: int) -> tuple[float, float]:
    """Return rows a second, and the CPU seconds of a million rows."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        place = Path(folder) / "broker"
        place.mkdir()
        with BROKERS[name](place, count) as (job, fill):
            home = Path(folder) / "job"
            fill(home)
            started_s, before_s = time.perf_counter(), time.process_time()
            with open_job(job, home, now_us) as running_job:
                running_job.run()
                while running_job.stat().row_count < count:
                    time.sleep(job.flush.period_ms / 1000)
                    running_job.run()
                assert running_job.stat().row_count == count, running_job.stat()
                took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - before_s
    return count / took_s, cpu_s / count * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Rows a second of a whole job beside each broker.")
    parser.add_argument("--rows", type=int, default=300_000, help="at most 400,000 of Kafka (default: 300,000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--brokers", nargs="+", choices=list(BROKERS), default=list(BROKERS))
    options = parser.parse_args()
    for name in options.brokers:
        runs = [measure(name, options.rows) for _ in range(options.rounds)]
        rate, cpu_s = (statistics.median(one[at] for one in runs) for at in (0, 1))
        print(
            f"{name:6} {rate:10,.0f} rows/s  {cpu_s:5.2f} s of CPU a million  "
            f"x{rate / MILLION_A_MINUTE:.1f} of a million a minute",
            flush=True,
        )


if __name__ == "__main__":
    main()
