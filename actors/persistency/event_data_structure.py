"""What `EventPersistency` asks of a backend.

A backend keeps what is known of one event id. Six methods are required. One is optional: a backend whose `row_buffer`
returns a buffer is fed through it, many rows at a time, instead of by `to_data` and `add_data`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from actors.persistency.row_buffer import RowBuffer


@dataclass
class EventDataStructure(ABC):
    """State of one event id."""

    event_id: int = -1
    """Free for the backend's own use; the persistency does not fill it in."""

    template: str = ""
    """Free for the backend's own use; the persistency keeps templates itself."""

    @abstractmethod
    def add_data(self, data: Any, timestamp: float | None = None) -> None:
        """Add what `to_data` made of one event; the timestamp is the event's time in seconds."""

    @abstractmethod
    def get_data(self) -> Any:
        """Return everything that is kept."""

    @abstractmethod
    def get_variables(self) -> list[str]:
        """Return the names of the variables seen."""

    @abstractmethod
    def to_data(self, raw_data: Any) -> Any:
        """Return the form of `{variable: value}` that `add_data` takes."""

    @abstractmethod
    def dump(self) -> bytes:
        """Return everything that is kept as bytes."""

    @classmethod
    @abstractmethod
    def load(cls, data: bytes, **kwargs: Any) -> "EventDataStructure":
        """Return the backend of these bytes; `kwargs` are those of the initialiser."""

    def get_template(self) -> str:
        return self.template

    def get_event_id(self) -> int:
        return self.event_id

    def row_buffer(self) -> RowBuffer | None:
        """Return the buffer through which events are to come, or `None` to get them one by one."""
        return None

    def revision(self) -> object | None:
        """Return something that differs whenever the state does, or `None` when only a dump can tell."""
        return None


class EventDataset(EventDataStructure):
    """The base class of own backends as DetectMate 0.5.3 to 0.6 has it: they define `_add_data`, not `add_data`."""

    @abstractmethod
    def _add_data(self, data_object: Any, timestamp: float | None = None) -> None:
        """Add what `to_data` made of one event."""

    def add_data(self, data: Any, timestamp: float | None = None, do_preprocess: bool = False) -> None:
        """Add what `to_data` made of one event, or what it has yet to make something of."""
        self._add_data(self.to_data(data) if do_preprocess else data, timestamp=timestamp)
