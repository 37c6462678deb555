"""Blocks: up to some hundred sorted events in one value of LMDB.

A block is laid out so that most questions are answered by its first part alone::

    header        fixed: counts, ranges of times, first and last id, lengths, checksums
    types         the sorted type numbers in the block, 2 or 4 bytes each
    chain         for each type how many blocks before this one the last one that holds it is (0: none), 1 or 4 bytes
    type index    for each row the position of its type among the types; left out when there is only one
    columns       msgpack of the other columns, packed to the fewest bytes and deflated
    payloads      the payloads' bytes, deflated; when all have one length, all first bytes come first, and so on

All numbers are little endian. The three parts have a checksum each, tested when the part is read, so damage is found
and named, and the other blocks are still served. Blocks that are still being filled are not deflated.
"""

import struct
import zlib
from typing import Any

import msgpack
import numpy as np

from actors.store.columns import TICKS_MAX, TICKS_MIN, Array, Columns, times
from actors.store.errors import BlockDamagedError, StoreFormatError
from actors.store.events import US_PER_S

FORMAT = 1
"""Version of the layout."""

RAW, DEFLATED, TRANSPOSED = 0, 1, 2
"""Codecs of the columns and payloads; the last one is chosen by itself where it applies."""

TRANSPOSED_LENGTH_MAX = 4096
"""Bytes of a payload up to which payloads are transposed."""

DISTANCE_MAX = (1 << 32) - 1
"""Blocks farther back than this are not found by the chain; the log of a server has no more."""

_HEADER = struct.Struct("<BBBBIII qI qI qI qI QQQ QQQ III III")
_CRC = struct.Struct("<I")
_LEVEL = 1
_MASK = (1 << 64) - 1


def encode_block(columns: Columns, codec: int, heads: Array | None = None, number: int = 0) -> bytes:
    """Return the bytes of a block of at least one row.

    `heads` gives for each type number the newest block before this one, whose number is `number`, that holds it, and
    -1 where there is none.
    """
    types, index = np.unique(columns.type_id, return_inverse=True)
    distances = np.zeros(len(types), dtype=np.int64)
    if heads is not None:
        distances = np.where(heads[types] >= 0, number - heads[types], 0)
    type_width = 2 if int(types[-1]) < 1 << 16 else 4
    chain_width = 1 if int(distances.max()) < 1 << 8 else 4
    body = _pack_columns(columns)
    payloads = columns.data
    length = _common_length(columns) if codec == DEFLATED else 0
    if length:
        # Payloads of one layout differ in few places: deflate meets long runs, which is faster and smaller.
        codec, payloads = TRANSPOSED, _transposed(payloads, length)
    if codec != RAW:
        body, payloads = zlib.compress(body, _LEVEL), zlib.compress(payloads, _LEVEL)
    sources = columns.source_time[columns.has_source]
    source_range = (int(sources.min()), int(sources.max())) if len(sources) else (0, 0)
    header = _HEADER.pack(
        FORMAT,
        codec,
        type_width,
        chain_width,
        len(columns),
        len(types),
        len(sources),
        *divmod(int(columns.time.min()), US_PER_S),
        *divmod(int(columns.time.max()), US_PER_S),
        *divmod(source_range[0], US_PER_S),
        *divmod(source_range[1], US_PER_S),
        *_id_at(columns, 0),
        *_id_at(columns, -1),
        len(body),
        len(payloads),
        len(columns.data),
        zlib.crc32(body),
        zlib.crc32(payloads),
        0,
    )
    parts = [header, types.astype(f"<u{type_width}").tobytes(), distances.astype(f"<u{chain_width}").tobytes()]
    if len(types) > 1:
        parts.append(index.astype("<u1" if len(types) <= 256 else "<u2").tobytes())
    head = b"".join(parts)
    checksum = _CRC.pack(zlib.crc32(head))
    return b"".join((head[: _HEADER.size - 4], checksum, head[_HEADER.size :], body, payloads))


