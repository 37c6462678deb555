"""The check of the latest events: against the log, and the last ids of the record against both."""

from bisect import bisect_left, bisect_right

from actors.store.check.findings import DAMAGE, StoreCheck
from actors.store.disk.latest import Entry, entry_event
from actors.store.disk.state import BEFORE_ALL, Position
from actors.store.disk.type_table import TypeTable
from actors.store.events.columns import Columns
from actors.store.events.event import Event
from actors.store.query.reading import View


class LatestCheck:
    """The latest events by server and id, compared with what else is said of the same events."""

    def __init__(self, view: View, types: TypeTable, check: StoreCheck) -> None:
        self._types = types
        self._check = check
        self._servers = view.state.servers
        self._entries: dict[int, list[tuple[Position, int, Entry]]] = {}
        try:
            for type_id, entry in view.latest_entries(types, self._note_damage):
                entry_event(types, type_id, entry)
                position = (entry.session, entry.instance)
                self._entries.setdefault(entry.server, []).append((position, type_id, entry))
                state = self._servers.get(entry.server)
                if state is None or position > state.last:
                    self._add(type_id, f"is {tuple(entry[2:5])}, which its server has not reached")
        except DAMAGE as error:
            check.add("event_latest", "an entry", f"cannot be read: {error}")
        for entries in self._entries.values():
            entries.sort()

    def compare(self, server: int, columns: Columns, events: list[Event]) -> None:
        """Compare the rows of a block, which are `events` too, with the latest events of their server."""
        entries = self._entries.get(server, [])
        first, last = events[0].id[1:], events[-1].id[1:]
        low = bisect_left(entries, first, key=lambda one: one[0])
        for position, type_id, entry in entries[low : bisect_right(entries, last, key=lambda one: one[0])]:
            row = bisect_left(events, position, key=lambda event: event.id[1:])
            # As text, so that 1 is not 1.0 or true.
            if events[row].id[1:] == position and repr(events[row]) != repr(entry_event(self._types, type_id, entry)):
                self._add(type_id, f"is {tuple(entry[2:5])}, which is another event in the log")

    def check_last(self, server: int, logged: Position, logged_ticks: int | None) -> None:
        """Compare the last event of a server, as the record has it, with the log's and the latest ones."""
        state = self._servers[server]
        place, fault = f"server {server}", ""
        if state.last == logged:
            if logged_ticks != state.last_ticks:
                fault = f"its last event has the time {state.last_ticks}, in the log {logged_ticks}"
        elif state.end_block > state.first_block or state.first_block == 0:
            # The event went to no series, so it is a latest one, unless another server's has taken its place.
            own = next((one for position, _, one in self._entries.get(server, ()) if position == state.last), None)
            if own is not None and own.ticks != state.last_ticks:
                fault = f"its last event has the time {state.last_ticks}, among the latest {own.ticks}"
            elif own is None and state.last != BEFORE_ALL and not self._may_be_replaced(server, state.last_ticks):
                fault = f"its last event is {state.last}, which neither the log nor the latest events have"
        if fault:
            self._check.add("event_meta", place, fault)

    def _may_be_replaced(self, server: int, ticks: int) -> bool:
        others = (one for number, entries in self._entries.items() if number != server for _, _, one in entries)
        return any(one.ticks >= ticks for one in others)

    def _note_damage(self, type_id: int) -> None:
        self._add(type_id, "does not fit its checksum")

    def _add(self, type_id: int, fault: str) -> None:
        self._check.add("event_latest", f"type {type_id}", fault)
