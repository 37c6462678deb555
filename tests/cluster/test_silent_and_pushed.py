"""What others push, and silence, on a real cluster: nothing acknowledged is lost or doubled, whoever is killed."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from actors.errors import TocsinError
from actors.partition.anomalies import AnomalyFilter
from actors.source.open import open_source
from cluster.client.client import Client
from cluster.local.embedded import EmbeddedJob
from cluster.local.home import Home
from cluster.local.speed import slowness
from config.load import make_job
from tests.cluster.test_hung import sampler_pids
from tests.support.brokers import free_port

Eventually = Callable[..., Any]

BATCH_COUNT, BATCH_ROW_COUNT = 150, 20


class Sender(threading.Thread):
    """Pushes batches, each under a key and again until it is acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/"
        self.sent_count = 0

    def run(self) -> None:
        """Push everything."""
        pool = urllib3.PoolManager(retries=False, timeout=5)
        for batch in range(BATCH_COUNT):
            numbers = range(batch * BATCH_ROW_COUNT, (batch + 1) * BATCH_ROW_COUNT)
            rows = [{"time": 1767225600000 + one, "host": f"h{one % 7}", "number": one} for one in numbers]
            body = "\n".join(map(json.dumps, rows)).encode()
            while not self._push(pool, batch, body):
                time.sleep(0.1)
            self.sent_count += 1

    def _push(self, pool: urllib3.PoolManager, batch: int, body: bytes) -> bool:
        try:
            found = pool.request("POST", self._url, body=body, headers={"Idempotency-Key": f"batch-{batch}"})
        except urllib3.exceptions.HTTPError:
            return False
        assert found.status in (204, 429, 503), found.status
        return found.status == 204


def kill_feed(client: Client, home: Home, name: str) -> None:
    for pid in sampler_pids(client, home):
        os.kill(pid, signal.SIGKILL)


FAULTS: dict[str, Callable[[Client, Home, str], object]] = {
    "leader": lambda client, home, name: client.kill_leader(),
    "host": lambda client, home, name: client.kill_host(name),
    "feed": kill_feed,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["key", "split"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_acknowledged_is_there_once(
    client: Client, home: Home, eventually: Eventually, way: str, fault: str
) -> None:
    name, port = f"pushed-{way}-{fault}", free_port()
    job = make_job(
        {
            "job": name,
            "schema": {"time": "TIMESTAMP", "host": "SYMBOL", "number": "LONG"},
            "time": "time",
            "key": ["host"],
            "metrics": ["number >= 0"],
            "source": {"type": "http", "listen": f"127.0.0.1:{port}", "format": "json"},
            "partitions": 1 if way == "split" else 3,
            "partition_by": way,
            "group": 2,
        }
    )
    client.submit(job)
    sender = Sender(port)
    sender.start()

    def count() -> int:
        try:
            return sum(stat.anomaly_count for stat in client.partition_stats(name))
        except TocsinError:
            # A host is started, perhaps again.
            return 0

    eventually(lambda: sender.sent_count > 10 and count(), 60)
    FAULTS[fault](client, home, name)
    sender.join(120 * slowness())
    assert not sender.is_alive(), f"{sender.sent_count} of {BATCH_COUNT} were acknowledged"
    wanted = BATCH_COUNT * BATCH_ROW_COUNT
    eventually(lambda: count() >= wanted, 60)
    client.stop(name)
    eventually(lambda: client.job(name).status == "stopped")
    assert len(client.anomaly_entries(name)) == wanted
    client.remove(name)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["leader", "host"])
def test_silence_is_found_once_and_a_replay_of_the_notes_finds_the_same(
    client: Client, home: Home, eventually: Eventually, tmp_path: Path, fault: str
) -> None:
    name, path = f"silent-{fault}", tmp_path / "levels.ndjson"
    lines = [{"time": 1767225600000 + 500 * one, "tank": f"T{one % 5}", "level": one % 9} for one in range(200)]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    job = make_job(
        {
            "job": name,
            "schema": {"time": "TIMESTAMP", "tank": "SYMBOL", "level": "LONG"},
            "time": "time",
            "key": ["tank"],
            "metrics": ["sum(level) > 10"],
            "window": {"size": "10s", "step": "10s"},
            "engine": {"ticks_close_windows": True},
            "source": {"path": str(path), "follow": True},
            "ticks": "1s",
            "absent": "12s",
            "idle_after": "1s",
            "partitions": 3,
            "group": 2,
        }
    )
    notes = home.partitions_directory(name) / "source.time-marks"
    client.submit(job)
    eventually(lambda: notes.exists() and notes.read_bytes().count(b"\n") > 2, 60)
    FAULTS[fault](client, home, name)

    def absent() -> set[Any]:
        return {one.key for one in client.anomalies(name, AnomalyFilter(), 1000) if one.metric == "absent for 12s"}

    eventually(lambda: len(absent()) == 5, 120)
    client.stop(name)
    eventually(lambda: client.job(name).status == "stopped")
    found = client.anomaly_entries(name)
    places = tmp_path / "alone"
    places.mkdir()
    shutil.copy(notes, places)
    source = open_source(job, tmp_path, positions=places)
    running = EmbeddedJob(job, source, places, lambda: time.time_ns() // 1000)
    running.run()
    assert running.anomaly_entries() == sorted(found)
    running.close()
    client.remove(name)
