"""A process that fills a store until it is killed: `python -m tests.support.store_victim DIRECTORY SEED [POINT COUNT]`.

It registers sessions of five events each, flushes now and then, and prints a line when it begins. With a point it kills
itself there, at the given call.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.shard.shard import Shard
from actors.store import EventId, EventStore, SetConfig, StoreConfig
from actors.store.disk import source_series, writing
from actors.store.events.limits import Limit
from tests.support.store_setup import event, small_blocks

SESSION_EVENTS = 5
CONFIG = StoreConfig(
    sets=(SetConfig(source_timestamp_limit=Limit(max_entries=400), timestamp_limit=Limit(max_entries=300)),),
    flush_period_ms=None,
    map_size_bytes=1 << 16,
)

POINTS: dict[str, tuple[Any, str]] = {
    "after the log": (writing.StoreWriter, "_append"),
    "after the runs": (writing, "append_runs"),
    "after trimming": (writing, "trim_series"),
    "before the commit": (writing.StoreWriter, "write"),
    "after the commit": (writing.StoreWriter, "committed"),
    "growing the map": (Shard, "_grow"),
    "merging runs": (source_series, "_merge_runs"),
}


def main(directory: Path, seed: int, point: str | None, count: int) -> None:
    if point is not None:
        owner, name = POINTS[point]
        setattr(owner, name, _deadly(getattr(owner, name), count))
    rng = random.Random(seed)
    with small_blocks(row_count=8, runs_per_level=3):
        store = EventStore.open(directory, CONFIG, clock=lambda: 0)
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        session = store.last_event_id(1).session
        while True:
            session += 1
            instances = range(1, SESSION_EVENTS + 1)
            store.register([_event(session, instance, rng) for instance in instances])
            if rng.random() < 0.3:
                store.flush()


def _event(session: int, instance: int, rng: random.Random) -> Any:
    made = event(instance, f"t{rng.randrange(4)}", time=session, source=rng.randrange(1000), data="x" * 200)
    return made._replace(id=EventId(1, session, instance))


def _deadly(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    left = [count]

    def call(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]), int(given[1]), given[2] if given[2:] else None, int(given[3]) if given[3:] else 0)
