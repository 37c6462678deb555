"""Merging one persistency into another, where the result is what one would have got from all events in a row.

Everything is asked first and changed afterwards, so that a refusal changes nothing.
"""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from actors.persistency.errors import PersistencyValueError
from actors.persistency.event_data_structures.base import EventDataStructure

if TYPE_CHECKING:
    from actors.persistency.event_persistency import EventPersistency


@runtime_checkable
class Mergeable(Protocol):
    """A backend to which another one of its kind can be added."""

    def why_not_mergeable(self, other: EventDataStructure) -> str | None:
        """Return why the other cannot be added exactly, or `None` when it can."""

    def merge(self, other: EventDataStructure) -> None:
        """Add the other, as if its events had come after ours."""


def merge_persistency(target: "EventPersistency", other: "EventPersistency") -> None:
    """Add what `other` holds to `target`; `other` must not be used afterwards.

    Raises:
        PersistencyValueError: a backend cannot be merged exactly; nothing has changed.
    """
    with target.lock, other.lock:
        for event_id, backend in other.events_data.items():
            _refuse_inexact(event_id, target.events_data.get(event_id), backend)
        for event_id, backend in other.events_data.items():
            own = target.events_data.get(event_id)
            if own is None:
                target.events_data[event_id] = backend
            elif isinstance(own, Mergeable):
                own.merge(backend)
        target.events_seen |= other.events_seen
        target.event_templates.update(other.event_templates)
        target.note_merged(other.events_since_save, other.events_data)


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
