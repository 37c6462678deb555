"""How many rows the detector `baseline` takes: in millions a second of CPU time, on one core.

    python scripts/bench_baseline.py [--keys 1 1000] [--rows 200000] [--rows-of-key 800] [--batch 10000] [--season none]

Rows have noise about a course of a day, a row a minute for each key; all keys take turns. Printed are the median and
the fastest batch of the second half: before, codebooks are filled. There are at least as many rows of a key as said.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

# Threads of Polars that look for work spend CPU time on it.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.detectors import BaselineSpec, make_detector  # the path is set above
from actors.model import Column, ColumnType, Schema  # the path is set above

STEP_MS = 60_000

DAY_MS = 86_400_000


def made_rows(row_count: int, key_count: int) -> pl.DataFrame:
    """Return rows in the order of their times."""
    numbers = np.random.default_rng(7)
    keys = np.arange(row_count) % key_count
    times = 1_538_960_461_000 + np.arange(row_count) // key_count * STEP_MS
    course = 20.0 * np.sin(2.0 * np.pi * (times % DAY_MS) / DAY_MS)
    values = 100.0 + keys % 7 + course + numbers.normal(0.0, 4.0, row_count)
    names = pl.Series([f"k{key}" for key in range(key_count)])
    return pl.DataFrame({"time": times, "key": names[keys], "value": values})


def rates(rows: pl.DataFrame, batch_size: int, season: str) -> list[float]:
    """Return the rows a second of each batch, in millions."""
    types = {"time": ColumnType.TIMESTAMP, "key": ColumnType.SYMBOL, "value": ColumnType.DOUBLE}
    schema = Schema(tuple(Column(name=name, type=kind) for name, kind in types.items()))
    spec = BaselineSpec(name="baseline", variables=("value",), season=season)
    detector = make_detector(spec, schema, "time", ["key"])
    found = []
    for start in range(0, len(rows), batch_size):
        batch, offsets = rows[start : start + batch_size], np.arange(start, min(start + batch_size, len(rows)))
        began_s = time.process_time()
        detector.process(batch, offsets)
        found.append(len(batch) / (time.process_time() - began_s) / 1e6)
    return found[len(found) // 2 :]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[1, 1_000])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rows-of-key", type=int, default=800)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--season", default="none")
    given = parser.parse_args()
    print(f"{'keys':>8} {'median':>8} {'fastest':>8}   M rows a second of a core")
    for key_count in given.keys:
        rows = made_rows(max(given.rows, given.rows_of_key * key_count), key_count)
        found = rates(rows, given.batch, given.season)
        print(f"{key_count:8} {statistics.median(found):8.3f} {max(found):8.3f}", flush=True)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} over the last minute")


if __name__ == "__main__":
    main()
