"""Kill leaders and hosts of a loaded cluster at random moments, and count what is missing or doubled at the end.

    python scripts/failover_drill.py [--kills 20] [--victim leader|host|both] [--rows 3000000] [--seed 1]

A job replays a generated file on a local cluster of three members and two hosts. At random moments a process is killed
by SIGKILL; the drill waits for the group to recover and kills again until the file is through (it is replayed under a
new job name as often as the kills need). Printed: the time from the kill to the election and to the first rows under
the new leader (median and worst), rows sent again, and the comparison of each anomaly table with one undisturbed run.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from cluster.leader.status import RunnerStatus
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from config.load import parse_job
from config.settings import JobSettings

JOB = """
job: {name}
schema: {{time: TIMESTAMP, sym: SYMBOL, price: DOUBLE, qty: LONG}}
time: time
key: [sym]
metrics:
  - qty < 4
  - sum(qty) > 150000
  - avg(qty) > 40 * qty
  - price > 1.05 * prev(price)
window: {{size: 3s, step: 3s}}
source: {{type: parquet, path: {path}}}
partitions: 4
hosts: 2
group: 2
snapshot_interval_rows: 200000
limits: {{batch_rows_max: 20000}}
"""


def make_trades(path: Path, row_count: int, key_count: int, seed: int) -> None:
    """Write a Parquet file of trades, one row a millisecond."""
    random_numbers = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "time": np.arange(row_count) + 1_538_960_461_000,
            "sym": random_numbers.integers(0, key_count, row_count),
            "price": 100 * np.exp(random_numbers.normal(0, 0.02, row_count)),
            "qty": random_numbers.integers(1, 1000, row_count),
        }
    ).with_columns(pl.format("S{}", pl.col("sym")).alias("sym"))
    frame.write_parquet(path, row_group_size=100_000)


class Drill:
    """One drill on one cluster."""

    def __init__(self, home: Home, path: Path, seed: int) -> None:
        from cluster.client.client import Client

        self._client = Client(home)
        self._path = path
        self._random = random.Random(seed)
        self._elected_s: list[float] = []
        self._resumed_s: list[float] = []
        self._sent_again: list[int] = []

    def job(self, name: str) -> JobSettings:
        """Return the job under a name."""
        return parse_job(JOB.format(name=name, path=self._path), self._path.parent)

    def run(self, name: str, kill_count: int, victim: str) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Run the file once, killing on the way; return the number of kills and the anomaly table."""
        job = self.job(name)
        self._client.submit(job)
        kills = 0
        while not self._is_over(name):
            if kills >= kill_count:
                time.sleep(0.2)
                continue
            self._wait_until_pumping(name)
            time.sleep(self._random.uniform(0.1, 2.0))
            if self._is_over(name):
                break
            self._kill(name, self._random.choice(["leader", "host"]) if victim == "both" else victim)
            kills += 1
        summary = self._client.wait_finished(name, 600)
        if summary.failed is not None:
            raise SystemExit(f"the job failed: {summary.failed}")
        return kills, self._client.anomaly_entries(name)

    def _is_over(self, name: str) -> bool:
        return str(self._client.job(name).status) != "running"

    def _wait_until_pumping(self, name: str) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not self._is_over(name):
            runner = self._client.runner_status(name)
            if runner is not None and runner.first_pumped_us is not None:
                return
            time.sleep(0.02)

    def _kill(self, name: str, victim: str) -> None:
        from cluster.client.chaos import kill_and_measure

        if victim == "host":
            hosts = self._client.hosts(name)
            print(f"  killed {self._client.kill_host(name, self._random.choice(hosts))}", flush=True)
            return
        failover = kill_and_measure(self._client)
        self._elected_s.append(failover.elected_s)
        resumed = self._first_rows(name, failover.epoch)
        if resumed is None or resumed.first_pumped_us is None:
            print(f"  killed {failover.killed}: elected {failover.elected_s:.2f} s, the job was over", flush=True)
            return
        self._resumed_s.append((resumed.first_pumped_us - failover.killed_us) / 1e6)
        self._sent_again.append(resumed.rows_sent_again)
        print(
            f"  killed {failover.killed}: elected {failover.elected_s:.2f} s, rows {self._resumed_s[-1]:.2f} s, "
            f"sent again {self._sent_again[-1]}",
            flush=True,
        )

    def _first_rows(self, name: str, epoch: int) -> RunnerStatus | None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            runner = self._client.runner_status(name)
            if runner is not None and runner.epoch >= epoch and runner.first_pumped_us is not None:
                return runner
            if self._is_over(name):
                return None
            time.sleep(0.02)
        raise SystemExit(f"the job did not resume: {self._client.runner_status(name)}")

    def report(self) -> str:
        """Return the figures."""

        def spread(values: list[float]) -> str:
            return f"median {statistics.median(values):.2f}, worst {max(values):.2f}" if values else "none"

        return (
            f"elected after, s     {spread(self._elected_s)}\nrows again after, s  {spread(self._resumed_s)}\n"
            f"rows sent again      {spread([float(count) for count in self._sent_again])}"
        )


def main() -> int:
    """Run the drill; exit code 1 when anything is missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--victim", choices=("leader", "host", "both"), default="both")
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-drill-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        path = place / "trades.parquet"
        make_trades(path, options.rows, options.keys, options.seed)
        with local_cluster(home, ClusterOptions(has_dashboard=False)):
            return drill(home, path, options)


def drill(home: Home, path: Path, options: argparse.Namespace) -> int:
    """Run jobs until there were enough kills, compare each, and print the report."""
    from actors.source.open import open_source
    from cluster.local.compare import compare, undisturbed_entries

    running = Drill(home, path, options.seed)
    job = running.job("undisturbed")
    expected = undisturbed_entries(
        job, open_source(job, path.parent), {0: options.rows}, lambda: time.time_ns() // 1000
    )
    kills = missing = doubled = different = runs = 0
    while kills < options.kills:
        runs += 1
        count, found = running.run(f"drill-{runs}", options.kills - kills, options.victim)
        kills += count
        result = compare(found, expected)
        missing += result.missing_count
        doubled += result.doubled_count
        different += result.different_count
        print(f"run {runs}: {count} kills, {len(found)} anomalies, equal: {result.is_equal}", flush=True)
    print(running.report())
    print(f"kills {kills}, missing {missing}, doubled {doubled}, different {different}")
    return int(bool(missing or doubled or different))


if __name__ == "__main__":
    sys.exit(main())
