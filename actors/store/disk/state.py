"""The store's own record: what is on disk, where it begins and ends, and how much each series holds.

One record in the table `event_meta` is written by every flush and read by every query in its own transaction, so that
blocks and the numbers about them always belong together. `sequence` counts calls of `register`: whatever has a number
up to it is on disk, whatever is above it is still pending.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgpack

from actors.shard import Txn
from actors.store.config import OrderBy
from actors.store.disk.sealing import SEAL_BYTES, damaged, is_whole, seal
from actors.store.errors import StoreFormatError
from actors.store.events.event import US_PER_S, EventType
from actors.store.events.patterns import PatternSet

FORMAT = 3
"""Version of the record and of the tables beside it; 1 and 2, whose small tables are not sealed, are read."""

SEALED_FORMAT = 3
"""Version from which on the entries of the small tables are sealed."""

STATE_KEY = b"state"
"""Key of the record."""

Position = tuple[int, int]
"""Session and instance of an event of a known server."""

BEFORE_ALL: Position = (0, 0)
"""Position before the first event of a server."""

Key = tuple[int, int, int, int]
"""Where an event stands in a series: ticks, server, session, instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The log of one server."""

    first_block: int = 0
    """Number of the oldest block that is kept."""

    tail_block: int = 0
    """Number of the block that is being filled."""

    tail_rows: int = 0
    """Rows in it; 0 when it is not there yet."""

    last: Position = BEFORE_ALL
    """Last event that was accepted."""

    last_ticks: int = 0
    """Its timestamp."""

    @property
    def end_block(self) -> int:
        """Number after the last block that is there."""
        return self.tail_block + (1 if self.tail_rows else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A sorted part of a series by source timestamp: consecutive blocks."""

    number: int
    """Number within the series."""

    first_block: int
    """Number of the oldest block that is kept."""

    last_block: int
    """Number of the newest block."""

    skip: int
    """Rows of the oldest block that have been given up."""

    count: int
    """Rows left."""

    first_ticks: int
    """A source timestamp that no row left lies before."""

    last_key: Key
    """Key of the newest row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time during which a series was not configured, so that it lacks what came then."""

    start: Mapping[int, Position]
    """Last event of each server when it began; servers not named had none."""

    end: Mapping[int, Position] | None
    """Last event of each server when it ended; `None` while it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesState:
    """One series; its identity is the order and the patterns."""

    number: int
    """Number that stands for the identity on disk."""

    order_by: OrderBy
    """Time that orders the series."""

    patterns: tuple[EventType, ...]
    """Reduced, sorted patterns of its types."""

    count: int = 0
    """Events in the series."""

    full_rows: float = 0.0
    """Weight of the events in full blocks, for their average size."""

    full_bytes: float = 0.0
    """Bytes that these events take."""

    tail_entry_bytes: float = 0.0
    """Average size of an event in the last block written that was not full."""

    dead: Mapping[int, Position] = field(default_factory=dict)
    """Per server the last event that the series has given up, or never had."""

    gaps: tuple[Gap, ...] = ()
    """Times when the series was not configured."""

    runs: tuple[Run, ...] = ()
    """Sorted runs of a series by source timestamp."""

    next_run: int = 0
    """Number of the next run."""

    ceiling: Key | None = None
    """Greatest key that a series by source timestamp has given up."""

    @property
    def pattern_set(self) -> PatternSet:
        """Patterns of the types in the series."""
        return PatternSet(self.patterns)

    @property
    def is_active(self) -> bool:
        """Whether the series is configured."""
        return not self.gaps or self.gaps[-1].end is not None

    @property
    def entry_size_bytes(self) -> float:
        """Average bytes that one event takes; 0 when unknown."""
        return self.full_bytes / self.full_rows if self.full_rows >= 1 else self.tail_entry_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """All of it."""

    format: int = FORMAT
    """Version in which it was read; it is written in the present one."""

    sequence: int = 0
    """Number of the last call of `register` that is on disk."""

    flush_number: int = 0
    """Number of the last flush."""

    conditions: tuple[bytes, ...] = ()
    """Every set of conditions under which events were stored, as bytes to compare."""

    servers: Mapping[int, ServerState] = field(default_factory=dict)
    """Logs by server number."""

    series: Mapping[int, SeriesState] = field(default_factory=dict)
    """Series by number."""

    @property
    def is_sealed(self) -> bool:
        """Whether entries of the small tables have checksums."""
        return self.format >= SEALED_FORMAT

    def last_positions(self) -> dict[int, Position]:
        """Return the last event of every server."""
        return {server: state.last for server, state in self.servers.items()}


def read_state(txn: Txn, meta: Any) -> StoreState:
    """Return the record as of a transaction."""
    raw = txn.get(STATE_KEY, db=meta)
    return StoreState() if raw is None else decode_state(raw)


def encode_state(state: StoreState) -> bytes:
    """Return the record as bytes."""
    packed = bytes(
        msgpack.packb(
            {
                "format": FORMAT,
                "sequence": state.sequence,
                "flush": state.flush_number,
                "conditions": list(state.conditions),
                "servers": [[server, *_pack_server(one)] for server, one in state.servers.items()],
                "series": [_pack_series(one) for one in state.series.values()],
                "crc": 0xFFFFFFFF,
            },
            unicode_errors="surrogatepass",
        )
    )
    # The last value of the map is the seal, so that programs which know earlier formats still see the version.
    return seal(STATE_KEY, packed[:-SEAL_BYTES])


@lru_cache(maxsize=16)
def decode_state(raw: bytes) -> StoreState:
    """Return the record of those bytes; between two flushes every query asks for the same.

    Raises:
        StoreFormatError: they are of another version.
        RecordDamagedError: they do not fit their checksum.
    """
    try:
        record = msgpack.unpackb(raw, use_list=False, strict_map_key=False, unicode_errors="surrogatepass")
        version = operator.index(record["format"])
    except (ValueError, TypeError, KeyError, msgpack.UnpackException):
        raise damaged("the record of the store") from None
    if not 0 < version <= FORMAT:
        raise StoreFormatError(f"the store has format {version}, this program reads up to {FORMAT}; use a match")
    if ("crc" in record or version >= SEALED_FORMAT) and not is_whole(STATE_KEY, raw):
        raise damaged("the record of the store")
    series = [_unpack_series(one) for one in record["series"]]
    return StoreState(
        format=version,
        sequence=record["sequence"],
        flush_number=record["flush"],
        conditions=record["conditions"],
        servers={one[0]: _unpack_server(one[1:]) for one in record["servers"]},
        series={one.number: one for one in series},
    )


def _pack_server(state: ServerState) -> list[Any]:
    return [state.first_block, state.tail_block, state.tail_rows, state.last, _pack_ticks(state.last_ticks)]


def _unpack_server(packed: tuple[Any, ...]) -> ServerState:
    first, tail, rows, last, ticks = packed
    return ServerState(first_block=first, tail_block=tail, tail_rows=rows, last=last, last_ticks=_unpack_ticks(ticks))


def _pack_series(series: SeriesState) -> list[Any]:
    return [
        series.number,
        series.order_by.value,
        series.patterns,
        series.count,
        [series.full_rows, series.full_bytes, series.tail_entry_bytes],
        dict(series.dead),
        [[dict(gap.start), None if gap.end is None else dict(gap.end)] for gap in series.gaps],
        [_pack_run(run) for run in series.runs],
        series.next_run,
        None if series.ceiling is None else _pack_key(series.ceiling),
    ]


def _unpack_series(packed: tuple[Any, ...]) -> SeriesState:
    number, order_by, patterns, count, sizes, dead, gaps, runs, next_run, ceiling = packed
    return SeriesState(
        number=number,
        order_by=OrderBy(order_by),
        patterns=patterns,
        count=count,
        full_rows=sizes[0],
        full_bytes=sizes[1],
        tail_entry_bytes=sizes[2],
        dead=dead,
        gaps=tuple(Gap(start=start, end=end) for start, end in gaps),
        runs=tuple(_unpack_run(run) for run in runs),
        next_run=next_run,
        ceiling=None if ceiling is None else _unpack_key(ceiling),
    )


def _pack_run(run: Run) -> list[Any]:
    blocks = [run.number, run.first_block, run.last_block, run.skip, run.count]
    return [*blocks, _pack_ticks(run.first_ticks), _pack_key(run.last_key)]


def _unpack_run(packed: tuple[Any, ...]) -> Run:
    number, first, last, skip, count, ticks, key = packed
    return Run(
        number=number,
        first_block=first,
        last_block=last,
        skip=skip,
        count=count,
        first_ticks=_unpack_ticks(ticks),
        last_key=_unpack_key(key),
    )


# Ticks can be larger than 64 bits, seconds cannot.


def _pack_ticks(ticks: int) -> list[int]:
    return list(divmod(ticks, US_PER_S))


def _unpack_ticks(packed: tuple[int, int]) -> int:
    return packed[0] * US_PER_S + packed[1]


def _pack_key(key: Key) -> list[Any]:
    return [_pack_ticks(key[0]), *key[1:]]


def _unpack_key(packed: tuple[Any, ...]) -> Key:
    return (_unpack_ticks(packed[0]), packed[1], packed[2], packed[3])
