"""Gaps: records that their source had no more when a partition needed them.

There are two kinds. What was never read is *lost*: it has raised nothing, and no restart brings it back. What was read
and committed, but lay above the engine's snapshot when the partition was opened again, is *not replayed*: all that it
raised is there, and only the state of metrics goes on without it. Both are found when a partition is opened, once, and
kept as long as its shard: whoever reads results later has to know what they do not rest on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Records of a split that were gone."""

    split: int

    start: int
    """First offset (inclusive)."""

    end: int
    """Offset after the last (exclusive)."""

    noted_us: int | None
    """When that was found, in microseconds since 1970; `None` where a shard of before does not say."""

    has_results: bool = False
    """Whether the partition had read them before, so that metrics alone lack them."""

    @property
    def records(self) -> str:
        """The records as words."""
        count = self.end - self.start
        which = f"record {self.start}" if count == 1 else f"records {self.start} to {self.end - 1}"
        return f"{which} of split {self.split}"


def encode_gaps(gaps: Iterable[Gap]) -> dict[str, Any]:
    """Return gaps as fields of the record of the marks; versions before know the first of them."""
    lost = [gap for gap in gaps if not gap.has_results]
    return {
        "gaps": [(gap.split, gap.start, gap.end) for gap in lost],
        "gap_times": [gap.noted_us for gap in lost],
        "not_replayed": [(gap.split, gap.start, gap.end, gap.noted_us) for gap in gaps if gap.has_results],
    }


def decode_gaps(record: Mapping[str, Any]) -> list[Gap]:
    """Return the gaps of the record of the marks."""
    times = list(record.get("gap_times", ()))[: len(record["gaps"])]
    lost = [
        Gap(split=split, start=start, end=end, noted_us=noted_us)
        for (split, start, end), noted_us in zip_longest(record["gaps"], times)
    ]
    not_replayed = [
        Gap(split=split, start=start, end=end, noted_us=noted_us, has_results=True)
        for split, start, end, noted_us in record.get("not_replayed", ())
    ]
    return lost + not_replayed


def explain_gap(gap: Gap) -> str:
    """Return what a gap means, as the end of a sentence about its records."""
    was = "was" if gap.end - gap.start == 1 else "were"
    if gap.has_results:
        return f"{was} gone when metrics needed them again; what they raised is kept, and metrics went on without them"
    return f"{was} gone before they were read; nothing is known of them"
