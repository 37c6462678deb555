"""Reading whole splits, in pieces of any size."""

from dataclasses import dataclass
from typing import Any

from actors.source.protocol import DeadLetter, Source

READ_COUNT_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitContent:
    """Everything a split holds."""

    rows: tuple[tuple[int, Any], ...]
    """(offset, row) of each row."""

    dead_letters: tuple[DeadLetter, ...]
    next_offset: int


def read_split(source: Source, split: int = 0, batch: int = 1000, start: int = 0) -> SplitContent:
    """Read a split from an offset to its end, or until a read gives nothing."""
    rows: list[tuple[int, Any]] = []
    letters: list[DeadLetter] = []
    offset = start
    for _ in range(READ_COUNT_MAX):
        found = source.read(split, offset, batch)
        found.validate()
        assert len(found.offsets) + len(found.dead_letters) <= batch
        rows += zip(found.offsets.tolist(), found.frame.rows(), strict=True)
        letters += found.dead_letters
        stopped = found.next_offset == offset
        offset = found.next_offset
        if found.at_end or stopped:
            return SplitContent(rows=tuple(rows), dead_letters=tuple(letters), next_offset=offset)
    raise AssertionError(f"split {split} has no end")
