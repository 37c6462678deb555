"""Stores written by every version of the format that is read, and blocks decoded by hand after docs/formats.md."""

import struct
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pytest

from actors.shard import Shard
from actors.store import (
    BinaryPayload,
    Event,
    EventId,
    EventStore,
    JsonPayload,
    Order,
    OrderBy,
    QueryLatestParams,
    QueryServerParams,
    QueryTimeseriesParams,
    Timestamp,
)
from actors.store.check.checking import check_store
from actors.store.disk.state import FORMAT
from actors.store.query.contents import read_facts
from actors.store.query.reader import StoreReader
from tests.support.hand_decoder import Decoded, Row, decode_by_hand, unseal_by_hand
from tests.support.store_fixture import CONFIG, fixture_events, unpack_fixture

FORMATS = Path(__file__).parents[2] / "support" / "formats"
VERSIONS = sorted(int(path.stem.rpartition("-")[2]) for path in FORMATS.glob("store-*.zip"))

SERVERS = (0, 7, 9)

BLOCKS = {1: {(1, 0), (1, 1), (1, 2)}, 2: {(2, 0), (2, 1), (2, 2), (2, 3)}}
"""Codecs of the blocks of each format, of which format 2 came with version 2 of the store."""


@pytest.fixture(params=VERSIONS)
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The fixture of each version."""
    unpack_fixture(FORMATS / f"store-{request.param}.zip", tmp_path)
    return tmp_path


def by_time(event: Event) -> Any:
    return event.timestamp, event.id


def test_there_is_a_fixture_of_the_format_that_is_written() -> None:
    assert max(VERSIONS) == FORMAT, "write one with `python -m tests.support.store_fixture`"


def test_a_store_of_every_format_holds_exactly_its_events(directory: Path) -> None:
    events = fixture_events()
    with Shard.open(directory, read_only=True) as shard:
        reader = StoreReader(shard)
        ascending = reader.query(QueryTimeseriesParams(order=Order.ASCENDING)).events
        by_source = reader.query(QueryTimeseriesParams(order_by=OrderBy.SOURCE_TIMESTAMP)).events
        servers = [reader.query(QueryServerParams(server_id=server)).events for server in SERVERS]
        latest = reader.query(QueryLatestParams()).events
    # As text, so that 1 is not 1.0 or true.
    assert repr(list(ascending)) == repr(sorted(events, key=by_time))
    sourced = [one for one in events if one.source_timestamp is not None]
    assert list(by_source) == sorted(sourced, key=lambda one: (one.source_timestamp, one.id), reverse=True)
    assert sorted(one for pages in servers for one in pages) == sorted(events, key=lambda one: one.id)
    newest = {one.type: one for one in sorted(events, key=lambda one: one.id)}
    assert sorted(latest, key=by_time) == sorted(newest.values(), key=by_time)


def test_a_store_tells_its_format(tmp_path: Path) -> None:
    for version in VERSIONS:
        unpack_fixture(FORMATS / f"store-{version}.zip", tmp_path / str(version))
        with Shard.open(tmp_path / str(version), read_only=True) as shard:
            assert read_facts(StoreReader(shard)).format == version


def test_a_store_of_every_format_is_whole_and_goes_on(directory: Path) -> None:
    more = Event(EventId(0, 99, 1), ("trades", "A"), Timestamp((1 << 63) - 1, 999_999))
    with EventStore.open(directory, CONFIG, clock=lambda: 0) as store:
        assert store.register([more])[0].is_accepted
    with Shard.open(directory, read_only=True) as shard:
        reader = StoreReader(shard)
        assert check_store(reader).findings == []
        assert reader.query(QueryTimeseriesParams(max_results=1)).events == (more,)
        assert len(reader.query(QueryTimeseriesParams()).events) == len(fixture_events()) + 1


def table(directory: Path, name: str) -> dict[bytes, bytes]:
    with lmdb.open(str(directory), max_dbs=16, readonly=True, lock=False) as env:
        handle = env.open_db(name.encode(), create=False)
        with env.begin() as txn, txn.cursor(handle) as cursor:
            return {bytes(key): bytes(value) for key, value in cursor}


def unsealed(directory: Path, name: str) -> dict[bytes, bytes]:
    """Return a small table, unsealed by hand where the record says so."""
    record = table(directory, "event_meta")[b"state"]
    version = msgpack.unpackb(record, strict_map_key=False, unicode_errors="surrogatepass")["format"]
    found = table(directory, name)
    return found if version < 3 else {key: unseal_by_hand(key, value) for key, value in found.items()}


def as_row(event: Event, types: dict[tuple[str, ...], int]) -> Row:
    payload: tuple[str, Any] = ("none", None)
    if isinstance(event.payload, JsonPayload):
        payload = ("json", event.payload.data)
    elif isinstance(event.payload, BinaryPayload):
        payload = ("binary", list(event.payload))
    source = event.source_timestamp
    return Row(
        id=tuple(event.id),
        type_id=types[event.type],
        time=event.timestamp.ticks,
        source_time=None if source is None else source.ticks,
        payload=payload,
    )


def test_every_block_is_decoded_by_hand_as_the_page_on_formats_says(directory: Path) -> None:
    types = {
        tuple(msgpack.unpackb(value, unicode_errors="surrogatepass")): struct.unpack(">I", key)[0]
        for key, value in unsealed(directory, "event_type").items()
    }
    expected = {
        server: [as_row(one, types) for one in fixture_events() if one.id.server == server] for server in SERVERS
    }
    found: dict[int, list[Row]] = {server: [] for server in SERVERS}
    blocks: list[Decoded] = []
    newest: dict[tuple[int, int], int] = {}
    for key, raw in table(directory, "event_log").items():
        server, number = struct.unpack(">QQ", key)
        block = decode_by_hand(raw)
        for type_id, distance in zip(block.type_ids, block.distances, strict=True):
            before = newest.get((server, type_id))
            assert distance == (0 if before is None else number - before)
            newest[server, type_id] = number
        found[server] += block.rows
        blocks.append(block)
    # As text, so that 1 is not 1.0 or true.
    assert repr(found) == repr(expected)
    assert {(block.format, block.codec) for block in blocks} == BLOCKS[blocks[0].format]


def test_the_small_tables_are_unsealed_by_hand_as_the_page_says(directory: Path) -> None:
    newest = {one.type: one for one in sorted(fixture_events(), key=lambda one: one.id)}
    types = [msgpack.unpackb(raw, unicode_errors="surrogatepass") for raw in unsealed(directory, "event_type").values()]
    found = {}
    for key, raw in unsealed(directory, "event_latest").items():
        entry = msgpack.unpackb(raw)
        time = entry[0] if len(entry) == 7 else entry[:2]
        found[tuple(types[struct.unpack(">I", key)[0]])] = (tuple(time), tuple(entry[-5:-2]))
    assert found == {kind: (tuple(one.timestamp), tuple(one.id)) for kind, one in newest.items()}
    heads = {struct.unpack(">QI", key): raw for key, raw in unsealed(directory, "event_head").items()}
    numbers = {struct.unpack(">QQ", key) for key in table(directory, "event_log")}
    assert {(server, struct.unpack(">Q", raw)[0]) for (server, _), raw in heads.items()} <= numbers
    record = unsealed(directory, "event_meta")[b"state"]
    assert record.startswith(msgpack.packb({"format": 1})[1:8], 1)


def test_the_sorted_runs_are_decoded_by_hand_too(directory: Path) -> None:
    rows = [row for raw in table(directory, "event_source").values() for row in decode_by_hand(raw).rows]
    sourced = [one for one in fixture_events() if one.source_timestamp is not None]
    assert sorted(row.id for row in rows) == sorted(tuple(one.id) for one in sourced)
    assert all(row.source_time is not None for row in rows)
