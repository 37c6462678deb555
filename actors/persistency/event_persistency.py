"""State per event id: one backend for each, made when the first variables of that id arrive.

The buffered backends take rows through their `RowBuffer`; every other subclass of `EventDataStructure` gets each event
by `to_data` and `add_data`. A *layout* says which values of an event are kept, and under what names; there is one per
combination of named variables and number of positional ones, made once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from threading import RLock
from typing import Any, NamedTuple

from actors.persistency import arguments
from actors.persistency.errors import PersistencyError, PersistencyTypeError, PersistencyValueError
from actors.persistency.event_data_structure import EventDataStructure
from actors.persistency.merging import merge_backends
from actors.persistency.row_buffer import RowBuffer
from actors.persistency.stability_tracker import EventStabilityTracker
from actors.persistency.values import freeze_value

EventId = int | str
_Picker = Callable[[tuple[Any, ...]], tuple[Any, ...]]
_DEFAULT_BLACKLIST: list[str | int] = ["Content"]


@dataclass(slots=True)
class _Run:
    """Events of one id in a batch that follow one another with the same names."""

    named: tuple[str, ...]
    """Names of the named variables."""

    count: int
    """Number of positional variables."""

    template: str = ""
    """Template of the last event."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    """Values of each event."""

    timestamps: list[float | None] = field(default_factory=list)
    """Time of each event."""


class EventStruct(NamedTuple):
    """What a persistency holds, by the names that DetectMate 0.5.3 to 0.6 gives it."""

    data: dict[EventId, EventDataStructure]
    """The live dictionary of backends."""

    data_class: type[EventDataStructure]
    """Class of new backends."""

    data_kwargs: dict[str, Any]
    """Their arguments."""

    templates: dict[EventId, str]
    """The live dictionary of templates."""


_Runs = dict[EventId, _Run]

_NO_NAMES: Mapping[str, Any] = {}


class EventPersistency:
    """State of all event ids, one `event_data_class(**event_data_kwargs)` for each.

    The blacklist names variables that are not kept: a text is a named variable, an integer the index of a positional
    one. Arguments are used at the first event, not checked before.
    """

    def __init__(
        self,
        event_data_class: type[EventDataStructure] = EventStabilityTracker,
        variable_blacklist: Sequence[str | int] | None = _DEFAULT_BLACKLIST,
        *,
        event_data_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.event_data_class = event_data_class
        self.event_data_kwargs: dict[str, Any] = dict(arguments.named(event_data_kwargs))
        self.variable_blacklist: list[str | int] = arguments.blacklist(variable_blacklist)
        self.events_data: dict[EventId, EventDataStructure] = {}
        self.events_seen: set[EventId] = set()
        self.event_templates: dict[EventId, str] = {}
        self.lock = RLock()
        self._events_since_save = 0
        self._callbacks: list[Callable[[], None]] = []
        self._layouts: dict[int | tuple[Any, ...], tuple[tuple[str, ...], _Picker | None]] = {}
        self._layouts_blacklist: list[str | int] = list(self.variable_blacklist)

    def ingest_event(
        self,
        event_id: EventId,
        event_template: str,
        variables: Sequence[Any] | None = (),
        named_variables: Mapping[str, Any] | None = None,
        timestamp: float | None = None,
    ) -> None:
        """Take one event: positional variables become `var_0`, `var_1`, ...; without variables only the id is kept.

        Raises:
            PersistencyTypeError: an argument of another kind; nothing was taken.
        """
        # These ask for the usual kinds by identity, because that costs a fraction of what an event does.
        if type(variables) is not list and type(variables) is not tuple:
            variables = arguments.positional(variables)
        if named_variables is not None and type(named_variables) is not dict:
            named_variables = arguments.named(named_variables)
        if timestamp is not None and type(timestamp) is not float and type(timestamp) is not int:
            timestamp = arguments.seconds(timestamp)
        with self.lock:
            try:
                is_new = event_id not in self.events_seen
            except TypeError:
                is_new = True
            if is_new:
                event_id = arguments.event_id(event_id)
                self.events_seen.add(event_id)
            if variables or named_variables:
                names, pick = self._layout(variables, named_variables or _NO_NAMES)
                values = (*named_variables.values(), *variables) if named_variables else tuple(variables)
                self.event_templates[event_id] = event_template
                if pick is not None:
                    values = pick(values)
                # Written out here, because a call costs as much as the checks above.
                backend = self.events_data.get(event_id)
                if backend is None:
                    backend = self._backend(event_id)
                if names:
                    buffer = backend.row_buffer()
                    if buffer is None:
                        backend.add_data(backend.to_data(dict(zip(names, values, strict=True))), timestamp=timestamp)
                    else:
                        try:
                            hash(values)
                        except TypeError:
                            values = tuple(map(freeze_value, values))
                        buffer.append(names, values, timestamp)
            self._events_since_save += 1
        if self._callbacks:
            self._call_back()

    def ingest_events(self, events: Iterable[Mapping[str, Any] | Sequence[Any]]) -> int:
        """Take many events and return their number; callbacks run once, at the end.

        An event is a mapping with the argument names of `ingest_event`, or a sequence in their order.

        Raises:
            PersistencyTypeError: an event, or a part of one, is of another kind; those before it were taken.
        """
        count = 0
        runs = _Runs()
        with self.lock:
            try:
                for event in arguments.events(events):
                    event_id, template, variables, named, timestamp = (
                        event if type(event) is tuple and len(event) == _EVENT_PART_COUNT else _event_parts(event)
                    )
                    if type(variables) is not list and type(variables) is not tuple:
                        variables = arguments.positional(variables)
                    if named is not None and type(named) is not dict:
                        named = arguments.named(named)
                    if timestamp is not None and type(timestamp) is not float and type(timestamp) is not int:
                        timestamp = arguments.seconds(timestamp)
                    values = (*named.values(), *variables) if named else tuple(variables)
                    try:
                        hash(values)
                    except TypeError:
                        values = tuple(map(freeze_value, values))
                    try:
                        run = runs.get(event_id)
                    except TypeError:
                        run = None
                    if run is None or run.count != len(variables) or run.named != (tuple(named) if named else ()):
                        run = self._next_run(runs, event_id, variables, named)
                    if values:
                        run.template = template
                        run.rows.append(values)
                        run.timestamps.append(timestamp)
                    count += 1
            finally:
                self._events_since_save += count
                for event_id, run in runs.items():
                    self._store_run(event_id, run)
        if count:
            self._call_back()
        return count

    def ingest_frame(
        self,
        frame: Any,
        event_id_column: str,
        *,
        template: str = "",
        template_column: str | None = None,
        variables: Sequence[str] | None = None,
        timestamp_column: str | None = None,
    ) -> int:
        """Take the rows of a frame as events whose named variables are its columns, and return their number.

        `frame` is a Polars frame, or what Polars makes one of. `variables` are the columns to keep (default: all that
        have no other role). Rows without an id are left out.

        Raises:
            PersistencyValueError: it is no frame, a column is missing, or one has no ids or times.
        """
        from actors.persistency.frame_ingest import as_frame, split_frame

        frame = as_frame(frame)
        roles = [name for name in (event_id_column, template_column, timestamp_column) if name is not None]
        arguments.check_columns(roles)
        chosen = (
            [name for name in frame.columns if name not in roles] if variables is None else arguments.names(variables)
        )
        layout = tuple(name for name in chosen if name not in self.variable_blacklist)
        count = 0
        with self.lock:
            for group in split_frame(frame, event_id_column, layout, template_column, timestamp_column):
                count += group.row_count
                self._events_since_save += group.row_count
                self.events_seen.add(group.event_id)
                if chosen:
                    last_template = template if group.template is None else group.template
                    self._store_columns(group.event_id, last_template, layout, group.columns, group.timestamps)
        if count:
            self._call_back()
        return count

    def get_all_variables(
        self,
        variables: Sequence[Any],
        log_format_variables: Mapping[str, Any],
        event_var_prefix: str = "var_",
    ) -> dict[str, Any]:
        """Return named, then positional variables under one name each, without those on the blacklist."""
        names, pick = self._layout(variables, log_format_variables, event_var_prefix)
        values = (*log_format_variables.values(), *variables)
        return dict(zip(names, values if pick is None else pick(values), strict=True))

    def register_on_ingest(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every ingest, outside the lock."""
        if not callable(callback):
            raise PersistencyTypeError(f"{callback!r} cannot be called; give a function without arguments")
        self._callbacks.append(callback)

    @property
    def events_since_save(self) -> int:
        """Number of events taken since the last save, or since the start."""
        return self._events_since_save

    def reset_events_since_save(self, saved: int | None = None) -> None:
        """Take `saved` events, or all of them, off the count of unsaved ones."""
        with self.lock:
            self._events_since_save = 0 if saved is None else max(0, self._events_since_save - saved)

    def take_over(self, other: "EventPersistency") -> None:
        """Replace everything held, and how backends are made, by what another persistency has; it becomes useless."""
        with self.lock:
            self.event_data_class = other.event_data_class
            self.event_data_kwargs = other.event_data_kwargs
            # The live dictionaries stay the same objects for those who hold them.
            self.events_data.clear()
            self.events_data.update(other.events_data)
            self.event_templates.clear()
            self.event_templates.update(other.event_templates)
            self.events_seen.clear()
            self.events_seen.update(other.events_seen)

    @property
    def event_struct(self) -> EventStruct:
        """The backends and templates, and how backends are made."""
        return EventStruct(self.events_data, self.event_data_class, self.event_data_kwargs, self.event_templates)

    def get_events_seen(self) -> set[EventId]:
        """Return the live set of ids."""
        return self.events_seen

    def get_event_data(self, event_id: EventId) -> Any | None:
        """Return what the backend of an id keeps, or `None` when the id has none."""
        backend = self.events_data.get(event_id)
        return None if backend is None else backend.get_data()

    def get_events_data(self) -> dict[EventId, EventDataStructure]:
        """Return the live dictionary of backends."""
        return self.events_data

    def get_event_template(self, event_id: EventId) -> str | None:
        """Return the last template of an id, or `None`."""
        return self.event_templates.get(event_id)

    def get_event_templates(self) -> dict[EventId, str]:
        """Return the live dictionary of templates."""
        return self.event_templates

    def accept(self, event_id: EventId, variable: str, value: Any) -> None:
        """Let a value count as known for one variable of one id, without an observation.

        Raises:
            PersistencyValueError: the backend keeps no values of variables.
        """
        arguments.check_names((variable,))
        with self.lock:
            backend = self._backend(arguments.event_id(event_id))
            accept = getattr(backend, "accept", None)
            if accept is None:
                raise PersistencyValueError(f"{type(backend).__name__} keeps no known values; use a tracker backend")
            accept(variable, value)

    def merge(self, other: "EventPersistency") -> None:
        """Add what another persistency holds, as if its events had come after ours.

        Raises:
            PersistencyValueError: a backend cannot be merged exactly; nothing has changed then.
        """
        if not isinstance(other, EventPersistency) or other is self:
            raise PersistencyTypeError(f"{other!r} cannot be merged; give another EventPersistency")
        with self.lock, other.lock:
            merge_backends(self.events_data, other.events_data)
            self.events_seen |= other.events_seen
            self.event_templates.update(other.event_templates)
            self._events_since_save += other.events_since_save

    def __getitem__(self, event_id: EventId) -> EventDataStructure | None:
        return self.events_data.get(event_id)

    def __iter__(self) -> Iterator[EventId]:
        return iter(self.events_data)

    def __repr__(self) -> str:
        return f"EventPersistency(num_event_types={len(self.events_data)}, event_ids={list(self.events_data)})"

    def _backend(self, event_id: EventId) -> EventDataStructure:
        backend = self.events_data.get(event_id)
        if backend is None:
            backend = self.events_data[event_id] = self._new_backend()
        return backend

    def _new_backend(self) -> EventDataStructure:
        kind, given = self.event_data_class, self.event_data_kwargs
        refused = f"event_data_class {kind!r} is no class of backends, such as EventStabilityTracker"
        if not callable(kind):
            raise PersistencyTypeError(refused)
        try:
            made = kind(**given)
        except PersistencyError:
            raise
        except TypeError as error:
            raise PersistencyTypeError(f"event_data_kwargs {given} do not fit {kind.__name__}: {error}") from error
        if not isinstance(made, EventDataStructure):
            raise PersistencyTypeError(refused)
        return made

    def _call_back(self) -> None:
        for callback in self._callbacks:
            callback()

    def _next_run(
        self, runs: "_Runs", event_id: EventId, variables: Sequence[Any], named: Mapping[str, Any] | None
    ) -> "_Run":
        """Store the run of an id, if there is one, and return a new one for events with other names."""
        event_id = arguments.event_id(event_id)
        arguments.check_names(named or ())
        run = runs.get(event_id)
        if run is not None:
            self._store_run(event_id, run)
        run = runs[event_id] = _Run(named=tuple(named or ()), count=len(variables))
        return run

    def _store_run(self, event_id: EventId, run: "_Run") -> None:
        """Store events of one id that have the same names; their values are frozen already."""
        self.events_seen.add(event_id)
        if not run.rows:
            return
        self.event_templates[event_id] = run.template
        names, pick = self._layout(range(run.count), dict.fromkeys(run.named))
        rows = run.rows if pick is None else list(map(pick, run.rows))
        backend = self._backend(event_id)
        if not names:
            return
        buffer = backend.row_buffer()
        if buffer is None:
            for values, timestamp in zip(rows, run.timestamps, strict=True):
                backend.add_data(backend.to_data(dict(zip(names, values, strict=True))), timestamp=timestamp)
        elif len(rows) >= _COLUMNS_ROW_COUNT_MIN * 8:
            buffer.append_columns(names, list(zip(*rows, strict=True)), run.timestamps)
        else:
            buffer.extend(names, rows, run.timestamps)

    def _store_columns(
        self,
        event_id: EventId,
        template: str,
        layout: tuple[str, ...],
        columns: list[Sequence[Any]],
        timestamps: list[float | None],
    ) -> None:
        self.event_templates[event_id] = template
        backend = self._backend(event_id)
        if not layout:
            return
        buffer: RowBuffer | None = backend.row_buffer()
        if buffer is not None and len(timestamps) >= _COLUMNS_ROW_COUNT_MIN:
            buffer.append_columns(layout, columns, timestamps)
            return
        for values, timestamp in zip(zip(*columns, strict=True), timestamps, strict=True):
            if buffer is not None:
                buffer.append(layout, values, timestamp)
            else:
                backend.add_data(backend.to_data(dict(zip(layout, values, strict=True))), timestamp=timestamp)

    def _layout(
        self, variables: Sequence[Any], named: Mapping[str, Any], prefix: str = "var_"
    ) -> tuple[tuple[str, ...], _Picker | None]:
        if self._layouts_blacklist != self.variable_blacklist:
            self._layouts.clear()
            self._layouts_blacklist = list(self.variable_blacklist)
        key = (len(variables), prefix, *named) if named or prefix != "var_" else len(variables)
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _LAYOUT_COUNT_MAX:
                self._layouts.clear()
            layout = self._layouts[key] = _make_layout(len(variables), tuple(named), prefix, self.variable_blacklist)
        return layout


