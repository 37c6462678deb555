"""A file of trades and the job that watches it: row, window and mixed metrics, and one that looks back."""

import time
from pathlib import Path

import numpy as np
import polars as pl

from config.load import parse_job
from config.settings import JobSettings

JOB = """
job: {name}
schema: {{time: TIMESTAMP, sym: SYMBOL, price: DOUBLE, qty: LONG}}
time: time
key: [sym]
metrics:
  - qty < 4
  - sum(qty) > 9000
  - avg(qty) > 40 * qty
  - price > 1.05 * prev(price)
window: {{size: 3s, step: 1s}}
source: {source}
detectors: [{{type: new_value, watch: [qty], learn: {{rows: 120}}, max_distinct: 100000}}]
partitions: 4
hosts: {hosts}
group: 2
snapshot_interval_rows: 10000
flush: {{period_ms: 100}}
limits: {{batch_rows_max: {batch_rows}}}
"""


def write_trades(path: Path, row_count: int, key_count: int, seed: int) -> None:
    """Write a Parquet file of trades, one row a millisecond."""
    numbers = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "time": np.arange(row_count) + 1_538_960_461_000,
            "sym": numbers.integers(0, key_count, row_count),
            "price": 100 * np.exp(numbers.normal(0, 0.02, row_count)),
            "qty": numbers.integers(1, 1000, row_count),
        }
    ).with_columns(pl.format("S{}", pl.col("sym")).alias("sym"))
    frame.write_parquet(path, row_group_size=20_000)


def parquet(path: Path) -> str:
    """Return the source of a job file that reads a file of trades."""
    return f"{{type: parquet, path: {path}}}"


def trades_job(name: str, path: Path, *, hosts: int | str = 2, batch_rows: int = 1000) -> JobSettings:
    """Return the job of a file of trades."""
    return parse_job(JOB.format(name=name, source=parquet(path), hosts=hosts, batch_rows=batch_rows), path.parent)


def entries_alone(path: Path, row_count: int) -> list[tuple[bytes, bytes]]:
    """Return the anomaly table of the job of a file of trades that is run in this process, undisturbed."""
    # Ray reads its environment when it is imported, which is prepared before.
    from actors.source.open import open_source
    from cluster.local.compare import undisturbed_entries

    job = trades_job("undisturbed", path)
    ends = {0: row_count}
    return list(undisturbed_entries(job, open_source(job, path.parent), ends, lambda: time.time_ns() // 1000))
