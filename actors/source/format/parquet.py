"""Parquet files as records: the number of a row in the file is the number of its record."""

from pathlib import Path
from typing import Any

import polars as pl

from actors.errors import SchemaError, SourceError
from actors.source.decoding import RowDecoder, RowRules, check_can_hold, record_text, value_at
from actors.source.format.csv import find_columns
from actors.source.transport.files import RecordBlock, field_names, stem_column
from config.sources import ParquetSource

BLOCK_ROW_COUNT = 65_536
"""Rows that are read and decoded at once."""


class ParquetRecordFile:
    """The rows of one Parquet file."""

    def __init__(self, source: ParquetSource, rules: RowRules, path: Path) -> None:
        self.path = path
        self.is_complete = True
        self._rules = rules
        self._rows = RowDecoder(rules)
        self._fields = field_names(rules.schema, source.columns)
        self._names: dict[str, str] | None = None
        self._record_count = 0

    def record_count(self) -> int:
        """Return the rows of the file.

        Raises:
            SourceError: the file cannot be read.
        """
        self._open()
        return self._record_count

    def block_with(self, record: int) -> RecordBlock | None:
        """Return a block that holds a record, or `None` when the file has not that many.

        Raises:
            SourceError: the file cannot be read, or lacks a column.
        """
        names = self._open()
        if record >= self._record_count:
            return None
        first = record - record % BLOCK_ROW_COUNT
        try:
            wanted = [pl.col(name).alias(f"{number}") for number, name in enumerate(names.values())]
            frame = pl.scan_parquet(self.path, glob=False).slice(first, BLOCK_ROW_COUNT).select(wanted).collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._unreadable(error) from error
        raw = dict(zip(names, frame.get_columns(), strict=True))
        for name in self._rules.schema.names:
            if name not in raw:
                raw[name] = stem_column(self.path, frame.height).alias(name)
        decoded = self._rows.decode(raw)
        return RecordBlock(
            first_record=first,
            record_count=frame.height,
            frame=decoded.frame,
            records=decoded.rows + first,
            faults=tuple((first + row, reason, _raw(raw, row)) for row, reason in decoded.faults.items()),
        )

    def _open(self) -> dict[str, str]:
        """Return the name in the file of each column of the schema, after a look at the file's own schema."""
        if self._names is None:
            try:
                types = pl.read_parquet_schema(self.path)
                self._record_count = int(pl.scan_parquet(self.path, glob=False).select(pl.len()).collect().item())
            except (OSError, pl.exceptions.PolarsError) as error:
                raise self._unreadable(error) from error
            found = find_columns(list(types), self._fields, self.path)
            names = {column: list(types)[position] for column, position in found.items()}
            for column, name in names.items():
                self._check_type(name, types[name], column)
            self._names = names
        return self._names

    def _check_type(self, name: str, dtype: Any, column: str) -> None:
        try:
            check_can_hold(name, dtype, self._rules.schema[column])
        except SchemaError as error:
            raise SourceError(f"{self.path}: {error}") from error

    def _unreadable(self, error: Exception) -> SourceError:
        reason = str(error).splitlines()[0]
        return SourceError(
            f"{self.path}: cannot be read as Parquet: {reason}. Is it whole? Write it again or leave it out"
        )


def open_parquet(source: ParquetSource, rules: RowRules, path: Path, is_complete: bool) -> ParquetRecordFile:
    """Return the rows of a Parquet file; a Parquet file never grows, so it is always complete."""
    assert is_complete
    return ParquetRecordFile(source, rules, path)


def _raw(raw: dict[str, pl.Series], row: int) -> bytes:
    return record_text({name: value_at(values, row) for name, values in raw.items()})
