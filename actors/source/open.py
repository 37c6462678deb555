"""Opening the source of a job, and what feeds it.

The tables at the end say which formats and which transports there are; a new one is registered there and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from actors.allowed import EVERYTHING, AllowedPaths
from actors.durations import nanoseconds_per_unit
from actors.errors import SchemaError, SourceError
from actors.shard import ShardMissingError
from actors.source.ahead import LOOK_BACK, AheadSource
from actors.source.decoding import RowRules
from actors.source.format.avro import AvroFile
from actors.source.format.csv import csv_format
from actors.source.format.fields import FieldsFormat
from actors.source.format.influx import influx_format
from actors.source.format.journald import journald_format
from actors.source.format.log import log_format
from actors.source.format.msgpack import msgpack_format
from actors.source.format.ndjson import ndjson_format
from actors.source.format.parquet import ParquetFile
from actors.source.format.syslog import syslog_format
from actors.source.format.text import TextFormat, field_names
from actors.source.format.typed import ColumnsFormat, ValuesFormat
from actors.source.protocol import Source
from actors.source.push import journal
from actors.source.push.journal import JournalTransport
from actors.source.reading import RecordSource
from actors.source.records import Texts
from actors.source.surroundings import NO_SURROUNDINGS, Surroundings
from actors.source.time_marks import IdleRules, MarkedSource, TimeMarks
from actors.source.times import LocalTimes
from actors.source.transport.contents import FileContent, content_of
from actors.source.transport.files import FileChoice, FileTransport, RecordFile
from actors.source.transport.followed import FollowedFile
from actors.source.transport.generation import FollowedChoice
from actors.source.transport.host_metrics import HostFeed, HostSampler
from actors.source.transport.inline import InlineTransport
from actors.source.transport.journal import SIZE_BYTES_MAX, RecordJournal
from actors.source.transport.lines import LineFile
from actors.source.transport.pipe import PipeTransport
from actors.source.transport.positions import PositionLog
from actors.source.transport.remote.content import remote_content
from actors.source.transport.remote.copies import Copies
from actors.source.transport.remote.open import open_store
from actors.source.transport.remote.place import FilePlace, RemoteUrl
from actors.source.transport.segments import SegmentLog
from actors.source.transport.stream_table import StreamTableTransport
from actors.source.transport.wide import WideContent
from actors.stream.table import DurableStreamTable, StreamLimits
from config.brokers import FieldsForm, KafkaSource, NatsSource, RedisSource
from config.formats import (
    CsvFormatSettings,
    FormatSettings,
    InfluxFormatSettings,
    JournaldFormatSettings,
    LogFormatSettings,
    MsgpackFormatSettings,
    NdjsonFormatSettings,
    SyslogFormatSettings,
    TextFormatSettings,
    is_wide_encoding,
)
from config.messages import StdinSource
from config.push import HttpSource, JournaldSource, MqttSource, PushSource, SyslogSource
from config.settings import JobSettings
from config.sources import (
    FILE_SUFFIXES,
    AvroSource,
    CsvSource,
    FileSource,
    GrowingFileSource,
    HostMetricsSource,
    InfluxSource,
    InlineSource,
    LogSource,
    MsgpackSource,
    NdjsonSource,
    ParquetSource,
    StreamSource,
    format_of,
    reads_files_apart,
)
from config.specs import ahead_limit, metric_ticks

POSITIONS_FILE = "source.positions"
"""Name of the file, beside the shards of a job, that says what has been read of the job's files."""


TIME_MARKS_FILE = "source.time-marks"
"""Name of the file beside it with the time marks of an idle source."""

SEGMENTS_FILE = "source.segments"
"""Name of the file beside it that says which rotated files were read one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a source needs of where it runs."""

    streams: Path
    """Directory below which stream tables are, one folder for each."""

    tables: Mapping[str, DurableStreamTable] = field(default_factory=dict)
    """Stream tables that this process has open already: LMDB forbids opening one twice."""

    positions: Path | None = None
    """Directory of the job's shards, which keeps what has been read of files; `None` forgets it with the process."""

    allowed: AllowedPaths = EVERYTHING
    """Which files may be read."""

    around: Surroundings = NO_SURROUNDINGS
    """What the process was started with."""


def open_source(
    job: JobSettings,
    stream_directory: Path,
    tables: Mapping[str, DurableStreamTable] | None = None,
    positions: Path | None = None,
    allowed: AllowedPaths = EVERYTHING,
    around: Surroundings = NO_SURROUNDINGS,
) -> Source:
    """Return the source of a job; the arguments are those of `Places`.

    Raises:
        SourceError: the source cannot be opened, or files are not those that were read before.
        SchemaError: the job's schema is not that of its stream table.
    """
    places = Places(streams=stream_directory, tables=tables or {}, positions=positions, allowed=allowed, around=around)
    source = SOURCES[type(job.source)](job, places)
    limit = ahead_limit(job)
    if limit is not None and job.key_columns:
        source = AheadSource(source, (job.time_column, *job.key_columns), *limit, _look_back(job))
    return _with_time_marks(job, places, source)


