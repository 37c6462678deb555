"""When a group's rows are learned instead of judged."""

from dataclasses import dataclass

from actors.detectors.checks import check_count, check_integer


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnPhase:
    """When a group's rows are learned instead of judged: as long as one of the limits given is not reached.

    Without a limit nothing is learned, and only what was accepted, trained or loaded is known.

    Raises:
        DetectorSpecError: a limit below 1.
    """

    row_count: int | None = None
    """The first rows of each group."""

    duration: int | None = None
    """Time since the group's first row, exclusive."""

    until: int | None = None
    """A moment, exclusive; rows from then on are judged."""

    def __post_init__(self) -> None:
        for name in ("row_count", "duration"):
            if getattr(self, name) is not None:
                check_count("learn", name, getattr(self, name), way="leave it out for no limit")
        if self.until is not None:
            check_integer("learn, a time in the unit of the time column,", "until", self.until)

    @property
    def has_limit(self) -> bool:
        """Whether any row is learned."""
        return any(limit is not None for limit in (self.row_count, self.duration, self.until))
