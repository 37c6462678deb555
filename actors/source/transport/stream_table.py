"""A stream table as a transport: its splits and offsets are the table's."""

import numpy as np

from actors.source.protocol import SplitInfo
from actors.source.records import Block, Columns, Origin
from actors.stream.table import DurableStreamTable


class StreamTableTransport:
    """Brings the rows of a stream table, which never ends; `owns_table` tells whether to close the table too."""

    is_finite = False

    def __init__(self, table: DurableStreamTable, *, owns_table: bool = False) -> None:
        self._table = table
        self._owns_table = owns_table
        self._origin = Origin(name=table.name, stem=table.name)

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits of the table."""
        name = self._table.name
        return tuple(SplitInfo(number=number, name=f"{name}/{number}") for number in range(self._table.split_count))

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that is not trimmed."""
        return self._table.bounds(split).earliest_offset

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Columns] | None:
        """Return so many rows, or those that there are; `None` when there are none yet.

        Raises:
            SourceError: the offset is trimmed or was never reached.
        """
        frame, next_offset = self._table.read(split, offset, record_count)
        if next_offset == offset:
            return None
        return Block(
            origin=self._origin,
            offsets=np.arange(offset, next_offset, dtype=np.int64),
            next_offset=next_offset,
            content=Columns(columns={name: frame[name] for name in frame.columns}, count=frame.height),
        )

    def close(self) -> None:
        """Close the table, if it belongs to this transport."""
        if self._owns_table:
            self._table.close()