def _with_time_marks(job: JobSettings, places: Places, source: Source) -> Source:
    unit_ns = nanoseconds_per_unit(job.row_schema[job.time_column].type)
    if job.idle_after is None or unit_ns is None:
        return source
    rules = IdleRules(
        time_column=job.time_column,
        tick=metric_ticks(job, job.ticks),
        unit_ns=unit_ns,
        after_us=int(job.idle_after * 1_000_000),
    )
    try:
        marks = TimeMarks(None if places.positions is None else places.positions / TIME_MARKS_FILE)
    except BaseException:
        source.close()
        raise
    now_s = places.around.now_s
    return MarkedSource(source, rules, marks, None if now_s is None else lambda: int(now_s() * 1_000_000))


def _look_back(job: JobSettings) -> int:
    """Return the offsets after which a key has no say in what the time of a split is."""
    source, form = job.source, format_of(job.source)
    if isinstance(source, RedisSource):
        # Offsets are times there.
        return REDIS_LOOK_BACK_MS << source.sequence_bits
    return LOOK_BACK * (form.rows_max if isinstance(form, NdjsonFormatSettings) else 1)


def open_text_format(job: JobSettings, settings: TextFormatSettings) -> TextFormat:
    """Return a format of records that are text, for any transport that brings such records."""
    make = next(make for kind, make in TEXT_FORMATS.items() if isinstance(settings, kind))
    return make(settings, row_rules(job, settings))


def stream_table_name(job: JobSettings) -> str | None:
    """Return the name of the stream table that a job reads, or `None` when it reads something else."""
    if isinstance(job.source, StreamSource):
        return job.source.name
    return f"{job.name}-{job.source.type.replace('_', '-')}" if is_fed(job) else None


def is_fed(job: JobSettings) -> bool:
    """Return whether a job has a stream table of its own, which something fills on the node that has it."""
    return isinstance(job.source, HostMetricsSource | PushSource)


def open_stream_table(job: JobSettings, stream_directory: Path) -> DurableStreamTable:
    """Open the stream table of a job for writing, and create it when there is none.

    Raises:
        SourceError: the table that is there does not fit the job.
        ShardError: another process writes the table.
    """
    name = stream_table_name(job)
    if name is None:
        raise SourceError(f"job {job.name!r} reads {job.source.type}, not a stream table; there is none to open")
    if isinstance(job.source, PushSource):
        # What feeds the journal bounds it, since it knows what was read.
        return DurableStreamTable.open(stream_directory / name, journal.SCHEMA, split_count=journal.SPLIT_COUNT)
    split_count = job.source.splits if isinstance(job.source, StreamSource) else 1
    return DurableStreamTable.open(
        stream_directory / name, job.row_schema, split_count=split_count, limits=stream_limits(job)
    )


def open_host_feed(job: JobSettings, table: DurableStreamTable) -> HostFeed:
    """Return what feeds host metrics into the stream table of a job.

    Raises:
        SourceError: the job does not read host metrics.
    """
    source = job.source
    if not isinstance(source, HostMetricsSource):
        raise SourceError(f"job {job.name!r} reads {source.type}, not host metrics; nothing feeds it")
    sampler = HostSampler(process_count_max=source.process_count_max, process_percent_min=source.process_percent_min)
    return HostFeed(table, sampler, source.period_ms)


def row_rules(job: JobSettings, form: FormatSettings | None = None) -> RowRules:
    """Return what makes a record of a format a row of a job; `None` is the format of what is typed already."""
    text = form if isinstance(form, TextFormatSettings) else None
    zone = None if text is None else text.timezone
    return RowRules(
        local=None if zone is None or text is None else LocalTimes(zone=zone, repeated_hour=text.repeated_hour),
        decimal="." if text is None else text.decimal,
        thousands=None if text is None else text.thousands,
        schema=job.row_schema,
        time_column=job.time_column,
        time_format="auto" if form is None else form.whole_time_format,
        has_time_format=form is not None,
        time_bounds=job.limits.time_range,
        parse_text=form is not None and form.values_are_text,
    )


def _open_inline(job: JobSettings, places: Places) -> Source:
    del places
    assert isinstance(job.source, InlineSource)
    transport = InlineTransport(job.row_schema.names, job.source.rows)
    return RecordSource(job.row_schema, transport, ValuesFormat(row_rules(job)))


