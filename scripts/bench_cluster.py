"""End-to-end throughput: Parquet files through a local cluster, beside the same partitions without Ray and Raft.

    python scripts/bench_cluster.py [--rows 4000000] [--keys 1000] [--rounds 3] [--events] [--ways routed,split]

*routed* is one file whose rows the leader routes by key; *split* has the same rows in four files, each with a quarter
of the keys, which hosts read themselves (`partition_by: split`). All run the metrics of *trades-3* (two row metrics, a
window, one mixed) over four partitions and keep every anomaly; `--events` stores every row as an event too. One process
and the cluster alternate; printed are medians of rows per second of wall-clock time from the first row sent to
everything durable, and their ratio. The cluster has three Raft members and two hosts, and replicates snapshots every
1,000,000 rows. On a busy machine look at the CPU time of a row: two cores can do no better than two divided by it.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from failover_drill import make_trades
from process_watch import PERIOD_S, ProcessWatch

from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from config.load import parse_job
from config.settings import JobSettings

JOB = """
job: {name}
schema: {{time: TIMESTAMP, {file}sym: SYMBOL, price: DOUBLE, qty: LONG}}
time: time
key: [{key}]
metrics:
  - qty < 4
  - sum(qty) > 150000
  - avg(qty) > 40 * qty
  - price > 1.05 * prev(price)
window: {{size: 3s, step: 3s}}
source: {{type: parquet, path: {path}}}
events: {{store: {events}, anomalies: false}}
partitions: 4
partition_by: {partition_by}
hosts: 2
group: 2
snapshot_interval_rows: 1000000
"""


WAYS = {
    "routed": {"path": "trades.parquet", "file": "", "key": "sym", "partition_by": "key"},
    "split": {"path": "apart/*.parquet", "file": "file: SYMBOL, ", "key": "file, sym", "partition_by": "split"},
}
"""How rows come to the partitions, and what the job says of it."""

SPLIT_COUNT = 4


def make_files(place: Path, row_count: int, key_count: int) -> None:
    """Write the rows, as one file and as one for each split."""
    whole = place / "trades.parquet"
    make_trades(whole, row_count, key_count, 1)
    frame = pl.read_parquet(whole)
    (place / "apart").mkdir()
    for number in range(SPLIT_COUNT):
        part = frame.filter(pl.col("sym").hash(seed=1) % SPLIT_COUNT == number)
        part.write_parquet(place / "apart" / f"part-{number}.parquet", row_group_size=100_000)


def make_job(name: str, way: str, place: Path, events: bool) -> JobSettings:
    """Return the job under a name."""
    return parse_job(JOB.format(name=name, events=str(events).lower(), **WAYS[way]), place)


def run_embedded(job: JobSettings, directory: Path) -> float:
    """Return the seconds that one process takes."""
    from actors.source.open import open_source
    from cluster.local.embedded import embedded_job

    source = open_source(job, directory)
    with embedded_job(job, source, directory, lambda: time.time_ns() // 1000) as running:
        started = time.perf_counter()
        running.run()
        return time.perf_counter() - started


def run_cluster(home: Home, job: JobSettings, row_count: int) -> tuple[float, dict[str, float]]:
    """Return the seconds that the cluster takes, from opening the source to the end of the last flush.

    With it comes the CPU time of a row in each kind of process, in microseconds.
    """
    from cluster.client.client import Client

    client = Client(home)
    with ProcessWatch(home) as watch:
        client.submit(job)
        summary = client.wait_finished(job.name, 600)
        time.sleep(2 * PERIOD_S)
    if summary.failed is not None:
        raise SystemExit(f"the job failed: {summary.failed}")
    runner = client.runner_status(job.name)
    assert runner is not None, "the leader has just finished the job"
    assert runner.opened_us is not None, "its partitions were open"
    assert summary.finished_us is not None, "it has just been finished"
    spent = watch.cpu_s(runner.opened_us, summary.finished_us)
    cpu_us = {name: each / row_count * 1e6 for name, each in spent.most_common() if each / row_count > 2e-9}
    return (summary.finished_us - runner.opened_us) / 1e6, cpu_us


def say_cpu(cpu_us: dict[str, float]) -> str:
    """Return the CPU time of a row as text."""
    each = ", ".join(f"{name} {spent:.2f}" for name, spent in cpu_us.items())
    return f"CPU {sum(cpu_us.values()):.2f} us a row: {each}"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", action="store_true")
    parser.add_argument("--ways", default="routed,split", help="routed, split, or both")
    parser.add_argument("--cluster-only", action="store_true", help="do without the runs in one process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        make_files(place, options.rows, options.keys)
        ways = options.ways.split(",")
        alone: dict[str, list[float]] = {way: [] for way in ways}
        together: dict[str, list[float]] = {way: [] for way in ways}
        with local_cluster(home, ClusterOptions(has_dashboard=False)):
            for number in range(options.rounds):
                for way in ways:
                    job = make_job(f"{way}-{number}", way, place, options.events)
                    if not options.cluster_only:
                        alone[way].append(options.rows / run_embedded(job, place / f"alone-{job.name}"))
                        print(f"{job.name}: one process {alone[way][-1]:,.0f} rows/s")
                    seconds, cpu_us = run_cluster(home, job, options.rows)
                    together[way].append(options.rows / seconds)
                    print(f"{job.name}: cluster {together[way][-1]:,.0f} rows/s, {say_cpu(cpu_us)}", flush=True)
        for way in ways:
            second = statistics.median(together[way])
            first = statistics.median(alone[way] or [math.nan])
            print(f"{way}: one process {first:,.0f}, cluster {second:,.0f} rows/s, ratio {second / first:.2f}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} over the last minute")
    return 0


if __name__ == "__main__":
    sys.exit(main())
