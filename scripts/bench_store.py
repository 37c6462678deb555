"""Measure the event store beside a peer in the same run: medians of interleaved rounds, and their ratios.

The peer is hat-event's LMDB backend where a Python with it is given or it can be imported (`--peer-python`, or
`--install-peer` to make a virtual environment for it with pip); otherwise one LMDB entry per event and series, msgpack
encoded, the plain way to do it. Every figure is taken through the public API of the side it belongs to.

    python scripts/bench_store.py                        200,000 events, fallback peer or an importable one
    python scripts/bench_store.py --events 1000000 --peer-python PATH
"""

import argparse
import asyncio
import importlib.util
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

SESSION_EVENTS = 100
TRIMMED_EVENTS = 20_000
LARGE_TYPE_COUNT = 100_000
READER_S = 4.0
READER_BATCH_EVENTS, READER_BATCH_S = 50, 0.01
START_S = 1_700_000_000
PEER_VERSION = "0.9.44"
TYPE_COUNT = 1000
EVENTS_MIN = 20_000


def make_rows(count: int, seed: int = 7) -> Iterator[tuple[int, int, tuple[str, ...], int, int, dict[str, Any]]]:
    """Yield session, instance, type, timestamp, source timestamp (both microseconds) and payload, of about 60 bytes."""
    rng = random.Random(seed)
    now = START_S * 1_000_000
    for number in range(count):
        now += rng.randrange(2000)
        device = rng.randrange(TYPE_COUNT)
        words = ("plant", f"line{device % 7}", f"device{device}", "measure")
        payload = {"value": rng.random() * 100, "quality": "good", "unit": "degrees", "number": number}
        yield 1 + number // SESSION_EVENTS, 1 + number % SESSION_EVENTS, words, now, now - rng.randrange(5000), payload


