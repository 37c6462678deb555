"""Stream tables: an append-only log of rows in LMDB, numbered from 0 for ever.

The rows of each *split* are kept in blocks (`actors.stream.blocks`) under their first offset. Old rows may be trimmed,
by hand or by limits; what is left keeps its numbers. An append is durable when it returns. One process writes, and owns
the table; others may read it. The tables of the shard are `stream` (schema and bounds) and `blocks`.
"""

import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import lmdb
import msgpack
import polars as pl

from actors.errors import SchemaError, SourceError
from actors.frames import polars_schema
from actors.given_rows import Rows, to_frame
from actors.model import Schema
from actors.shard import Shard, ShardLostError, Txn
from actors.stream.blocks import BLOCK_ROW_COUNT_MAX, block_row_count, decode_block, encode_block, is_merged

FORMAT_VERSION = 1
"""Version of the layout of a stream table."""

_KEY = struct.Struct(">IQ")
_CACHED_BLOCK_COUNT_MAX = 16


# LMDB opens a file once in a process, and several jobs of a process may read one table.
_reading = threading.Lock()
_read_here: dict[Path, "DurableStreamTable"] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How much of each split is kept; `None` means everything.

    Raises:
        SourceError: a limit below zero, or no whole number.
    """

    row_count_max: int | None = None
    """Newest rows that are kept at least; older blocks go."""

    size_bytes_max: int | None = None
    """Bytes of blocks that are kept at most, but never less than the newest block."""

    def __post_init__(self) -> None:
        for name in ("row_count_max", "size_bytes_max"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise SourceError(f"{name} is {value!r}; give a whole number from 0, or None to keep everything")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBounds:
    """What a split holds."""

    earliest_offset: int
    """First offset that can be read."""

    next_offset: int
    """Offset that the next row will have."""

    size_bytes: int
    """Bytes of the blocks that are kept."""


class DurableStreamTable:
    """One stream table; made by `open`, usable from any thread, closed by `close` or as a context manager."""

    def __init__(self, shard: Shard, schema: Schema, split_count: int, limits: StreamLimits) -> None:
        self._shard = shard
        self._schema = schema
        self._split_count = split_count
        self._limits = limits
        self._meta = shard.table("stream")
        self._blocks = shard.table("blocks")
        self._cache: dict[tuple[int, int, int], pl.DataFrame] = {}
        self._cache_lock = threading.Lock()
        self._reader_count = 0

    @classmethod
    def open(
        cls,
        directory: Path,
        schema: Schema | None = None,
        *,
        split_count: int | None = None,
        limits: StreamLimits | None = None,
        read_only: bool = False,
    ) -> "DurableStreamTable":
        """Open the stream table of a directory, and create it when there is none and a schema is given.

        `schema` and `split_count` are compared with what is stored; `None` takes what is stored (or one split).

        Raises:
            SourceError: there is no table and no schema, or the stored schema or split count differs.
            ShardError: the files cannot be opened, or another process writes the table.
        """
        shard = Shard.open(directory, identifier="stream table", read_only=read_only)
        try:
            stored = _read_definition(shard)
            if stored is None:
                if schema is None or read_only:
                    raise SourceError(f"there is no stream table in {directory}; create it with a schema first")
                stored = (schema, split_count or 1)
                _write_definition(shard, *stored)
            _check_definition(directory, stored, schema, split_count)
            return cls(shard, *stored, limits or StreamLimits())
        except BaseException:
            shard.close()
            raise

    @classmethod
    def open_to_read(cls, directory: Path, schema: Schema) -> "DurableStreamTable":
        """Open a table for reading together with whoever reads it in this process; each closes it once.

        Raises:
            SourceError: the schema is another one.
            ShardError: the files cannot be opened.
        """
        path = directory.resolve()
        with _reading:
            table = _read_here.get(path)
            if table is None or table.is_lost:
                table = _read_here[path] = cls.open(directory, schema, read_only=True)
            else:
                _check_definition(directory, (table.schema, table.split_count), schema, None)
            table._reader_count += 1
            return table

    @property
    def is_lost(self) -> bool:
        """Whether the table's files are gone, or others stand in their place."""
        try:
            self._shard.check_files()
        except ShardLostError:
            return True
        return False

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._schema

    @property
    def split_count(self) -> int:
        """Number of splits."""
        return self._split_count

    @property
    def name(self) -> str:
        """Name of the table: that of its folder."""
        return self._shard.directory.name

    @property
    def directory(self) -> Path:
        """Folder of the table."""
        return self._shard.directory

    def append(self, rows: Rows, split: int = 0) -> int:
        """Append rows to a split and return the offset of the first; durable when it returns.

        Raises:
            SchemaError: the rows do not fit the schema; nothing is appended.
            SourceError: there is no such split.
            ShardError: the disk is full, or the table is open for reading only; nothing is appended.
        """
        return self.append_together({split: rows})[split]

    def append_together(self, parts: Mapping[int, Rows]) -> dict[int, int]:
        """Append rows to several splits in one transaction, and return the offset of the first in each.

        Raises:
            SchemaError: the rows do not fit the schema; nothing is appended.
            SourceError: there is no such split.
            ShardError: the disk is full, or the table is open for reading only; nothing is appended.
        """
        for split in parts:
            self._check_split(split)
        frames = {split: to_frame(self._schema, rows) for split, rows in parts.items()}
        return self._shard.write(
            lambda txn: {split: self._append(txn, split, frame) for split, frame in frames.items()}
        )

    def read(self, split: int, offset: int, row_count_max: int) -> tuple[pl.DataFrame, int]:
        """Return at most `row_count_max` rows from `offset` on, and the offset to read next.

        Raises:
            SourceError: no such split, an offset that is trimmed or was never reached, or a damaged block.
        """
        self._check_split(split)
        parts: list[pl.DataFrame] = []
        position, end = offset, offset + row_count_max
        with self._shard.read() as txn, txn.cursor(self._blocks) as cursor:
            bounds = self._bounds(txn, split)
            _check_offset(self.name, split, offset, bounds)
            end = min(end, bounds.next_offset)
            found = position < end and _seek(cursor, split, position)
            while found and position < end:
                key_split, first = _KEY.unpack(cursor.key())
                assert key_split == split
                frame = self._decode(split, first, cursor.value())
                part = frame.slice(position - first, end - position)
                parts.append(part)
                position += part.height
                found = cursor.next()
        empty = pl.DataFrame(schema=polars_schema(self._schema))
        return (pl.concat(parts, rechunk=False) if parts else empty), position

    def bounds(self, split: int) -> StreamBounds:
        """Return what a split holds now.

        Raises:
            SourceError: there is no such split.
        """
        self._check_split(split)
        with self._shard.read() as txn:
            return self._bounds(txn, split)

    def trim(self, split: int, below_offset: int) -> int:
        """Give up the rows of a split below an offset, and return the earliest offset that is left.

        Raises:
            SourceError: there is no such split.
        """
        self._check_split(split)
        return self._shard.write(lambda txn: self._trim(txn, split, below_offset))

    def validate(self) -> None:
        """Assert that the blocks of each split follow one another and that its bounds are those of its blocks."""
        with self._shard.read() as txn, txn.cursor(self._blocks) as cursor:
            for split in range(self._split_count):
                bounds, size = self._bounds(txn, split), 0
                position = bounds.earliest_offset
                found = cursor.set_range(_KEY.pack(split, 0))
                while found and _KEY.unpack(cursor.key())[0] == split:
                    first = _KEY.unpack(cursor.key())[1]
                    assert first == position or (not size and first < position), (split, first, position)
                    position, size = first + block_row_count(cursor.value()), size + len(cursor.value())
                    found = cursor.next()
                assert (position, size) == (bounds.next_offset, bounds.size_bytes), (split, position, size, bounds)

    def close(self) -> None:
        """Close the table; a second call does nothing. One that several read is open until the last has closed it."""
        with _reading:
            self._reader_count = max(self._reader_count - 1, 0)
            if self._reader_count:
                return
            for path in [path for path, table in _read_here.items() if table is self]:
                del _read_here[path]
            self._shard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _append(self, txn: Txn, split: int, frame: pl.DataFrame) -> int:
        bounds = self._bounds(txn, split)
        if frame.height == 0:
            return bounds.next_offset
        size, first, pending = bounds.size_bytes, bounds.next_offset, frame
        with txn.cursor(self._blocks) as cursor:
            while first > bounds.earliest_offset and _seek(cursor, split, first - 1):
                value = cursor.value()
                if not is_merged(block_row_count(value), pending.height):
                    break
                # Blocks that hold trimmed rows are merged whole; the bounds hide those rows.
                first = _KEY.unpack(cursor.key())[1]
                pending = pl.concat([decode_block(value), pending])
                size -= len(value)
                cursor.delete()
        for start in range(0, pending.height, BLOCK_ROW_COUNT_MAX):
            block = encode_block(pending.slice(start, BLOCK_ROW_COUNT_MAX))
            txn.put(_KEY.pack(split, first + start), block, db=self._blocks)
            size += len(block)
        grown = StreamBounds(
            earliest_offset=bounds.earliest_offset,
            next_offset=bounds.next_offset + frame.height,
            size_bytes=size,
        )
        self._put_bounds(txn, split, self._within_limits(txn, split, grown))
        return bounds.next_offset

    def _within_limits(self, txn: Txn, split: int, bounds: StreamBounds) -> StreamBounds:
        rows_max, size_max = self._limits.row_count_max, self._limits.size_bytes_max
        earliest, size = bounds.earliest_offset, bounds.size_bytes
        with txn.cursor(self._blocks) as cursor:
            while (rows_max is not None or size_max is not None) and _seek(cursor, split, earliest):
                value = cursor.value()
                following = _KEY.unpack(cursor.key())[1] + block_row_count(value)
                excess = rows_max is not None and bounds.next_offset - following >= rows_max
                if following >= bounds.next_offset or not (excess or (size_max is not None and size > size_max)):
                    break
                size -= len(value)
                earliest = following
                cursor.delete()
        return StreamBounds(earliest_offset=earliest, next_offset=bounds.next_offset, size_bytes=size)

    def _trim(self, txn: Txn, split: int, below_offset: int) -> int:
        bounds = self._bounds(txn, split)
        target = max(bounds.earliest_offset, min(below_offset, bounds.next_offset))
        position, size = bounds.earliest_offset, bounds.size_bytes
        with txn.cursor(self._blocks) as cursor:
            while position < target and _seek(cursor, split, position):
                value = cursor.value()
                position = _KEY.unpack(cursor.key())[1] + block_row_count(value)
                if position > target:
                    break
                size -= len(value)
                cursor.delete()
        left = StreamBounds(earliest_offset=target, next_offset=bounds.next_offset, size_bytes=size)
        self._put_bounds(txn, split, left)
        return target

    def _decode(self, split: int, first: int, value: bytes) -> pl.DataFrame:
        key = (split, first, block_row_count(value))
        with self._cache_lock:
            frame = self._cache.pop(key, None)
        if frame is None:
            frame = decode_block(value)
        with self._cache_lock:
            self._cache[key] = frame
            while len(self._cache) > _CACHED_BLOCK_COUNT_MAX:
                del self._cache[next(iter(self._cache))]
        return frame

    def _bounds(self, txn: Txn, split: int) -> StreamBounds:
        data = txn.get(_split_key(split), db=self._meta)
        earliest, following, size = (0, 0, 0) if data is None else msgpack.unpackb(data)
        return StreamBounds(earliest_offset=earliest, next_offset=following, size_bytes=size)

    def _put_bounds(self, txn: Txn, split: int, bounds: StreamBounds) -> None:
        data = msgpack.packb((bounds.earliest_offset, bounds.next_offset, bounds.size_bytes))
        txn.put(_split_key(split), data, db=self._meta)

    def _check_split(self, split: int) -> None:
        if not 0 <= split < self._split_count:
            raise SourceError(f"stream table {self.name} has no split {split}; it has 0 to {self._split_count - 1}")


