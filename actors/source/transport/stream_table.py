"""A stream table as a source: its splits and offsets are the table's."""

import numpy as np

from actors.model import Schema
from actors.source.decoding import RowDecoder, RowRules, record_text
from actors.source.protocol import DeadLetter, SourceBatch, SplitInfo, check_request, cut_raw
from actors.stream.table import StreamTable


class StreamSource:
    """Reads a stream table; it never ends. `owns_table` tells whether closing the source closes the table."""

    def __init__(self, table: StreamTable, rules: RowRules, *, owns_table: bool = False) -> None:
        self._table = table
        self._rows = RowDecoder(rules)
        self._owns_table = owns_table

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._table.schema

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits of the table."""
        name = self._table.name
        return tuple(SplitInfo(number=number, name=f"{name}/{number}") for number in range(self._table.split_count))

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that is not trimmed."""
        return self._table.bounds(split).earliest_offset

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return at most `row_count_max` rows from `offset` on; empty when there are none yet.

        Raises:
            SourceError: no such split, or an offset that is trimmed or was never reached.
        """
        check_request(self.splits(), split, offset, row_count_max)
        frame, next_offset = self._table.read(split, offset, row_count_max)
        decoded = self._rows.decode({name: frame[name] for name in frame.columns})
        letters = tuple(
            DeadLetter(
                split=split,
                offset=offset + row,
                reason=reason,
                raw=cut_raw(record_text(frame.row(row, named=True))),
            )
            for row, reason in decoded.faults.items()
        )
        return SourceBatch(
            frame=decoded.frame,
            offsets=(decoded.rows + offset).astype(np.int64),
            next_offset=next_offset,
            dead_letters=letters,
        )

    def close(self) -> None:
        """Close the table, if it belongs to this source."""
        if self._owns_table:
            self._table.close()