class Block:
    """One block as read: the header at once, everything else when it is asked for. Also a chunk."""

    __slots__ = (
        "_body_start",
        "_columns",
        "_data",
        "_index",
        "_lengths",
        "_name",
        "_raw",
        "codec",
        "distances",
        "first_id",
        "last_id",
        "row_count",
        "size_bytes",
        "source_count",
        "source_max",
        "source_min",
        "time_max",
        "time_min",
        "types",
    )

    def __init__(self, raw: bytes | memoryview, name: str) -> None:
        """Read the header; `name` tells people which block it is.

        Raises:
            BlockDamagedError: the header does not fit its checksum.
            StoreFormatError: the block is of another version.
        """
        if len(raw) < _HEADER.size:
            raise BlockDamagedError(f"{name} is cut short to {len(raw)} bytes; restore the shard from a copy")
        fields = _HEADER.unpack_from(raw)
        if fields[0] != FORMAT or fields[1] > TRANSPOSED:
            given, known = f"format {fields[0]}, codec {fields[1]}", f"format {FORMAT}, codecs up to {TRANSPOSED}"
            raise StoreFormatError(f"{name} has {given}, this program reads {known}; use a matching one")
        self._raw, self._name = raw, name
        self.codec: int = fields[1]
        type_width, chain_width = fields[2], fields[3]
        self.row_count: int = fields[4]
        type_count: int = fields[5]
        self.source_count: int = fields[6]
        self.time_min: int = fields[7] * US_PER_S + fields[8]
        self.time_max: int = fields[9] * US_PER_S + fields[10]
        self.source_min: int = fields[11] * US_PER_S + fields[12]
        self.source_max: int = fields[13] * US_PER_S + fields[14]
        self.first_id: tuple[int, int, int] = fields[15:18]
        self.last_id: tuple[int, int, int] = fields[18:21]
        self._lengths: tuple[int, ...] = fields[21:26]
        self.size_bytes = len(raw)
        index_width = 0 if type_count == 1 else 1 if type_count <= 256 else 2
        chain_start = _HEADER.size + type_width * type_count
        index_start = chain_start + chain_width * type_count
        self._body_start = index_start + index_width * self.row_count
        self._check_head(fields[26])
        self.types: Array = np.frombuffer(raw, f"<u{type_width}", type_count, _HEADER.size)
        self.distances: Array = np.frombuffer(raw, f"<u{chain_width}", type_count, chain_start)
        self._index: Array | None = (
            np.frombuffer(raw, f"<u{index_width}", self.row_count, index_start) if index_width else None
        )
        self._columns: tuple[Array, ...] | None = None
        self._data: bytes | None = None

    def __len__(self) -> int:
        return self.row_count

    @property
    def type_id(self) -> Array:
        """Numbers of the event types, from the header."""
        return np.repeat(self.types, self.row_count) if self._index is None else self.types[self._index]

    @property
    def time(self) -> Array:
        """Timestamps, ticks."""
        return self._decoded()[0]

    @property
    def source_time(self) -> Array:
        """Source timestamps, ticks; 0 where there is none."""
        return self._decoded()[1]

    @property
    def has_source(self) -> Array:
        """Whether there is a source timestamp."""
        return self._decoded()[2]

    @property
    def server(self) -> Array:
        """Server numbers."""
        return self._decoded()[3]

    @property
    def session(self) -> Array:
        """Session numbers."""
        return self._decoded()[4]

    @property
    def instance(self) -> Array:
        """Instance numbers."""
        return self._decoded()[5]

    @property
    def kind(self) -> Array:
        """Kinds of the payloads."""
        return self._decoded()[6]

    @property
    def offsets(self) -> Array:
        """Where each payload begins in `data`, and the end."""
        return self._decoded()[7]

    @property
    def data(self) -> bytes:
        """All payloads."""
        if self._data is None:
            start = self._body_start + self._lengths[0]
            data = self._part(start, self._lengths[1], self._lengths[4], "payloads")
            self._data = _transposed(data, self.row_count) if self.codec == TRANSPOSED else data
        return self._data

    def mask_types(self, wanted: Array) -> Array | None:
        """Return which rows have a type that `wanted` (true per type number) allows; `None` when no row has."""
        allowed = wanted[self.types]
        if not allowed.any():
            return None
        return np.repeat(allowed, self.row_count) if self._index is None else allowed[self._index]

    def to_columns(self) -> Columns:
        """Return everything as columns."""
        time, source_time, has_source, server, session, instance, kind, offsets = self._decoded()
        return Columns(
            time=time,
            source_time=source_time,
            has_source=has_source,
            server=server,
            session=session,
            instance=instance,
            type_id=self.type_id,
            kind=kind,
            offsets=offsets,
            data=self.data,
        )

    def _decoded(self) -> tuple[Array, ...]:
        if self._columns is None:
            body = self._part(self._body_start, self._lengths[0], self._lengths[3], "columns")
            self._columns = _unpack_columns(body, self.row_count)
        return self._columns

    def _part(self, start: int, length: int, checksum: int, what: str) -> bytes:
        part = self._raw[start : start + length]
        if zlib.crc32(part) != checksum:
            raise self._damaged(what)
        return bytes(part) if self.codec == RAW else zlib.decompress(part)

    def _check_head(self, checksum: int) -> None:
        head = zlib.crc32(self._raw[: _HEADER.size - 4])
        head = zlib.crc32(b"\0\0\0\0", head)
        if zlib.crc32(self._raw[_HEADER.size : self._body_start], head) != checksum:
            raise self._damaged("header")

    def _damaged(self, what: str) -> BlockDamagedError:
        return BlockDamagedError(
            f"the {what} of {self._name} (ids {self.first_id} to {self.last_id}) do not fit their checksum;"
            " restore the shard from a copy, or query ranges without the block"
        )


