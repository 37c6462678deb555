"""What tests of the store share: events in a line, stores with small blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.store import Event, EventId, EventStore, JsonPayload, SetConfig, StoreConfig, Timestamp
from actors.store.disk import log as log_module
from actors.store.disk import source_series as runs_module

MANUAL = StoreConfig(sets=(SetConfig(),), flush_period_ms=None)
"""One set of everything; flushed only when asked."""


@contextmanager
def small_blocks(row_count: int = 4, runs_per_level: int = 3) -> Iterator[None]:
    """Cut blocks after a few rows, so that small tests have many."""
    before = (log_module.BLOCK_ROW_COUNT, runs_module.BLOCK_ROW_COUNT, runs_module.RUNS_PER_LEVEL)
    log_module.BLOCK_ROW_COUNT = runs_module.BLOCK_ROW_COUNT = row_count
    runs_module.RUNS_PER_LEVEL = runs_per_level
    try:
        yield
    finally:
        log_module.BLOCK_ROW_COUNT, runs_module.BLOCK_ROW_COUNT, runs_module.RUNS_PER_LEVEL = before


def open_store(path: Path, config: StoreConfig = MANUAL, now_us: int = 0, **options: Any) -> EventStore:
    return EventStore.open(path, config, clock=lambda: now_us, **options)


def event(
    instance: int,
    *words: str,
    time: float | None = None,
    source: float | None = None,
    data: Any = None,
    server: int = 1,
    session: int = 1,
) -> Event:
    """An event of server 1, session 1, whose time is its instance unless told."""
    moment = Timestamp.from_ticks(round((instance if time is None else time) * 1_000_000))
    origin = None if source is None else Timestamp.from_ticks(round(source * 1_000_000))
    return Event(EventId(server, session, instance), tuple(words), moment, origin, JsonPayload(data))


def instances(result: Any) -> list[int]:
    return [one.id.instance for one in result.events]
