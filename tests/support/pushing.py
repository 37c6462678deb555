"""Jobs whose sources others push into, with what feeds them, in this process."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.source.open import open_source, open_stream_table
from actors.source.protocol import Source
from actors.source.push.feeds import Feed, open_feed
from actors.source.surroundings import FeedPlaces
from actors.stream.table import DurableStreamTable
from cluster.local.speed import slowness
from config.settings import JobSettings

PLACES = FeedPlaces(environment={}, now_us=lambda: time.time_ns() // 1000, random=random.random)


class FedSource:
    """The source of a job, and what feeds it."""

    def __init__(self, table: DurableStreamTable, feed: Feed, source: Source) -> None:
        self.table, self.feed, self.source = table, feed, source

    def rows(self, count: int, start: int = 0) -> list[Any]:
        """Return the rows from an offset on, once there are so many records."""
        due_s = time.monotonic() + 40 * slowness()
        while self.table.bounds(0).next_offset < start + count:
            assert time.monotonic() < due_s, f"{self.table.bounds(0).next_offset} of {start + count} have come"
            time.sleep(0.02)
        return self.now(start)

    def now(self, start: int = 0) -> list[Any]:
        """Return the rows that there are, from an offset on."""
        found: list[Any] = []
        offset, self.letters = start, []
        while (batch := self.source.read(0, offset, 1000)).next_offset > offset:
            batch.validate()
            found += batch.frame.rows()
            self.letters += batch.dead_letters
            offset = batch.next_offset
        return found


@contextmanager
def fed(job: JobSettings, directory: Path, **places: Any) -> Iterator[FedSource]:
    """Feed and open the source of a job, as a run of the job does."""
    known = {name: getattr(PLACES, name) for name in ("environment", "now_us", "random", "allowed")}
    with open_stream_table(job, directory) as table:
        feed = open_feed(job, table, FeedPlaces(**known | places))
        try:
            source = open_source(job, directory, {table.name: table}, directory)
            yield FedSource(table, feed, source)
            source.close()
        finally:
            feed.close()


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    due_s = time.monotonic() + 40 * slowness()
    while not condition():
        assert time.monotonic() < due_s, "it takes too long"
        time.sleep(0.05)
