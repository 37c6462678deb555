"""Rows that stand in the job file itself: one split; their positions are their offsets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.source.protocol import SplitInfo, check_request
from actors.source.records import Block, Origin, Values

_SPLIT = SplitInfo(number=0, name="rows")


class InlineTransport:
    """Brings the rows of a list."""

    is_finite = True

    def __init__(self, names: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        self._content = Values(names=names, rows=rows)

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the only split."""
        return (_SPLIT,)

    def earliest_offset(self, split: int) -> int:
        """Return 0: the rows are always there."""
        del split
        return 0

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Values] | None:
        """Return all rows, or `None` after the last."""
        count = len(self._content)
        check_request((_SPLIT,), split, offset, record_count, count)
        if offset == count:
            return None
        return Block(
            origin=Origin(name=_SPLIT.name, stem=_SPLIT.name),
            offsets=np.arange(count, dtype=np.int64),
            next_offset=count,
            content=self._content,
            is_last=True,
        )

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""
