"""The demonstration: watch this machine, kill the leader on the way, and prove that nothing was lost or doubled.

A cluster of three members, four partitions and two hosts watches live metrics of the machine (or another job). Halfway
the leader is killed by SIGKILL. At the end the cluster's anomaly table is compared, byte for byte, with one undisturbed
run in this process over the same journal.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.errors import NoAnswerError
from cluster.leader.status import Phase, RunnerStatus
from cluster.local.cluster import ClusterOptions, local_cluster
from cluster.local.compare import Comparison, compare, undisturbed_entries
from cluster.local.home import Home
from cluster.local.speed import slowness
from config.load import load_job
from config.settings import JobSettings
from raft.group import JobStatus

if TYPE_CHECKING:
    from cluster.client.client import Client

START_TIMEOUT_S = 60.0
"""Seconds that the job has to deliver its first rows, on a machine of usual speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the demonstration found."""

    killed: str
    leader: str
    elected_s: float
    resumed_s: float
    rows_sent_again: int
    row_count: int
    comparison: Comparison

    def text(self) -> str:
        """Return the report for people."""
        result = self.comparison
        return "\n".join(
            [
                f"killed       {self.killed}, by SIGKILL",
                f"new leader   {self.leader}, after {self.elected_s:.2f} s",
                f"rows again   after {self.resumed_s:.2f} s, {self.rows_sent_again} rows sent again",
                f"compared     {self.row_count} rows and {result.expected_count} anomalies with one undisturbed run",
                f"missing      {result.missing_count}",
                f"doubled      {result.doubled_count}",
                f"different    {result.different_count}",
            ]
        )


def run_demo(home: Home, seconds: float, job_file: Path | None, *, is_plain: bool) -> bool:
    """Run the demonstration in a home of its own and return whether the output was exact."""
    job = load_job(job_file or example("machine.yaml"))
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as directory:
        place = Home(Path(directory))
        print("starting Ray, three members and two hosts ...", file=sys.stderr, flush=True)
        with local_cluster(place, ClusterOptions(has_dashboard=False, group_id=job.group or ClusterOptions().group_id)):
            report = _watch_and_kill(place, job, seconds, is_plain=is_plain)
    print(report.text())
    return report.comparison.is_equal


def example(name: str) -> Path:
    """Return the path of a job file that Tocsin ships."""
    return Path(str(resources.files("config") / "examples" / name))


def _watch_and_kill(home: Home, job: JobSettings, seconds: float, *, is_plain: bool) -> Report:
    from cluster.client.chaos import kill_and_measure
    from cluster.client.client import Client
    from cluster.show.view import Viewer, watch

    client = Client(home)
    client.submit(job)
    _wait_for_rows(client, job.name)
    viewer = Viewer(client, job.name)
    watch(client, job.name, seconds / 2, is_plain=is_plain, viewer=viewer)
    failover = kill_and_measure(client)
    viewer.notes.append(f"killed {failover.killed}; {failover.leader} leads after {failover.elected_s:.2f} s")
    watch(client, job.name, seconds / 2, is_plain=is_plain, viewer=viewer)
    runner, resumed_us = _wait_for_runner(client, job.name)
    ends = _stop(client, job.name)
    comparison = compare(client.anomaly_entries(job.name), _expected(home, job, ends))
    return Report(
        killed=failover.killed,
        leader=failover.leader,
        elected_s=failover.elected_s,
        resumed_s=(resumed_us - failover.killed_us) / 1e6,
        rows_sent_again=runner.rows_sent_again,
        row_count=sum(ends.values()),
        comparison=comparison,
    )


def _wait_for_rows(client: "Client", name: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S * slowness()
    while time.monotonic() < deadline:
        stats = client.partition_stats(name)
        if any(stat.row_count for stat in stats):
            return
        time.sleep(0.1)
    raise NoAnswerError(f"job {name!r} had no rows after {START_TIMEOUT_S:.0f} s: {client.runner_status(name)}")


def _wait_for_runner(client: "Client", name: str) -> tuple[RunnerStatus, int]:
    """Return the job's runner, and when it first sent rows."""
    deadline = time.monotonic() + START_TIMEOUT_S * slowness()
    while time.monotonic() < deadline:
        runner = client.runner_status(name)
        if runner is not None and runner.first_pumped_us is not None:
            return runner, runner.first_pumped_us
        time.sleep(0.1)
    raise NoAnswerError(f"job {name!r} did not resume within {START_TIMEOUT_S:.0f} s: {client.runner_status(name)}")


def _stop(client: "Client", name: str) -> dict[int, int]:
    """Stop the job and return how far every partition has come, by split."""
    client.stop(name)
    client.wait(name, lambda job: job.status is not JobStatus.RUNNING, START_TIMEOUT_S * slowness())
    deadline = time.monotonic() + START_TIMEOUT_S * slowness()
    while time.monotonic() < deadline:
        runner = client.runner_status(name)
        stats = client.partition_stats(name)
        ends = {tuple(sorted(stat.committed.items())) for stat in stats}
        if len(ends) == 1 and runner is not None and runner.phase is Phase.STOPPED:
            return dict(ends.pop())
        time.sleep(0.1)
    raise NoAnswerError(f"the partitions of {name!r} did not come to rest: {client.runner_status(name)}")


def _expected(home: Home, job: JobSettings, ends: dict[int, int]) -> Any:
    from actors.source.open import open_source

    source = open_source(job, home.streams_directory)
    try:
        return undisturbed_entries(job, source, ends, lambda: time.time_ns() // 1000)
    finally:
        source.close()
