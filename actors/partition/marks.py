"""How far a partition is: three marks for each split, and what was gone before it could be read.

- `received`: everything below has been applied in memory;
- `committed`: everything below is in the shard. It is written in the same transaction as what it stands for;
- `engine`: where the engine's snapshot in the shard stands (at or below `committed`).
"""

from collections.abc import Mapping
from dataclasses import replace

from actors.partition.gaps import Gap, decode_gaps, encode_gaps
from actors.partition.part import Fields, Part, Saved


class Marks(Part):
    """Offsets of one partition, by split, and the epoch that it follows."""

    def __init__(self) -> None:
        self.epoch = 0
        self.received: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.engine: dict[int, int] = {}
        self.gaps: list[Gap] = []
        """Input that was gone from the source when it was needed."""

    def reached(self) -> dict[int, int]:
        """Return what `committed` is after a flush: while the engine replays, rows above `received` are stored."""
        splits = {**self.committed, **self.received}
        return {split: max(self.received.get(split, 0), self.committed.get(split, 0)) for split in splits}

    def skip_gone(self, earliest: Mapping[int, int], now_us: int) -> list[Gap]:
        """Go on at the first offsets that splits still have; return the gaps that this leaves."""
        found = []
        for split, offset in earliest.items():
            have = self.received.setdefault(split, 0)
            # Rows up to here are in the shard, whatever the engine has to replay.
            known = min(max(have, self.committed.get(split, 0)), offset)
            for start, end, has_results in ((have, known, True), (known, offset, False)):
                if start < end:
                    found.append(Gap(split=split, start=start, end=end, noted_us=now_us, has_results=has_results))
            self.received[split] = max(have, offset)
        self.gaps += found
        return found

    def fields(self) -> Fields:
        """Return epoch, offsets and gaps."""
        return {"epoch": self.epoch, "received": self.reached(), **encode_gaps(self.gaps)}

    def saved(self) -> None:
        """Note that everything received is in the shard."""
        self.committed = self.reached()

    def load(self, saved: Saved) -> None:
        """Begin where the engine's snapshot stands: the engine lacks the rows above it."""
        record = saved.record
        self.epoch = record["epoch"]
        self.gaps = decode_gaps(record)
        self.received, self.committed = dict(record["engine"]), dict(record["received"])
        self.engine = dict(record["engine"])

    def snapshot(self) -> Fields:
        """Return both marks: while the engine replays, everything else stands further on."""
        return {"received": self.received, "committed": self.reached()}

    def restore(self, body: Fields) -> None:
        """Take over the marks; the history below them is a gap here."""
        self.received, self.committed = dict(body["received"]), dict(body["committed"])
        self.gaps += [
            Gap(split=split, start=0, end=offset, noted_us=None)
            for split, offset in body["committed"].items()
            if offset
        ]

    def date_gaps(self, now_us: int) -> None:
        """Let gaps of a snapshot that was just taken over have been found now."""
        self.gaps = [replace(gap, noted_us=now_us) if gap.noted_us is None else gap for gap in self.gaps]

    def validate(self) -> None:
        """Assert that the engine is behind nothing but its own rows, and that gaps are gaps."""
        assert self.epoch >= 0
        for marks in (self.received, self.committed, self.engine):
            assert all(split >= 0 and offset >= 0 for split, offset in marks.items()), marks
        for split, offset in self.engine.items():
            assert offset <= self.committed.get(split, 0), f"split {split}: the engine's snapshot is ahead of the shard"
            assert offset <= self.received.get(split, 0), f"split {split}: received is behind the engine's snapshot"
        assert all(gap.start < gap.end for gap in self.gaps), self.gaps
