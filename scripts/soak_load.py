"""Soak a cluster on a machine that is far too busy, and count the elections that nobody's death has caused.

    .venv/bin/python scripts/soak_load.py                              # load 20 for 30 minutes
    .venv/bin/python scripts/soak_load.py --minutes 5 --nice 5

A job replays a generated file, under a new name whenever it is through, on a local cluster of three members and two
hosts. Beside it `--load` processes keep the cores busy, of which `--writers` write to the disk and wait for it. Once a
second all nodes are asked how they are. Said at once, with the time: a new term (an election), a new epoch (another
leader, or another leader's process), a new generation of Ray's head, a failure of the job. At the end the longest
silence of a follower, and of a leader's process, says how near it was. Exit code 1: there was a new term or epoch.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from failover_drill import make_trades, trades_job

from cluster.errors import ClusterError
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home

BUSY = "while True: pass"

WRITE = """
import os, sys
with open(sys.argv[1], "wb", 0) as file:
    while True:
        file.write(bytes(1 << 16))
        os.fsync(file.fileno())
        if file.tell() > 16 << 20:
            file.seek(0)
"""


@contextlib.contextmanager
def load(directory: Path, count: int, writer_count: int, nice: int) -> Iterator[None]:
    """Keep so many processes busy."""
    commands = [["-c", WRITE, str(directory / f"written-{number}")] for number in range(writer_count)]
    commands += [["-c", BUSY]] * (count - writer_count)
    processes = [subprocess.Popen(["nice", "-n", str(nice), sys.executable, *command]) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Watched:
    """What has been seen."""

    started_s: float = field(default_factory=time.monotonic)
    numbers: dict[str, int] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    silence_s: dict[str, float] = field(default_factory=dict)
    unanswered: int = 0

    def note(self, what: str, number: int) -> None:
        """Take a number that is to stay as it is, and say when it does not."""
        known = self.numbers.setdefault(what, number)
        if number > known:
            self.changes[what] = self.changes.get(what, 0) + number - known
            self.numbers[what] = number
            at_s, average = time.monotonic() - self.started_s, os.getloadavg()[0]
            print(f"{at_s:7.1f} s  load {average:5.1f}  {what} {known} -> {number}", flush=True)

    def note_silence(self, whose: str, silence_s: float) -> None:
        """Keep the longest silence."""
        self.silence_s[whose] = max(silence_s, self.silence_s.get(whose, 0.0))


class Soak:
    """One cluster with a job that runs all the time."""

    def __init__(self, home: Home, path: Path) -> None:
        from cluster.client.client import Client

        self._client, self._path = Client(home), path
        self._runs = 0
        self._row_count = 0
        self.watched = Watched()

    def look(self) -> None:
        """Ask all nodes how they are, and start the job again when it is over."""
        watched = self.watched
        for _, status in self._client.statuses():
            if status is None:
                watched.unanswered += 1
                continue
            watched.note("term", status.member.term)
            watched.note("epoch", status.member.epoch)
            watched.note("generation of Ray's head", status.ray.generation)
            for silence_s in status.member.silence_s.values():
                watched.note_silence("follower", silence_s)
            if status.child.address:
                watched.note_silence("leader's process", status.child.silence_s)
        with contextlib.suppress(ClusterError):
            self._keep_job()

    def _keep_job(self) -> None:
        if not self._runs or str(self._client.job(f"soak-{self._runs}").status) != "running":
            self._runs += 1
            name = f"soak-{self._runs}"
            self._client.submit(trades_job(name, self._path))
        runner = self._client.runner_status(f"soak-{self._runs}")
        if runner is not None:
            self.watched.note(f"failures of soak-{self._runs}", runner.failure_count)
            if runner.pump is not None:
                self._row_count = runner.pump.row_count

    def report(self) -> str:
        """Return what was seen."""
        watched = self.watched
        changes = ", ".join(f"{what} {count}" for what, count in watched.changes.items()) or "none"
        silences = ", ".join(f"{whose} {silence_s:.2f} s" for whose, silence_s in watched.silence_s.items())
        return (
            f"{(time.monotonic() - watched.started_s) / 60:.1f} minutes, load {os.getloadavg()[0]:.1f} at the end, "
            f"{self._runs} runs of the job, {self._row_count:,} rows in the last\n"
            f"changes: {changes}\nlongest silence: {silences}\nlooks at a node without an answer: {watched.unanswered}"
        )


def main() -> int:
    """Soak; exit code 1 when there was an election, or another epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=int, default=20, help="processes that are busy")
    parser.add_argument("--writers", type=int, default=2, help="how many of them write to the disk")
    parser.add_argument("--nice", type=int, default=0, help="how much the others come before them; 0 is the hardest")
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows of the file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-soak-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        make_trades(place / "trades.parquet", options.rows, 1000, 1)
        with local_cluster(home, ClusterOptions()):
            soak = Soak(home, place / "trades.parquet")
            with load(place, options.load, options.writers, options.nice):
                while time.monotonic() - soak.watched.started_s < options.minutes * 60:
                    soak.look()
                    time.sleep(1.0)
                print(soak.report())
        return int(bool({"term", "epoch"} & soak.watched.changes.keys()))


if __name__ == "__main__":
    sys.exit(main())
