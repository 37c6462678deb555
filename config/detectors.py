"""Settings of the detectors of a job: what they learn from, and for how long.

A detector learns per key and per *event*: the values of its `event` columns. All types have the keys of
`DetectorSettings`; `options` holds what a type needs besides, by the name that its specification uses.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from config.base import Count, DurationTicks, Names, Settings, as_list, time_text
from config.rules import RuleSettings

EVERY_VARIABLE = "*"
"""In `watch`: the variables of all templates, as far as the type of detector can watch their columns."""


def detail_names(kind: str) -> tuple[str, ...]:
    """Return what the details of the anomalies of a kind of detector have; none of one that there is not."""
    from actors.detectors.registry import find_kind
    from actors.detectors.specs import OWN_DETAIL_NAMES

    found = find_kind(kind)
    return (*OWN_DETAIL_NAMES, *found.detail_names) if found is not None and found.detail_names else ()


def detector_types() -> tuple[str, ...]:
    """Return the types of detectors there are, as the library has them registered."""
    from actors.detectors.registry import detector_types

    return detector_types()


_Watch = str | tuple[str | tuple[str, ...], ...]


class LearnSettings(Settings):
    """When rows are learnt instead of judged: as long as one of the limits given is not reached."""

    rows: Count | None = None
    """The first rows of each key and event."""

    duration: DurationTicks | None = None
    """Time since the first row of each key and event."""

    until: Annotated[str, BeforeValidator(time_text)] | None = None
    """A moment, such as `2026-01-31T00:00:00`, from which rows are judged."""


class DetectorSettings(RuleSettings):
    """One detector."""

    type: str
    """Kind of detector, such as `new_value`."""

    name: str | None = Field(default=None, min_length=1)
    """Name, unique within the job; `None` means its type."""

    event: Names = ()
    """Columns whose values name what is learnt about; none means all rows of a key together."""

    watch: Annotated[tuple[str | tuple[str, ...], ...], BeforeValidator(as_list, json_schema_input_type=_Watch)] = ()
    """Columns that are watched, or lists of columns that are watched together."""

    learn: LearnSettings = LearnSettings()
    """When rows are learnt."""

    expire_after: DurationTicks | None = None
    """Age from which a value that was not seen again counts as new; `None` means never."""

    max_distinct: Count = 10_000
    """Values that are learnt of each watched column."""

    report: Literal["every", "once"] = "every"
    """Whether every row with an unknown value is reported, or the first one only."""

    options: dict[str, Any] = Field(default_factory=dict)
    """What this type of detector needs besides."""

    hold: DurationTicks | None = Field(default=None, alias="for")
    """For how long every row of a key must be an anomaly before an episode fires."""

    keep_firing: DurationTicks | None = None
    """How long after the last row that was an anomaly an episode goes on at least."""

    @property
    def has_episodes(self) -> bool:
        """Whether it is said how anomalies become episodes."""
        return self.hold is not None or self.keep_firing is not None