def make_types(count: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield number and type of events that all have different types."""
    for number in range(count):
        yield number, ("plant", f"line{number % 100}", f"device{number}")


def percentile_99(values: list[float]) -> float:
    """Return the value that one in a hundred exceeds."""
    return sorted(values)[int(len(values) * 0.99)]


def disk_bytes(path: Path) -> int:
    """Return what the files in a directory really take."""
    return sum(one.stat().st_blocks * 512 for one in path.rglob("*") if one.is_file())


def timed(action: Callable[[], Any], rounds: int) -> float:
    """Return the median seconds of some rounds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


# The three sides. Each builds a store of `count` events and returns figures by name; seconds unless the name tells.


def measure_ours(directory: Path, count: int, rounds: int) -> dict[str, float]:
    """Measure the store of this repository."""
    from actors.store import (
        Event,
        EventId,
        EventStore,
        JsonPayload,
        OrderBy,
        QueryTimeseriesParams,
        SetConfig,
        StoreConfig,
        Timestamp,
    )

    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None)
    events = [
        Event(EventId(1, s, i), words, Timestamp.from_ticks(t), Timestamp.from_ticks(source), JsonPayload(payload))
        for s, i, words, t, source, payload in make_rows(count)
    ]
    store = EventStore.open(directory, config, clock=lambda: 0)
    start, processor = time.perf_counter(), time.process_time()
    for first in range(0, count, SESSION_EVENTS):
        store.register(events[first : first + SESSION_EVENTS])
        if first % 20_000 == 0:
            store.flush()
    store.flush()
    figures = {"ingest events/s": count / (time.perf_counter() - start)}
    figures["ingest events/CPU/s"] = count / (time.process_time() - processor)
    figures["disk bytes/event"] = disk_bytes(directory) / count
    middle = events[count // 2].timestamp
    one_type = events[count // 2].type

    def page() -> None:
        params = QueryTimeseriesParams(max_results=1000)
        for _ in range(10):
            result = store.query(params)
            params = QueryTimeseriesParams(max_results=1000, last_event_id=result.events[-1].id)

    def ask(**options: Any) -> float:
        return timed(lambda: store.query(QueryTimeseriesParams(**options)), rounds)

    figures["newest 1000"] = ask(max_results=1000)
    figures["1000 from the middle"] = ask(max_results=1000, t_to=middle)
    figures["newest 1000 by source"] = ask(max_results=1000, order_by=OrderBy.SOURCE_TIMESTAMP)
    figures["one type, newest 100"] = ask(max_results=100, event_types=(one_type,))
    figures["a type that is not there"] = ask(event_types=(("no", "such", "type"),))
    figures["ten pages of 1000"] = timed(page, max(1, rounds // 3))
    last = None
    for _ in range(9):
        last = store.query(QueryTimeseriesParams(max_results=1000, last_event_id=last)).events[-1].id
    figures["tenth page of 1000"] = ask(max_results=1000, last_event_id=last)
    store.close()
    return figures | measure_our_reopened(directory, count)


def measure_our_reopened(directory: Path, count: int) -> dict[str, float]:
    """Measure opening a store, scanning it and giving up its oldest events."""
    from actors.store import EventStore, SetConfig, StoreConfig
    from actors.store.events.limits import Limit

    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None)
    figures: dict[str, float] = {}
    start = time.perf_counter()
    store = EventStore.open(directory, config, clock=lambda: 0)
    figures["open"] = time.perf_counter() - start
    processor = time.process_time()
    for _ in range(3):
        scan(store)
    figures["scan values/CPU/s"] = 3 * count / (time.process_time() - processor)
    processor = time.process_time()
    for _ in range(3):
        read_history(store)
    figures["history values/CPU/s"] = 3 * count / (time.process_time() - processor)
    store.close()
    limit = Limit(max_entries=count - TRIMMED_EVENTS)
    trimmed = SetConfig(timestamp_limit=limit, source_timestamp_limit=limit)
    store = EventStore.open(directory, replace(config, sets=(trimmed,)), clock=lambda: 0)
    start, processor = time.perf_counter(), time.process_time()
    store.flush()
    figures["trim entries/s"] = 2 * TRIMMED_EVENTS / (time.perf_counter() - start)
    figures["trim entries/CPU/s"] = 2 * TRIMMED_EVENTS / (time.process_time() - processor)
    assert [one.entry_count for one in store.stat().series] == [count - TRIMMED_EVENTS] * 2
    store.close()
    return figures


def measure_our_reader(directory: Path) -> dict[str, float]:
    """Measure how long readers wait while 5,000 events a second come in."""
    from actors.store import Event, EventId, EventStore, JsonPayload, QueryTimeseriesParams, SetConfig, StoreConfig
    from actors.store import Timestamp as Stamp

    rows = list(make_rows(int(READER_S / READER_BATCH_S) * READER_BATCH_EVENTS))
    events = [
        Event(
            EventId(1, 1, number + 1), row[2], Stamp.from_ticks(row[3]), Stamp.from_ticks(row[4]), JsonPayload(row[5])
        )
        for number, row in enumerate(rows)
    ]
    taken: list[float] = []
    with EventStore.open(directory, StoreConfig(sets=(SetConfig(),)), clock=lambda: time.time_ns() // 1000) as store:

        def write() -> None:
            start = time.perf_counter()
            for number, first in enumerate(range(0, len(events), READER_BATCH_EVENTS)):
                store.register(events[first : first + READER_BATCH_EVENTS])
                time.sleep(max(0.0, start + (number + 1) * READER_BATCH_S - time.perf_counter()))

        writer = threading.Thread(target=write)
        writer.start()
        while writer.is_alive():
            start = time.perf_counter()
            store.query(QueryTimeseriesParams(max_results=100))
            taken.append(time.perf_counter() - start)
            time.sleep(0.002)
        writer.join()
    return {"reader p99 beside a writer": percentile_99(taken)}


def measure_our_types(directory: Path) -> dict[str, float]:
    """Measure opening a store with many types."""
    from actors.store import Event, EventId, EventStore, SetConfig, StoreConfig, Timestamp

    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None)
    with EventStore.open(directory, config, clock=lambda: 0) as store:
        for number, words in make_types(LARGE_TYPE_COUNT):
            store.register([Event(EventId(1, 1, number + 1), words, Timestamp(START_S + number, 0))])

    def reopen() -> None:
        EventStore.open(directory, config, clock=lambda: 0).drop()

    return {"open with 100k types": timed(reopen, 3)}


def read_history(store: Any) -> None:
    """Read one numeric field of every event, with its place and time, batch by batch."""
    import polars as pl

    from actors.store.query.history import HistoryParams

    params = HistoryParams(fields={"value": pl.Float64}, columns=("session", "timestamp"))
    assert sum(frame["value"].null_count() for frame in store.read_history(params)) == 0


def scan(store: Any) -> None:
    """Read one numeric field of every event into a frame."""
    import polars as pl

    from actors.store import Order, QueryTimeseriesParams

    frame = store.query_frame(QueryTimeseriesParams(order=Order.ASCENDING), {"value": pl.Float64})
    assert frame["value"].null_count() == 0


def measure_columns(directory: Path, count: int) -> dict[str, float]:
    """Measure registering batches that are columns already, as a partition does."""
    import msgpack
    import numpy as np

    from actors.store import ColumnBatch, EventStore, SetConfig, StoreConfig

    rows = list(make_rows(count))
    distinct = list(dict.fromkeys(row[2] for row in rows))
    numbers = {words: number for number, words in enumerate(distinct)}
    payloads = [msgpack.packb(row[5]) for row in rows]
    index = np.array([numbers[row[2]] for row in rows])
    times, sources = np.array([row[3] for row in rows]), np.array([row[4] for row in rows])
    store = EventStore.open(directory, StoreConfig(sets=(SetConfig(),), flush_period_ms=None), clock=lambda: 0)
    start, processor = time.perf_counter(), time.process_time()
    for first in range(0, count, 20_000):
        part = slice(first, min(first + 20_000, count))
        session = np.arange(part.start + 1, part.stop + 1, dtype=np.uint64)
        batch = ColumnBatch(
            server=1,
            types=distinct,
            type_index=index[part],
            session=session,
            instance=np.ones(len(session), dtype=np.uint64),
            timestamp=times[part],
            source_timestamp=sources[part],
            payloads=payloads[part],
        )
        store.register_columns(batch)
        store.flush()
    figures = {"columns ingest events/s": count / (time.perf_counter() - start)}
    figures["columns ingest events/CPU/s"] = count / (time.process_time() - processor)
    store.close()
    return figures


def measure_plain(directory: Path, count: int, rounds: int) -> dict[str, float]:
    """Measure the fallback peer: one msgpack entry per event and series, straight on LMDB."""
    import lmdb
    import msgpack

    key = struct.Struct(">BQQQQ")
    env = lmdb.open(str(directory), map_size=1 << 34, max_dbs=4)
    series, references = env.open_db(b"series"), env.open_db(b"reference")
    rows = list(make_rows(count))
    start = time.perf_counter()
    for first in range(0, count, 20_000):
        with env.begin(write=True) as txn:
            for s, i, words, t, source, payload in rows[first : first + 20_000]:
                value = msgpack.packb([1, s, i, words, t, source, payload])
                txn.put(key.pack(0, t, 1, s, i), value, db=series)
                txn.put(key.pack(1, source, 1, s, i), value, db=series)
                txn.put(struct.pack(">QQQ", 1, s, i), msgpack.packb([t, source]), db=references)
    figures = {"ingest events/s": count / (time.perf_counter() - start)}
    figures["disk bytes/event"] = disk_bytes(directory) / count

    def query(limit: int, order: int = 0, upper: int = (1 << 64) - 1, words: tuple[str, ...] | None = None) -> int:
        found: list[Any] = []
        with env.begin() as txn, txn.cursor(series) as cursor:
            more = cursor.set_range(key.pack(order, upper, *[(1 << 64) - 1] * 3))
            more = cursor.prev() if more else cursor.last()
            while more and len(found) < limit and cursor.key()[0] == order:
                event = msgpack.unpackb(cursor.value())
                if words is None or tuple(event[3]) == words:
                    found.append(event)
                more = cursor.prev()
        return len(found)

    figures["newest 1000"] = timed(lambda: query(1000), rounds)
    figures["1000 from the middle"] = timed(lambda: query(1000, upper=rows[count // 2][3]), rounds)
    figures["newest 1000 by source"] = timed(lambda: query(1000, order=1), rounds)
    figures["one type, newest 100"] = timed(lambda: query(100, words=rows[count // 2][2]), rounds)
    figures["a type that is not there"] = timed(lambda: query(100, words=("no",)), 1)
    env.close()
    return figures


def hat_settings(directory: Path) -> dict[str, Any]:
    """Return settings of the peer that keep the same as ours."""
    directory.mkdir(parents=True, exist_ok=True)
    everything = {"subscriptions": [["*"]]}
    return {
        "db_path": str(directory / "hat.db"),
        "identifier": None,
        "flush_period": 3600,
        "cleanup_period": 3600,
        "conditions": [],
        "latest": everything,
        "timeseries": [{"order_by": order, **everything} for order in ("TIMESTAMP", "SOURCE_TIMESTAMP")],
    }


async def measure_hat(directory: Path, count: int, rounds: int) -> dict[str, float]:
    """Measure hat-event's LMDB backend."""
    from hat.event import common
    from hat.event.backends.lmdb import backend as module

    def stamp(ticks: int) -> Any:
        return common.Timestamp(*divmod(ticks, 1_000_000))

    events = [
        common.Event(common.EventId(1, s, i), words, stamp(t), stamp(source), common.EventPayloadJson(payload))
        for s, i, words, t, source, payload in make_rows(count)
    ]
    backend = await module.create(hat_settings(directory), None, None)
    start, processor = time.perf_counter(), time.process_time()
    for first in range(0, count, SESSION_EVENTS):
        await backend.register(events[first : first + SESSION_EVENTS])
        if first % 20_000 == 0:
            await backend.flush()
    await backend.flush()
    figures = {"ingest events/s": count / (time.perf_counter() - start)}
    figures["ingest events/CPU/s"] = count / (time.process_time() - processor)
    figures["disk bytes/event"] = disk_bytes(directory) / count

    async def ask(times: int, **options: Any) -> float:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            await backend.query(common.QueryTimeseriesParams(**options))
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    async def page() -> None:
        last = None
        for _ in range(10):
            params = common.QueryTimeseriesParams(max_results=1000, last_event_id=last)
            last = list((await backend.query(params)).events)[-1].id

    by_source = common.OrderBy.SOURCE_TIMESTAMP
    figures["newest 1000"] = await ask(rounds, max_results=1000)
    figures["1000 from the middle"] = await ask(rounds, max_results=1000, t_to=events[count // 2].timestamp)
    figures["newest 1000 by source"] = await ask(rounds, max_results=1000, order_by=by_source)
    figures["one type, newest 100"] = await ask(2, max_results=100, event_types=[events[count // 2].type])
    figures["a type that is not there"] = await ask(1, event_types=[("no", "such", "type")])
    start = time.perf_counter()
    await page()
    figures["ten pages of 1000"] = time.perf_counter() - start
    last = None
    for _ in range(9):
        params = common.QueryTimeseriesParams(max_results=1000, last_event_id=last)
        last = list((await backend.query(params)).events)[-1].id
    figures["tenth page of 1000"] = await ask(3, max_results=1000, last_event_id=last)
    await backend.async_close()
    start = time.perf_counter()
    backend = await module.create(hat_settings(directory), None, None)
    figures["open"] = time.perf_counter() - start
    await backend.async_close()
    return figures | await measure_hat_trim(directory, count)


async def measure_hat_trim(directory: Path, count: int) -> dict[str, float]:
    """Measure how fast entries beyond a limit are removed: that begins by itself when the store is opened."""
    from hat.event import common
    from hat.event.backends.lmdb import backend as module

    settings = hat_settings(directory)
    for series in settings["timeseries"]:
        series["limit"] = {"max_entries": count - TRIMMED_EVENTS}
    rows = [(row[3], row[4]) for row in make_rows(count)]
    expected = [sorted(times)[TRIMMED_EVENTS] for times in zip(*rows, strict=True)]
    start, processor = time.perf_counter(), time.process_time()
    backend = await module.create(settings, None, None)
    for position, order_by in enumerate((common.OrderBy.TIMESTAMP, common.OrderBy.SOURCE_TIMESTAMP)):
        oldest = None
        while oldest != expected[position]:
            await asyncio.sleep(0.05)
            params = common.QueryTimeseriesParams(max_results=1, order=common.Order.ASCENDING, order_by=order_by)
            event = next(iter((await backend.query(params)).events))
            stamp = event.source_timestamp if position else event.timestamp
            oldest = stamp.s * 1_000_000 + stamp.us
    taken, busy = time.perf_counter() - start, time.process_time() - processor
    await backend.async_close()
    return {"trim entries/s": 2 * TRIMMED_EVENTS / taken, "trim entries/CPU/s": 2 * TRIMMED_EVENTS / busy}


async def measure_hat_reader(directory: Path) -> dict[str, float]:
    """Measure how long readers wait while 5,000 events a second come in."""
    from hat.event import common
    from hat.event.backends.lmdb import backend as module

    def stamp(ticks: int) -> Any:
        return common.Timestamp(*divmod(ticks, 1_000_000))

    rows = list(make_rows(int(READER_S / READER_BATCH_S) * READER_BATCH_EVENTS))
    events = [
        common.Event(common.EventId(1, 1, n + 1), row[2], stamp(row[3]), stamp(row[4]), common.EventPayloadJson(row[5]))
        for n, row in enumerate(rows)
    ]
    backend = await module.create({**hat_settings(directory), "flush_period": 0.5}, None, None)

    async def write() -> None:
        start = time.perf_counter()
        for number, first in enumerate(range(0, len(events), READER_BATCH_EVENTS)):
            await backend.register(events[first : first + READER_BATCH_EVENTS])
            await asyncio.sleep(max(0.0, start + (number + 1) * READER_BATCH_S - time.perf_counter()))

    taken: list[float] = []
    writer = asyncio.ensure_future(write())
    while not writer.done():
        start = time.perf_counter()
        await backend.query(common.QueryTimeseriesParams(max_results=100))
        taken.append(time.perf_counter() - start)
        await asyncio.sleep(0.002)
    await writer
    await backend.async_close()
    return {"reader p99 beside a writer": percentile_99(taken)}


async def measure_hat_types(directory: Path) -> dict[str, float]:
    """Measure opening a store with many types."""
    from hat.event import common
    from hat.event.backends.lmdb import backend as module

    settings = hat_settings(directory)
    backend = await module.create(settings, None, None)
    events = [
        common.Event(common.EventId(1, 1, number + 1), words, common.Timestamp(START_S + number, 0), None, None)
        for number, words in make_types(LARGE_TYPE_COUNT)
    ]
    for first in range(0, len(events), 10_000):
        await backend.register(events[first : first + 10_000])
        await backend.flush()
    await backend.async_close()
    start = time.perf_counter()
    backend = await module.create(settings, None, None)
    taken = time.perf_counter() - start
    await backend.async_close()
    return {"open with 100k types": taken}


def run_side(side: str, count: int, rounds: int) -> dict[str, float]:
    """Measure one side in this process."""
    directory = Path(tempfile.mkdtemp(prefix="bench-store-"))
    try:
        if side == "ours":
            figures = measure_ours(directory / "a", count, rounds) | measure_columns(directory / "b", count)
            return figures | measure_our_reader(directory / "c") | measure_our_types(directory / "d")
        if side == "plain":
            return measure_plain(directory, count, rounds)
        figures = asyncio.run(measure_hat(directory / "a", count, rounds))
        figures |= asyncio.run(measure_hat_reader(directory / "c"))
        return figures | asyncio.run(measure_hat_types(directory / "d"))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def call_side(python: str, side: str, options: argparse.Namespace) -> dict[str, float]:
    """Measure one side in a process of its own."""
    command = [python, __file__, "--side", side, "--events", str(options.events), "--queries", str(options.queries)]
    root = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def find_peer(options: argparse.Namespace) -> tuple[str, str]:
    """Return the Python to run the peer with, and which peer it is."""
    if options.install_peer:
        home = Path(tempfile.gettempdir()) / f"bench-store-peer-{PEER_VERSION}"
        python = str(home / "bin" / "python")
        if not Path(python).exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", f"hat-event=={PEER_VERSION}"], check=True)
        return python, "hat"
    if options.peer_python:
        return options.peer_python, "hat"
    try:
        found = importlib.util.find_spec("hat.event") is not None
    except ModuleNotFoundError:
        found = False
    return sys.executable, "hat" if found else "plain"


def report(peer: str, ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> dict[str, Any]:
    """Return medians and how many times better ours are."""
    table: dict[str, Any] = {}
    for name in ours[0]:
        mine = statistics.median(one[name] for one in ours)
        other = statistics.median(one[name] for one in theirs) if name in theirs[0] else None
        ratio = None if other is None else mine / other if name.endswith("/s") else other / mine
        table[name] = {"tocsin": mine, peer: other, "times better": ratio}
    return table


def main() -> None:
    """Run the sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of all sides")
    parser.add_argument("--queries", type=int, default=15, help="times that a query is asked per round")
    parser.add_argument("--peer-python", help="Python that can import hat.event")
    parser.add_argument("--install-peer", action="store_true", help="install the peer into an environment of its own")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=("ours", "plain", "hat"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.events < EVENTS_MIN:
        parser.error(f"--events is {options.events}; ten pages of 1000 need {EVENTS_MIN} at least")
    if options.side:
        print(json.dumps(run_side(options.side, options.events, options.queries)))
        return
    python, peer = find_peer(options)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(call_side(sys.executable, "ours", options))
        theirs.append(call_side(python, peer, options))
    table = report(peer, ours, theirs)
    if options.json:
        print(json.dumps(table, indent=2))
        return
    print(f"{options.events} events, medians of {options.rounds} rounds\n")
    print(f"{'figure':28}{'tocsin':>14}{peer:>14}{'times better':>14}")
    for name, row in table.items():
        cells = ["" if value is None else f"{value:,.5g}" for value in row.values()]
        print(f"{name:28}{cells[0]:>14}{cells[1]:>14}{cells[2]:>14}")


if __name__ == "__main__":
    main()
