"""Blocks: up to some hundred sorted events in one value of LMDB.

A block is laid out so that most questions are answered by its first part alone::

    header        fixed: counts, ranges of times, first and last id, lengths, checksums
    types         the sorted type numbers in the block, 2 or 4 bytes each
    chain         for each type how many blocks before this one the last one that holds it is (0: none), 1 or 4 bytes
    type index    for each row the position of its type among the types; left out when there is only one
    columns       the other columns (`actors.store.disk.block_columns`)
    payloads      fields as columns (see `payload_columns`); where payloads have none, their bytes, deflated; when
                  all have one length, all first bytes come first, and so on

All numbers are little endian. Every part, and every column, has a checksum, tested when it is read, so damage is found
and named, and the other blocks are still served. Blocks that are still being filled are not deflated.
"""

import struct
import zlib

import msgpack
import numpy as np

from actors.store.disk.block_columns import LENGTH, BlockColumns, head_size, pack_columns
from actors.store.disk.packing import Section
from actors.store.disk.payload_columns import PayloadColumns
from actors.store.errors import BlockDamagedError
from actors.store.events.columns import Array, Columns, offsets_of
from actors.store.events.event import US_PER_S

FORMAT = 2
"""Version of the layout; blocks of version 1 are read, and lack the last codec."""

RAW, DEFLATED, TRANSPOSED, BY_FIELD = 0, 1, 2, 3
"""Codecs of the columns and payloads; the last two are chosen by themselves where they apply."""

TRANSPOSED_LENGTH_MAX = 4096
"""Bytes of a payload up to which payloads are transposed."""

DISTANCE_MAX = (1 << 32) - 1
"""Blocks farther back than this are not found by the chain; the log of a server has no more."""

_HEADER = struct.Struct("<BBBBIII qI qI qI qI QQQ QQQ III III")
_CRC = struct.Struct("<I")
_LEVEL = 1


