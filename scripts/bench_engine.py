"""Measure the engine: rows per CPU second on trades, latency of one row, and snapshots.

The workload: one row a millisecond, K keys (strings), a price and a quantity; rules over 3 s windows, and over 60 s
windows every 5 s. Beside the engine runs a plain Python loop over dictionaries with the same rules, and Polars
over the whole data at once. Small batches are compared with a plain loop that gets the same frames, keeps its state,
and returns the same frames of anomalies. Runs are interleaved and medians printed, with their ratio to the plain loop;
a table at the end has all of them beside what they are to reach.

    python scripts/bench_engine.py [--quick] [--sliding | --small] [--keys 10 1000 100000] [--rows 400000]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from bench_targets import Scorecard
from plain_trades import PlainTrades

from actors.engine import AnomalyDetectionEngine

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "price": "DOUBLE", "qty": "INT"}
WINDOW = 3_000
SMALL_SIZES = (1, 10, 100, 300, 1_000)
"""Batch sizes of the comparison with a plain loop that gets and gives frames."""


def trades(row_count: int, key_count: int) -> pl.DataFrame:
    """Return rows of the workload."""
    generator = np.random.default_rng(7)
    names = pl.Series("sym", [f"S{i:06d}" for i in range(key_count)])
    return pl.DataFrame(
        {
            "time": np.arange(row_count) + 1_700_000_000_000,
            "sym": names.gather(generator.integers(0, key_count, row_count)),
            "price": np.round(100 * np.exp(generator.normal(0, 0.02, row_count)), 2),
            "qty": generator.integers(1, 101, row_count),
        }
    )


def tumbling_metrics(key_count: int) -> list[str]:
    """Return the rules over 3 s windows."""
    return [
        "qty < 4",
        f"sum(qty) > {sum_limit(key_count)}",
        "avg(qty) > qty",
        "price > 1.05 * prev(price)",
    ]


def sum_limit(key_count: int) -> int:
    """Return the limit of the rule on sums, which a good part of the windows exceeds."""
    return int(60 * max(1.0, WINDOW / key_count))


def sliding_metrics(with_percentile: bool) -> list[str]:
    """Return the rules over 60 s windows every 5 s."""
    rules = ["sum(qty) > 1000000", "avg(qty) > 75", "max(qty) > 100", "std(price) > 4"]
    return [*rules, "percentile(price, 90) > 106"] if with_percentile else rules


def engine_for(metrics: list[str], window: int, step: int) -> AnomalyDetectionEngine:
    """Return an engine for the workload."""
    return AnomalyDetectionEngine("bench", metrics, SCHEMA, "time", ["sym"], window, step)


def plain_loop(rows: list[tuple[int, str, float, int]], limit: int) -> int:
    """Apply the tumbling rules with dictionaries and return the number of anomalies."""
    # A list of mixed types is the fastest state a plain loop can have, and no type says which place holds what.
    states: dict[str, list[Any]] = {}
    found: list[tuple[int, str, int]] = []
    for now, key, price, quantity in rows:
        state = states.get(key)
        pane = now // WINDOW
        if state is None:
            state = states[key] = [now, pane, 0, 0, None, None]
        elif now < state[0]:
            continue
        elif pane != state[1]:
            total, count, ended = state[2], state[3], state[1]
            state[4] = total / count
            if total > limit:
                found.append(((ended + 1) * WINDOW, key, 1))
            state[1], state[2], state[3] = pane, 0, 0
        state[0] = now
        state[2] += quantity
        state[3] += 1
        if quantity < 4:
            found.append((now, key, 0))
        if state[4] is not None and state[4] > quantity:
            found.append((now, key, 2))
        if state[5] is None or price > 1.05 * state[5]:
            found.append((now, key, 3))
        state[5] = price
    return len(found)


def whole_polars(frame: pl.DataFrame, limit: int) -> int:
    """Apply the tumbling rules to all rows at once with Polars and return the number of anomalies."""
    rows = frame.with_columns(pane=pl.col("time") // WINDOW)
    windows = (
        rows.group_by("sym", "pane", maintain_order=True)
        .agg(total=pl.col("qty").sum(), mean=pl.col("qty").mean())
        .with_columns(before=pl.col("mean").shift(1).over("sym"), later=pl.col("pane").shift(-1).over("sym"))
    )
    joined = rows.join(windows.select("sym", "pane", "before"), on=["sym", "pane"])
    counts = joined.select(
        (pl.col("qty") < 4).sum().alias("few"),
        (pl.col("before") > pl.col("qty")).sum().alias("below"),
        (pl.col("price") > 1.05 * pl.col("price").shift(1).over("sym")).fill_null(True).sum().alias("jump"),
    )
    closed = windows.filter(pl.col("later").is_not_null() & (pl.col("total") > limit)).height
    found: int = closed + sum(counts.row(0))
    return found


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of an action in seconds."""
    start = time.process_time()
    action()
    return time.process_time() - start


