"""Memory of a cluster at full speed, which is to be flat.

    python scripts/soak_memory.py [--minutes 10] [--rows 100000000] [--events]

Runs jobs of so many rows, one after the other, as `bench_cluster.py` does, and looks at the memory that each kind of
process has for itself (of Linux, without what is mapped of files). Printed is the mean of each minute in MiB. Fails if
some kind has 5 % and 16 MiB more in the last minute of a job than in the one half-way: what comes first fills caches.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import polars as pl
from bench_cluster import make_job
from failover_drill import make_trades
from process_watch import ProcessWatch

from cluster.client.client import Client
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home

FILE_ROW_COUNT = 2_000_000

GROWTH_MAX = 1.05
GROWTH_BYTES_MAX = 16 << 20

Sizes = list[tuple[float, Counter[str]]]


def make_files(folder: Path, row_count: int, key_count: int) -> None:
    """Write a folder of files whose times follow one another; all but the times repeats."""
    folder.mkdir()
    first = folder / "part-00000.parquet"
    make_trades(first, min(FILE_ROW_COUNT, row_count), key_count, 1)
    frame = pl.read_parquet(first)
    for number in range(1, -(-row_count // FILE_ROW_COUNT)):
        later = frame.with_columns(pl.col("time") + number * FILE_ROW_COUNT)
        later.write_parquet(folder / f"part-{number:05d}.parquet", row_group_size=100_000)


def by_minute(sizes: Sizes, start_s: float, end_s: float) -> list[Counter[str]]:
    """Return the mean of each whole minute between two times, by kind of process."""
    found = []
    for minute in range(int((end_s - start_s) // 60)):
        own = [size for at, size in sizes if start_s + 60 * minute <= at < start_s + 60 * (minute + 1)]
        total: Counter[str] = Counter()
        for size in own:
            total.update(size)
        found.append(Counter({name: each // max(len(own), 1) for name, each in total.items()}))
    return found


def print_minutes(job: str, minutes: list[Counter[str]]) -> None:
    """Print the memory of each minute, and of all kinds together."""
    print(f"{job}: MiB by minute")
    for name in sorted({name for each in minutes for name in each}):
        print(f"  {name:28}", *(f"{each[name] / 2**20:6.0f}" for each in minutes))
    print(f"  {'all':28}", *(f"{each.total() / 2**20:6.0f}" for each in minutes), flush=True)


def grown(minutes: list[Counter[str]]) -> list[str]:
    """Return the kinds of processes that have more in the last minute than half-way."""
    if len(minutes) < 4:
        return []
    early, late = minutes[len(minutes) // 2], minutes[-1]
    return [
        name for name in late if late[name] > GROWTH_MAX * early[name] and late[name] > early[name] + GROWTH_BYTES_MAX
    ]


def main() -> int:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--events", action="store_true")
    options = parser.parse_args()
    bad: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-soak-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        make_files(place / "trades.parquet", options.rows, options.keys)
        with local_cluster(home, ClusterOptions(has_dashboard=False)), ProcessWatch(home) as watch:
            client, until_s, number = Client(home), time.time() + 60 * options.minutes, 0
            while time.time() < until_s:
                job = make_job(f"routed-{number}", "routed", place, options.events)
                client.submit(job)
                start_s, number = time.time(), number + 1
                while time.time() < until_s and client.state().jobs[job.name].summary == b"":
                    time.sleep(1)
                status = client.runner_status(job.name)
                rows = 0 if status is None or status.pump is None else status.pump.row_count
                minutes = by_minute(watch.sizes(), start_s, time.time())
                print_minutes(f"{job.name}, {rows / (time.time() - start_s):,.0f} rows/s", minutes)
                bad += grown(minutes)
                if client.state().jobs[job.name].summary == b"":
                    client.stop(job.name)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} over the last minute")
    print(f"grown: {', '.join(sorted(set(bad)))}" if bad else "memory is flat")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