def encode_block(
    columns: Columns, codec: int, heads: Array | None = None, number: int = 0, fields: bytes | None = None
) -> bytes:
    """Return the bytes of a block of at least one row.

    `heads` gives for each type number the newest block before this one, whose number is `number`, that holds it, and
    -1 where there is none. `fields` are the payloads as columns, when they can be.
    """
    types, index = np.unique(columns.type_id, return_inverse=True)
    distances = np.zeros(len(types), dtype=np.int64)
    if heads is not None:
        distances = np.where(heads[types] >= 0, number - heads[types], 0)
    type_width = 2 if int(types[-1]) < 1 << 16 else 4
    chain_width = 1 if int(distances.max()) < 1 << 8 else 4
    codec, payloads = _encode_payloads(columns, codec, fields)
    body = pack_columns(columns, with_lengths=codec != BY_FIELD, deflates=codec != RAW)
    checked = payloads if codec != BY_FIELD else payloads[: head_size(payloads)]
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
        zlib.crc32(body[: head_size(body)]),
        zlib.crc32(checked),
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
        "_fields",
        "_index",
        "_lengths",
        "_name",
        "_offsets",
        "_raw",
        "_version",
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
            BlockDamagedError: the header does not fit its checksum, or names a format that there is not.
        """
        if len(raw) < _HEADER.size:
            raise BlockDamagedError(f"{name} is cut short to {len(raw)} bytes; restore the shard from a copy")
        fields = _HEADER.unpack_from(raw)
        if not 0 < fields[0] <= FORMAT or fields[1] > (BY_FIELD if fields[0] == FORMAT else TRANSPOSED):
            given, known = f"format {fields[0]}, codec {fields[1]}", f"format {FORMAT}, codecs up to {BY_FIELD}"
            # A store of a later format is refused as a whole, so this can only be damage.
            raise BlockDamagedError(f"{name} has {given}, this program reads {known}; restore the shard from a copy")
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
        self._version: int = fields[0]
        self._columns: BlockColumns | None = None
        self._offsets: Array | None = None
        self._fields: PayloadColumns | None = None
        self._data: bytes | None = None

    def __len__(self) -> int:
        return self.row_count

    def __repr__(self) -> str:
        return f"Block({self._name}, {self.row_count} rows, ids {self.first_id} to {self.last_id})"

    @property
    def type_id(self) -> Array:
        """Numbers of the event types, from the header."""
        return np.repeat(self.types, self.row_count) if self._index is None else self.types[self._index]

    @property
    def time(self) -> Array:
        """Timestamps, ticks."""
        return self._body().time

    @property
    def source_time(self) -> Array:
        """Source timestamps, ticks; 0 where there is none."""
        return self._body().source_time

    @property
    def has_source(self) -> Array:
        """Whether there is a source timestamp."""
        return self._body().has_source

    @property
    def server(self) -> Array:
        """Server numbers."""
        return self._body().server

    @property
    def session(self) -> Array:
        """Session numbers."""
        return self._body().session

    @property
    def instance(self) -> Array:
        """Instance numbers."""
        return self._body().instance

    @property
    def kind(self) -> Array:
        """Kinds of the payloads."""
        return self._body().kind

    @property
    def offsets(self) -> Array:
        """Where each payload begins in `data`, and the end."""
        if self._offsets is None:
            if self.codec == BY_FIELD:
                self._rebuild()
            else:
                self._offsets = self._body().offsets
        assert self._offsets is not None, "rebuilding sets the offsets"
        return self._offsets

    @property
    def data(self) -> bytes:
        """All payloads."""
        if self._data is None:
            if self.codec == BY_FIELD:
                return self._rebuild()
            start = self._body_start + self._lengths[0]
            data = self._part(start, self._lengths[1], self._lengths[4], "payloads")
            self._data = _transposed(data, self.row_count) if self.codec == TRANSPOSED else data
        return self._data

    @property
    def fields(self) -> PayloadColumns | None:
        """The payloads as columns, `None` when they are not kept so."""
        if self.codec == BY_FIELD and self._fields is None:
            head, section = self._split(self._body_start + self._lengths[0], self._lengths[1], 4, "payloads")
            self._fields = PayloadColumns(head, section)
        return self._fields

    def mask_types(self, wanted: Array) -> Array | None:
        """Return which rows have a type that `wanted` (true per type number) allows; `None` when no row has."""
        allowed = wanted[self.types]
        if not allowed.any():
            return None
        if allowed.all():
            return np.ones(self.row_count, dtype=bool)
        return np.repeat(allowed, self.row_count) if self._index is None else allowed[self._index]

    def to_columns(self) -> Columns:
        """Return everything as columns."""
        return Columns(
            time=self.time,
            source_time=self.source_time,
            has_source=self.has_source,
            server=self.server,
            session=self.session,
            instance=self.instance,
            type_id=self.type_id,
            kind=self.kind,
            offsets=self.offsets,
            data=self.data,
        )

    def _body(self) -> BlockColumns:
        if self._columns is None:
            start, length = self._body_start, self._lengths[0]
            if self._version == 1:
                body = self._part(start, length, self._lengths[3], "columns")
                self._columns = BlockColumns(msgpack.unpackb(body), None, self.row_count)
            else:
                head, section = self._split(start, length, 3, "columns")
                self._columns = BlockColumns(msgpack.unpackb(head), section, self.row_count)
        return self._columns

    def _rebuild(self) -> bytes:
        fields = self.fields
        assert fields is not None, "only blocks with fields are rebuilt"
        payloads = fields.to_bytes()
        self._offsets, self._data = offsets_of(payloads), b"".join(payloads)
        return self._data

    def _split(self, start: int, length: int, checksum: int, what: str) -> tuple[bytes, Section]:
        """Return head and section of a part that has both."""
        part = memoryview(self._raw)[start : start + length]
        end = head_size(part)
        if zlib.crc32(part[:end]) != self._lengths[checksum]:
            raise self._damaged(what)
        return bytes(part[LENGTH.size : end]), Section(part[end:], lambda: self._damaged(what))

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


def _encode_payloads(columns: Columns, codec: int, fields: bytes | None) -> tuple[int, bytes]:
    """Return the codec that a block gets, and its payloads."""
    if codec == RAW:
        return RAW, columns.data
    if fields is not None:
        return BY_FIELD, fields
    length = _common_length(columns)
    if not length:
        return codec, zlib.compress(columns.data, _LEVEL)
    # Payloads of one layout differ in few places: deflate meets long runs, which is faster and smaller.
    return TRANSPOSED, zlib.compress(_transposed(columns.data, length), _LEVEL)


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