_COLUMNS_ROW_COUNT_MIN = 32
"""Groups with fewer rows go through the row buffer, where they wait for others of their id."""

_LAYOUT_COUNT_MAX = 4096
"""Layouts remembered at most; events whose names never repeat must not fill the memory."""


def _make_layout(
    positional_count: int, named: tuple[str, ...], prefix: str, blacklist: Sequence[str | int]
) -> tuple[tuple[str, ...], _Picker | None]:
    arguments.check_names(named)
    texts = {entry for entry in blacklist if isinstance(entry, str)}
    indexes = {entry for entry in blacklist if isinstance(entry, int)}
    places = {name: place for place, name in enumerate(named) if name not in texts}
    for index in range(positional_count):
        if index not in indexes:
            places[f"{prefix}{index}"] = len(named) + index
    chosen = list(places.values())
    if chosen == list(range(len(named) + positional_count)):
        return tuple(places), None
    if not chosen:
        return (), lambda values: ()
    if len(chosen) == 1:
        only = chosen[0]
        return tuple(places), lambda values: (values[only],)
    return tuple(places), itemgetter(*chosen)


def _event_parts(
    event: Mapping[str, Any] | Sequence[Any],
) -> tuple[EventId, str, Sequence[Any], Mapping[str, Any] | None, float | None]:
    # The usual kinds first: what is asked of an abstract one takes longer than all the rest.
    if (type(event) is tuple or type(event) is list) and 0 < len(event) <= _EVENT_PART_COUNT:
        return (*event, *_EVENT_DEFAULTS[len(event) :])
    if isinstance(event, Mapping):
        get = event.get
        unknown = [name for name in event if name not in _EVENT_PART_NAMES]
        if unknown or "event_id" not in event:
            text = f"has no part {unknown[0]!r}" if unknown else "needs an event_id"
            raise PersistencyTypeError(f"an event {text}; its parts are {', '.join(_EVENT_PART_NAMES)}")
        return (
            event["event_id"],
            get("event_template", ""),
            get("variables", ()),
            get("named_variables"),
            get("timestamp"),
        )
    if not isinstance(event, tuple | list) or not 0 < len(event) <= _EVENT_PART_COUNT:
        raise PersistencyTypeError(f"{event!r} is no event; give its parts in the order {', '.join(_EVENT_PART_NAMES)}")
    event_id, template, variables, named, timestamp = tuple(event) + _EVENT_DEFAULTS[len(event) :]
    return event_id, template, variables, named, timestamp


_EVENT_PART_NAMES = ("event_id", "event_template", "variables", "named_variables", "timestamp")
_EVENT_DEFAULTS: tuple[Any, ...] = (None, "", (), None, None)
_EVENT_PART_COUNT = len(_EVENT_DEFAULTS)
