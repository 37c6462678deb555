"""How long after a row a notification leaves: a row is pushed by HTTP, a webhook is received, with a cluster between.

    PYTHONPATH=. python scripts/bench_latency.py [--rows 300] [--pause 0.05] [--background 200] [--ways key split]

A local cluster of three nodes runs a job whose source listens for HTTP, and whose sink is a webhook of this process.
Each *row* breaks a limit and is a push of its own; what is measured is the time from before the push to the arrival of
the webhook's request, with the journal, the partition's flush and the delivery between them. Meanwhile `--background`
rows a second come that break none. Printed are the median, p95, p99 and the greatest, and the share of p99 in a second,
for jobs whose rows are routed (`key`) and for those whose hosts read by themselves (`split`). It fails above a second.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import urllib3

from cluster.client.client import Client
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from config.load import make_job
from tests.support.brokers import free_port
from tests.support.receiver import Receiver, receiving

P99_S_MAX = 1.0

WARM_UP_COUNT = 20


def job_of(way: str, port: int, hook: str) -> Any:
    """Return a job that tells of each row above a limit."""
    return make_job(
        {
            "job": f"latency-{way}-{port}",
            "schema": {"time": "TIMESTAMP", "host": "SYMBOL", "number": "LONG", "load": "DOUBLE"},
            "time": "time",
            "key": ["host"],
            "metrics": [{"when": "load > 90 and number >= 0", "summary": "{number}"}],
            "source": {"type": "http", "listen": f"127.0.0.1:{port}", "format": "json"},
            "sinks": [{"type": "webhook", "url": hook, "only": "anomalies"}],
            "partitions": 4 if way == "key" else 1,
            "partition_by": way,
            "group": 2,
        }
    )


def push(pool: urllib3.PoolManager, port: int, rows: list[dict[str, Any]]) -> None:
    """Push rows, and return when they are durable."""
    body = "\n".join(map(json.dumps, rows)).encode()
    while (status := pool.request("POST", f"http://127.0.0.1:{port}/", body=body).status) == 429:
        time.sleep(0.05)
    assert status == 204, status


def row(number: int, load: float) -> dict[str, Any]:
    """Return a row of now."""
    return {"time": time.time_ns() // 1_000_000, "host": f"h{number % 50}", "number": number, "load": load}


def arrivals(receiver: Receiver, seen: dict[int, float], ended: threading.Event) -> None:
    """Note when each number has come, until the end."""
    place = 0
    while not ended.is_set():
        while place < len(receiver.posted):
            now_s = time.perf_counter()
            for one in numbers_in(receiver.posted[place].data):
                seen.setdefault(one, now_s)
            place += 1
        time.sleep(0.001)


def numbers_in(data: Any) -> list[int]:
    """Return the numbers that a request tells of."""
    if isinstance(data, dict):
        own = [int(data["summary"])] if str(data.get("summary", "")).isdigit() else []
        return own + [one for inner in data.values() for one in numbers_in(inner)]
    return [one for inner in data for one in numbers_in(inner)] if isinstance(data, list) else []


def measure(home: Home, way: str, options: argparse.Namespace) -> list[float]:
    """Return the seconds that each row took."""
    port, client, pool = free_port(), Client(home), urllib3.PoolManager(retries=False)
    seen: dict[int, float] = {}
    sent: dict[int, float] = {}
    ended = threading.Event()
    with receiving() as receiver:
        job = job_of(way, port, receiver.url)
        client.submit(job)
        threading.Thread(target=arrivals, args=(receiver, seen, ended), daemon=True).start()
        for _ in range(600):
            try:
                push(pool, port, [row(0, 1.0)])
                break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.1)

        def fill() -> None:
            own, number = urllib3.PoolManager(retries=False), 0
            while not ended.wait(0.1) and options.background:
                count = max(1, options.background // 10)
                push(own, port, [row(number + at, 1.0) for at in range(count)])
                number += count

        threading.Thread(target=fill, daemon=True).start()
        for number in range(1, options.rows + WARM_UP_COUNT + 1):
            if number == WARM_UP_COUNT + 1:
                # The job has begun when the first of all has come; how long that takes is not asked for.
                while len(seen) < WARM_UP_COUNT:
                    time.sleep(0.05)
            sent[number] = time.perf_counter()
            push(pool, port, [row(number, 99.0)])
            time.sleep(options.pause)
        due_s = time.perf_counter() + 60
        while len(seen) < len(sent) and time.perf_counter() < due_s:
            time.sleep(0.05)
        ended.set()
        client.stop(job.name)
    missing = sorted(sent.keys() - seen.keys())
    assert not missing, f"no webhook has come of {len(missing)} rows, the first is {missing[0]}"
    return sorted(seen[number] - sent[number] for number in sent if number > WARM_UP_COUNT)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Seconds from a row that is pushed to its webhook.")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two rows (default: 0.05)")
    parser.add_argument("--background", type=int, default=200, help="rows a second that break no limit (default: 200)")
    parser.add_argument("--ways", nargs="+", choices=["key", "split"], default=["key", "split"])
    options = parser.parse_args()
    is_late = False
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        home = Home(Path(directory) / "home")
        prepare_environment(home)
        with local_cluster(home, ClusterOptions(has_dashboard=False)):
            for way in options.ways:
                found = measure(home, way, options)
                p50, p95, p99 = (found[min(len(found) - 1, int(len(found) * part))] for part in (0.5, 0.95, 0.99))
                print(
                    f"{way}: median {p50:.3f} s, p95 {p95:.3f} s, p99 {p99:.3f} s, greatest {found[-1]:.3f} s; "
                    f"p99 is {p99 / P99_S_MAX:.2f} of a second",
                    flush=True,
                )
                is_late = is_late or p99 > P99_S_MAX
    print(f"load of the machine: {os.getloadavg()[0]:.1f} over the last minute")
    return 1 if is_late else 0


if __name__ == "__main__":
    sys.exit(main())
