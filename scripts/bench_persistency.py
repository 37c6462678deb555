"""Measures event persistency and the detectors, beside the DetectMate library where a Python has it.

Each piece of work runs in a process of its own, ours and theirs in turn, and the better of the runs counts. Figures are
CPU time; memory is the growth of the resident set. Give `--peer-python` the Python of an environment in which the
DetectMate library (0.5.2) and pandas are installed; without it only our own figures are shown.

    python scripts/bench_persistency.py --quick
    python scripts/bench_persistency.py --peer-python PATH/bin/python
"""

import argparse
import gc
import importlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OURS = "actors.persistency"
PEER = "detectmatelibrary.utils.persistency"
GOALS = {
    "tracker 10 ids": ">= 2.5",
    "tracker 200 ids": ">= 2.5",
    "tracker 10 ids, batches": ">= 3.5",
    "tracker 200 ids, batches": ">= 3.5",
    "classify 200 ids": "<= 0.1",
    "chunked": ">= 20",
    "chunked memory": "<= 0.2",
    "pandas": ">= 100",
    "read and count distinct": "<= 0.05",
    "capped tracker memory": "<= 20 bytes",
}
WORK = tuple(GOALS)
UNITS = {
    "classify 200 ids": "s",
    "read and count distinct": "s",
    "chunked memory": "bytes",
    "capped tracker memory": "bytes",
}


def events(count: int, id_count: int) -> list[tuple[Any, ...]]:
    """Return events with five variables: a constant, two small sets, a slow counter and a random number."""
    choose = random.Random(7)
    return [
        (
            choose.randrange(id_count),
            "a template",
            ["const", choose.randrange(5), f"u{choose.randrange(100)}", i // 1000, choose.random()],
            {},
            float(i),
        )
        for i in range(count)
    ]


def resident_bytes() -> int:
    """Return the resident set of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def ingest(persistency: Any, given: list[tuple[Any, ...]]) -> None:
    """Take events one by one."""
    for event_id, template, variables, named, timestamp in given:
        persistency.ingest_event(event_id, template, variables, named, timestamp)


def read_all(persistency: Any) -> None:
    """Read everything, so that work put off counts as well."""
    for event_id in list(persistency.get_events_data()):
        persistency.get_event_data(event_id)


def timed(action: Callable[[], Any], repeats: int = 1) -> float:
    """Return the CPU seconds of an action, the best of several runs."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measure(prefix: str, work: str, scale: float) -> float:
    """Do one piece of work and return its figure: events a second, seconds, or bytes an event."""
    made: Any = importlib.import_module(prefix)
    count = int(
        (1e4 if work in ("pandas", "read and count distinct") else 1e6 if work.startswith("capped") else 1e5) * scale
    )
    given = events(count, 200 if "200" in work else 1 if work.startswith("read") else 10)
    backend = made.EventStabilityTracker
    if work in ("chunked", "chunked memory", "pandas", "read and count distinct"):
        frames = importlib.import_module(f"{prefix}.event_data_structures.dataframes")
        backend = frames.EventDataFrame if work == "pandas" else frames.ChunkedEventDataFrame
    arguments = {"max_distinct": 1000} if work.startswith("capped") else {}
    persistency = made.EventPersistency(backend, event_data_kwargs=arguments)
    warm = made.EventPersistency(backend)
    ingest(warm, given[:200])
    read_all(warm)
    return _figure(work, prefix, persistency, given)


def _figure(work: str, prefix: str, persistency: Any, given: list[tuple[Any, ...]]) -> float:
    if "memory" in work:
        before = resident_bytes()
        ingest(persistency, given)
        read_all(persistency)
        return (resident_bytes() - before) / len(given)
    if work.endswith("batches") and prefix == OURS:
        blocks = [given[start : start + 1000] for start in range(0, len(given), 1000)]
        return len(given) / timed(lambda: _ingest_and_read(persistency, persistency.ingest_events, blocks))
    if work.startswith("classify"):
        ingest(persistency, given)
        read_all(persistency)
        return timed(lambda: [_classify(backend) for backend in persistency.get_events_data().values()], 3)
    if work.startswith("read"):
        ingest(persistency, given)
        # What is put off at ingest was counted with "chunked".
        read_all(persistency)
        return timed(lambda: _count_distinct(persistency.get_event_data(given[0][0])), 3)
    return len(given) / timed(lambda: _ingest_and_read(persistency, lambda block: ingest(persistency, block), [given]))


def _ingest_and_read(
    persistency: Any, take: Callable[[list[tuple[Any, ...]]], object], blocks: list[list[tuple[Any, ...]]]
) -> None:
    for block in blocks:
        take(block)
    read_all(persistency)


def _classify(backend: Any) -> Any:
    return {name: tracker.classify() for name, tracker in backend.get_data().items()}


def _count_distinct(frame: Any) -> list[int]:
    return [frame[name].n_unique() for name in frame.columns]


def run(python: str, prefix: str, work: str, scale: float) -> float | None:
    """Measure in a process of its own; `None` when that fails."""
    root = str(Path(__file__).resolve().parents[1])
    command = [python, __file__, "--measure", prefix, "--work", work, "--scale", str(scale)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root})
    return float(json.loads(found.stdout.splitlines()[-1])) if found.returncode == 0 else None


