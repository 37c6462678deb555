"""Positions: from where each split is read next, whose turn it is, and what has been sent."""

from collections.abc import Iterable, Mapping

from actors.partition.values import OpenedPartition
from cluster.leader.reading import SplitBatch


def first_needed(needed: Iterable[Mapping[int, int]], earliest: Mapping[int, int]) -> dict[int, int]:
    """Return for each split the lowest offset that any partition needs."""
    wanted = list(needed)
    return {
        split: min((marks.get(split, start) for marks in wanted), default=start) for split, start in earliest.items()
    }


class Positions:
    """Positions of the splits of one source, for partitions that have just been opened.

    Each split concerns all of them, or, where `are_own`, the one of its number.
    """

    def __init__(
        self, opened: Mapping[int, OpenedPartition], earliest: Mapping[int, int], *, are_own: bool = False
    ) -> None:
        self._are_own = are_own
        self._next: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        received: dict[int, int] = {}
        for split in earliest:
            partitions = [opened[split]] if are_own else list(opened.values())
            self._next |= first_needed([one.needed for one in partitions], {split: earliest[split]})
            self._reached[split] = _highest([one.reached for one in partitions], split)
            received[split] = _highest([one.needed for one in partitions], split)
        self.sent_again_count = sum(received[split] - self._next[split] for split in earliest)
        """Records that some partition had received already when the leader subscribed."""
        self._earliest = dict(earliest)
        self._sent: dict[int, int] = {}
        self._ended: set[int] = set()
        self._turn = 0
        # Splits that had nothing new since one had.
        self._empty: set[int] = set()

    @property
    def earliest(self) -> dict[int, int]:
        """First offset that each split had when it was seen first, since the source was opened."""
        return dict(self._earliest)

    @property
    def next_offsets(self) -> dict[int, int]:
        """Next offset to read, by split."""
        return dict(self._next)

    def sent_to(self, partition: int) -> dict[int, int]:
        """Return the offset after the last that a partition was sent, or has read, of splits that any was."""
        return {split: offset for split, offset in self._sent.items() if self._concerns(split, partition)}

    def has_rows(self, partition: int) -> bool:
        """Whether a partition has something of some split: it was sent, or was there before."""
        return any(offset for split, offset in self._next.items() if self._concerns(split, partition))

    def next_for(self, partition: int) -> dict[int, int]:
        """Return the next offset to read of the splits that a partition has rows of."""
        return {split: offset for split, offset in self._next.items() if self._concerns(split, partition)}

    def earliest_for(self, partition: int) -> dict[int, int]:
        """Return the first offset that the splits had of which a partition has rows."""
        return {split: offset for split, offset in self._earliest.items() if self._concerns(split, partition)}

    def _concerns(self, split: int, partition: int) -> bool:
        return split == partition or not self._are_own

    def goes_on(self, split: int) -> bool:
        """Whether a split has not ended."""
        return split not in self._ended

    @property
    def at_end(self) -> bool:
        """Whether every split has ended."""
        return len(self._ended) == len(self._next)

    def first_unsent(self) -> dict[int, int]:
        """Return for each split the first offset that nothing of any partition has: neither sent nor reached before."""
        return {split: max(self._sent.get(split, 0), self._reached.get(split, 0)) for split in self._next}

    def add(self, earliest: Mapping[int, int]) -> None:
        """Know splits that are new."""
        for split, offset in earliest.items():
            self._next.setdefault(split, offset)
            self._earliest.setdefault(split, offset)

    def lost(self, earliest: Mapping[int, int]) -> dict[int, int]:
        """Return the splits of which the source no longer has the next offset, and the first that it has."""
        return {split: offset for split, offset in earliest.items() if offset > self._next.get(split, offset)}

    def next_split(self) -> tuple[int, int] | None:
        """Return the split whose turn it is and its next offset, or `None` when all have ended."""
        live = [split for split in self._next if split not in self._ended]
        if not live:
            return None
        split = live[self._turn % len(live)]
        self._turn += 1
        return split, self._next[split]

    def reach(self, split: int, end: int, *, at_end: bool) -> None:
        """Know that a split was read to an offset, and whether it ends there."""
        if at_end:
            self._ended.add(split)
        if end > self._next[split]:
            self._next[split] = self._sent[split] = end

    def take(self, batch: SplitBatch) -> bool:
        """Take what was read, and return whether no split that goes on has anything new."""
        self.add(batch.new_splits)
        self.reach(batch.split, batch.end, at_end=batch.at_end)
        if batch.end > batch.start:
            self._empty.clear()
        else:
            self._empty.add(batch.split)
        is_empty = self._next.keys() - self._ended <= self._empty
        if is_empty:
            self._empty.clear()
        return is_empty

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._ended <= self._next.keys()
        assert self._sent.keys() <= self._next.keys()
        assert all(self._next[split] == offset for split, offset in self._sent.items())


def _highest(marks: Iterable[Mapping[int, int]], split: int) -> int:
    return max((one.get(split, 0) for one in marks), default=0)
