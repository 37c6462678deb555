"""The kinds of detectors there are, by their names in job files.

A kind registers itself where its specification is defined; importing `actors.detectors` imports them all.
"""

from collections.abc import Callable
from typing import TypeVar

from actors.detectors.specs import GroupSpec

S = TypeVar("S", bound=type[GroupSpec])

_KINDS: dict[str, type[GroupSpec]] = {}


def detector_kind(name: str) -> Callable[[S], S]:
    """Register the specification of a kind of detector under a name."""

    def register(kind: S) -> S:
        assert name not in _KINDS, f"two kinds of detectors are named {name!r}"
        kind.type = name
        _KINDS[name] = kind
        return kind

    return register


def detector_types() -> tuple[str, ...]:
    """Return the names of all kinds, sorted."""
    return tuple(sorted(_KINDS))


def find_kind(name: str) -> type[GroupSpec] | None:
    """Return the specification of a kind, or `None` when there is none of that name."""
    return _KINDS.get(name)
