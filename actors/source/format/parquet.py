"""Parquet files, a format that cuts itself into records: the number of a row in the file is that of its record."""

from typing import Any

import numpy as np
import polars as pl

from actors.errors import SchemaError, SourceError
from actors.model import Schema
from actors.source.decoding import check_can_hold
from actors.source.format.csv import find_columns
from actors.source.format.text import field_names
from actors.source.records import Block, Columns, Origin
from actors.source.transport.contents import stem_of
from actors.source.transport.positions import FileMark
from actors.source.transport.remote.copies import Copies
from actors.source.transport.remote.place import FilePlace
from actors.source.transport.whole import WholeFile
from config.sources import ParquetSource

BLOCK_ROW_COUNT = 65_536
"""Rows that are read and decoded at once."""


class ParquetFile:
    """The rows of one Parquet file, as columns named as in the schema."""

    def __init__(self, source: ParquetSource, schema: Schema, path: FilePlace, copies: Copies | None = None) -> None:
        self.path = path
        self._file = WholeFile("Parquet", path, copies)
        self.is_complete = True
        self._schema = schema
        self._fields = field_names(schema, source.columns)
        self._names: dict[str, str] = {}

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
            rows = pl.scan_parquet(self._file.here(), glob=False).slice(first, BLOCK_ROW_COUNT)
            frame = rows.select(wanted).collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._file.unreadable(error) from error
        height = min(BLOCK_ROW_COUNT, count - first)
        return Block(
            origin=Origin(name=str(self.path), stem=stem_of(self.path)),
            offsets=np.arange(first, first + height, dtype=np.int64),
            next_offset=first + height,
            content=Columns(columns=dict(zip(self._names, frame.get_columns(), strict=True)), count=height),
        )

    def mark(self, number: int) -> FileMark:
        """Return what the file is; it is whole from the start."""
        return self._file.mark(number)

    def resume(self, mark: FileMark) -> None:
        """Go on in a file that another process has read.

        Raises:
            SourceError: the file cannot be read, or is not the one that was read.
        """
        if mark.size_bytes:
            self._file.resume(mark)
            self._open()

    def close(self) -> None:
        """Remove the copy, where there is one."""
        self._file.close()

    def _open(self) -> FileMark:
        """Return what the file is, after a look at its columns; it must be what it was at the first look."""
        return self._file.known(self._look_into)

    def _look_into(self) -> int:
        """Find the columns, and return the number of rows."""
        try:
            types = pl.read_parquet_schema(self._file.here())
            count = int(pl.scan_parquet(self._file.here(), glob=False).select(pl.len()).collect().item())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._file.unreadable(error) from error
        found = find_columns(list(types), self._fields, str(self.path))
        self._names = {column: list(types)[position] for column, position in found.items()}
        for column, name in self._names.items():
            self._check_type(name, types[name], column)
        return count

    def _check_type(self, name: str, dtype: Any, column: str) -> None:
        try:
            check_can_hold(name, dtype, self._schema[column])
        except SchemaError as error:
            raise SourceError(f"{self.path}: {error}") from error
