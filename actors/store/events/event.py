"""Events: the values that go into the store and come out of it.

An event has an id that grows per server, a type that is a path of words, the server's timestamp, optionally the
client's own (source) timestamp, and a payload. Inside the store a time is one integer, *ticks*: microseconds since the
epoch, of any size. The tuples are named tuples because queries make them by the thousand.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

US_PER_S = 1_000_000
"""Microseconds in one second."""

UINT64_MAX = (1 << 64) - 1
"""Largest server, session or instance number."""

SECONDS_MIN, SECONDS_MAX = -(1 << 63), (1 << 63) - 1
"""Smallest and largest seconds of a timestamp."""

EventType = tuple[str, ...]
"""Path of words; may be empty."""


class Timestamp(NamedTuple):
    """A point in time."""

    s: int
    """Seconds since 1970-01-01, negative before; signed 64 bits."""

    us: int
    """Microseconds within the second, 0 to 999,999."""

    @property
    def ticks(self) -> int:
        """Microseconds since 1970-01-01."""
        return self.s * US_PER_S + self.us

    @classmethod
    def from_ticks(cls, ticks: int) -> "Timestamp":
        """Return the timestamp so many microseconds after 1970-01-01."""
        return cls(*divmod(ticks, US_PER_S))


class EventId(NamedTuple):
    """What an event is known by; ids of one server only grow."""

    server: int
    """Number of the server."""

    session: int
    """Number of the server's session, from 1; 0 stands before the first."""

    instance: int
    """Number within the session, from 1; 0 stands before the first."""


class JsonPayload(NamedTuple):
    """A JSON value; `JsonPayload(None)` is JSON's null, not a missing payload."""

    data: Any
    """Value of strings, numbers, booleans, nulls, lists, and mappings with strings as keys."""


class BinaryPayload(NamedTuple):
    """Bytes of a kind that the user names."""

    type: str
    """The user's name of the kind."""

    data: bytes
    """The bytes."""


Payload = JsonPayload | BinaryPayload | None
"""What an event may carry."""


class Event(NamedTuple):
    """Something that happened."""

    id: EventId
    """Unique id."""

    type: EventType
    """Path of words, which patterns select by."""

    timestamp: Timestamp
    """Time of registration; does not shrink within a server."""

    source_timestamp: Timestamp | None = None
    """Time that the client gave, in any order; `None` when it gave none."""

    payload: Payload = None
    """What happened."""


class VerdictKind(StrEnum):
    """What became of an event that was registered."""

    ACCEPTED = "accepted"
    """It is in the store."""

    REPEATED = "repeated"
    """Its id is not greater than the last one of its server."""

    TIME_SHRINKS = "time shrinks"
    """Its timestamp lies before the last one of its server."""

    CONDITION_FAILS = "condition fails"
    """A configured condition does not hold."""

    UNWANTED = "unwanted"
    """No storage wants its type; the last id did not move."""

    INVALID = "invalid"
    """It cannot be stored; the reason says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one event, and why."""

    kind: VerdictKind
    """The decision."""

    reason: str = ""
    """Sentence for people; empty when accepted."""

    @property
    def is_accepted(self) -> bool:
        """Whether the event is in the store."""
        return self.kind is VerdictKind.ACCEPTED


ACCEPTED = Verdict(VerdictKind.ACCEPTED)
"""The verdict on an event that is in the store."""


def find_fault(event: Event) -> str | None:
    """Return why the id, type or times of an event cannot be stored, or `None` when they can."""
    if not isinstance(event, Event):
        return f"{event!r} is no Event; make one of it"
    server, session, instance = event.id
    if not (_is_uint64(server) and _is_uint64(session) and _is_uint64(instance)):
        return f"id {tuple(event.id)!r} is not three integers from 0 to 2^64-1; number events within 64 bits"
    if not isinstance(event.type, tuple) or not set(map(type, event.type)) <= _WORDS:
        return f"type {event.type!r} is no tuple of strings; write it as one"
    fault = find_time_fault("timestamp", event.timestamp)
    if fault is None and event.source_timestamp is not None:
        fault = find_time_fault("source timestamp", event.source_timestamp)
    return fault


_WORDS = {str}


def _is_uint64(number: object) -> bool:
    return type(number) is int and 0 <= number <= UINT64_MAX


def find_time_fault(name: str, time: Timestamp) -> str | None:
    """Return why a time is none, or `None` when it is one."""
    try:
        seconds, microseconds = time
    except (TypeError, ValueError):
        return f"{name} {time!r} is no pair of seconds and microseconds; use Timestamp"
    if not isinstance(seconds, int) or not SECONDS_MIN <= seconds <= SECONDS_MAX:
        return f"{name} has {seconds!r} seconds, which is no signed 64-bit integer; check its unit"
    if not isinstance(microseconds, int) or not 0 <= microseconds < US_PER_S:
        return f"{name} has {microseconds!r} microseconds; give an integer from 0 to 999999"
    return None
