"""Compare two trees of this repository: CPU time of the libraries, which nothing may make slower unseen.

Both trees are loaded into one process, which does short rounds of the same work with each in turn, so that whatever
else the machine does meets both. Printed are the medians of microseconds for one unit (a row, an event, a
call), the median of the ratios of each two rounds, this tree to the other, and the ratio of the fastest rounds: below
1 this tree is faster. Everything goes through public names that both trees have.

    git worktree add /tmp/other COMMIT
    python scripts/bench_trees.py /tmp/other                     all works
    python scripts/bench_trees.py /tmp/other --only engine       those whose names contain a word, or one of `a|b`
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Round = Callable[[], int]
"""Does some work and returns how many units that was."""

KEY_COUNTS = (10, 1_000, 100_000)
BATCH_SIZES = (1, 10, 100, 1_000, 10_000)
ROUND_S = 0.01
"""About how long a round should take: long against the clock's steps, short against other people's work."""


def engine_round(key_count: int, size: int, rules: str = "tumbling") -> Round:
    """Return a round of batches through an engine that has seen each key."""
    import bench_engine as made

    warm = min(5 * key_count, 150_000) + 20_000
    budget = {1: 6_000, 10: 40_000, 100: 150_000}.get(size, 600_000)
    data = made.trades(warm + budget, key_count)
    if rules == "tumbling":
        engine = made.engine_for(made.tumbling_metrics(key_count), made.WINDOW, made.WINDOW)
    else:
        engine = made.engine_for(made.sliding_metrics(rules == "percentile"), 60_000, 5_000)
    made.feed(engine, data[:warm], 10_000)
    frames = iter([data[start : start + size] for start in range(warm, data.height, size)])
    count = max(1, {1: 100, 10: 80, 100: 40, 1_000: 20}.get(size, 4))

    def run() -> int:
        for _ in range(count):
            engine.append(next(frames))
        return count * size

    return run


def snapshot_round(what: str) -> Round:
    """Return a round of one snapshot of 100,000 keys, or of restoring it."""
    import bench_engine as made

    engine = made.engine_for(made.tumbling_metrics(100_000), made.WINDOW, made.WINDOW)
    made.feed(engine, made.trades(500_000, 100_000), 10_000)
    snapshot = engine.snapshot()

    def run() -> int:
        if what == "snapshot":
            engine.snapshot()
        else:
            engine.restore(snapshot)
        return 1

    return run


def making_round() -> Round:
    """Return a round of making engines from their metrics."""
    import bench_engine as made

    def run() -> int:
        made.engine_for(made.sliding_metrics(True) + made.tumbling_metrics(10), 60_000, 5_000)
        return 1

    return run


def persistency_round(backend: str, call: str, variables: int = 10) -> Round:
    """Return a round of ingesting events, singly or in batches of 1,000, or of classifying what was ingested."""
    import actors.persistency as made

    persistency = made.EventPersistency(getattr(made, backend))
    events = [
        (i % 200, f"event {i % 200}", [str((i * 7 + v) % (2 + v)) for v in range(variables)], {"level": "info"})
        for i in range(2_000)
    ]
    persistency.ingest_events(events)
    if call == "classify":
        trackers = [t for b in persistency.get_events_data().values() for t in b.get_data().values()]
        return lambda: len([tracker.classify() for tracker in trackers])

    def run() -> int:
        if call == "batches":
            persistency.ingest_events(events[:1_000])
            persistency.ingest_events(events[1_000:])
        else:
            for event in events:
                persistency.ingest_event(*event)
        return len(events)

    return run


def detector_round(kind: str, **options: Any) -> Round:
    """Return a round of batches of 10,000 rows through a detector."""
    import numpy as np
    import polars as pl

    from actors import detectors as made
    from actors.model import Schema

    choose, count = np.random.default_rng(7), 400_000
    frame = pl.DataFrame(
        {
            "time": np.arange(count),
            "sym": [f"s{key}" for key in choose.integers(0, 1000, count)],
            "ev": choose.integers(0, 3, count),
            "qty": choose.integers(0, 20, count),
            "user": [f"u{user}" for user in choose.integers(0, 50, count)],
        }
    )
    names = {"time": "TIMESTAMP", "sym": "SYMBOL", "ev": "LONG", "qty": "LONG", "user": "STRING"}
    spec = getattr(made, kind)(name="d", learn=made.LearnPhase(row_count=50), **options)
    detector = made.make_detector(spec, Schema.from_mapping(names), "time", ["sym"])
    places = iter(range(0, count, 10_000))

    def run() -> int:
        place = next(places)
        detector.process(frame[place : place + 10_000], np.arange(place, place + 10_000))
        return 10_000

    for _ in range(10):
        run()
    return run


def store_round(what: str) -> Round:
    """Return a round of registering events, or of one question, at a store of 100,000 events."""
    import bench_store as rows
    import polars as pl

    from actors import store as made

    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-", dir=os.environ["BENCH_FOLDER"]))
    config = made.StoreConfig(sets=(made.SetConfig(),), flush_period_ms=None)
    store = made.EventStore.open(folder, config, clock=lambda: 0)
    stamp = made.Timestamp.from_ticks
    count = 250_000 if what == "register" else 100_000
    events = [
        made.Event(made.EventId(1, s, i), words, stamp(t), stamp(source), made.JsonPayload(payload))
        for s, i, words, t, source, payload in rows.make_rows(count)
    ]
    places = iter(range(0, count, 100))

    def register() -> int:
        place = next(places)
        store.register(events[place : place + 100])
        if place % 20_000 == 0:
            store.flush()
        return 100

    if what == "register":
        return lambda: sum([register() for _ in range(10)])
    for _ in range(count // 100):
        register()
    store.flush()
    if what == "scan":
        ascending = made.QueryTimeseriesParams(order=made.Order.ASCENDING)
        return lambda: store.query_frame(ascending, {"value": pl.Float64}).height
    questions: dict[str, dict[str, Any]] = {
        "newest": {"max_results": 1000},
        "middle": {"max_results": 1000, "t_to": events[count // 2].timestamp},
        "by source": {"max_results": 1000, "order_by": made.OrderBy.SOURCE_TIMESTAMP},
        "one type": {"max_results": 100, "event_types": (events[count // 2].type,)},
        "no type": {"event_types": (("no", "such", "type"),)},
    }
    params = made.QueryTimeseriesParams(**questions[what])

    def ask() -> int:
        store.query(params)
        return 1

    return ask


def columns_round() -> Round:
    """Return a round of registering 20,000 events as columns and flushing them."""
    import bench_store as rows
    import msgpack
    import numpy as np

    from actors import store as made

    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-", dir=os.environ["BENCH_FOLDER"]))
    store = made.EventStore.open(
        folder, made.StoreConfig(sets=(made.SetConfig(),), flush_period_ms=None), clock=lambda: 0
    )
    data = list(rows.make_rows(400_000))
    distinct = list(dict.fromkeys(row[2] for row in data))
    numbers = {words: number for number, words in enumerate(distinct)}
    index = np.array([numbers[row[2]] for row in data])
    times, sources = np.array([row[3] for row in data]), np.array([row[4] for row in data])
    payloads = [msgpack.packb(row[5]) for row in data]
    places = iter(range(0, len(data), 20_000))

    def run() -> int:
        first = next(places)
        part = slice(first, first + 20_000)
        batch = made.ColumnBatch(
            server=1,
            types=distinct,
            type_index=index[part],
            session=np.arange(first + 1, first + 20_001, dtype=np.uint64),
            instance=np.ones(20_000, dtype=np.uint64),
            timestamp=times[part],
            source_timestamp=sources[part],
            payloads=payloads[part],
        )
        store.register_columns(batch)
        store.flush()
        return 20_000

    return run


WORKS: dict[str, Callable[[], Round]] = {
    **{
        f"engine, {keys} keys, batches of {size}": lambda keys=keys, size=size: engine_round(keys, size)  # type: ignore[misc]
        for keys in KEY_COUNTS
        for size in BATCH_SIZES
    },
    **{
        f"engine, {rules}, {keys} keys": lambda keys=keys, rules=rules: engine_round(keys, 10_000, rules)  # type: ignore[misc]
        for keys in KEY_COUNTS
        for rules in ("sliding", "percentile")
    },
    "engine, made": making_round,
    "engine, snapshot": lambda: snapshot_round("snapshot"),
    "engine, restore": lambda: snapshot_round("restore"),
    "persistency, trackers, single": lambda: persistency_round("EventStabilityTracker", "single"),
    "persistency, trackers, 1 variable": lambda: persistency_round("EventStabilityTracker", "single", 1),
    "persistency, trackers, batches": lambda: persistency_round("EventStabilityTracker", "batches"),
    "persistency, classify": lambda: persistency_round("EventStabilityTracker", "classify"),
    "persistency, chunked, single": lambda: persistency_round("ChunkedEventDataFrame", "single"),
    "persistency, chunked, batches": lambda: persistency_round("ChunkedEventDataFrame", "batches"),
    "detector, new value": lambda: detector_round("NewValueSpec", variables=("qty", "user")),
    "detector, combination": lambda: detector_round("NewValueCombinationSpec", combinations=(("ev", "qty"),)),
    "detector, new event": lambda: detector_round("NewEventSpec", event_id_columns=("ev",)),
    "detector, value range": lambda: detector_round("ValueRangeSpec", variables=("qty",)),
    "detector, charset": lambda: detector_round("CharsetSpec", variables=("user",)),
    "detector, sequence": lambda: detector_round("EventSequenceSpec", event_id_columns=("ev",), length=3),
    "detector, count vector": lambda: detector_round(
        "CountVectorSpec", event_id_columns=("ev",), window_row_count=50, distance_max=1
    ),
    "store, register": lambda: store_round("register"),
    "store, register columns": columns_round,
    "store, scan": lambda: store_round("scan"),
    "store, newest 1000": lambda: store_round("newest"),
    "store, 1000 from the middle": lambda: store_round("middle"),
    "store, newest 1000 by source": lambda: store_round("by source"),
    "store, newest 100 of a type": lambda: store_round("one type"),
    "store, a type that is not there": lambda: store_round("no type"),
}


class Side:
    """The modules of one tree: those of the other have the same names, so a side's take their place while it works."""

    def __init__(self, tree: Path, work: str) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._paths = [str(tree), str(tree / "scripts")]
        self._run = self._inside(WORKS[work])
        self._inside(self._run)

    def _inside(self, action: Callable[[], Any]) -> Any:
        sys.modules.update(self._modules)
        sys.path[:0] = self._paths
        try:
            return action()
        finally:
            del sys.path[: len(self._paths)]
            self._modules = {name: module for name, module in sys.modules.items() if _is_of_a_tree(name)}
            for name in self._modules:
                del sys.modules[name]

    def round(self) -> float:
        """Return the microseconds that a unit takes."""
        found: float = self._inside(self._round)
        return found

    def _round(self) -> float:
        units, start = 0, time.process_time()
        while (spent := time.process_time() - start) < ROUND_S:
            units += self._run()
        return 1e6 * spent / units


