"""A job whose rows come while it runs: some at a time and fewer and fewer, so that some are left until a test is done.

So what happens to a machine happens on the way, however fast or slow everything is.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl

from cluster.local.speed import slowness
from tests.support.company import Left, left_behind, said, submit
from tests.support.namespaces import Machine

PERIOD_S = 0.25
"""Seconds between two times that rows come."""

SHARE = 200
"""Of this many rows that are left, one comes at a time."""

_REST = """
import sys, time
from pathlib import Path
from cluster.client.client import Client
from cluster.errors import ClusterError
from cluster.local.home import Home
client = Client(Home(Path(sys.argv[1])))
name, count = sys.argv[2], int(sys.argv[3])

def wait(ask, is_reached):
    while True:
        try:
            found = ask(name)
        except ClusterError:
            found = None
        if found is not None and is_reached(found):
            return
        time.sleep(0.2)

# What was read may wait for a machine that is dead, and a job that has been stopped does not move from there.
wait(client.partition_stats, lambda found: len(found) == 4 and all(one.received.get(0, 0) >= count for one in found))
client.stop(name)
wait(client.runner_status, lambda found: found.phase == "stopped")
"""


class FedJob:
    """One job, which keeps everything."""

    def __init__(self, submitter: Machine, name: str, trades: Path, hosts: int) -> None:
        self._name = name
        self._lines = _lines(trades)
        self._count = len(self._lines)
        path = submitter.directory.parent / "inputs" / f"{name}.ndjson"
        path.parent.mkdir(exist_ok=True)
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  # closed with the last row
        self._finishing = threading.Event()
        self._feed(self._count // 3)
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()
        submit(submitter, name, f"{{type: ndjson, follow: true, path: {path}}}", hosts=hosts, keeps=True)

    def left_behind(self, machine: Machine) -> Left:
        """Let the rest come, have the job stop when it has all, and return what it leaves behind."""
        self.finish()
        words = (sys.executable, "-c", _REST, str(machine.directory / "home"), self._name, str(self._count))
        ended = subprocess.run(machine.command(*words), capture_output=True, text=True, timeout=600 * slowness())
        assert ended.returncode == 0, (ended.stderr, said(machine, "status", self._name))
        return left_behind(machine, self._name)

    def finish(self) -> None:
        """Let the rest come."""
        self._finishing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._finishing.wait(PERIOD_S):
            self._feed(-(-len(self._lines) // SHARE))
        self._feed(len(self._lines))
        self._file.close()

    def _feed(self, count: int) -> None:
        self._file.write(b"".join(self._lines[:count]))
        del self._lines[:count]


def _lines(trades: Path) -> list[bytes]:
    frame = pl.read_parquet(trades)
    return [json.dumps(row).encode() + b"\n" for row in frame.iter_rows(named=True)]
