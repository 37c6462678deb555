"""The check of a server's log: its blocks, what the record says of it, and the heads of its chains."""

from collections.abc import Iterator

import numpy as np

from actors.store.check.findings import DAMAGE, StoreCheck, header_faults, ids_of
from actors.store.disk.blocks import Block
from actors.store.disk.log import NO_BLOCK, LogReader, grown_heads, load_heads
from actors.store.disk.state import BEFORE_ALL, ServerState
from actors.store.disk.type_table import TypeTable
from actors.store.errors import BlockDamagedError
from actors.store.events.columns import Array, Columns
from actors.store.events.event import Event
from actors.store.query.reading import View, events_of


class LogWalk:
    """Goes over the blocks of one log, from the oldest to the tail."""

    def __init__(self, view: View, types: TypeTable, server: int, state: ServerState, check: StoreCheck) -> None:
        self._types = types
        self._server = server
        self._state = state
        self._check = check
        self._reader = LogReader(view.txn, view.tables.log, server, state)
        self._heads = grown_heads(None, len(types))
        self._stored_heads = self._load_heads(view)
        self.last: tuple[int, int] = BEFORE_ALL
        self.last_ticks: int | None = None
        self.events: list[Event] = []
        self.is_whole = True

    def blocks(self) -> Iterator[Columns]:
        """Yield the rows of every block that can be read; `events` are the same rows."""
        for number in range(self._state.first_block, self._state.end_block):
            place = f"block {number} of server {self._server}"
            try:
                block = self._reader.block(number)
                columns = block.to_columns()
                self.events = _checked_events(columns, self._types)
            except DAMAGE as error:
                self._damaged(number, error)
                continue
            for fault in self._faults(number, block, columns):
                self._check.add("event_log", f"{place} ({ids_of(block)})", fault)
            self._check.block_count += 1
            self._check.event_count += len(columns)
            self.last = (int(columns.session[-1]), int(columns.instance[-1]))
            self.last_ticks = int(columns.time[-1])
            if number < self._state.tail_block:
                self._heads[block.types] = number
            yield columns

    def check_end(self) -> None:
        """Compare what was seen with the record and the heads of the chains."""
        place = f"server {self._server}"
        is_later = self.last_ticks is not None and self.last_ticks > self._state.last_ticks
        if self.last > self._state.last or is_later:
            self._check.add("event_meta", place, f"its last event is {self._state.last}, the log reaches {self.last}")
        if not self.is_whole or self._stored_heads is None:
            return
        stored = grown_heads(self._stored_heads, len(self._types))
        # Heads of types whose blocks were all given up point to what is no longer there.
        wrong = np.flatnonzero(
            (stored != self._heads) & ~((self._heads == NO_BLOCK) & (stored < self._state.first_block))
        )
        for number in wrong.tolist():
            fault = f"points to block {int(stored[number])}, the newest with it is {int(self._heads[number])}"
            self._check.add("event_head", f"type {number} of {place}", fault)

    def _load_heads(self, view: View) -> Array | None:
        try:
            heads = load_heads(view.txn, view.tables.heads, len(self._types), is_sealed=view.state.is_sealed)
        except DAMAGE as error:
            self._check.add("event_head", f"server {self._server}", str(error))
            return None
        return heads.get(self._server, self._heads)

    def _damaged(self, number: int, error: Exception) -> None:
        self.is_whole = False
        following = next((one for one in range(number + 1, self._state.end_block) if self._first_of(one)), None)
        end = "the end" if following is None else f"before {self._first_of(following)}"
        place = f"block {number} of server {self._server}, ids after {self.last} to {end}"
        self._check.add("event_log", place, str(error))

    def _first_of(self, number: int) -> tuple[int, int] | None:
        try:
            return self._reader.block(number).first_id[1:]
        except DAMAGE:
            return None

    def _faults(self, number: int, block: Block, columns: Columns) -> Iterator[str]:
        yield from header_faults(block, columns)
        if not (columns.server == self._server).all():
            yield "has events of another server"
        session, instance = columns.session, columns.instance
        grows = (session[1:] > session[:-1]) | ((session[1:] == session[:-1]) & (instance[1:] > instance[:-1]))
        if not grows.all() or (int(session[0]), int(instance[0])) <= self.last:
            yield "its ids do not grow"
        if (columns.time[1:] < columns.time[:-1]).any() or (
            self.last_ticks is not None and int(columns.time[0]) < self.last_ticks
        ):
            yield "its times shrink"
        if number == self._state.tail_block and len(columns) != self._state.tail_rows:
            yield f"has {len(columns)} rows, the record says {self._state.tail_rows}"
        if self.is_whole:
            known = self._heads[block.types] != NO_BLOCK
            if (np.where(known, number - self._heads[block.types], block.distances) != block.distances).any():
                yield "its chain does not lead to the block before with the same type"


def _checked_events(columns: Columns, types: TypeTable) -> list[Event]:
    if int(columns.type_id.max()) >= len(types):
        raise BlockDamagedError(f"type {int(columns.type_id.max())} is not in the table of {len(types)} types")
    if int(columns.kind.max()) > 3:
        raise BlockDamagedError(f"payloads of kind {int(columns.kind.max())} are unknown")
    return events_of(columns, np.arange(len(columns)), types.types)
