"""Merging the backends of one persistency into those of another, where the result is that of all events in a row.

Everything is asked first and changed afterwards, so that a refusal changes nothing.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from actors.persistency.errors import PersistencyValueError
from actors.persistency.event_data_structure import EventDataStructure


@runtime_checkable
class Mergeable(Protocol):
    """A backend to which another one of its kind can be added."""

    def why_not_mergeable(self, other: EventDataStructure) -> str | None:
        """Return why the other cannot be added exactly, or `None` when it can."""

    def merge(self, other: EventDataStructure) -> None:
        """Add the other, as if its events had come after ours."""


def merge_backends(target: dict[int | str, EventDataStructure], other: Mapping[int | str, EventDataStructure]) -> None:
    """Add the backends of `other` to those of `target`; `other` must not be used afterwards.

    Raises:
        PersistencyValueError: a backend cannot be merged exactly; nothing has changed.
    """
    for event_id, backend in other.items():
        _refuse_inexact(event_id, target.get(event_id), backend)
    for event_id, backend in other.items():
        own = target.get(event_id)
        if own is None:
            target[event_id] = backend
        elif isinstance(own, Mergeable):
            own.merge(backend)


def _refuse_inexact(event_id: int | str, own: EventDataStructure | None, other: EventDataStructure) -> None:
    if own is None:
        return
    reason = f"{type(own).__name__} cannot be merged"
    if isinstance(own, Mergeable):
        found = own.why_not_mergeable(other)
        if found is None:
            return
        reason = found
    raise PersistencyValueError(f"event id {event_id!r} cannot be merged: {reason}")
