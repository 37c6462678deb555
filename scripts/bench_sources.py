"""How fast sources read: records of each format from files to canonical frames, one process, the page cache warm.

Prints millions of rows a CPU second (median of the runs) and the ratio to Polars' own reader of the same file, which
judges no record by itself, gives no offsets and parses no times; a log is compared with reading its lines. With
`--json` the figures are one object, for comparing two versions: run them in turn and take medians.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from actors.source.open import open_source
from config import make_job

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "price": "DOUBLE"}
TEMPLATES = [{"id": "trade", "text": "sold <qty> of <sym> at <price>"}]


def make_frame(row_count: int) -> pl.DataFrame:
    """Return rows of four columns."""
    random = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "time": pl.Series(1_700_000_000_000 + np.arange(row_count) * 7).cast(pl.Datetime("ms")),
            "sym": pl.Series([f"S{number}" for number in random.integers(0, 1000, row_count)]),
            "qty": random.integers(0, 500, row_count),
            "price": np.round(random.uniform(1, 100, row_count), 2),
        }
    )


def write_files(folder: Path, frame: pl.DataFrame) -> None:
    """Write the rows once in each format."""
    texts = frame.with_columns(pl.col("time").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"))
    texts.write_csv(folder / "plain.csv")
    texts.write_csv(folder / "quoted.csv", quote_style="always")
    texts.write_ndjson(folder / "a.ndjson")
    frame.write_parquet(folder / "a.parquet")
    lines = texts.select(pl.format("{} sold {} of {} at {}", "time", "qty", "sym", "price")).to_series()
    (folder / "a.log").write_text("\n".join(lines) + "\n")


CASES: dict[str, tuple[dict[str, Any], Callable[[Path], object]]] = {
    "csv": ({"path": "plain.csv"}, lambda folder: pl.read_csv(folder / "plain.csv")),
    "csv, quoted": ({"path": "quoted.csv"}, lambda folder: pl.read_csv(folder / "quoted.csv")),
    "ndjson": ({"path": "a.ndjson"}, lambda folder: pl.read_ndjson(folder / "a.ndjson")),
    "parquet": ({"path": "a.parquet"}, lambda folder: pl.read_parquet(folder / "a.parquet")),
    "log": ({"path": "a.log", "templates": TEMPLATES}, lambda folder: (folder / "a.log").read_text().split("\n")),
}


def read_all(folder: Path, settings: dict[str, Any]) -> int:
    """Read a source in batches of 50,000 records and return its number of rows."""
    plain = {"job": "bench", "schema": SCHEMA, "time": "time", "key": ["sym"], "metrics": ["qty < 0"]}
    job = make_job(plain | {"source": settings | {"path": str(folder / settings["path"])}})
    source, offset, count = open_source(job, folder), 0, 0
    while True:
        batch = source.read(0, offset, 50_000)
        count += batch.frame.height
        if batch.next_offset == offset or batch.at_end:
            return count
        offset = batch.next_offset


def measure(run: Callable[[], object], runs: int) -> float:
    """Return the median CPU seconds of a call."""
    spent = []
    for _ in range(runs):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def main() -> None:
    """Measure each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        write_files(folder, make_frame(options.rows))
        for case, (settings, peer) in CASES.items():
            assert read_all(folder, settings) == options.rows
            own = measure(lambda settings=settings: read_all(folder, settings), options.runs)  # type: ignore[misc]
            other = measure(lambda peer=peer: peer(folder), options.runs)  # type: ignore[misc]
            found[case] = {"rows_per_us": options.rows / own / 1e6, "ratio": other / own}
    if options.json:
        print(json.dumps(found))
        return
    for case, figures in found.items():
        print(f"{case:12} {figures['rows_per_us']:6.2f} M rows/s of one core, {figures['ratio']:5.2f}x of the peer")


if __name__ == "__main__":
    main()