def _is_of_a_tree(name: str) -> bool:
    top = name.partition(".")[0]
    return top in ("actors", "config", "raft", "cluster", "plain_trades") or top.startswith("bench_")


def rounds_of(trees: tuple[Path, Path], work: str, count: int) -> list[tuple[float, float]]:
    """Return what rounds took in both trees, each straight after the other."""
    found: list[tuple[float, float]] = []
    sides = [Side(tree, work) for tree in trees]
    for number in range(count):
        order = (0, 1) if number % 2 else (1, 0)
        try:
            taken = {place: sides[place].round() for place in order}
        except StopIteration:
            break
        found.append((taken[0], taken[1]))
    return found


def measure(other: Path, work: str, rounds: int) -> None:
    """Print what one work takes in both trees."""
    trees = (other.resolve(), Path(__file__).resolve().parents[1])
    pairs = rounds_of(trees, work, rounds)
    ratio = statistics.median(after / before for before, after in pairs)
    before, after = (statistics.median(side) for side in zip(*pairs, strict=True))
    fastest = min(after for _, after in pairs) / min(before for before, _ in pairs)
    print(f"{work:42} {before:10.3f} {after:10.3f} {ratio:7.3f} {fastest:8.3f}", flush=True)


def main() -> None:
    """Read the arguments and compare, each work in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout of the tree to compare with")
    parser.add_argument("--only", default="", help="words, one of which is in the names of the works that are wanted")
    parser.add_argument("--rounds", type=int, default=60, help="rounds of each tree")
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        measure(given.other, given.work, given.rounds)
        return
    print(
        f"{'us of CPU time for a unit, medians':42} {'other':>10} {'this':>10} {'ratio':>7} {'fastest':>8}", flush=True
    )
    wanted = given.only.split("|")
    for work in WORKS:
        if any(word in work for word in wanted):
            with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
                # Threads of Polars that look for work spend CPU time on it, more of it the busier the machine is.
                environment = {**os.environ, "POLARS_MAX_THREADS": "1", "BENCH_FOLDER": folder}
                options = ["--rounds", str(given.rounds), "--work", work]
                command = [sys.executable, "-P", __file__, str(given.other), *options]
                subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
