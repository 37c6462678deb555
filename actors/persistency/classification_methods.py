"""Which tests decide between STABLE and UNSTABLE, and by which rule their verdicts are joined."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from actors.persistency.arguments import choice, number, numbers
from actors.persistency.errors import PersistencyValueError

DEFAULT_SEGMENT_THRESHOLDS = (1.1, 0.3, 0.1, 0.01)
"""Largest share of changes, exclusive, in each quarter; the first quarter always passes."""

DEFAULT_SLOPE_THRESHOLD = -0.05
"""Largest slope, inclusive, of a stable series."""

METHOD_NAMES = ("index", "time", "slope_index", "slope_time")
"""The tests, in the order in which a reason names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationMethods:
    """The tests that run; each may stand alone.

    Raises:
        PersistencyValueError: no test, no threshold, a threshold that nothing can pass, or an unknown decision rule.
    """

    index: bool = True
    """The segment test over equal numbers of observations."""

    time: bool = False
    """The segment test over equal spans of time."""

    segment_thresholds: list[float] = field(default_factory=lambda: list(DEFAULT_SEGMENT_THRESHOLDS))
    """Largest share of changes per segment, exclusive; there are as many segments as thresholds."""

    slope_index: bool = False
    """The slope by position."""

    slope_time: bool = False

    slope_threshold: float = DEFAULT_SLOPE_THRESHOLD
    """Largest slope of a stable variable, inclusive."""

    decision: str = "consensus"
    """`consensus`: every test must pass. `majority`: more than half of them."""

    def __post_init__(self) -> None:
        if not self.enabled:
            names = ", ".join(METHOD_NAMES)
            raise PersistencyValueError(f"at least one classification method must be on; set one of {names} to true")
        # Whoever made the methods may go on changing a list of its own.
        thresholds = numbers("segment_thresholds", self.segment_thresholds)
        object.__setattr__(self, "segment_thresholds", thresholds)
        if not thresholds or not all(limit > 0 for limit in thresholds):
            raise PersistencyValueError(
                f"segment_thresholds {thresholds} must have at least one number, each finite and above 0"
            )
        for name in METHOD_NAMES:
            if not isinstance(getattr(self, name), bool):
                raise PersistencyValueError(f"{name} {getattr(self, name)!r} must be True or False")
        number("slope_threshold", self.slope_threshold)
        object.__setattr__(self, "decision", choice("decision", self.decision, ("consensus", "majority")))

    @classmethod
    def from_any(cls, given: "ClassificationMethods | Mapping[str, Any]") -> "ClassificationMethods":
        """Return the methods of a mapping of field names, or a copy of the methods given.

        Raises:
            PersistencyValueError: an unknown name, or what the initialiser refuses.
        """
        if isinstance(given, ClassificationMethods):
            return replace(given)
        if not isinstance(given, Mapping):
            raise PersistencyValueError(f"classification {given!r} must be a mapping of settings")
        known = {field.name for field in fields(cls)}
        for name in given:
            if name not in known:
                raise PersistencyValueError(
                    f"classification has no setting {name!r}; it has {', '.join(sorted(known))}"
                )
        return cls(**given)

    @property
    def enabled(self) -> tuple[str, ...]:
        """Names of the tests that run."""
        return tuple(name for name in METHOD_NAMES if getattr(self, name))

    @property
    def needs_timestamps(self) -> bool:
        """Whether a test reads the time of observations."""
        return self.time or self.slope_time

    @property
    def needs_segments(self) -> bool:
        """Whether a test cuts segments."""
        return self.index or self.time

    @property
    def segment_count(self) -> int:
        """Observations needed so that no segment is empty; 0 when no test cuts segments."""
        return len(self.segment_thresholds) if self.needs_segments else 0

    def to_state(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)