def feed(engine: AnomalyDetectionEngine, frame: pl.DataFrame, size: int) -> int:
    """Append a frame in batches and return the number of anomalies."""
    return sum(engine.append(frame[start : start + size]).height for start in range(0, frame.height, size))


def measure(
    metrics: list[str], window: int, step: int, warm: pl.DataFrame, frame: pl.DataFrame, size: int
) -> tuple[float, list[float]]:
    """Return million rows per CPU second of an engine that has seen the warm-up rows, and the ms of each batch."""
    engine = engine_for(metrics, window, step)
    feed(engine, warm, 10_000)
    parts = [frame[start : start + size] for start in range(0, frame.height, size)]
    seconds = [cpu_seconds(lambda part=part: engine.append(part)) for part in parts]  # type: ignore[misc]
    return frame.height / sum(seconds) / 1e6, [1e3 * second for second in seconds]


def check_agreement(frame: pl.DataFrame, metrics: list[str], limit: int) -> None:
    """Stop if the engine, the plain loop and Polars do not find as many anomalies as one another."""
    anomalies = engine_for(metrics, WINDOW, WINDOW).append(frame)
    if not PlainTrades(metrics, WINDOW, limit).append(frame).equals(anomalies):
        raise SystemExit("engine and plain loop found different anomalies; they must agree")
    counts = (anomalies.height, plain_loop(frame.rows(), limit), whole_polars(frame, limit))
    if len(set(counts)) > 1:
        raise SystemExit(f"engine, plain loop and Polars found {counts} anomalies; they must agree")


