"""One partition's part of a batch."""

import numpy as np

from actors.frames import empty_frame
from actors.model import Schema
from actors.partition.values import RoutedBatch
from cluster.leader.reading import SplitBatch


def routed(batch: SplitBatch, number: int, schema: Schema) -> RoutedBatch:
    """Return what a partition gets of a batch."""
    frame, offsets = batch.rows.get(number, (empty_frame(schema), np.empty(0, np.int64)))
    return RoutedBatch(
        split=batch.split,
        start=batch.start,
        end=batch.end,
        frame=frame,
        offsets=offsets,
        dead_letters=batch.dead_letters.get(number, ()),
        ticks=batch.ticks,
    )
