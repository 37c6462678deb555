"""Checkpoints of a large state: how long a majority takes to have them, and what they cost the rows that go on.

    python scripts/bench_checkpoint.py [--state-mb 100] [--rounds 3]

The job keeps all rows of its windows, since it wants medians: 64 bytes of random numbers a row. A round runs it twice
on three nodes and two hosts, once without a checkpoint before its end and once with one when its state has the wanted
size. Printed are the bytes of the four snapshots, the seconds from the rows that make the checkpoint due to the fourth
manifest in the group's state, and how many times as long rows took as without: those read during the checkpoint, and
those from its beginning to that of the next one, which is no sooner than after a pause in proportion to its time (the
seconds that rows lost until they end, or the next one might begin, are spread over that time, which no rows last here).
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from cluster.client.client import Client
from cluster.leader.limits import LeaderLimits
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from config import load
from config.settings import JobSettings

COLUMNS = [f"x{number}" for number in range(8)]

ROW_SIZE_BYTES = 8 * len(COLUMNS)

PARTITION_COUNT = 4

LOOK_S = 0.05
"""Seconds between two looks at the job."""


@dataclass(slots=True)
class Course:
    """What was seen of one run: times in seconds, and at each how many rows had been read."""

    times_s: list[float] = field(default_factory=list)
    row_counts: list[int] = field(default_factory=list)
    stored_s: float | None = None
    """When all partitions had a manifest while rows went on."""

    size_bytes: int = 0

    def seconds_between(self, start_rows: int, end_rows: int) -> float:
        """Return the time from one number of rows to the other."""
        return self._time_of(end_rows) - self._time_of(start_rows)

    def rows_at(self, time_s: float) -> int:
        """Return the rows that had been read."""
        return int(np.interp(time_s, self.times_s, self.row_counts))

    def _time_of(self, rows: int) -> float:
        place = min(bisect_left(self.row_counts, rows), len(self.times_s) - 1)
        return self.times_s[place]


def make_file(path: Path, row_count: int, key_count: int) -> None:
    """Write rows of random numbers, one a millisecond."""
    numbers = np.random.default_rng(1)
    columns = {name: numbers.normal(100, 5, row_count) for name in COLUMNS}
    keys = pl.Series(numbers.integers(0, key_count, row_count)).cast(pl.String)
    frame = pl.DataFrame({"time": np.arange(row_count) + 1_538_960_461_000, "key": keys, **columns})
    frame.write_parquet(path, row_group_size=50_000)


def make_job(name: str, place: Path, interval_rows: int) -> JobSettings:
    """Return the job; its windows are longer than the rows."""
    return load.make_job(
        {
            "job": name,
            "schema": {"time": "TIMESTAMP", "key": "SYMBOL", **dict.fromkeys(COLUMNS, "DOUBLE")},
            "time": "time",
            "key": ["key"],
            "metrics": [f"med({name}) > 1000" for name in COLUMNS],
            "window": {"size": "365d", "step": "365d"},
            "source": {"type": "parquet", "path": str(place / "rows.parquet")},
            "partitions": PARTITION_COUNT,
            "hosts": 2,
            "snapshot_interval_rows": interval_rows,
        }
    )


def run(client: Client, job: JobSettings) -> Course:
    """Run the job to its end and return its course."""
    course = Course()
    client.submit(job)
    while client.state().jobs[job.name].summary == b"":
        status, manifests = client.runner_status(job.name), client.state().jobs[job.name].manifests
        if status is not None and status.pump is not None:
            course.times_s.append((status.noted_us or 0) / 1e6)
            course.row_counts.append(status.pump.row_count)
            if len(manifests) == PARTITION_COUNT and course.stored_s is None and not status.pump.at_end:
                course.stored_s = time.time()
                course.size_bytes = sum(newest[-1].size_bytes for newest in manifests.values())
        time.sleep(LOOK_S)
    return course


def ratio(with_one: Course, without: Course, start_rows: int, until_s: float) -> float:
    """Return how many times as long rows took, from a number of them to those read at a time."""
    end = min(with_one.rows_at(until_s), without.row_counts[-1])
    alone_s = without.seconds_between(start_rows, end)
    return with_one.seconds_between(start_rows, end) / alone_s if alone_s else float("nan")


def lost(with_one: Course, without: Course, start_rows: int, until_s: float) -> float:
    """Return how many seconds longer rows took, from a number of them to those read at a time."""
    end = min(with_one.rows_at(until_s), without.row_counts[-1])
    return with_one.seconds_between(start_rows, end) - without.seconds_between(start_rows, end)


def pause_s(took_s: float) -> float:
    """Return the seconds in which no checkpoint begins after one that took so long."""
    limits = LeaderLimits()
    return min(limits.checkpoint_pause_factor * took_s, limits.checkpoint_pause_us_max / 1e6)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state-mb", type=int, default=100)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows-after", type=float, default=2.0, help="rows after the checkpoint, for each before it")
    options = parser.parse_args()
    due = options.state_mb * 1_000_000 // ROW_SIZE_BYTES
    found: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        make_file(place / "rows.parquet", int(due * (1 + options.rows_after)), options.keys)
        with local_cluster(home, ClusterOptions(has_dashboard=False)):
            client = Client(home)
            for number in range(options.rounds):
                without = run(client, make_job(f"without-{number}", place, 10**9))
                with_one = run(client, make_job(f"with-{number}", place, due))
                if with_one.stored_s is None:
                    sys.exit("the rows ended before a majority had the checkpoint; give more --rows-after")
                began_s = with_one.times_s[bisect_left(with_one.row_counts, due)]
                took_s = with_one.stored_s - began_s
                meanwhile = ratio(with_one, without, due, with_one.stored_s)
                interval_s = took_s + pause_s(took_s)
                lost_s = lost(with_one, without, due, began_s + interval_s)
                after = interval_s / max(interval_s - lost_s, 1e-9)
                found.append((took_s, meanwhile, after))
                size = f"{with_one.size_bytes / 1e6:.0f} MB"
                print(f"round {number}: {size} stored by a majority in {took_s:.2f} s; rows took {meanwhile:.2f} times")
                print(f"as long meanwhile, and {after:.2f} over the {interval_s:.0f} s to the next one", flush=True)
    took_s, meanwhile, after = (statistics.median(each) for each in zip(*found, strict=True))
    print(f"median: {took_s:.2f} s; rows {meanwhile:.3f} times as long meanwhile, {after:.3f} to the next one")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} over the last minute")
    return 0


if __name__ == "__main__":
    sys.exit(main())