def _open_text_files(job: JobSettings, places: Places) -> Source:
    source = job.source
    assert isinstance(source, GrowingFileSource)
    assert isinstance(source, TextFormatSettings)
    form = open_text_format(job, source)

    is_wide = is_wide_encoding(source.encoding)
    choice = replace(_file_choice(job, places, source, follow=source.follow), is_wide=is_wide)
    store = choice.store
    segments = SegmentLog(None if places.positions is None else places.positions / SEGMENTS_FILE)

    def open_lines(
        path: FilePlace, content: FileContent | Callable[[], FileContent] | None = None, known_as: Path | None = None
    ) -> LineFile:
        is_complete = not source.follow
        check = form.decoder
        return LineFile(path, form.framing, is_complete=is_complete, check=check, content=content, known_as=known_as)

    def open_text(path: FilePlace, open_content: Callable[[], FileContent]) -> FileContent:
        content = open_content()
        return WideContent(path, content, source.encoding, is_complete=not source.follow) if is_wide else content

    def open_file(number: int, path: FilePlace, is_complete: bool) -> RecordFile[Texts]:
        del is_complete
        if store is not None and isinstance(path, RemoteUrl):
            return open_lines(path, partial(open_text, path, partial(remote_content, path, store)))
        assert isinstance(path, Path)
        if is_wide:
            return open_lines(path, partial(open_text, path, partial(content_of, path)))
        if not choice.survives_rotation:
            return open_lines(path)
        followed = FollowedChoice(
            number=number, path=path, rotated=source.rotated, accepts_loss=source.lost == "gap", allowed=places.allowed
        )
        return FollowedFile(followed, partial(open_lines, known_as=path), segments)

    return RecordSource(job.row_schema, FileTransport(choice, open_file, _positions(places)), form)


def _open_avro_files(job: JobSettings, places: Places) -> Source:
    source = job.source
    assert isinstance(source, AvroSource)

    def open_file(number: int, path: FilePlace, is_complete: bool) -> AvroFile:
        del number
        assert is_complete
        return AvroFile(path, copies)

    choice = _file_choice(job, places, source, follow=False)
    copies = None if choice.store is None else Copies(choice.store)
    transport = FileTransport(choice, open_file, _positions(places))
    return RecordSource(job.row_schema, transport, open_text_format(job, source))


def _open_parquet_files(job: JobSettings, places: Places) -> Source:
    source = job.source
    assert isinstance(source, ParquetSource)

    def open_file(number: int, path: FilePlace, is_complete: bool) -> ParquetFile:
        del number
        assert is_complete
        return ParquetFile(source, job.row_schema, path, copies)

    choice = _file_choice(job, places, source, follow=False)
    copies = None if choice.store is None else Copies(choice.store)
    transport = FileTransport(choice, open_file, _positions(places))
    form = ColumnsFormat(row_rules(job, source), field_names(job.row_schema, source.columns))
    return RecordSource(job.row_schema, transport, form)


def _open_stream(job: JobSettings, places: Places) -> Source:
    name = stream_table_name(job)
    assert name is not None
    table = places.tables.get(name)
    owns_table = table is None
    if table is None:
        try:
            table = DurableStreamTable.open_to_read(places.streams / name, job.row_schema)
        except ShardMissingError:
            raise SourceError(
                f"there is no stream table {name!r} in {places.streams}: the program that appends to it makes it. "
                "`tocsin run --directory DIR` reads the one in DIR/streams; `source: {path: rows.csv}` reads a file"
            ) from None
    elif table.schema != job.row_schema:
        has = ", ".join(f"{column.name}: {column.type}" for column in table.schema.columns)
        raise SchemaError(f"the stream table {name} has the columns {has}; give the job the same schema")
    transport = StreamTableTransport(table, _positions(places), owns_table=owns_table)
    return RecordSource(job.row_schema, transport, ColumnsFormat(row_rules(job), {}))


def _open_push(job: JobSettings, places: Places) -> Source:
    source, name = job.source, stream_table_name(job)
    assert isinstance(source, PushSource)
    assert name is not None
    form = open_text_format(job, source.format)
    table = places.tables.get(name)
    owns_table = table is None
    if table is None:
        try:
            table = DurableStreamTable.open_to_read(places.streams / name, journal.SCHEMA)
        except ShardMissingError:
            raise SourceError(f"nothing has filled the stream table {name!r} in {places.streams} yet") from None
    place_name = next(iter(source.meta_names), "$place")
    transport = JournalTransport(table, place_name, _positions(places), owns_table=owns_table)
    return RecordSource(job.row_schema, transport, form)


