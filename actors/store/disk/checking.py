"""Checking a store on disk: walks everything it holds and names what is damaged or does not fit together.

Blocks are decoded, which tests their checksums; ids and times must grow; the record, the log, the sorted runs, the
types, the latest events and the chains of blocks must tell the same. Nothing is changed. Memory holds one block.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import lmdb
import msgpack
import numpy as np

from actors.shard.shard import Txn
from actors.store.config import OrderBy
from actors.store.disk.blocks import Block
from actors.store.disk.criteria import Criteria, matching_rows, rows_after
from actors.store.disk.latest import read_entries
from actors.store.disk.log import NO_BLOCK, LogReader, grown_heads, load_heads
from actors.store.disk.source_series import RunReader, sort_by_source
from actors.store.disk.state import BEFORE_ALL, Run, SeriesState, ServerState
from actors.store.disk.type_table import TypeTable
from actors.store.errors import BlockDamagedError, StoreError
from actors.store.events.columns import Array, Columns
from actors.store.events.payloads import decode_payload
from actors.store.query.reader import StoreReader
from actors.store.query.reading import View, events_of

DAMAGE = (StoreError, ValueError, TypeError, KeyError, IndexError, EOFError, lmdb.Error, msgpack.UnpackException)
"""What decoding damaged bytes raises."""

_SOURCE = OrderBy.SOURCE_TIMESTAMP
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is damaged or does not fit."""

    table: str
    """Table that it is in."""

    place: str
    """Where: a block, a range of ids, a key."""

    fault: str
    """What is wrong."""


@dataclass(slots=True, kw_only=True)
class StoreCheck:
    """What a check has walked over and found."""

    block_count: int = 0
    """Blocks decoded."""

    event_count: int = 0
    """Events in the log."""

    findings: list[Finding] = field(default_factory=list)
    """What is wrong; empty when nothing is."""

    def add(self, table: str, place: str, fault: str) -> None:
        """Take a finding down."""
        self.findings.append(Finding(table=table, place=place, fault=fault))


@dataclass(slots=True, kw_only=True, eq=False)
class _Membership:
    """What the log says a series holds, to compare with the series itself."""

    count: int = 0
    digest: int = 0

    def add(self, columns: Columns, rows: Array) -> None:
        self.count += len(rows)
        self.digest = (self.digest + _digest(columns, rows)) & ((1 << 64) - 1)


def check_store(reader: StoreReader) -> StoreCheck:
    """Walk over everything that a store has on disk, as of one commit."""
    check = StoreCheck()
    try:
        with reader.view() as view:
            types = reader.types
            _check_types(view, check)
            held = {number: _Membership() for number in view.state.series}
            is_whole = [_check_server(view, types, server, state, held, check) for server, state in _servers(view)]
            _check_strays(view, check)
            for series in view.state.series.values():
                _check_series(view, types, series, held[series.number] if all(is_whole) else None, check)
            _check_latest(view, types, check)
    except DAMAGE as error:
        check.add("event_meta", "the record or the types", f"cannot be read: {error}")
    return check


def _servers(view: View) -> list[tuple[int, ServerState]]:
    return sorted(view.state.servers.items())


def _check_types(view: View, check: StoreCheck) -> None:
    seen: set[bytes] = set()
    with view.txn.cursor(view.tables.types) as cursor:
        for number, (key, value) in enumerate(cursor):
            if int.from_bytes(key, "big") != number:
                check.add("event_type", f"type {int.from_bytes(key, 'big')}", f"should have number {number}")
                return
            if value in seen:
                check.add("event_type", f"type {number}", "is there twice")
            seen.add(value)


def _check_server(
    view: View,
    types: TypeTable,
    server: int,
    state: ServerState,
    held: dict[int, _Membership],
    check: StoreCheck,
) -> bool:
    """Check the log of a server; return whether all of it could be read."""
    walk = _LogWalk(view, types, server, state, check)
    members = [(series, types.mask(series.pattern_set).array()) for series in view.state.series.values()]
    for columns in walk.blocks():
        for series, mask in members:
            held[series.number].add(columns, _member_rows(columns, series, mask, server))
    walk.check_end()
    return walk.is_whole