def best(work: str, values: list[float | None]) -> float | None:
    """Return the best of several figures."""
    known = [value for value in values if value is not None]
    return (min if work in UNITS else max)(known, default=None)


def compare(peer_python: str | None, scale: float, repeats: int) -> None:
    """Print a table of figures and ratios."""
    print(f"{'work':28} {'ours':>14} {'peer':>14} {'ratio':>8}  goal")
    for work in WORK:
        ours: list[float | None] = []
        theirs: list[float | None] = []
        for _ in range(repeats):
            ours.append(run(sys.executable, OURS, work, scale))
            if peer_python is not None and not work.startswith("capped"):
                theirs.append(run(peer_python, PEER, work, scale))
        mine, other = best(work, ours), best(work, theirs)
        ratio = f"{mine / other:.3g}" if mine is not None and other else "-"
        print(f"{work:28} {shown(work, mine):>14} {shown(work, other):>14} {ratio:>8}  {GOALS[work]}", flush=True)


def shown(work: str, value: float | None) -> str:
    """Return a figure for people."""
    if value is None:
        return "-"
    unit = UNITS.get(work)
    return f"{value:,.0f}/s" if unit is None else f"{value:.4f} s" if unit == "s" else f"{value:,.1f} B"


def detectors(scale: float) -> None:
    """Print how many rows a second each detector takes, 1000 keys, batches of 50,000 rows."""
    import numpy as np
    import polars as pl

    from actors import detectors as made
    from actors.model import Schema

    count = int(1e6 * scale)
    choose = np.random.default_rng(7)
    frame = pl.DataFrame(
        {
            "time": np.arange(count),
            "sym": [f"s{key}" for key in choose.integers(0, 1000, count)],
            "ev": choose.integers(0, 3, count),
            "qty": choose.integers(0, 20, count),
            "price": choose.integers(0, 100, count) / 4,
            "user": [f"u{user}" for user in choose.integers(0, 50, count)],
        }
    )
    names = {"time": "TIMESTAMP", "sym": "SYMBOL", "ev": "LONG", "qty": "LONG", "price": "DOUBLE", "user": "STRING"}
    learn = made.LearnPhase(row_count=200)
    specs: dict[str, Any] = {
        "new value, 1 variable": made.NewValueSpec(name="d", variables=("qty",), learn=learn),
        "new value, 3 variables": made.NewValueSpec(name="d", variables=("qty", "price", "user"), learn=learn),
        "new value, ageing": made.NewValueSpec(name="d", variables=("qty",), learn=learn, expire_after=count),
        "new combination": made.NewValueCombinationSpec(name="d", combinations=(("ev", "qty"),), learn=learn),
        "new event": made.NewEventSpec(name="d", event_id_columns=("ev",), learn=learn),
        "baseline": made.BaselineSpec(name="d", variables=("qty",)),
        "value range": made.ValueRangeSpec(name="d", variables=("qty",), learn=learn),
        "charset": made.CharsetSpec(name="d", variables=("user",), learn=learn),
        "event sequence": made.EventSequenceSpec(name="d", event_id_columns=("ev",), length=3, learn=learn),
        "count vector": made.CountVectorSpec(
            name="d", event_id_columns=("ev",), window_row_count=50, learn=learn, distance_max=1
        ),
    }
    print(f"\n{'detector':28} {'rows a second':>14} {'anomalies':>10}")
    for label, spec in specs.items():
        detector = made.make_detector(spec, Schema.from_mapping(names), "time", ["sym"])
        start, found = time.process_time(), 0
        for place in range(0, count, 50_000):
            part = frame[place : place + 50_000]
            found += len(detector.process(part, np.arange(place, place + len(part))))
        print(f"{label:28} {count / (time.process_time() - start):>14,.0f} {found:>10}", flush=True)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer-python", help="Python with the DetectMate library")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, once")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    scale = given.scale if given.scale is not None else 0.1 if given.quick else 1.0
    if given.measure is not None:
        print(json.dumps(measure(given.measure, given.work, scale)))
        return
    compare(given.peer_python, scale, 1 if given.quick else 2)
    detectors(scale)


if __name__ == "__main__":
    main()
