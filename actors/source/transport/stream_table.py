"""A stream table as a transport: its splits and offsets are the table's.

The last row read of each split is marked, so that a table that was removed and filled anew is an error, not other rows.
"""

import numpy as np
import polars as pl
import xxhash

from actors.errors import SourceError
from actors.source.protocol import SplitInfo
from actors.source.records import Block, Columns, Origin
from actors.source.transport.positions import FileMark, PositionLog
from actors.stream.table import DurableStreamTable


class StreamTableTransport:
    """Brings the rows of a stream table, which never ends; `owns_table` tells whether to close the table too."""

    is_finite = False

    def __init__(
        self, table: DurableStreamTable, positions: PositionLog | None = None, *, owns_table: bool = False
    ) -> None:
        self._table = table
        self._positions = positions or PositionLog()
        self._compared: set[int] = set()
        self._owns_table = owns_table
        self._origin = Origin(name=table.name, stem=table.name)

    def splits(self) -> tuple[SplitInfo, ...]:
        name = self._table.name
        return tuple(SplitInfo(number=number, name=f"{name}/{number}") for number in range(self._table.split_count))

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that is not trimmed."""
        return self._table.bounds(split).earliest_offset

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Columns] | None:
        """Return so many rows, or those that there are; `None` when there are none yet.

        Raises:
            SourceError: the offset is trimmed or was never reached, or the table is not the one that was read.
        """
        self._compare(split)
        frame, next_offset = self._table.read(split, offset, record_count)
        if next_offset == offset:
            return None
        known = self._positions.marks.get(split)
        if known is None or known.record_count < next_offset:
            self._positions.put(self._mark(split, next_offset, frame))
        return Block(
            origin=self._origin,
            offsets=np.arange(offset, next_offset, dtype=np.int64),
            next_offset=next_offset,
            content=Columns(columns={name: frame[name] for name in frame.columns}, count=frame.height),
        )

    def _compare(self, split: int) -> None:
        """Compare the last row that was read before this process, unless it is trimmed, with the one there now."""
        known = self._positions.marks.get(split)
        if split in self._compared or known is None:
            return
        last, bounds = known.record_count - 1, self._table.bounds(split)
        is_other = bounds.next_offset <= last
        if bounds.earliest_offset <= last < bounds.next_offset:
            is_other = self._mark(split, last + 1, self._table.read(split, last, 1)[0]).digest != known.digest
        if is_other:
            raise SourceError(
                f"the stream table {self._table.name} is not the one that was read: its row {last} of split {split} is "
                "gone or another one. Restore it, or begin anew: a job of another name or another table"
            )
        self._compared.add(split)

    def _mark(self, split: int, next_offset: int, frame: pl.DataFrame) -> FileMark:
        row = repr(frame.row(frame.height - 1)).encode("utf-8", "surrogatepass")
        digest = xxhash.xxh3_128_hexdigest(row)
        return FileMark(number=split, path=self._table.name, record_count=next_offset, size_bytes=0, digest=digest)

    def close(self) -> None:
        """Close the table, if it belongs to this transport."""
        if self._owns_table:
            self._owns_table = False
            self._table.close()
