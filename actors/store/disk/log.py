"""The log: every stored event of a server once, in the order of its ids, which is the order of its timestamps.

Blocks have consecutive numbers under the key (server, block). The last one, the *tail*, is filled under the same key
until it is full, so small flushes do not leave small blocks. Series by timestamp have no data of their own: they are
views of the log, a mask of types and, per server, the last event that the series has given up.
"""

import bisect
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from actors.shard import Table, Txn
from actors.store.disk.blocks import DEFLATED, RAW, Block, encode_block
from actors.store.disk.criteria import Criteria, matching_rows, rows_after
from actors.store.disk.merging import Part
from actors.store.disk.payload_writing import PayloadEncoder
from actors.store.disk.sealing import damaged, find_damaged, join_values, put_sealed, read_table, unseal
from actors.store.disk.state import BEFORE_ALL, Position, ServerState
from actors.store.errors import BlockDamagedError
from actors.store.events.columns import Array, Columns, cut_rows, join_columns, slice_columns

BLOCK_ROW_COUNT = 4096
"""Rows of a full block."""

BLOCK_PAYLOAD_BYTES = 1 << 18
"""Payload bytes at which a block is full before it has all its rows."""

_KEY = struct.Struct(">QQ")
_HEAD_KEY = struct.Struct(">QI")
_HEAD = struct.Struct(">Q")

NO_BLOCK = -1
"""Head of a type that no full block holds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """A block as it was written."""

    columns: Columns
    """Its rows."""

    size_bytes: int

    is_full: bool
    """Whether no later flush adds to it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogAppend:
    """What appending changed."""

    state: ServerState
    """Where the log ends now; `last` and `last_ticks` are the caller's to set."""

    tail: Columns
    """Rows of the block that is being filled."""

    heads: Array
    """For each type number the newest full block that holds it, or `NO_BLOCK`."""

    written: list[Written]
    """Blocks that were written."""


def append_log(
    txn: Txn, table: Table, server: int, state: ServerState, tail: Columns, heads: Array, rows: Columns
) -> LogAppend:
    """Write rows after the tail and return what changed; `heads` covers all types and is changed."""
    everything = join_columns([tail, rows]) if len(tail) else rows
    written: list[Written] = []
    number = state.tail_block
    cuts = list(cut_rows(everything, BLOCK_ROW_COUNT, BLOCK_PAYLOAD_BYTES))
    encoder = None
    for start, end in cuts:
        block = slice_columns(everything, start, end)
        is_full = end < len(everything) or end - start == BLOCK_ROW_COUNT
        fields = None
        if is_full:
            encoder = encoder or PayloadEncoder(everything)
            fields = encoder.encode(start, end)
        raw = encode_block(block, DEFLATED if is_full else RAW, heads, number, fields)
        txn.put(_KEY.pack(server, number), raw, db=table)
        written.append(Written(columns=block, size_bytes=len(raw), is_full=is_full))
        if is_full:
            heads[block.type_id] = number
            number += 1
    left = everything if not cuts else slice_columns(everything, cuts[-1][0], cuts[-1][1])
    if written and written[-1].is_full:
        left = slice_columns(everything, len(everything), len(everything))
    state = ServerState(
        first_block=state.first_block,
        tail_block=number,
        tail_rows=len(left),
        last=state.last,
        last_ticks=state.last_ticks,
    )
    return LogAppend(state=state, tail=left, heads=heads, written=written)


def save_heads(txn: Txn, table: Table, server: int, before: Array, heads: Array) -> None:
    """Write the heads that changed."""
    known = np.full(len(heads), NO_BLOCK, dtype=np.int64)
    known[: len(before)] = before
    changed = np.flatnonzero(known != heads)
    keys = [_HEAD_KEY.pack(server, type_id) for type_id in changed.tolist()]
    put_sealed(txn, table, keys, list(map(_HEAD.pack, heads[changed].tolist())))


def load_heads(txn: Txn, table: Table, type_count: int, *, is_sealed: bool) -> dict[int, Array]:
    """Return the heads of every server.

    Raises:
        RecordDamagedError: one does not fit its checksum.
    """
    heads: dict[int, Array] = {}
    keys, values = read_table(txn, table)
    for position in find_damaged(keys, values) if is_sealed else ():
        raise damaged(_head_name(*_HEAD_KEY.unpack(keys[position])))
    places = np.frombuffer(b"".join(keys), dtype=[("server", ">u8"), ("type", ">u4")])
    blocks = np.frombuffer(join_values(values, is_sealed=is_sealed), dtype=">u8").astype(np.int64)
    for server in np.unique(places["server"]).tolist():
        own = places["server"] == server
        heads[server] = grown_heads(None, type_count)
        heads[server][places["type"][own]] = blocks[own]
    return heads


def grown_heads(heads: Array | None, type_count: int) -> Array:
    """Return a copy of heads that covers more types."""
    grown = np.full(type_count, NO_BLOCK, dtype=np.int64)
    if heads is not None:
        grown[: len(heads)] = heads
    return grown


def delete_block(txn: Txn, table: Table, server: int, block: int) -> None:
    """Delete one block."""
    txn.delete(_KEY.pack(server, block), db=table)


