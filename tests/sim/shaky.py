"""A source, a sink and a disk that fail when they are made to."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actors.errors import SinkError, SourceError
from actors.frames import empty_frame
from actors.shard import Shard, ShardFullError
from actors.source.protocol import Source, SourceBatch
from tests.support.memory_sink import MemorySink


class ShakySource:
    """Another source whose batches end anywhere, and that fails, grows and loses its beginning when it is made to."""

    def __init__(self, source: Source, rng: random.Random) -> None:
        self._source = source
        self._rng = rng
        self.failing_count = 0
        """Reads and openings that fail from now on."""
        self.ends: dict[int, int] = {}
        """Offsets that nothing has come beyond yet, by split."""
        self.earliest: dict[int, int] = {}
        """Offsets before which everything is gone, by split."""
        self.schema = source.schema
        self.close = source.close
        self.splits = source.splits

    def earliest_offset(self, split: int) -> int:
        self._fail()
        return self.earliest.get(split, 0)

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        self._fail()
        if offset < self.earliest.get(split, 0):
            raise SourceError(f"split {split} begins at {self.earliest[split]}")
        count = self._rng.randint(1, row_count_max + 3)
        end = self.ends.get(split)
        if end is None:
            return self._source.read(split, offset, count)
        if offset >= end:
            nothing = np.empty(0, np.int64)
            return SourceBatch(frame=empty_frame(self.schema), offsets=nothing, next_offset=offset)
        return replace(self._source.read(split, offset, min(count, end - offset)), at_end=False)

    def remarks(self) -> tuple[str, ...]:
        return self._source.remarks()

    def _fail(self) -> None:
        if self.failing_count:
            self.failing_count -= 1
            raise SourceError("the source does not answer")


class ShakySink(MemorySink):
    """A sink that fails when it is made to, sometimes after it has taken something."""

    failing_count = 0
    is_down = False

    def write(self, anomalies: Any) -> None:
        if self.is_down:
            raise SinkError("the sink is down")
        if self.failing_count:
            self.failing_count -= 1
            super().write(anomalies[: self.failing_count])
            raise SinkError("the sink does not take anything")
        super().write(anomalies)


class CrashError(BaseException):
    """The process of a host is gone; nothing may catch this but the world."""


@dataclass(slots=True)
class ShakyDisk:
    """The next writes of all shards: `kind` after `countdown` of them, `count` times."""

    kind: str = ""
    countdown: int = 0
    count: int = 0

    def write(self, original: Callable[..., Any], shard: Shard, action: Callable[[Any], Any]) -> Any:
        """Run a write of a shard as fate has it."""
        kind = self._next_fate()
        if kind == "full":
            raise ShardFullError("the disk is full")
        if kind == "before":
            raise CrashError
        if kind in ("within", "twice"):
            with contextlib.suppress(_AbortedError):
                original(shard, lambda txn: _abort_after(action, txn))
            if kind == "within":
                raise CrashError
        result = original(shard, action)
        if kind == "after":
            raise CrashError
        return result

    def _next_fate(self) -> str:
        if not self.count:
            return ""
        if self.countdown:
            self.countdown -= 1
            return ""
        self.count -= 1
        return self.kind


class _AbortedError(Exception):
    pass


def _abort_after(action: Callable[[Any], Any], txn: Any) -> None:
    action(txn)
    raise _AbortedError
