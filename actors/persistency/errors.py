"""Errors of event persistency.

The tree::

    PersistencyError            (TocsinError) root of this package
    ├── PersistencyLoadError    saved state is absent, torn, or of another version
    ├── PersistencySaveError    state could not be written; the counter of unsaved events is kept
    └── PersistencyValueError   an argument that cannot be used                            (ValueError)
        └── PersistencyTypeError    one of another kind than is asked for                  (TypeError)
"""

from actors.errors import TocsinError


class PersistencyError(TocsinError):
    """Root of the errors of event persistency."""


class PersistencyLoadError(PersistencyError):
    """Saved state is absent, torn, of another version, or names a class that is not known."""


class PersistencySaveError(PersistencyError):
    """State could not be written; what was saved before is untouched."""


class PersistencyValueError(PersistencyError, ValueError):
    """An argument that cannot be used."""


class PersistencyTypeError(PersistencyValueError, TypeError):
    """An argument of another kind than is asked for."""