class LogReader:
    """The log of one server as of a transaction."""

    def __init__(self, txn: Txn, table: Table, server: int, state: ServerState) -> None:
        self._txn = txn
        self._table = table
        self._server = server
        self._first = state.first_block
        self._end = state.end_block

    def block(self, number: int) -> Block:
        """Return a block.

        Raises:
            BlockDamagedError: it is not there, or its header is damaged.
        """
        name = f"block {number} of server {self._server}'s log"
        raw = self._txn.get(_KEY.pack(self._server, number), db=self._table)
        if raw is None:
            raise BlockDamagedError(f"{name} is missing; restore the shard from a copy")
        return Block(raw, name)

    def last_id_before(self, number: int) -> tuple[int, int, int]:
        """Return the last id in front of a block, as far as blocks tell; (server, 0, 0) when none does."""
        for one in range(number - 1, self._first - 1, -1):
            with suppress(BlockDamagedError):
                return self.block(one).last_id
        return (self._server, *BEFORE_ALL)

    def types_in(self, number: int, type_count: int) -> Array:
        """Return the numbers of the types in a block, of all types when its header is damaged."""
        with suppress(BlockDamagedError):
            return self.block(number).types
        return np.arange(type_count)

    def parts(
        self, criteria: Criteria, dead: Position, heads: Mapping[int, int] | None = None, source: int = 0
    ) -> Iterator[Part]:
        """Yield the rows that the criteria allow and that come after `dead`, in the criteria's direction.

        `heads` gives the newest full block of each wanted type, when these are few: blocks in between are not read.
        """
        start, end = self._range(criteria, dead)
        numbers = self._walk(criteria, start, end, heads)
        for number, block in numbers:
            mask = None if criteria.types is None else block.mask_types(criteria.types)
            if criteria.types is not None and mask is None:
                continue
            if criteria.excludes_block(block):
                continue
            rows = matching_rows(block, mask, criteria)
            if block.first_id[1:] <= dead:
                rows = rows_after(block, rows, dead)
            if len(rows):
                yield Part(block, rows, source, number)

    def find(self, position: Position) -> tuple[Block, int] | None:
        """Return the block and row of an event, `None` when it is not in the log."""
        number = self._first_where(lambda block: block.last_id[1:] >= position)
        if number == self._end:
            return None
        block = self.block(number)
        at = bisect.bisect_left(
            range(len(block)), position, key=lambda row: (int(block.session[row]), int(block.instance[row]))
        )
        found = at < len(block) and (int(block.session[at]), int(block.instance[at])) == position
        return (block, at) if found else None

    def first_after(self, position: Position) -> int:
        """Return the number of the first block with an event after a position."""
        return self._first_where(lambda block: block.last_id[1:] > position)

    def _range(self, criteria: Criteria, dead: Position) -> tuple[int, int]:
        start, end = self._first, self._end
        low, high = criteria.time_from, criteria.time_to
        if dead != BEFORE_ALL:
            start = max(start, self.first_after(dead))
        if low is not None:
            start = max(start, self._first_where(lambda block: block.time_max >= low))
        if high is not None:
            end = min(end, self._first_where(lambda block: block.time_min > high))
        if criteria.ids is not None:
            own = [tuple(one[1:]) for one in criteria.ids if one[0] == self._server]
            if not own:
                return 0, 0
            start = max(start, self._first_where(lambda block: block.last_id[1:] >= min(own)))
            end = min(end, self._first_where(lambda block: block.first_id[1:] > max(own)))
        return start, end

    def _walk(
        self, criteria: Criteria, start: int, end: int, heads: Mapping[int, int] | None
    ) -> Iterator[tuple[int, Block]]:
        if not criteria.descending:
            yield from ((number, self.block(number)) for number in range(start, end))
        elif heads is None or end != self._end:
            yield from ((number, self.block(number)) for number in range(end - 1, start - 1, -1))
        else:
            yield from self._follow(start, end, heads)

    def _follow(self, start: int, end: int, heads: Mapping[int, int]) -> Iterator[tuple[int, Block]]:
        following = dict(heads)
        # The tail is in no chain yet, so it is always looked at.
        number = end - 1
        while number >= start:
            block = self.block(number)
            yield number, block
            for type_id in following:
                at = int(np.searchsorted(block.types, type_id))
                if at < len(block.types) and block.types[at] == type_id:
                    distance = int(block.distances[at])
                    following[type_id] = number - distance if distance else NO_BLOCK
            number = max((one for one in following.values() if one < number), default=NO_BLOCK)

    def _first_where(self, holds: Callable[[Block], bool]) -> int:
        numbers = range(self._first, self._end)
        return self._first + bisect.bisect_left(numbers, True, key=lambda number: self._probe(number, holds))

    def _probe(self, number: int, holds: Callable[[Block], bool]) -> bool:
        # A damaged block is judged by the next good one, so that ranges away from it are still found.
        for one in range(number, self._end):
            with suppress(BlockDamagedError):
                return holds(self.block(one))
        return True


def read_heads(txn: Txn, table: Table, server: int, type_ids: Sequence[int], *, is_sealed: bool) -> dict[int, int]:
    """Return the newest full block of some types.

    Raises:
        RecordDamagedError: a head does not fit its checksum.
    """
    found: dict[int, int] = {}
    for type_id in type_ids:
        key = _HEAD_KEY.pack(server, type_id)
        value = txn.get(key, db=table)
        if value is not None:
            found[type_id] = _HEAD.unpack(unseal(key, value, _head_name(server, type_id)) if is_sealed else value)[0]
    return found


def _head_name(server: int, type_id: int) -> str:
    return f"the newest block of type {type_id} in server {server}'s log"
