"""Parquet files, a format that cuts itself into records: the number of a row in the file is that of its record."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xxhash

from actors.errors import SchemaError, SourceError
from actors.model import Schema
from actors.source.decoding import check_can_hold
from actors.source.format.csv import find_columns
from actors.source.format.text import field_names
from actors.source.records import Block, Columns, Origin
from actors.source.transport.contents import stem_of
from actors.source.transport.positions import FileMark, became_shorter, was_changed
from actors.source.transport.remote.copies import Copies
from actors.source.transport.remote.place import FilePlace
from config.sources import ParquetSource

BLOCK_ROW_COUNT = 65_536
"""Rows that are read and decoded at once."""

_END_SIZE_BYTES = 64 << 10
"""Bytes at each end of a file by which it is known again, besides its size; the end holds statistics of the columns."""


class ParquetFile:
    """The rows of one Parquet file, as columns named as in the schema."""

    def __init__(self, source: ParquetSource, schema: Schema, path: FilePlace, copies: Copies | None = None) -> None:
        self.path = path
        self._copies = copies
        self.is_complete = True
        self._schema = schema
        self._fields = field_names(schema, source.columns)
        self._names: dict[str, str] = {}
        self._mark: FileMark | None = None
        self._stat: tuple[int, ...] = ()

    def record_count(self) -> int:
        """Return the rows of the file.

        Raises:
            SourceError: the file cannot be read.
        """
        return self._open().record_count

    def block_with(self, record: int) -> Block[Columns] | None:
        """Return a block that holds a record, or `None` when the file has not that many.

        Raises:
            SourceError: the file cannot be read, lacks a column, or is not what it was.
        """
        count = self._open().record_count
        if record >= count:
            return None
        first = record - record % BLOCK_ROW_COUNT
        try:
            wanted = [pl.col(name).alias(f"{number}") for number, name in enumerate(self._names.values())]
            frame = pl.scan_parquet(self._here(), glob=False).slice(first, BLOCK_ROW_COUNT).select(wanted).collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._unreadable(error) from error
        height = min(BLOCK_ROW_COUNT, count - first)
        return Block(
            origin=Origin(name=str(self.path), stem=stem_of(self.path)),
            offsets=np.arange(first, first + height, dtype=np.int64),
            next_offset=first + height,
            content=Columns(columns=dict(zip(self._names, frame.get_columns(), strict=True)), count=height),
        )

    def mark(self, number: int) -> FileMark:
        """Return what the file is; it is whole from the start."""
        known = self._mark
        return FileMark(
            number=number,
            path=str(self.path),
            record_count=0 if known is None else known.record_count,
            size_bytes=0 if known is None else known.size_bytes,
            digest="" if known is None else known.digest,
        )

    def resume(self, mark: FileMark) -> None:
        """Go on in a file that another process has read.

        Raises:
            SourceError: the file cannot be read, or is not the one that was read.
        """
        if mark.size_bytes:
            self._mark = mark
            self._open()

    def close(self) -> None:
        """Remove the copy, where there is one; a file of this machine is only open during a read."""
        if self._copies is not None:
            self._copies.close()

    def _open(self) -> FileMark:
        """Return what the file is, after a look at its columns; it must be what it was at the first look."""
        stat = self._look()
        if stat == self._stat and self._mark is not None:
            return self._mark
        size, digest = stat[2], self._digest(stat[2])
        self._compare(size, digest)
        try:
            types = pl.read_parquet_schema(self._here())
            count = int(pl.scan_parquet(self._here(), glob=False).select(pl.len()).collect().item())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._unreadable(error) from error
        mark = FileMark(number=0, path=str(self.path), record_count=count, size_bytes=size, digest=digest)
        found = find_columns(list(types), self._fields, str(self.path))
        self._names = {column: list(types)[position] for column, position in found.items()}
        for column, name in self._names.items():
            self._check_type(name, types[name], column)
        self._mark, self._stat = mark, stat
        return mark

    def _here(self) -> Path:
        """Return the file, or its copy, on this machine."""
        if isinstance(self.path, Path):
            return self.path
        assert self._copies is not None
        return self._copies.path(str(self.path))

    def _look(self) -> tuple[int, ...]:
        if self._copies is not None:
            look = self._copies.look(str(self.path))
            return 0, hash(look), look.size_bytes
        try:
            stat = os.stat(self._here())
        except OSError as error:
            raise self._unreadable(error) from error
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _digest(self, size: int) -> str:
        try:
            with self._here().open("rb") as file:
                begin = file.read(_END_SIZE_BYTES)
                file.seek(max(size - _END_SIZE_BYTES, 0))
                return xxhash.xxh3_128_hexdigest(begin + file.read())
        except OSError as error:
            raise self._unreadable(error) from error

    def _compare(self, size: int, digest: str) -> None:
        known = self._mark
        if known is not None and size < known.size_bytes:
            raise became_shorter(self.path, known.size_bytes, size)
        if known is not None and (size, digest) != (known.size_bytes, known.digest):
            raise was_changed(self.path, known.size_bytes)

    def _check_type(self, name: str, dtype: Any, column: str) -> None:
        try:
            check_can_hold(name, dtype, self._schema[column])
        except SchemaError as error:
            raise SourceError(f"{self.path}: {error}") from error

    def _unreadable(self, error: Exception) -> SourceError:
        reason = str(error).splitlines()[0]
        return SourceError(
            f"{self.path}: cannot be read as Parquet: {reason}. Is it whole? Write it again or leave it out"
        )
