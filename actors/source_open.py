"""Opening the source of a job, and what feeds it."""

from collections.abc import Callable
from pathlib import Path

from actors.source import Source
from actors.source_columns import RowRules
from actors.source_files import FILE_COLUMN, FileChoice, FileSource, RecordFile
from actors.source_inline import InlineSource
from actors.source_parquet import open_parquet
from actors.source_text import open_csv, open_ndjson
from config.settings import JobSettings
from config.sources import (
    FILE_SUFFIXES,
    CsvSource,
    NdjsonSource,
    ParquetSource,
)
from config.sources import (
    InlineSource as InlineSettings,
)

FileSettings = CsvSource | NdjsonSource | ParquetSource


def open_source(job: JobSettings, stream_directory: Path) -> Source:
    """Return the source of a job; stream tables are kept below `stream_directory`, one folder for each.

    Raises:
        SourceError: the source cannot be opened.
    """
    source = job.source
    if isinstance(source, InlineSettings):
        return InlineSource(source.rows, row_rules(job, parse_text=False))
    if isinstance(source, FileSettings):
        return _open_files(job, source)
    raise NotImplementedError


def row_rules(job: JobSettings, *, parse_text: bool, time_format: str = "auto") -> RowRules:
    """Return what makes a record of a job's source a row."""
    return RowRules(
        schema=job.row_schema,
        time_column=job.time_column,
        time_format=time_format,
        time_bounds=job.limits.time_range,
        parse_text=parse_text,
    )


def _open_files(job: JobSettings, source: FileSettings) -> FileSource:
    rules = row_rules(job, parse_text=not isinstance(source, NdjsonSource), time_format=source.time_format)
    choice = FileChoice(
        paths=source.paths,
        suffixes=tuple(suffix for suffix, kind in FILE_SUFFIXES.items() if kind == source.type),
        is_split_by_file=any(name.lower() == FILE_COLUMN for name in job.key_columns) and "file" not in source.columns,
        follow=False if isinstance(source, ParquetSource) else source.follow,
    )
    return FileSource(job.row_schema, choice, _file_opener(source, rules))


def _file_opener(source: FileSettings, rules: RowRules) -> Callable[[Path, bool], RecordFile]:
    if isinstance(source, CsvSource):
        return lambda path, is_complete: open_csv(source, rules, path, is_complete)
    if isinstance(source, NdjsonSource):
        return lambda path, is_complete: open_ndjson(source, rules, path, is_complete)
    return lambda path, is_complete: open_parquet(source, rules, path, is_complete)
