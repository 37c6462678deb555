"""Late rows: what the engine discards is set aside, newest first to stay, until somebody takes it."""

from collections import deque

import numpy as np
import polars as pl

from actors.engine.vectors.batch import Batch
from actors.engine.vectors.segments import Layout, running_maximum
from actors.engine.vectors.vector import Array
from actors.frames import polars_schema, without_nan
from actors.model import Schema


class LateRows:
    """Discarded rows; the last two columns are `offset` and `late_by`, the time by which a row came too late.

    `late_by` is NULL for a row without a time. If a column has one of these names, a line is put under ours: `offset_`.
    Rows are set aside in the order in which they came, whoever discards them, so what stays does not depend on the cut.
    """

    def __init__(self, schema: Schema, row_count_max: int) -> None:
        self._types: dict[str, pl.DataType] = dict(polars_schema(schema))
        self._offset, self._late_by = (self._add_column(name) for name in ("offset", "late_by"))
        self._nothing = pl.DataFrame(schema=self._types)
        self._row_count_max = row_count_max
        self._frames: deque[pl.DataFrame] = deque()
        self._height = 0
        # Rows of the batch that is being tested, each frame with the places of its rows: (offset, ordinal).
        self._fresh: list[tuple[pl.DataFrame, Array, Array]] = []

    def _add_column(self, name: str) -> str:
        while name in self._types:
            name += "_"
        self._types[name] = pl.Int64()
        return name

    @property
    def size_bytes(self) -> int:
        """Bytes that the rows take."""
        return sum(int(frame.estimated_size()) for frame in self._frames)

    def discard(self, batch: Batch, rows: Array, late_by: Array | None) -> None:
        """Take rows of a batch, by their positions in its frame, and by how much each is late."""
        by = pl.Series(late_by) if late_by is not None else pl.lit(None, pl.Int64)
        offsets = batch.offsets[rows]
        frame = batch.frame[rows].with_columns(pl.Series(self._offset, offsets), by.alias(self._late_by))
        ordinals = np.zeros(len(rows), dtype=np.int64) if batch.ordinals is None else batch.ordinals[rows]
        self._fresh.append((frame, offsets, ordinals))

    def settle(self) -> None:
        """Set aside what was discarded of a batch, in the order of its rows; the oldest rows give way."""
        if not self._fresh:
            return
        frames, offsets, ordinals = zip(*self._fresh, strict=True)
        self._fresh = []
        order = np.lexsort((np.concatenate(ordinals), np.concatenate(offsets)))
        frame = without_nan(pl.concat(frames)[order])
        self._frames.append(frame)
        self._height += frame.height
        while self._height - self._frames[0].height >= self._row_count_max:
            self._height -= self._frames.popleft().height
        excess = self._height - self._row_count_max
        if excess > 0:
            self._frames[0] = self._frames[0][excess:]
            self._height -= excess

    def take(self) -> pl.DataFrame:
        """Return the rows since the last call."""
        frames = list(self._frames)
        self.clear()
        return pl.concat(frames) if frames else self._nothing.clone()

    def clear(self) -> None:
        """Forget all rows."""
        self._frames.clear()
        self._height = 0


def lateness(times: Array, layout: Layout, latest: Array, late: Array) -> Array:
    """Return by how much sorted rows are late, given the latest time of each segment before the batch."""
    raised = times.copy()
    raised[layout.starts] = np.maximum(times[layout.starts], latest)
    behind: Array = running_maximum(raised, layout)[late] - times[late]
    return behind