def bench_throughput(key_count: int, row_count: int, repeats: int, card: Scorecard) -> None:
    """Print rows per second on the tumbling rules, for several batch sizes."""
    data = trades(2 * row_count, key_count)
    warm, frame = data[:row_count], data[row_count:]
    metrics, limit = tumbling_metrics(key_count), sum_limit(key_count)
    check_agreement(data[:20_000], metrics, limit)
    sizes = {10_000: row_count, 1_000: row_count // 4, 100: row_count // 20}
    results: dict[str, list[float]] = {}
    batches: list[float] = []
    for _ in range(repeats):
        for size, count in sizes.items():
            rate, times = measure(metrics, WINDOW, WINDOW, warm, frame[:count], size)
            results.setdefault(f"engine, batches of {size}", []).append(rate)
            batches += times if size == 10_000 else []
        rows = frame.rows()
        rate = frame.height / cpu_seconds(lambda rows=rows: plain_loop(rows, limit)) / 1e6  # type: ignore[misc]
        results.setdefault("plain Python loop", []).append(rate)
        rate = frame.height / cpu_seconds(lambda: whole_polars(frame, limit)) / 1e6
        results.setdefault("Polars, whole data", []).append(rate)
    _print(f"tumbling, {key_count} keys", results)
    middle = {name: statistics.median(rates) for name, rates in results.items()}
    for size in sizes:
        card.note(f"tumbling, batches of {size}", key_count, middle[f"engine, batches of {size}"])
    card.note("tumbling / plain loop", key_count, middle["engine, batches of 10000"] / middle["plain Python loop"])
    card.note("batch of 10000, p99", key_count, float(np.quantile(batches, 0.99)))


def bench_sliding(key_count: int, row_count: int, repeats: int, card: Scorecard) -> None:
    """Print rows per second on the sliding rules."""
    data = trades(row_count + 130_000, key_count)
    warm, frame = data[:130_000], data[130_000:]
    results: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, with_percentile in (("mergeable aggregates", False), ("with percentile", True)):
            rate, _ = measure(sliding_metrics(with_percentile), 60_000, 5_000, warm, frame, 10_000)
            results.setdefault(name, []).append(rate)
    _print(f"sliding, {key_count} keys", results)
    for name, rates in results.items():
        card.note(f"sliding, {name}", key_count, statistics.median(rates))


def bench_small(key_count: int, row_count: int, repeats: int) -> None:
    """Print rows per second on the tumbling rules in small batches, beside a plain loop from frames to frames."""
    data = trades(100_000 + row_count, key_count)
    metrics, limit = tumbling_metrics(key_count), sum_limit(key_count)
    results: dict[str, list[float]] = {}
    for _ in range(repeats):
        for size in SMALL_SIZES:
            count = min(row_count, 1_000 * size)
            frames = [data[100_000 + i : 100_000 + i + size] for i in range(0, count, size)]
            for name, system in _systems(metrics, limit):
                system.append(data[:100_000])
                rate = count / cpu_seconds(lambda s=system, f=frames: [s.append(part) for part in f]) / 1e6  # type: ignore[misc]
                results.setdefault(f"batches of {size:4}: {name}", []).append(rate)
        rows = data[100_000:].rows()
        rate = len(rows) / cpu_seconds(lambda rows=rows: plain_loop(rows, limit)) / 1e6  # type: ignore[misc]
        results.setdefault("plain loop, tuples to a count", []).append(rate)
    _print(f"small batches, {key_count} keys", results)


def _systems(metrics: list[str], limit: int) -> list[tuple[str, AnomalyDetectionEngine | PlainTrades]]:
    """Return what is compared on small batches: the engine with and without its short path, and a plain loop."""
    vectors = engine_for(metrics, WINDOW, WINDOW)
    vectors.few_rows_max = 0
    plain = PlainTrades(metrics, WINDOW, limit)
    return [
        ("engine", engine_for(metrics, WINDOW, WINDOW)),
        ("engine, vectors alone", vectors),
        ("plain loop, frame to frame", plain),
    ]


def bench_latency(key_count: int, count: int) -> None:
    """Print how long one row takes, from `append` to its result."""
    data = trades(20_000 + count, key_count)
    for name, system in _systems(tumbling_metrics(key_count), sum_limit(key_count)):
        system.append(data[:20_000])
        times = []
        for i in range(20_000, 20_000 + count):
            frame = data[i : i + 1]
            start = time.perf_counter()
            system.append(frame)
            times.append(time.perf_counter() - start)
        times.sort()
        middle, late = times[count // 2] * 1e6, times[count * 99 // 100] * 1e6
        print(f"one row, {key_count} keys, {name:28} p50 {middle:6.0f} us, p99 {late:6.0f} us")


def bench_snapshot(key_count: int, repeats: int, card: Scorecard) -> None:
    """Print time and size of a snapshot."""
    engine = engine_for(tumbling_metrics(key_count), WINDOW, WINDOW)
    feed(engine, trades(5 * key_count, key_count), 10_000)
    snapshot = engine.snapshot()
    written, loaded = [], []
    for _ in range(2 * repeats + 1):
        written.append(1e3 * cpu_seconds(engine.snapshot))
        loaded.append(1e3 * cpu_seconds(lambda: engine.restore(snapshot)))
    write_ms, load_ms, size = statistics.median(written), statistics.median(loaded), len(snapshot) / 1e6
    print(f"snapshot, {key_count} keys: {write_ms:.0f} ms, {size:.2f} MB, restore {load_ms:.0f} ms")
    for name, value in (("snapshot", write_ms), ("snapshot size", size), ("restore", load_ms)):
        card.note(name, key_count, value)


def _print(title: str, results: dict[str, list[float]]) -> None:
    print(f"\n{title} (million rows per CPU second)")
    base = statistics.median(results.get("plain Python loop", [0.0]))
    for name, rates in results.items():
        rate = statistics.median(rates)
        print(f"  {name:28} {rate:7.2f}" + (f"  x{rate / base:.1f}" if base else ""))


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and one repeat")
    parser.add_argument("--sliding", action="store_true", help="the sliding rules alone")
    parser.add_argument("--small", action="store_true", help="small batches and single rows alone")
    parser.add_argument("--keys", type=int, nargs="+", default=[10, 1_000, 100_000])
    parser.add_argument("--rows", type=int, default=400_000)
    options = parser.parse_args()
    rows, repeats = (100_000, 1) if options.quick else (options.rows, 3)
    card = Scorecard()
    for key_count in () if options.small else options.keys:
        if not options.sliding:
            bench_throughput(key_count, rows, repeats, card)
        bench_sliding(key_count, rows, repeats, card)
    if not options.sliding:
        bench_small(1_000, 20_000 if options.quick else 60_000, repeats)
        print()
        bench_latency(1_000, 300 if options.quick else 2_000)
        bench_snapshot(100_000, repeats, card)
    card.print()


if __name__ == "__main__":
    main()
