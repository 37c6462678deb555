"""Learning detectors: they learn what is usual for each group of rows, then report what is not.

A plain library on Polars and NumPy: no actors, no database, no clock. `make_detector` makes a `Detector` of one of the
specifications in `actors.detectors.specs`.
"""

from actors.detectors.building import make_detector
from actors.detectors.configuration import stable_variables
from actors.detectors.detector import Detector
from actors.detectors.errors import DetectorError, DetectorSpecError, DetectorStateError
from actors.detectors.specs import (
    CharsetSpec,
    CountVectorSpec,
    EventSequenceSpec,
    LearnPhase,
    NewEventSpec,
    NewValueCombinationSpec,
    NewValueSpec,
    RuleSpec,
    ValueRangeSpec,
)

__all__ = [
    "CharsetSpec",
    "CountVectorSpec",
    "Detector",
    "DetectorError",
    "DetectorSpecError",
    "DetectorStateError",
    "EventSequenceSpec",
    "LearnPhase",
    "NewEventSpec",
    "NewValueCombinationSpec",
    "NewValueSpec",
    "RuleSpec",
    "ValueRangeSpec",
    "make_detector",
    "stable_variables",
]
