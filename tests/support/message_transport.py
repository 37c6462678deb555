"""A transport whose records stand in lists, as messages of a broker: one by one, with offsets that may have gaps."""

from collections.abc import Mapping, Sequence

import numpy as np

from actors.source.protocol import SplitInfo, beyond_end
from actors.source.records import Block, Origin, Texts


class MessageTransport:
    """One split for each mapping of offsets to messages; blocks hold at most `block_count` of them."""

    def __init__(self, splits: Sequence[Mapping[int, bytes]], block_count: int = 40) -> None:
        self._splits = splits
        self._block_count = block_count

    @property
    def is_finite(self) -> bool:
        return True

    def splits(self) -> tuple[SplitInfo, ...]:
        return tuple(SplitInfo(number=number, name=f"topic/{number}") for number in range(len(self._splits)))

    def earliest_offset(self, split: int) -> int:
        return min(self._splits[split], default=0)

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Texts] | None:
        messages = self._splits[split]
        end = max(messages, default=-1) + 1
        if offset > end:
            raise beyond_end(self.splits()[split], offset, end)
        chosen = sorted(one for one in messages if one >= offset)[: min(self._block_count, record_count)]
        if not chosen:
            return None
        return Block(
            origin=Origin(name="topic", stem="topic"),
            offsets=np.array(chosen, dtype=np.int64),
            next_offset=chosen[-1] + 1,
            content=Texts.of_messages([messages[one] for one in chosen]),
            is_last=chosen[-1] + 1 == end,
        )

    def close(self) -> None:
        pass