def _member_rows(columns: Columns, series: SeriesState, mask: Array, server: int) -> Array:
    """Return the rows that a series holds, in a series by source time those it has never begun to give up."""
    by_source = series.order_by is _SOURCE
    criteria = Criteria(
        order_by=series.order_by,
        gaps=series.gaps,
        needs_source=by_source,
        after=series.ceiling if by_source else None,
    )
    rows = matching_rows(columns, mask[columns.type_id], criteria)
    return rows_after(columns, rows, series.dead.get(server, BEFORE_ALL)) if len(rows) else rows


class _LogWalk:
    """Goes over the blocks of one log, from the oldest to the tail."""

    def __init__(self, view: View, types: TypeTable, server: int, state: ServerState, check: StoreCheck) -> None:
        self._types = types
        self._server = server
        self._state = state
        self._check = check
        self._reader = LogReader(view.txn, view.tables.log, server, state)
        self._heads = grown_heads(None, len(types))
        self._stored_heads = load_heads(view.txn, view.tables.heads, len(types)).get(server)
        self._last: tuple[int, int] = BEFORE_ALL
        self._last_ticks: int | None = None
        self.is_whole = True

    def blocks(self) -> Iterator[Columns]:
        """Yield the rows of every block that can be read."""
        for number in range(self._state.first_block, self._state.end_block):
            place = f"block {number} of server {self._server}"
            try:
                block = self._reader.block(number)
                columns = block.to_columns()
                _check_payloads(columns, self._types)
            except DAMAGE as error:
                self._damaged(number, error)
                continue
            for fault in self._faults(number, block, columns):
                self._check.add("event_log", f"{place} ({_ids(block)})", fault)
            self._check.block_count += 1
            self._check.event_count += len(columns)
            self._last = (int(columns.session[-1]), int(columns.instance[-1]))
            self._last_ticks = int(columns.time[-1])
            if number < self._state.tail_block:
                self._heads[block.types] = number
            yield columns

    def check_end(self) -> None:
        """Compare what was seen with the record and the heads of the chains."""
        place = f"server {self._server}"
        is_later = self._last_ticks is not None and self._last_ticks > self._state.last_ticks
        if self._last > self._state.last or is_later:
            self._check.add("event_meta", place, f"its last event is {self._state.last}, the log reaches {self._last}")
        if not self.is_whole:
            return
        stored = grown_heads(self._stored_heads, len(self._types))
        # Heads of types whose blocks were all given up point to what is no longer there.
        wrong = np.flatnonzero(
            (stored != self._heads) & ~((self._heads == NO_BLOCK) & (stored < self._state.first_block))
        )
        for number in wrong.tolist():
            fault = f"points to block {int(stored[number])}, the newest with it is {int(self._heads[number])}"
            self._check.add("event_head", f"type {number} of {place}", fault)

    def _damaged(self, number: int, error: Exception) -> None:
        self.is_whole = False
        following = next((one for one in range(number + 1, self._state.end_block) if self._first_of(one)), None)
        end = "the end" if following is None else f"before {self._first_of(following)}"
        place = f"block {number} of server {self._server}, ids after {self._last} to {end}"
        self._check.add("event_log", place, str(error))

    def _first_of(self, number: int) -> tuple[int, int] | None:
        try:
            return self._reader.block(number).first_id[1:]
        except DAMAGE:
            return None

    def _faults(self, number: int, block: Block, columns: Columns) -> Iterator[str]:
        yield from _header_faults(block, columns)
        if not (columns.server == self._server).all():
            yield "holds events of another server"
        session, instance = columns.session, columns.instance
        grows = (session[1:] > session[:-1]) | ((session[1:] == session[:-1]) & (instance[1:] > instance[:-1]))
        if not grows.all() or (int(session[0]), int(instance[0])) <= self._last:
            yield "its ids do not grow"
        if (columns.time[1:] < columns.time[:-1]).any() or (
            self._last_ticks is not None and int(columns.time[0]) < self._last_ticks
        ):
            yield "its times shrink"
        if number == self._state.tail_block and len(columns) != self._state.tail_rows:
            yield f"has {len(columns)} rows, the record says {self._state.tail_rows}"
        if self.is_whole:
            known = self._heads[block.types] != NO_BLOCK
            if (np.where(known, number - self._heads[block.types], block.distances) != block.distances).any():
                yield "its chain does not lead to the block before with the same type"


