"""Learning detectors: they learn what is usual for each group of rows, then report what is not.

A plain library on Polars and NumPy: no actors, no database, no clock. `make_detector` makes a `Detector` of one of the
specifications; `specs` describes them.
"""

from actors.detectors.detector import Detector
from actors.detectors.errors import DetectorError, DetectorSpecError, DetectorStateError
from actors.detectors.making import make_detector
from actors.detectors.specs import LearnPhase, NewEventSpec, NewValueCombinationSpec, NewValueSpec

__all__ = [
    "Detector",
    "DetectorError",
    "DetectorSpecError",
    "DetectorStateError",
    "LearnPhase",
    "NewEventSpec",
    "NewValueCombinationSpec",
    "NewValueSpec",
    "make_detector",
]
