"""Opening the source of a job, and what feeds it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from actors.errors import SchemaError, SourceError
from actors.source.decoding import RowRules
from actors.source.format.parquet import open_parquet
from actors.source.format.text import open_csv, open_log, open_ndjson
from actors.source.protocol import Source
from actors.source.transport.files import FILE_COLUMN, FileChoice, FileSource, RecordFile
from actors.source.transport.host_metrics import HostFeed, HostSampler
from actors.source.transport.inline import InlineSource
from actors.source.transport.stream_table import StreamSource
from actors.stream.table import StreamLimits, StreamTable
from config.settings import JobSettings
from config.sources import (
    FILE_SUFFIXES,
    CsvSource,
    HostMetricsSource,
    LogSource,
    NdjsonSource,
    ParquetSource,
)
from config.sources import (
    InlineSource as InlineSettings,
)
from config.sources import (
    StreamSource as StreamSettings,
)

FileSettings = CsvSource | NdjsonSource | LogSource | ParquetSource


def open_source(job: JobSettings, stream_directory: Path, tables: Mapping[str, StreamTable] | None = None) -> Source:
    """Return the source of a job.

    Stream tables are kept below `stream_directory`, one folder for each; `tables` gives those that this process has
    open already (LMDB forbids opening one twice), all others are opened for reading.

    Raises:
        SourceError: the source cannot be opened.
        SchemaError: the job's schema is not that of its stream table.
    """
    source = job.source
    if isinstance(source, InlineSettings):
        return InlineSource(source.rows, row_rules(job, parse_text=False))
    if isinstance(source, FileSettings):
        return _open_files(job, source)
    name = stream_table_name(job)
    assert name is not None
    table = (tables or {}).get(name)
    owns_table = table is None
    if table is None:
        table = StreamTable.open(stream_directory / name, job.row_schema, read_only=True)
    elif table.schema != job.row_schema:
        has = ", ".join(f"{column.name}: {column.type}" for column in table.schema.columns)
        raise SchemaError(f"the stream table {name} has the columns {has}; give the job the same schema")
    return StreamSource(table, row_rules(job, parse_text=False), owns_table=owns_table)


def stream_table_name(job: JobSettings) -> str | None:
    """Return the name of the stream table that a job reads, or `None` when it reads something else."""
    if isinstance(job.source, StreamSettings):
        return job.source.name
    return f"{job.name}-host-metrics" if isinstance(job.source, HostMetricsSource) else None


def open_stream_table(job: JobSettings, stream_directory: Path) -> StreamTable:
    """Open the stream table of a job for writing, and create it when there is none.

    Raises:
        SourceError: the table that is there does not fit the job.
        ShardError: another process writes the table.
    """
    name = stream_table_name(job)
    if name is None:
        raise SourceError(f"job {job.name!r} reads {job.source.type}, not a stream table; there is none to open")
    split_count = job.source.splits if isinstance(job.source, StreamSettings) else 1
    limits = StreamLimits(row_count_max=job.limits.stream_rows_max, size_bytes_max=job.limits.stream_bytes_max)
    return StreamTable.open(stream_directory / name, job.row_schema, split_count=split_count, limits=limits)


def open_host_feed(job: JobSettings, table: StreamTable) -> HostFeed:
    """Return what feeds host metrics into the stream table of a job.

    Raises:
        SourceError: the job does not read host metrics.
    """
    source = job.source
    if not isinstance(source, HostMetricsSource):
        raise SourceError(f"job {job.name!r} reads {source.type}, not host metrics; nothing feeds it")
    sampler = HostSampler(process_count_max=source.process_count_max, process_percent_min=source.process_percent_min)
    return HostFeed(table, sampler, source.period_ms)


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
    time_format = source.time_format
    if isinstance(source, LogSource) and source.year is not None:
        # The reader puts the year in front of each time.
        time_format = f"%Y {time_format}"
    rules = row_rules(job, parse_text=not isinstance(source, NdjsonSource), time_format=time_format)
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
    if isinstance(source, LogSource):
        return lambda path, is_complete: open_log(source, rules, path, is_complete)
    return lambda path, is_complete: open_parquet(source, rules, path, is_complete)
