"""Push of rows by HTTP: rows a second that are on disk, in batches of a thousand, by some senders at the same time.

A server as `tocsin run` has it listens in a process of its own; senders are threads of this one. Each answer means that
its batch is durable. Beside it stands the same with batches of one sender alone, which shows what one transaction
costs, and what a loop that only appends the same batches to a stream table has.
"""

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import urllib3

from actors.source.open import open_stream_table
from actors.source.push.feeds import open_feed
from actors.source.push.http import HttpFeed
from actors.source.push.journal import Arrival, PushJournal
from actors.stream.table import StreamLimits
from cluster.surroundings import feed_places_here
from config.load import make_job
from config.settings import JobSettings

FORMATS: dict[str, Callable[[int], str]] = {
    "json": lambda n: json.dumps({"time": 1767225600000 + n, "host": f"h{n % 50}", "load": n % 97 / 7, "n": n}),
    "csv": lambda n: f"{1767225600000 + n},h{n % 50},{n % 97 / 7},{n}",
    "influx": lambda n: f"m,host=h{n % 50} load={n % 97 / 7},n={n}i {1767225600000000000 + n}",
}


def job_of(name: str, size_bytes_max: int) -> JobSettings:
    """Return a job whose journal keeps everything."""
    form = {"type": "csv", "header": False} if name == "csv" else name
    schema = {"time": "TIMESTAMP", "host": "SYMBOL", "load": "DOUBLE", "n": "LONG"}
    return make_job(
        {
            "job": "push",
            "schema": schema,
            "time": "time",
            "key": ["host"],
            "metrics": ["load > 13"],
            "source": {"type": "http", "listen": "127.0.0.1:0", "format": form},
            "limits": {"stream_bytes_max": size_bytes_max},
        }
    )


def serve(name: str, folder: str, pipe: Connection) -> None:
    """Listen until the other end says something."""
    job = job_of(name, 1 << 40)
    with open_stream_table(job, Path(folder)) as table:
        feed = open_feed(job, table, feed_places_here())
        assert isinstance(feed, HttpFeed)
        before_s = time.process_time()
        pipe.send(feed.port)
        pipe.recv()
        pipe.send((table.bounds(0).next_offset, time.process_time() - before_s))
        feed.close()


def measure(name: str, bodies: Sequence[bytes], row_count: int, sender_count: int) -> tuple[float, float]:
    """Return rows a second, and the CPU seconds of the server for a million rows."""
    near, far = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory(prefix="push-") as folder:
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(name, folder, far))
        process.start()
        url = f"http://127.0.0.1:{near.recv()}/"
        todo, lock = list(bodies), threading.Lock()

        def send() -> None:
            pool = urllib3.PoolManager(retries=False)
            while True:
                with lock:
                    if not todo:
                        return
                    body = todo.pop()
                while (status := pool.request("POST", url, body=body).status) == 429:
                    time.sleep(0.05)
                assert status == 204, status

        threads = [threading.Thread(target=send) for _ in range(sender_count)]
        started_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.perf_counter() - started_s
        near.send("end")
        count, cpu_s = near.recv()
        process.join()
    assert count == row_count, (count, row_count)
    return row_count / took_s, cpu_s / row_count * 1e6


def append_alone(bodies: Sequence[bytes], row_count: int) -> float:
    """Return rows a second of a loop that writes the same batches to a journal, one after the other."""
    job = job_of("json", 1 << 40)
    with tempfile.TemporaryDirectory(prefix="push-") as folder, open_stream_table(job, Path(folder)) as table:
        journal = PushJournal(table, StreamLimits(), 10)
        batches = [body.splitlines() for body in bodies]
        started_s = time.perf_counter()
        for records in batches:
            journal.append([Arrival(records=records, place="/", received_us=0)])
        return row_count / (time.perf_counter() - started_s)


def main() -> None:
    """Measure each format in turn, several times, and print medians."""
    parser = argparse.ArgumentParser(description="Rows a second that are pushed by HTTP and durable.")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS))
    options = parser.parse_args()
    for name in options.formats:
        lines = [FORMATS[name](number) for number in range(options.rows)]
        bodies = [
            "\n".join(lines[start : start + options.batch]).encode() for start in range(0, len(lines), options.batch)
        ]
        many, one, alone = [], [], []
        for _ in range(options.turns):
            many.append(measure(name, bodies, len(lines), options.senders))
            one.append(measure(name, bodies, len(lines), 1))
            alone.append(append_alone(bodies, len(lines)))
        middle = options.turns // 2
        rate, cpu = sorted(many)[middle]
        print(
            f"{name}: {rate:,.0f} rows/s by {options.senders} senders ({cpu:.2f} s of CPU a million), "
            f"{sorted(one)[middle][0]:,.0f} by one, {sorted(alone)[middle]:,.0f} appended alone "
            f"(x{rate / sorted(alone)[middle]:.2f})"
        )


if __name__ == "__main__":
    main()
