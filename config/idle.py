"""Idle input: what a job must be like so that silence of its source lets time pass."""

from typing import TYPE_CHECKING

from actors.durations import nanoseconds_per_unit
from actors.model import Schema
from config.base import fault
from config.brokers import RedisSource
from config.sources import GrowingFileSource, InlineSource, ParquetSource

if TYPE_CHECKING:
    from config.settings import JobSettings

PLACE_COUNT = 1024
"""Offsets for each record: time marks before it have all of them but the last, which is its own."""

IDLE_AFTER_S_MIN = 1.0

SEQUENCE_BITS_MAX = 10
"""Bits of an offset that an id of Redis may have for its second number, where others are for time marks."""


def check_idle_after(job: "JobSettings", schema: Schema) -> None:
    """Check that time marks mean something to a job, and that its source can have them.

    Raises:
        SettingError: they do not, or it cannot.
    """
    if job.idle_after is None:
        return
    source, path = job.source, ("idle_after",)
    if job.ticks is None:
        raise fault(path, "needs `ticks`, at which time passes for all keys; add `ticks: 10s` or the like")
    if job.idle_after < IDLE_AFTER_S_MIN:
        raise fault(path, f"{job.idle_after:g} seconds are less than pauses between rows mostly are; give at least 1s")
    if nanoseconds_per_unit(schema[job.time].type) is None:
        raise fault(path, f"column {job.time!r} counts months, which a clock does not; use a TIMESTAMP")
    if isinstance(source, InlineSource | ParquetSource) or (
        isinstance(source, GrowingFileSource) and not source.follow
    ):
        way = "; set `follow: true` in the source if files grow" if isinstance(source, GrowingFileSource) else ""
        raise fault(path, f"a source of type {source.type} has an end, and is never idle before it{way}")
    if isinstance(source, RedisSource) and source.sequence_bits > SEQUENCE_BITS_MAX:
        raise fault(
            ("source", "sequence_bits"),
            f"with `idle_after` an offset has room for {SEQUENCE_BITS_MAX} bits of the second number of an id; write "
            f"`sequence_bits: {SEQUENCE_BITS_MAX}` if no millisecond has more entries than 1024",
        )
    if job.standby and job.partition_by == "split":
        raise fault(
            path,
            "time marks are noted where a split is read, and a standby would read it elsewhere: leave `standby` or "
            "`partition_by: split` out",
        )
