"""Rows that stand in the job file itself."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np

from actors.model import Schema
from actors.source.decoding import RowDecoder, RowRules, record_text
from actors.source.protocol import DeadLetter, SourceBatch, SplitInfo, check_request, cut_raw


class InlineSource:
    """One split with the rows of a list; their positions are their offsets."""

    def __init__(self, rows: Sequence[Sequence[Any]], rules: RowRules) -> None:
        self._schema = rules.schema
        self._count = len(rows)
        names = rules.schema.names
        columns = {name: [_plain(row[at]) for row in rows] for at, name in enumerate(names)}
        self._decoded = RowDecoder(rules).decode_values(columns, len(rows))
        self._letters = tuple(
            DeadLetter(
                split=0,
                offset=row,
                reason=reason,
                raw=cut_raw(record_text(dict(zip(names, rows[row], strict=True)))),
            )
            for row, reason in self._decoded.faults.items()
        )

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._schema

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the only split."""
        return (SplitInfo(number=0, name="rows"),)

    def earliest_offset(self, split: int) -> int:
        """Return 0: the rows are always there."""
        check_request(self.splits(), split, 0, 1)
        return 0

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return at most `row_count_max` rows from `offset` on."""
        check_request(self.splits(), split, offset, row_count_max, self._count)
        end = min(offset + row_count_max, self._count)
        low, high = np.searchsorted(self._decoded.rows, (offset, end)).tolist()
        return SourceBatch(
            frame=self._decoded.frame.slice(low, high - low),
            offsets=self._decoded.rows[low:high],
            next_offset=end,
            dead_letters=tuple(letter for letter in self._letters if offset <= letter.offset < end),
            at_end=end == self._count,
        )

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