def _header_faults(block: Block, columns: Columns) -> Iterator[str]:
    sources = columns.source_time[columns.has_source]
    expected = {
        "rows": (block.row_count, len(columns)),
        "times": ((block.time_min, block.time_max), (int(columns.time.min()), int(columns.time.max()))),
        "source times": (block.source_count, len(sources)),
        "first id": (block.first_id, _id_at(columns, 0)),
        "last id": (block.last_id, _id_at(columns, -1)),
    }
    for name, (stated, found) in expected.items():
        if stated != found:
            yield f"its header states {name} {stated}, it holds {found}"
    if len(sources) and (block.source_min, block.source_max) != (int(sources.min()), int(sources.max())):
        yield "its header states another range of source times than it holds"


def _check_payloads(columns: Columns, types: TypeTable) -> None:
    if int(columns.type_id.max()) >= len(types):
        raise BlockDamagedError(f"type {int(columns.type_id.max())} is not in the table of {len(types)} types")
    if int(columns.kind.max()) > 3:
        raise BlockDamagedError(f"payloads of kind {int(columns.kind.max())} are unknown")
    events_of(columns, np.arange(len(columns)), types.types)


def _check_strays(view: View, check: StoreCheck) -> None:
    """Look for blocks that nothing refers to."""
    logs = {server: range(state.first_block, state.end_block) for server, state in view.state.servers.items()}
    for key in _keys(view.txn, view.tables.log):
        server, number = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")
        if number not in logs.get(server, range(0)):
            check.add("event_log", f"block {number} of server {server}", "belongs to no log")
    runs = {
        (series.number, run.number): range(run.first_block, run.last_block + 1)
        for series in view.state.series.values()
        for run in series.runs
    }
    for key in _keys(view.txn, view.tables.runs):
        series, run, number = (int.from_bytes(part, "big") for part in (key[:2], key[2:6], key[6:]))
        if number not in runs.get((series, run), range(0)):
            check.add("event_source", f"block {number} of run {run} of series {series}", "belongs to no run")


def _keys(txn: Txn, table: Any) -> Iterator[bytes]:
    with txn.cursor(table) as cursor:
        for key in cursor.iternext(values=False):
            yield bytes(key)


def _check_series(
    view: View, types: TypeTable, series: SeriesState, expected: _Membership | None, check: StoreCheck
) -> None:
    place = f"series {series.number} by {series.order_by.value.lower()}"
    if series.order_by is not _SOURCE:
        if expected is not None and expected.count != series.count:
            check.add("event_meta", place, f"counts {series.count} events, the log holds {expected.count} of them")
        return
    found = _Membership()
    mask = types.mask(series.pattern_set).array()
    walks = [_RunWalk(view, series, mask, run, found, check) for run in series.runs]
    for walk in walks:
        walk.check()
    if sum(run.count for run in series.runs) != series.count:
        check.add(
            "event_meta", place, f"counts {series.count} events, its runs {sum(run.count for run in series.runs)}"
        )
    if expected is None or not all(walk.is_whole for walk in walks):
        return
    if (found.count, found.digest) != (expected.count, expected.digest):
        fault = f"its runs hold {found.count} events to compare and the log {expected.count}, which are not the same"
        check.add("event_source", place, fault)


