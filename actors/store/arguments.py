"""Arguments: what callers give, turned into what it means, or refused where it enters.

Nothing is compared or stored before it has passed here, so that what follows may compare members of enumerations by
identity and trust kinds and ranges. A reader takes the value and its name, which the error repeats.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from actors.store.errors import QueryError, RegisterError, StoreConfigError, StoreError
from actors.store.events.event import UINT64_MAX, Event, EventId, EventType, Timestamp, find_time_fault
from actors.store.events.patterns import check_pattern

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Arguments:
    """Readers of arguments that raise one kind of error."""

    def __init__(self, error: type[StoreError]) -> None:
        self._error = error

    def refuse(self, name: str, value: Any, way_out: str) -> StoreError:
        """Return the error about a value."""
        shown = repr(value)
        return self._error(f"{name} is {shown if len(shown) <= 200 else shown[:200] + '...'}; {way_out}")

    def optional(self, reader: Callable[[Any, str], T], value: Any, name: str) -> T | None:
        """Return what a reader makes of a value, `None` of `None`."""
        return None if value is None else reader(value, name)

    def choice(self, kind: type[E], value: Any, name: str) -> E:
        """Return the member of an enumeration that a value is or names."""
        if type(value) is kind:
            return value
        # Only texts are compared: a frame, say, compares its cells.
        if not isinstance(value, str) or value not in list(kind):
            raise self.refuse(name, value, f"use one of {', '.join(kind)}")
        return kind(value)

    def integer(self, value: Any, name: str, least: int = 0, greatest: int | None = None) -> int:
        """Return an integer within bounds."""
        try:
            number = operator.index(value)
        except TypeError:
            number = None
        if number is None or isinstance(value, bool):
            raise self.refuse(name, value, "give an integer")
        if number < least or (greatest is not None and number > greatest):
            bounds = f"from {least}" if greatest is None else f"from {least} to {greatest}"
            raise self.refuse(name, value, f"give a number {bounds}")
        return number

    def uint64(self, value: Any, name: str) -> int:
        """Return the number of a server, session or instance."""
        return self.integer(value, name, 0, UINT64_MAX)

    def flag(self, value: Any, name: str) -> bool:
        """Return a Boolean."""
        if not isinstance(value, bool):
            raise self.refuse(name, value, "give True or False")
        return value

    def text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise self.refuse(name, value, "give a text")
        if value.encode("utf-8", "ignore").decode() != value:
            raise self.refuse(name, value, "it holds half a letter; give a text of Unicode")
        return value

    def instance(self, kind: type[T], value: Any, name: str) -> T:
        """Return a value of a class."""
        if not isinstance(value, kind):
            raise self.refuse(name, value, f"give one of {kind.__name__}")
        return value

    def function(self, value: Any, name: str) -> Callable[..., Any]:
        """Return what can be called."""
        if not callable(value):
            raise self.refuse(name, value, "give a function")
        return value  # type: ignore[no-any-return]

    def path(self, value: Any, name: str) -> Path:
        # An empty text would mean the working directory, which nobody who forgot a name has meant.
        if not isinstance(value, str | PathLike) or value == "":
            raise self.refuse(name, value, "give a path")
        return Path(value)

    def sequence(self, value: Any, name: str) -> tuple[Any, ...]:
        """Return the items of a list or of another iterable; a text, a mapping or a single event is none."""
        # What is usual needs no look at abstract classes.
        if type(value) is tuple or type(value) is list:
            return tuple(value)
        if isinstance(value, str | bytes | bytearray | Mapping | Event | EventId) or not isinstance(value, Iterable):
            raise self.refuse(name, value, "give a list")
        return tuple(value)

    def patterns(self, value: Any, name: str) -> tuple[EventType, ...]:
        """Return patterns of event types."""
        try:
            return tuple(check_pattern(one) for one in self.sequence(value, name))
        except StoreConfigError as error:
            if self._error is StoreConfigError:
                raise
            raise self._error(f"{name}: {error}") from None

    def timestamp(self, value: Any, name: str) -> Timestamp:
        fault = find_time_fault(name, value)
        if fault is not None:
            raise self._error(fault)
        return Timestamp(*value)

    def event_id(self, value: Any, name: str) -> EventId:
        if not isinstance(value, tuple | list) or len(value) != 3:
            raise self.refuse(name, value, "give an EventId(server, session, instance)")
        server, session, instance = (self.uint64(one, name) for one in value)
        return EventId(server, session, instance)


SETTINGS = Arguments(StoreConfigError)
"""Readers of settings."""

QUERY = Arguments(QueryError)
"""Readers of what queries ask."""

EVENTS = Arguments(RegisterError)
"""Readers of what is registered."""


def convert_fields(frozen: object, readers: Mapping[str, Callable[[Any, str], Any]]) -> None:
    """Let readers convert those fields of a frozen value that are not `None`, while it is made."""
    for name, reader in readers.items():
        given = getattr(frozen, name)
        if given is not None and (read := reader(given, name)) is not given:
            object.__setattr__(frozen, name, read)


def set_fields(frozen: object, **values: Any) -> None:
    """Set fields of a frozen value while it is made."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)
