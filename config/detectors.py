"""Settings of the detectors of a job: what they learn, and for how long.

Every detector has the keys of `DetectorSettings`; what a type of detector needs beyond them is passed to it by name.
"""

from typing import Annotated, Any

from pydantic import Field

from config.base import Count, Names, Settings

DETECTOR_TYPES: dict[str, tuple[str, ...]] = {
    "new_value": (),
    "new_value_combination": (),
    "value_range": ("margin",),
    "charset": (),
    "new_event": (),
    "event_sequence": ("length",),
    "count_vector": ("window",),
    "rule": ("when",),
}
"""Type of detector -> its own options."""


class LearnSettings(Settings):
    """How long a detector learns before it reports."""

    rows: Annotated[int, Field(ge=0, strict=True)] | None = None
    """Rows of an event that are learnt from."""

    until: str | None = None
    """Time up to which rows are learnt from, such as `2026-01-31T00:00:00`."""


class DetectorSettings(Settings):
    """One detector."""

    type: str
    """Kind of detector, such as `new_value`."""

    name: str | None = None
    """Text that stands for it in the output; `None` means its type."""

    event: Names = ()
    """Columns whose values together name the event that is learnt about; none means one event for all rows."""

    watch: Names = ()
    """Columns that are watched; none means all others."""

    learn: LearnSettings = LearnSettings()
    """How long it learns."""

    expire_after: str | None = None
    """Time after which a value that was not seen counts as new again, such as `7d`."""

    max_distinct: Count = 10_000
    """Values that are remembered of each variable."""

    options: dict[str, Any] = Field(default_factory=dict)
    """What this type of detector needs besides."""