def _seek(cursor: "lmdb.Cursor[Any]", split: int, offset: int) -> bool:
    """Move to the block of a split that holds an offset, or to the last one before it; whether there is one."""
    found = cursor.set_range(_KEY.pack(split, offset))
    if found and cursor.key() == _KEY.pack(split, offset):
        return True
    moved = cursor.prev() if found else cursor.last()
    return bool(moved) and _KEY.unpack(cursor.key())[0] == split


def _split_key(split: int) -> bytes:
    return b"split" + split.to_bytes(4, "big")


def _check_offset(name: str, split: int, offset: int, bounds: StreamBounds) -> None:
    if offset < bounds.earliest_offset:
        raise SourceError(
            f"offset {offset} of split {split} of stream table {name} is trimmed; "
            f"the earliest row left is {bounds.earliest_offset}. Keep more rows, or go on from there"
        )
    if offset > bounds.next_offset:
        raise SourceError(
            f"offset {offset} of split {split} of stream table {name} was never reached; it has {bounds.next_offset}"
        )


def _read_definition(shard: Shard) -> tuple[Schema, int] | None:
    meta = shard.table("stream")
    with shard.read() as txn:
        data = txn.get(b"definition", db=meta)
    if data is None:
        return None
    version, columns, split_count = msgpack.unpackb(data)
    if version != FORMAT_VERSION:
        raise SourceError(f"the stream table in {shard.directory} has format {version}, not {FORMAT_VERSION}")
    return Schema.from_mapping(dict(columns)), split_count


def _write_definition(shard: Shard, schema: Schema, split_count: int) -> None:
    if split_count < 1:
        raise SourceError(f"split_count is {split_count}; give at least 1")
    meta = shard.table("stream")
    shard.table("blocks")
    columns = [(column.name, str(column.type)) for column in schema.columns]
    data = msgpack.packb((FORMAT_VERSION, columns, split_count))
    shard.write(lambda txn: txn.put(b"definition", data, db=meta))


def _check_definition(
    directory: Path, stored: tuple[Schema, int], schema: Schema | None, split_count: int | None
) -> None:
    if schema is not None and schema != stored[0]:
        has = ", ".join(f"{column.name}: {column.type}" for column in stored[0].columns)
        raise SchemaError(f"the stream table in {directory} has the columns {has}; use these, or another table")
    if split_count is not None and split_count != stored[1]:
        raise SourceError(f"the stream table in {directory} has {stored[1]} splits for ever, not {split_count}")
