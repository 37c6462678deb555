"""Errors of the learning detectors.

The tree::

    DetectorError               (TocsinError) root of this package
    ├── DetectorSpecError       a specification that cannot be used                        (ValueError)
    ├── DetectorValueError      a value that cannot be accepted                            (ValueError)
    └── DetectorStateError      saved state that is torn, or belongs to another detector   (SnapshotError)
"""

from actors.errors import SnapshotError, TocsinError


class DetectorError(TocsinError):
    """Root of the errors of the learning detectors."""


class DetectorSpecError(DetectorError, ValueError):
    """A specification that cannot be used."""


class DetectorValueError(DetectorError, ValueError):
    """A value that cannot be accepted: no row of the watched columns could bring it."""


class DetectorStateError(DetectorError, SnapshotError):
    """Saved state that is torn, of another version, or of another detector."""
