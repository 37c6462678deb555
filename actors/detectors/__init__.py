"""Learning detectors: they learn what is usual for each group of rows, then report what is not.

A plain library on Polars and NumPy: no actors, no database, no clock. `make_detector` makes a `Detector` of one of the
specifications. Each kind has a module of its own: specification, watcher, and the registration of its name in jobs.
"""

from actors.detectors.baseline import BaselineSpec
from actors.detectors.building import make_detector
from actors.detectors.charset import CharsetSpec
from actors.detectors.count_vector import CountVectorSpec
from actors.detectors.detector import Detector
from actors.detectors.errors import DetectorSpecError, DetectorStateError
from actors.detectors.event_sequence import EventSequenceSpec
from actors.detectors.learn_phase import LearnPhase
from actors.detectors.new_event import NewEventSpec
from actors.detectors.new_value import NewValueSpec
from actors.detectors.new_value_combination import NewValueCombinationSpec
from actors.detectors.rule import RuleSpec
from actors.detectors.stability import StabilitySpec
from actors.detectors.value_range import ValueRangeSpec

__all__ = [
    "BaselineSpec",
    "CharsetSpec",
    "CountVectorSpec",
    "Detector",
    "DetectorSpecError",
    "DetectorStateError",
    "EventSequenceSpec",
    "LearnPhase",
    "NewEventSpec",
    "NewValueCombinationSpec",
    "NewValueSpec",
    "RuleSpec",
    "StabilitySpec",
    "ValueRangeSpec",
    "make_detector",
]