def _common_length(columns: Columns) -> int:
    """Return the length of every payload, 0 when they differ or are too long."""
    length = len(columns.data) // len(columns)
    if len(columns) < 2 or not 0 < length <= TRANSPOSED_LENGTH_MAX:
        return 0
    return length if bool((columns.payload_lengths() == length).all()) else 0


def _transposed(data: bytes, width: int) -> bytes:
    """Return the bytes of a matrix of that width column by column."""
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, width).T.tobytes()


def _id_at(columns: Columns, row: int) -> tuple[int, int, int]:
    return int(columns.server[row]), int(columns.session[row]), int(columns.instance[row])


def _pack_columns(columns: Columns) -> bytes:
    wide = object in (columns.time.dtype, columns.source_time.dtype)
    lag = np.where(columns.has_source, _subtract(columns.source_time, columns.time), 0)
    return bytes(
        msgpack.packb(
            [
                _pack_wide(columns.time) if wide else _pack_deltas(columns.time),
                _pack_wide(columns.source_time) if wide else _pack(lag),
                np.packbits(columns.has_source).tobytes(),
                _pack_deltas(columns.server),
                _pack_deltas(columns.session),
                _pack_deltas(columns.instance),
                _pack(columns.kind.astype(np.int64)),
                _pack(columns.payload_lengths()),
            ]
        )
    )


def _unpack_columns(body: bytes, count: int) -> tuple[Array, ...]:
    time, source, has, server, session, instance, kind, lengths = msgpack.unpackb(body)
    has_source = np.unpackbits(np.frombuffer(has, np.uint8), count=count).astype(bool)
    if isinstance(time, dict):
        time_column, source_column = _unpack_wide(time), _unpack_wide(source)
    else:
        time_column = _unpack_deltas(time, count).view(np.int64)
        lag = _unpack(source, count)
        source_column = np.where(has_source, lag + time_column.view(np.uint64), np.uint64(0)).view(np.int64)
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(_unpack(lengths, count).view(np.int64), out=offsets[1:])
    return (
        time_column,
        source_column,
        has_source,
        _unpack_deltas(server, count),
        _unpack_deltas(session, count),
        _unpack_deltas(instance, count),
        _unpack(kind, count).astype(np.uint8),
        offsets,
    )


# Numbers are packed as [smallest, width in bytes, bytes of the distances from the smallest]. All arithmetic is modulo
# 2^64, so signed and unsigned columns of any spread come back exactly.


def _pack(values: Array) -> list[Any]:
    smallest = int(values.min())
    spread = int(values.max()) - smallest
    width = 0 if spread == 0 else 1 if spread < 1 << 8 else 2 if spread < 1 << 16 else 4 if spread < 1 << 32 else 8
    if width == 0:
        return [smallest, 0, b""]
    distances = values.view(np.uint64) - np.uint64(smallest & _MASK)
    return [smallest, width, distances.astype(f"<u{width}").tobytes()]


def _unpack(packed: list[Any], count: int) -> Array:
    smallest, width, data = packed
    base = np.uint64(smallest & _MASK)
    if width == 0:
        return np.full(count, base, dtype=np.uint64)
    return np.frombuffer(data, f"<u{width}").astype(np.uint64) + base


def _pack_deltas(values: Array) -> list[Any]:
    whole = np.ascontiguousarray(values).view(np.int64)
    return [int(whole[0]), _pack(_subtract(whole[1:], whole[:-1])) if len(whole) > 1 else None]


def _unpack_deltas(packed: list[Any], count: int) -> Array:
    values = np.empty(count, dtype=np.uint64)
    values[0] = np.uint64(packed[0] & _MASK)
    if count > 1:
        values[1:] = _unpack(packed[1], count - 1)
    return np.cumsum(values, dtype=np.uint64)


def _subtract(left: Array, right: Array) -> Array:
    if left.dtype == object or right.dtype == object:
        return np.subtract(left, right)
    return (np.ascontiguousarray(left).view(np.uint64) - np.ascontiguousarray(right).view(np.uint64)).view(np.int64)


def _pack_wide(values: Array) -> dict[str, Any]:
    return {"wide": [list(divmod(int(value), US_PER_S)) for value in values]}


def _unpack_wide(packed: dict[str, Any]) -> Array:
    ticks = [seconds * US_PER_S + microseconds for seconds, microseconds in packed["wide"]]
    narrow = all(TICKS_MIN <= value <= TICKS_MAX for value in ticks)
    return times(ticks) if narrow else np.array(ticks, dtype=object)
