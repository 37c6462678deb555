"""The tracker backend: one `MultiTracker` per event id, fed in blocks where its trackers take blocks.

A tracker takes blocks when it has `add_block(values, timestamps)`. Events then wait in a row buffer; `get_data` and the
attributes of the single trackers fold it first, so the waiting cannot be seen. A subclass that overrides `add_data` or
`to_data`, or that converts events, gets every event by itself, as do trackers without blocks.
"""

from collections.abc import Callable
from typing import Any

from actors.persistency.errors import PersistencyLoadError
from actors.persistency.event_data_structure import EventDataStructure
from actors.persistency.multi_tracker import MultiTracker
from actors.persistency.row_buffer import Columns, RowBuffer, Timestamps
from actors.persistency.single_tracker import Classification, SingleTracker
from actors.persistency.values import decode_value, encode_value

STATE_VERSION = 1
"""Version of the bytes of a dump."""


def identity(raw_data: Any) -> Any:
    """Return the variables of an event as they are: the converter function by default."""
    return raw_data


class EventTracker(EventDataStructure):
    """Features of the variables of one event id."""

    def __init__(
        self,
        single_tracker_type: Callable[[], SingleTracker] = SingleTracker,
        multi_tracker_type: type[MultiTracker] = MultiTracker,
        converter_function: Callable[[Any], Any] = identity,
    ) -> None:
        super().__init__()
        self.single_tracker_type = single_tracker_type
        self.multi_tracker = multi_tracker_type(single_tracker_type)
        self.converter_function = converter_function
        self._layout: tuple[str, ...] | None = None
        self._block_trackers: list[SingleTracker] = []
        buffered = converter_function is identity and self._is_plain(multi_tracker_type)
        self._buffer = RowBuffer(self._fold_columns) if buffered else None

    def add_data(self, data: Any, timestamp: float | None = None) -> None:
        """Take one observation of each variable of an event."""
        self.fold()
        self.multi_tracker.add_data(data, timestamp)

    def get_data(self) -> dict[str, SingleTracker]:
        """Return the live dictionary of trackers."""
        self.fold()
        return self.multi_tracker.get_trackers()

    def get_variables(self) -> list[str]:
        """Return the names of the variables seen."""
        return list(self.get_data())

    def classify(self) -> dict[str, Classification]:
        """Return the verdict on each variable."""
        self.fold()
        return self.multi_tracker.classify()

    def to_data(self, raw_data: dict[str, Any]) -> Any:
        """Return what the converter function makes of an event."""
        return self.converter_function(raw_data)

    def fold(self) -> None:
        """Take in the events that wait."""
        if self._buffer is not None:
            self._buffer.fold()

    def row_buffer(self) -> RowBuffer | None:
        """Return the buffer, if the trackers take blocks."""
        return self._buffer

    def revision(self) -> object | None:
        """Return something that differs whenever the state does, or `None` when only a dump can tell."""
        self.fold()
        revisions = [
            getattr(tracker, "revision", _no_revision)() for tracker in self.multi_tracker.single_trackers.values()
        ]
        return None if None in revisions else tuple(revisions)

    def dump(self) -> bytes:
        """Return the trackers as msgpack."""
        states = {name: tracker.to_state() for name, tracker in self.get_data().items()}
        return encode_value({"version": STATE_VERSION, "trackers": states})

    @classmethod
    def load(cls, data: bytes, **kwargs: Any) -> "EventTracker":
        """Return the backend of these bytes; variables first seen later are tracked as `kwargs` say.

        Raises:
            PersistencyLoadError: the bytes are torn, or made by a later version.
        """
        made = cls(**kwargs)
        content = decode_value(data)
        states = content.get("trackers", content) if isinstance(content, dict) else None
        if not isinstance(states, dict) or content.get("version", STATE_VERSION) != STATE_VERSION:
            raise PersistencyLoadError(
                f"a tracker's state is not of version {STATE_VERSION}; load it with its own version"
            )
        for name, state in states.items():
            if isinstance(state, dict):
                made.multi_tracker.single_trackers[name] = made._tracker_class().from_state(state)
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}(variables={self.get_variables()})"

    def _tracker_class(self) -> type[SingleTracker]:
        made = self.single_tracker_type
        return made if isinstance(made, type) else type(made())

    def _is_plain(self, multi_tracker_type: type[MultiTracker]) -> bool:
        return (
            type(self).add_data is EventTracker.add_data
            and type(self).to_data is EventTracker.to_data
            and multi_tracker_type.add_data is MultiTracker.add_data
            and getattr(self._tracker_class_or_none(), "takes_blocks", False)
        )

    def _tracker_class_or_none(self) -> type[SingleTracker] | None:
        try:
            return self._tracker_class()
        except TypeError:
            return None

    def _fold_columns(self, layout: tuple[str, ...], columns: Columns, timestamps: Timestamps) -> None:
        for name, values in zip(layout, columns, strict=True):
            tracker: Any = self.multi_tracker.tracker(name)
            read_after = getattr(tracker, "read_after", None)
            if read_after is not None:
                # Who holds the tracker must see what waits here.
                read_after(self.fold)
            tracker.add_block(values, timestamps)


def _no_revision() -> object | None:
    return None
