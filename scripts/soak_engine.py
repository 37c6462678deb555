"""Soak the engine: many rows over many keys, and a failure if memory goes on growing.

    .venv/bin/python scripts/soak_engine.py                    # 50 million rows over 100 000 keys
    .venv/bin/python scripts/soak_engine.py --rows 2000000 --keys 5000

Metrics of all kinds of state run over sliding windows in which a key has about twenty rows: partial aggregates in
panes, rows of windows, look-back rows, values of the row before. Lines show the memory of the process and the bytes
that the engine says its state takes. The first part of the rows is the warm-up: keys appear, windows fill, arrays grow.
Afterwards neither peak may exceed that of the warm-up by more than `--growth` percent and 32 MiB; exit code 1 says that
one did. CPU seconds are those of the engine alone.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import psutil

from actors.engine import AnomalyDetectionEngine

MIB = 1 << 20
SLACK_BYTES = 32 * MIB
ROWS_OF_A_WINDOW = 20
PANES = 5
SAMPLES = 200

METRICS = (
    "sum(qty) > 150",
    "avg(qty) > qty + 8",
    "std(price) > 0.45",
    "percentile(price, 90) < 0.6",
    "nunique(qty) < 5",
    "price > 1000 * prev(price)",
    "mavg(price, 5) > 0.95",
    "qty < 0",
)
SCHEMA = {"time": "MICROTIMESTAMP", "sym": "SYMBOL", "price": "DOUBLE", "qty": "INT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Memory after some rows."""

    row_count: int
    process_bytes: int
    state_bytes: int


def make_engine(key_count: int) -> AnomalyDetectionEngine:
    """Return an engine whose windows hold about `ROWS_OF_A_WINDOW` rows of each key, at a row a microsecond."""
    step = key_count * ROWS_OF_A_WINDOW // PANES
    return AnomalyDetectionEngine("soak", METRICS, SCHEMA, "time", ["sym"], step * PANES, step)


def batches(row_count: int, key_count: int, batch_rows: int) -> Iterator[pl.DataFrame]:
    """Yield rows of random keys, one every microsecond."""
    rng = np.random.default_rng(11)
    names = pl.Series([f"key-{number:07}" for number in range(key_count)])
    for start in range(0, row_count, batch_rows):
        count = min(batch_rows, row_count - start)
        yield pl.DataFrame(
            {
                "time": np.arange(start, start + count) + 1_700_000_000_000_000,
                "sym": names[rng.integers(0, key_count, count)],
                "price": rng.random(count),
                "qty": rng.integers(0, 10, count),
            }
        )


def soak(row_count: int, key_count: int, batch_rows: int) -> Iterator[Sample]:
    """Feed an engine, print lines, and yield samples of memory."""
    engine, process = make_engine(key_count), psutil.Process()
    cpu_s, fed, anomalies = 0.0, 0, 0
    every, line_every = max(row_count // SAMPLES, batch_rows), max(row_count // 20, batch_rows)
    sampled = printed = 0
    for frame in batches(row_count, key_count, batch_rows):
        before = time.process_time()
        anomalies += engine.append_physical(frame).height
        cpu_s += time.process_time() - before
        fed += frame.height
        if fed - sampled >= every or fed == row_count:
            sampled = fed
            memory = engine.memory()
            sample = Sample(row_count=fed, process_bytes=process.memory_info().rss, state_bytes=memory.state_size_bytes)
            yield sample
            if fed - printed >= line_every or fed == row_count:
                printed = fed
                print(
                    f"{fed:>12,} rows  {memory.key_count:>9,} keys  process {sample.process_bytes / MIB:8.1f} MiB  "
                    f"state {sample.state_bytes / MIB:8.1f} MiB  {memory.key_size_bytes:7.0f} bytes a key  "
                    f"{fed / max(cpu_s, 1e-9) / 1e6:6.2f} M rows per CPU s  {anomalies:>10,} anomalies",
                    flush=True,
                )


def judge(samples: list[Sample], warm_up_rows: int, growth_percent: float) -> bool:
    """Say how both peaks changed after the warm-up, and return whether they stayed within the bound."""
    is_bounded = True
    for name in ("process_bytes", "state_bytes"):
        early = max(getattr(sample, name) for sample in samples if sample.row_count <= warm_up_rows)
        late = max(getattr(sample, name) for sample in samples if sample.row_count > warm_up_rows)
        bound = early * (1 + growth_percent / 100) + SLACK_BYTES
        is_bounded &= late <= bound
        verdict = "within" if late <= bound else "ABOVE"
        print(
            f"{name.split('_')[0]}: peak {early / MIB:.1f} MiB in the warm-up, {late / MIB:.1f} MiB afterwards; "
            f"{verdict} the bound of {bound / MIB:.1f} MiB"
        )
    return is_bounded


def main() -> None:
    """Soak and exit with 1 if memory grew."""
    parser = argparse.ArgumentParser(description="Soak the engine and fail if its memory goes on growing.")
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=10_000, help="rows of a batch")
    parser.add_argument("--warm-up", type=float, default=0.4, help="share of the rows, at least three windows")
    parser.add_argument("--growth", type=float, default=10.0, help="percent by which a peak may grow")
    given = parser.parse_args()
    warm_up_rows = max(int(given.warm_up * given.rows), 3 * ROWS_OF_A_WINDOW * given.keys)
    if warm_up_rows >= given.rows:
        parser.error(f"{given.rows} rows end within the warm-up of {warm_up_rows}; give more --rows or fewer --keys")
    samples = list(soak(given.rows, given.keys, given.batch))
    sys.exit(0 if judge(samples, warm_up_rows, given.growth) else 1)


if __name__ == "__main__":
    main()
