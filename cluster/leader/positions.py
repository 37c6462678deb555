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
    """Positions of the splits of one source, for partitions that have just been opened."""

    def __init__(self, opened: Iterable[OpenedPartition], earliest: Mapping[int, int]) -> None:
        partitions = list(opened)
        self._next = first_needed([one.needed for one in partitions], earliest)
        self._reached = {split: _highest([one.reached for one in partitions], split) for split in earliest}
        received = {split: _highest([one.needed for one in partitions], split) for split in earliest}
        self.sent_again_count = sum(received[split] - self._next[split] for split in earliest)
        """Records that some partition had received already when the leader subscribed."""
        self._sent: dict[int, int] = {}
        self._ended: set[int] = set()
        self._turn = 0
        # Splits that had nothing new since one had.
        self._empty: set[int] = set()

    @property
    def next_offsets(self) -> dict[int, int]:
        """Next offset to read, by split."""
        return dict(self._next)

    @property
    def sent(self) -> dict[int, int]:
        """Offset after the last that was sent, of splits that any was sent of."""
        return dict(self._sent)

    @property
    def has_rows(self) -> bool:
        """Whether every partition has something of some split: it was sent, or was there before."""
        return any(self._next.values())

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

    def take(self, batch: SplitBatch) -> bool:
        """Take what was read, and return whether no split that goes on has anything new."""
        self.add(batch.new_splits)
        if batch.at_end:
            self._ended.add(batch.split)
        if batch.end > batch.start:
            self._next[batch.split] = self._sent[batch.split] = batch.end
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