class _RunWalk:
    """Goes over the blocks of one sorted run."""

    def __init__(
        self, view: View, series: SeriesState, mask: Array, run: Run, found: _Membership, check: StoreCheck
    ) -> None:
        self._reader = RunReader(view.txn, view.tables.runs, series.number, run)
        self._series = series
        self._mask = mask
        self._run = run
        self._found = found
        self._check = check
        self.is_whole = True

    def check(self) -> None:
        """Decode every block, and compare with the record and the log."""
        run, count, last = self._run, 0, None
        for number in range(run.first_block, run.last_block + 1):
            place = f"block {number} of run {run.number} of series {self._series.number}"
            try:
                block = self._reader.block(number)
                columns = block.to_columns()
            except DAMAGE as error:
                self.is_whole = False
                self._check.add("event_source", f"{place}, source times after {last}", str(error))
                continue
            self._check.block_count += 1
            for fault in self._faults(block, columns, last):
                self._check.add("event_source", f"{place} ({_ids(block)})", fault)
            last = _key_at(columns, -1)
            skip = run.skip if number == run.first_block else 0
            count += len(columns) - skip
            self._note(columns, np.arange(skip, len(columns)))
        place = f"run {run.number} of series {self._series.number}"
        if self.is_whole and (count, last) != (run.count, run.last_key):
            fault = f"states {run.count} events up to {run.last_key}, it holds {count} up to {last}"
            self._check.add("event_meta", place, fault)

    def _note(self, columns: Columns, rows: Array) -> None:
        criteria = Criteria(order_by=_SOURCE, after=self._series.ceiling)
        alive = np.zeros(len(columns), dtype=bool)
        alive[rows] = True
        self._found.add(columns, matching_rows(columns, alive, criteria))

    def _faults(self, block: Block, columns: Columns, last: tuple[int, ...] | None) -> Iterator[str]:
        yield from _header_faults(block, columns)
        if not columns.has_source.all() or not self._mask[columns.type_id].all():
            yield "holds events that do not belong into the series"
        if sort_by_source(columns) is not columns or (last is not None and _key_at(columns, 0) <= last):
            yield "is not in the order of source times"
        if _key_at(columns, 0)[0] < self._run.first_ticks and not self._run.skip:
            yield "begins before the run does"


def _check_latest(view: View, types: TypeTable, check: StoreCheck) -> None:
    try:
        for type_id, entry in read_entries(view.txn, view.tables.latest, types):
            decode_payload(entry.kind, entry.payload)
            server = view.state.servers.get(entry.server)
            if server is None or (entry.session, entry.instance) > server.last:
                fault = f"is {tuple(entry[2:5])}, which its server has not reached"
                check.add("event_latest", f"type {type_id}", fault)
    except DAMAGE as error:
        check.add("event_latest", "an entry", f"cannot be read: {error}")


def _digest(columns: Columns, rows: Array) -> int:
    """Return a number that does not depend on the order of rows, of their ids, source times and types."""
    total = np.zeros(len(rows), dtype=np.uint64)
    for column in (columns.server, columns.session, columns.instance, columns.type_id, columns.source_time):
        values = column[rows]
        wide = [int(one) & ((1 << 64) - 1) for one in values] if values.dtype == object else values
        total = (
            total ^ np.asarray(wide).astype(np.int64 if values.dtype == np.int64 else np.uint64).view(np.uint64)
        ) * _MIX
        total ^= total >> np.uint64(29)
    return int(total.sum(dtype=np.uint64))


def _ids(block: Block) -> str:
    return f"ids {block.first_id} to {block.last_id}"


def _id_at(columns: Columns, row: int) -> tuple[int, int, int]:
    return int(columns.server[row]), int(columns.session[row]), int(columns.instance[row])


def _key_at(columns: Columns, row: int) -> tuple[int, ...]:
    return (int(columns.source_time[row]), *_id_at(columns, row))
