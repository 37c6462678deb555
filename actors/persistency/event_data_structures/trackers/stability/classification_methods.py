"""Which tests decide between STABLE and UNSTABLE, and how their verdicts are joined."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

from actors.persistency.errors import PersistencyValueError
from actors.persistency.event_data_structures.trackers.stability.stability_classifier import (
    DEFAULT_SEGMENT_THRESHOLDS,
    DEFAULT_SLOPE_THRESHOLD,
    StabilityClassifier,
    Timestamps,
    are_usable,
    index_slope,
    time_slope,
)
from actors.persistency.rle_list import RLEList

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

    slope_index: bool = False
    """The slope by position."""

    slope_time: bool = False
    """The slope by time."""

    segment_thresholds: tuple[float, ...] = DEFAULT_SEGMENT_THRESHOLDS
    """Largest share of changes per segment, exclusive; there are as many segments as thresholds."""

    slope_threshold: float = DEFAULT_SLOPE_THRESHOLD
    """Largest slope of a stable variable, inclusive."""

    decision: str = "consensus"
    """`consensus`: every test must pass. `majority`: more than half of them."""

    def __post_init__(self) -> None:
        if not self.enabled:
            raise PersistencyValueError(f"no classification method is on; set one of {', '.join(METHOD_NAMES)} to true")
        thresholds = self.segment_thresholds
        if not thresholds or not all(isfinite(limit) and limit > 0 for limit in thresholds):
            raise PersistencyValueError(
                f"segment_thresholds {list(thresholds)} must hold at least one number, each finite and above 0"
            )
        if self.decision not in ("consensus", "majority"):
            raise PersistencyValueError(f"decision {self.decision!r} is unknown; use 'consensus' or 'majority'")

    @classmethod
    def from_any(cls, given: "ClassificationMethods | Mapping[str, Any]") -> "ClassificationMethods":
        """Return the methods of a mapping of field names, or the methods given.

        Raises:
            PersistencyValueError: an unknown name, or what the initialiser refuses.
        """
        if isinstance(given, ClassificationMethods):
            return given
        known = {field.name for field in fields(cls)}
        for name in given:
            if name not in known:
                raise PersistencyValueError(
                    f"classification has no setting {name!r}; it has {', '.join(sorted(known))}"
                )
        thresholds = tuple(given.get("segment_thresholds", DEFAULT_SEGMENT_THRESHOLDS))
        return cls(**{**given, "segment_thresholds": thresholds})

    @property
    def enabled(self) -> tuple[str, ...]:
        """Names of the tests that run."""
        return tuple(name for name in METHOD_NAMES if getattr(self, name))

    @property
    def needs_timestamps(self) -> bool:
        """Whether a test reads the time of observations."""
        return self.time or self.slope_time

    @property
    def segment_count(self) -> int:
        """Observations needed so that no segment is empty; 0 when no test cuts segments."""
        return len(self.segment_thresholds) if self.index or self.time else 0

    def to_state(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {**asdict(self), "segment_thresholds": list(self.segment_thresholds)}


def decide(methods: ClassificationMethods, series: RLEList[bool], timestamps: Timestamps) -> tuple[bool, str]:
    """Return whether a series is stable, and why."""
    verdicts: list[bool] = []
    reasons: list[str] = []
    for name in methods.enabled:
        passed, reason = _run_method(methods, name, series, timestamps)
        verdicts.append(passed)
        reasons.append(f"{name}: {reason} -> {_word(passed)}")
    passed_count = sum(verdicts)
    stable = passed_count == len(verdicts) if methods.decision == "consensus" else passed_count * 2 > len(verdicts)
    reasons.append(f"{methods.decision} of {passed_count}/{len(verdicts)} -> {_word(stable)}")
    return stable, "; ".join(reasons)


def segment_reason(name: str, passed: bool, means: Sequence[float], thresholds: Sequence[float]) -> str:
    """Return the reason of a segment test."""
    return f"{name}means {list(means)} {'below' if passed else 'not below'} thresholds {list(thresholds)}"


def _run_method(
    methods: ClassificationMethods, name: str, series: RLEList[bool], timestamps: Timestamps
) -> tuple[bool, str]:
    if name in ("index", "time"):
        classifier = StabilityClassifier(methods.segment_thresholds)
        usable = name == "time" and are_usable(timestamps, len(series))
        passed = classifier.is_stable(series, timestamps if usable else None)
        return passed, segment_reason("", passed, classifier.segment_means, methods.segment_thresholds)
    slope = time_slope(series, timestamps) if name == "slope_time" else index_slope(series)
    passed = slope <= methods.slope_threshold
    return passed, f"slope {slope:+.3f} {'at most' if passed else 'above'} {methods.slope_threshold}"


def _word(stable: bool) -> str:
    return "STABLE" if stable else "UNSTABLE"