def _open_stdin(job: JobSettings, places: Places) -> Source:
    source = job.source
    assert isinstance(source, StdinSource)
    if places.around.stdin is None:
        raise SourceError(
            f"job {job.name!r} reads the standard input, which `tocsin run` alone has; a cluster reads files, stream "
            "tables and brokers"
        )
    limits = stream_limits(job)
    if limits == StreamLimits():
        limits = StreamLimits(size_bytes_max=SIZE_BYTES_MAX)
    form = open_text_format(job, source.format)
    journal = RecordJournal(places.streams / f"{job.name}-stdin", limits, "stdin")
    return RecordSource(job.row_schema, PipeTransport(places.around.stdin, journal, form.framing), form)


def _open_kafka(job: JobSettings, places: Places) -> Source:
    source = job.source
    assert isinstance(source, KafkaSource)
    # Clients of brokers are imported where one is asked for.
    from actors.source.access import broker_access
    from actors.source.transport.kafka import KafkaTransport, client_settings

    access = broker_access(source, places.allowed, places.around.environment)
    settings = client_settings(source.brokers, source.security, access.secrets.get("password"), f"tocsin-{job.name}")
    transport = KafkaTransport(settings, source.topic, source.start_ms, _positions(places))
    return RecordSource(job.row_schema, transport, open_text_format(job, source.format))


def _open_nats(job: JobSettings, places: Places) -> Source:
    source = job.source
    assert isinstance(source, NatsSource)
    from actors.source.access import broker_access
    from actors.source.transport.nats_stream import NatsTransport, connection_settings

    access = broker_access(source, places.allowed, places.around.environment)
    connection = connection_settings(source.servers, source.security, access.secrets, access.tls)
    transport = NatsTransport(connection, source.stream, source.subjects, source.start_ms, _positions(places))
    return RecordSource(job.row_schema, transport, open_text_format(job, source.format))


def _open_redis(job: JobSettings, places: Places) -> Source:
    source = job.source
    assert isinstance(source, RedisSource)
    from actors.source.access import broker_access
    from actors.source.transport.redis_stream import RedisTransport, fields_of, open_client, texts_in

    form = source.format
    access = broker_access(source, places.allowed, places.around.environment)
    client = open_client(source.url, source.security, access.secrets.get("password"))
    given = (client, source.streams, source.sequence_bits)
    if isinstance(form, FieldsForm):
        entries = RedisTransport(*given, fields_of, source.start_ms, _positions(places))
        return RecordSource(job.row_schema, entries, FieldsFormat(form, row_rules(job, form)))
    texts = RedisTransport(*given, texts_in(source.field), source.start_ms, _positions(places))
    return RecordSource(job.row_schema, texts, open_text_format(job, form))


def stream_limits(job: JobSettings) -> StreamLimits:
    """Return what a job says of how much of its stream table is kept."""
    return StreamLimits(row_count_max=job.limits.stream_rows_max, size_bytes_max=job.limits.stream_bytes_max)


def _file_choice(job: JobSettings, places: Places, source: FileSource, *, follow: bool) -> FileChoice:
    return FileChoice(
        paths=source.paths,
        suffixes=tuple(suffix for suffix, kind in FILE_SUFFIXES.items() if kind == job.source.type),
        is_split_by_file=reads_files_apart(job.key_columns, source),
        follow=follow,
        allowed=places.allowed,
        store=open_store(source, places.allowed, places.around) if source.is_remote else None,
    )


def _positions(places: Places) -> PositionLog:
    return PositionLog(None if places.positions is None else places.positions / POSITIONS_FILE)


REDIS_LOOK_BACK_MS = 60_000
"""Milliseconds after which a key has no say, in streams of Redis."""

TEXT_FORMATS: Mapping[type[Any], Callable[[Any, RowRules], TextFormat]] = {
    CsvFormatSettings: csv_format,
    # Before that of objects, from whose settings its own derive.
    MsgpackFormatSettings: msgpack_format,
    InfluxFormatSettings: influx_format,
    SyslogFormatSettings: syslog_format,
    JournaldFormatSettings: journald_format,
    NdjsonFormatSettings: ndjson_format,
    LogFormatSettings: log_format,
}
"""Settings of a format of text -> what makes the format."""

SOURCES: Mapping[type[Any], Callable[[JobSettings, Places], Source]] = {
    InlineSource: _open_inline,
    CsvSource: _open_text_files,
    NdjsonSource: _open_text_files,
    LogSource: _open_text_files,
    InfluxSource: _open_text_files,
    MsgpackSource: _open_text_files,
    AvroSource: _open_avro_files,
    ParquetSource: _open_parquet_files,
    StreamSource: _open_stream,
    HostMetricsSource: _open_stream,
    StdinSource: _open_stdin,
    KafkaSource: _open_kafka,
    NatsSource: _open_nats,
    RedisSource: _open_redis,
    MqttSource: _open_push,
    HttpSource: _open_push,
    SyslogSource: _open_push,
    JournaldSource: _open_push,
}
"""Settings of a source -> what opens it: a transport with a format."""
