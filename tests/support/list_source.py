"""A source whose records stand in a list: the simplest one that keeps the promises of sources."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from actors.given_rows import to_frame
from actors.model import Schema
from actors.source.protocol import DeadLetter, SourceBatch, SplitInfo, check_request


class ListSource:
    """One split for each list; a record is a row, or text that could not become one."""

    def __init__(self, schema: Schema, splits: Sequence[Sequence[tuple[object, ...] | str]]) -> None:
        self._schema = schema
        self._splits = splits

    @property
    def schema(self) -> Schema:
        return self._schema

    def splits(self) -> tuple[SplitInfo, ...]:
        return tuple(SplitInfo(number=number, name=f"list {number}") for number in range(len(self._splits)))

    def earliest_offset(self, split: int) -> int:
        check_request(self.splits(), split, 0, 1)
        return 0

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        check_request(self.splits(), split, offset, row_count_max)
        records = self._splits[split]
        check_request(self.splits(), split, offset, row_count_max, len(records))
        end = min(offset + row_count_max, len(records))
        good = [number for number in range(offset, end) if not isinstance(records[number], str)]
        bad = [number for number in range(offset, end) if isinstance(records[number], str)]
        frame: pl.DataFrame = to_frame(self._schema, [records[number] for number in good])  # type: ignore[misc]
        return SourceBatch(
            frame=frame,
            offsets=np.array(good, dtype=np.int64),
            next_offset=end,
            dead_letters=tuple(
                DeadLetter(split=split, offset=number, reason="bad", raw=str(records[number]).encode())
                for number in bad
            ),
            at_end=end == len(records),
        )

    def remarks(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        pass
