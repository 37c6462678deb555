"""Checking a store on disk: walks everything it holds and names what is damaged or does not fit together.

Blocks are decoded and entries unsealed, which tests their checksums; ids and times must grow; the record, the log, the
sorted runs, the types, the latest events and the chains of blocks must say the same. Nothing is changed. Memory holds
one block and the latest events.
"""

from collections.abc import Iterator

from actors.shard import Table, Txn
from actors.store.check.findings import DAMAGE, StoreCheck
from actors.store.check.latest import LatestCheck
from actors.store.check.log import LogWalk
from actors.store.check.series import Membership, check_series, member_rows
from actors.store.disk.type_table import TypeTable
from actors.store.query.reader import StoreReader
from actors.store.query.reading import View


def check_store(reader: StoreReader) -> StoreCheck:
    """Walk over everything that a store has on disk, as of one commit."""
    check = StoreCheck()
    try:
        with reader.view() as view:
            types = reader.types
            _check_types(view, check)
            latest = LatestCheck(view, types, check)
            held = {number: Membership() for number in view.state.series}
            is_whole = [
                _check_server(view, types, server, latest, held, check) for server in sorted(view.state.servers)
            ]
            _check_strays(view, check)
            for series in view.state.series.values():
                check_series(view, types, series, held[series.number] if all(is_whole) else None, check)
    except DAMAGE as error:
        check.add("event_meta", "the record or the types", f"cannot be read: {error}")
    return check


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
    latest: LatestCheck,
    held: dict[int, Membership],
    check: StoreCheck,
) -> bool:
    """Check the log of a server; return whether all of it could be read."""
    walk = LogWalk(view, types, server, view.state.servers[server], check)
    members = [(series, types.mask(series.pattern_set).array()) for series in view.state.series.values()]
    for columns in walk.blocks():
        latest.compare(server, columns, walk.events)
        for series, mask in members:
            held[series.number].add(columns, member_rows(columns, series, mask, server))
    walk.check_end()
    if walk.is_whole:
        latest.check_last(server, walk.last, walk.last_ticks)
    return walk.is_whole


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


def _keys(txn: Txn, table: Table) -> Iterator[bytes]:
    with txn.cursor(table) as cursor:
        for key in cursor.iternext(values=False):
            yield bytes(key)
