"""End-to-end throughput: a Parquet file through a local cluster, beside the same partitions without Ray and Raft.

    python scripts/bench_cluster.py [--rows 4000000] [--keys 1000] [--rounds 3] [--events]

Both sides run the metrics of *trades-3* (two row metrics, one window, one mixed) over four partitions and keep every
anomaly; `--events` stores every row as an event too. The sides alternate; printed are medians of rows per second of
wall-clock time from the first row sent to everything durable, and their ratio. The cluster has three Raft members and
two hosts, and replicates snapshots every 1,000,000 rows.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from failover_drill import make_trades

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
events: {{store: {events}, anomalies: false}}
partitions: 4
hosts: 2
group: 2
snapshot_interval_rows: 1000000
"""


def make_job(name: str, path: Path, events: bool) -> JobSettings:
    """Return the job under a name."""
    return parse_job(JOB.format(name=name, path=path, events=str(events).lower()), path.parent)


def run_embedded(job: JobSettings, path: Path, directory: Path) -> float:
    """Return the seconds that one process takes."""
    from actors.source.open import open_source
    from cluster.local.embedded import embedded_job

    source = open_source(job, path.parent)
    with embedded_job(job, source, directory, lambda: time.time_ns() // 1000) as running:
        started = time.perf_counter()
        running.run()
        return time.perf_counter() - started


def run_cluster(home: Home, job: JobSettings) -> float:
    """Return the seconds that the cluster takes, from opening the source to the end of the last flush."""
    from cluster.client.client import Client

    client = Client(home)
    client.submit(job)
    summary = client.wait_finished(job.name, 600)
    if summary.failed is not None:
        raise SystemExit(f"the job failed: {summary.failed}")
    runner = client.runner_status(job.name)
    assert runner is not None, "the leader has just finished the job"
    assert runner.opened_us is not None, "its partitions were open"
    assert summary.finished_us is not None, "it has just been finished"
    return (summary.finished_us - runner.opened_us) / 1e6


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        path = place / "trades.parquet"
        make_trades(path, options.rows, options.keys, 1)
        alone, together = [], []
        with local_cluster(home, ClusterOptions(has_dashboard=False)):
            for number in range(options.rounds):
                job = make_job(f"bench-{number}", path, options.events)
                alone.append(options.rows / run_embedded(job, path, place / f"alone-{number}"))
                together.append(options.rows / run_cluster(home, job))
                print(f"round {number}: one process {alone[-1]:,.0f} rows/s, cluster {together[-1]:,.0f} rows/s")
        first, second = statistics.median(alone), statistics.median(together)
        print(f"median: one process {first:,.0f}, cluster {second:,.0f} rows/s, ratio {second / first:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
