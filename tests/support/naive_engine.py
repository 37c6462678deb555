"""The naive engine under one name; see `tests.support.naive`."""

from tests.support.naive.alignment import alignment_size
from tests.support.naive.engine import Anomaly, NaiveEngine
from tests.support.naive.numbers import Fragile
from tests.support.naive.refusal import Refused
from tests.support.naive.text import canonical_text

__all__ = ["Anomaly", "Fragile", "NaiveEngine", "Refused", "alignment_size", "canonical_text"]
