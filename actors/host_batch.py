"""Host batches: what a leader sends to a host of one batch of a split.

On its way to another process a batch's rows are one stream of Arrow's record batches, one for each partition, and their
offsets one array. Both are buffers beside the pickled rest (protocol 5), so that they are copied as bytes and nothing
looks at a row; what arrives is cut by partition again without a copy.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, SupportsIndex

import numpy as np
import polars as pl

from actors.partition.ticks import Tick
from actors.source.protocol import DeadLetter

Rows = Mapping[int, tuple[pl.DataFrame, np.ndarray]]
"""Rows and their offsets by partition, of those that have any."""

BUFFER_PROTOCOL = 5
"""The first protocol of pickle with buffers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBatch:
    """One batch of a split for all partitions of a host."""

    split: int
    """Number of the split."""

    start: int
    """First offset of the batch."""

    end: int
    """Offset after the last (exclusive)."""

    partitions: tuple[int, ...]
    """Partitions that the batch has been routed to; others of the host learn nothing from it."""

    rows: Rows
    """Rows and offsets by partition; one of `partitions` that is not named here has no row in the batch."""

    dead_letters: Mapping[int, tuple[DeadLetter, ...]]
    """Dead letters by the partition that keeps them."""

    ticks: tuple[Tick, ...] = ()
    """Ticks of the split in this batch, for all partitions."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        counts = {number: len(offsets) for number, (_, offsets) in self.rows.items()}
        stream: Any = b""
        if counts:
            written = BytesIO()
            pl.concat([frame for frame, _ in self.rows.values()]).write_ipc_stream(written)
            stream = written.getbuffer()
            stream = pickle.PickleBuffer(stream) if int(protocol) >= BUFFER_PROTOCOL else bytes(stream)
        offsets = np.concatenate([np.empty(0, np.int64), *(offsets for _, offsets in self.rows.values())])
        rest = {"dead_letters": self.dead_letters, "ticks": self.ticks, "partitions": self.partitions}
        return _arrived, ({"split": self.split, "start": self.start, "end": self.end, **rest}, counts, stream, offsets)


def _arrived(rest: dict[str, Any], counts: dict[int, int], stream: Any, offsets: np.ndarray) -> HostBatch:
    """Return the batch that was sent."""
    frame, rows, start = pl.read_ipc_stream(BytesIO(stream)) if counts else pl.DataFrame(), {}, 0
    for number, count in counts.items():
        rows[number] = frame.slice(start, count), offsets[start : start + count]
        start += count
    return HostBatch(rows=rows, **rest)
