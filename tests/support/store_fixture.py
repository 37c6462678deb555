"""The store of the format fixtures: what is in it, and how one is written.

`python -m tests.support.store_fixture FILE.zip` writes the store with the code of today. Run it only when the format
has a new version, into a new file, and keep the files of versions that are still read. The archive holds the shard's
data file.
"""

import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import lmdb

from actors.shard import shard as shard_module
from actors.store import (
    BinaryPayload,
    Event,
    EventId,
    EventStore,
    JsonPayload,
    SetConfig,
    StoreConfig,
    Timestamp,
)
from tests.support.store_setup import small_blocks

BLOCK_ROW_COUNT = 16
"""Rows of a full block in the fixtures."""

DATA = "data.mdb"
"""Name of the shard's data file, also inside the archive."""

CONFIG = StoreConfig(identifier="format fixture", sets=(SetConfig(),), flush_period_ms=None, map_size_bytes=1 << 20)
"""Everything, by both times."""

_ODD_PAYLOADS = (
    None,
    JsonPayload(None),
    JsonPayload([1, [2.5, "x"], {"deep": {"er": True}}]),
    JsonPayload({"big": 1 << 80, "small": -(1 << 70)}),
    JsonPayload("half a pair: \ud83d"),
    BinaryPayload("image/x", bytes(range(256))),
    BinaryPayload("", b""),
    JsonPayload({"limits": [-(1 << 63), (1 << 64) - 1, -0.0, 5e-324, 1.7976931348623157e308]}),
)


def fixture_batches() -> list[list[Event]]:
    """Return the events of the fixture by flush; every kind of block and payload is among them."""
    plain = [_plain(number) for number in range(1, 41)]
    odd = [_odd(number, payload) for number, payload in enumerate(_ODD_PAYLOADS * 3, 1)]
    lists = [_list(number) for number in range(1, BLOCK_ROW_COUNT + 1)]
    return [plain[:30], odd, [*plain[30:], *_far(41)], lists]


def fixture_events() -> list[Event]:
    """Return all events of the fixture."""
    return [event for batch in fixture_batches() for event in batch]


def write_fixture(path: Path) -> None:
    """Write the fixture into an archive."""
    # Fresh pages are zeroed, so that nothing of this process's memory gets into the file.
    real: Any = lmdb.open
    shard_module.lmdb.open = lambda *given, **named: real(*given, **(named | {"meminit": True}))
    with tempfile.TemporaryDirectory() as place, small_blocks(BLOCK_ROW_COUNT):
        with EventStore.open(Path(place), CONFIG, clock=lambda: 0) as store:
            for batch in fixture_batches():
                assert all(verdict.is_accepted for verdict in store.register(batch))
                store.flush()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr(zipfile.ZipInfo(DATA), (Path(place) / DATA).read_bytes(), zipfile.ZIP_DEFLATED, 9)


def unpack_fixture(path: Path, directory: Path) -> None:
    """Put the shard of an archive into a directory."""
    with zipfile.ZipFile(path) as archive:
        archive.extract(DATA, directory)


def _plain(number: int) -> Event:
    payload = {"qty": number * 7 % 11, "price": number / 4, "sym": "AB"[number % 2], "ok": number % 3 == 0}
    source = Timestamp(1_700_000_000 - number % 5, number * 1000)
    kind = ("trades", "AB"[number % 2])
    return Event(EventId(0, number, 1), kind, Timestamp(1_700_000_000 + number // 3, 5), source, JsonPayload(payload))


def _list(number: int) -> Event:
    """Return an event without fields, whose payload is as long as the others'."""
    return Event(EventId(9, 1, number), ("lists",), Timestamp(number, 0), None, JsonPayload([number, number + 1]))


def _odd(number: int, payload: Any) -> Event:
    words = ((), ("a",), ("Ä", "?", "b/c"))[number % 3]
    source = None if number % 2 else Timestamp(-number, 999_999)
    return Event(EventId(7, 1 + number // 10, 1 + number), words, Timestamp(-5 + number // 8, number), source, payload)


def _far(session: int) -> list[Event]:
    """Return events at the ends of what ids and times can be."""
    ends = [((1 << 63) - 1, 999_998, -(1 << 63)), ((1 << 63) - 1, 999_999, (1 << 63) - 1)]
    return [
        Event(
            EventId(0, session + place, (1 << 64) - 1 - place),
            ("trades", "A"),
            Timestamp(seconds, us),
            Timestamp(source, 0),
            JsonPayload({"qty": place, "price": 0.1, "sym": "A", "ok": False}),
        )
        for place, (seconds, us, source) in enumerate(ends)
    ]


if __name__ == "__main__":
    write_fixture(Path(sys.argv[1]))
