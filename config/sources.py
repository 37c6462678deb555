"""Settings of the source of a job: where its rows come from."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from config.base import Count, Nodes, Settings, fault
from config.brokers import KafkaSource, NatsSource, RedisSource
from config.formats import (
    CsvFormatSettings,
    FormatSettings,
    InfluxFormatSettings,
    LogFormatSettings,
    MsgpackFormatSettings,
    NdjsonFormatSettings,
)
from config.messages import StdinSource, with_named_format
from config.push import (
    JOURNALD_SCHEMA,
    SYSLOG_SCHEMA,
    HttpSource,
    JournaldSource,
    MqttSource,
    PushSource,
    SyslogSource,
)
from config.remote import StorageSettings, check_urls, path_of, scheme_of

FILE_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".log": "log",
    ".lp": "influx",
    ".msgpack": "msgpack",
    ".avro": "avro",
    ".parquet": "parquet",
}
"""Source type that a file name suggests."""

PACKED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
"""Endings of compressed files, after that of what is in them."""

FORMAT_TYPES = {
    "csv": "csv",
    "json": "ndjson",
    "ndjson": "ndjson",
    "log": "log",
    "influx": "influx",
    "msgpack": "msgpack",
    "avro": "avro",
    "parquet": "parquet",
}
"""Source type of files of a format."""

FILE_TYPES = (*dict.fromkeys(FORMAT_TYPES.values()),)
"""Types of sources that read files."""


class InlineSource(Settings):
    """Rows in the job file itself, in the order of the schema's columns."""

    type: Literal["inline"] = "inline"
    rows: tuple[tuple[Any, ...], ...]
    """Each row has a value for every column; times as text or ticks."""


class FileSource(FormatSettings):
    """Files of some format."""

    path: str | tuple[str, ...]
    """A file, a folder, a pattern such as `data/*.csv`, or a list of them; relative to the job file, or a URL."""

    on: Nodes = ()
    """Nodes that have the files; `every`, or none, means that all have them at the same path."""

    storage_options: StorageSettings | None = None
    """How the store is reached that has the files, where `path` is a URL; `None` is the usual way."""

    @model_validator(mode="after")
    def _check_file_source(self) -> "FileSource":
        if not self.path or not all(self.paths):
            raise fault(("path",), "no file is named; give a file, a folder, a pattern or a list of them")
        check_urls(self.paths, self.storage_options)
        return self

    @model_serializer(mode="wrap")
    def _in_order(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the keys in the order of all versions: the fingerprints of jobs on disk depend on it."""
        plain: dict[str, Any] = dump(self)
        return dict(sorted(plain.items(), key=lambda item: _KEY_ORDER.get(item[0], len(_KEY_ORDER))))

    @property
    def paths(self) -> tuple[str, ...]:
        """The path or paths, as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def is_remote(self) -> bool:
        """Whether the files are in a store and on no machine."""
        return bool(scheme_of(self.paths[0]))


_KEY_ORDER = {
    name: place
    for place, name in enumerate(("path", "columns", "time_format", "follow", "record_size_bytes_max", "type"))
}


class GrowingFileSource(FileSource):
    """Files that may grow."""

    follow: bool = False
    """Whether files grow: keep reading whole lines, and never end."""

    rotated: str | None = Field(default=None, min_length=1)
    """Pattern of the files that a followed file has become; `None` finds them beside it, by a number or date."""

    lost: Literal["refuse", "gap"] = "refuse"
    """What it means that a followed file, or one that it has become, is found nowhere: an error, or a gap."""

    @model_validator(mode="after")
    def _check_rotation(self) -> "GrowingFileSource":
        for name in ("rotated", "lost"):
            if not self.follow and getattr(self, name) not in (None, "refuse"):
                raise fault((name,), f"`{name}` is about files that are followed; give `follow: true`")
            if self.is_remote and getattr(self, name) not in (None, "refuse"):
                raise fault((name,), f"`{name}` is about files of a machine, which are rotated; leave it out")
        return self


class CsvSource(CsvFormatSettings, GrowingFileSource):
    """Files of separated values."""

    reads_files: ClassVar[bool] = True

    type: Literal["csv"] = "csv"


class NdjsonSource(NdjsonFormatSettings, GrowingFileSource):
    """Files with one JSON object a line."""

    reads_files: ClassVar[bool] = True

    type: Literal["ndjson"] = "ndjson"


class LogSource(LogFormatSettings, GrowingFileSource):
    """Files of log lines."""

    reads_files: ClassVar[bool] = True

    type: Literal["log"] = "log"


class InfluxSource(InfluxFormatSettings, GrowingFileSource):
    """Files of InfluxDB's line protocol."""

    type: Literal["influx"] = "influx"


class MsgpackSource(MsgpackFormatSettings, GrowingFileSource):
    """Files of MessagePack objects, one after the other."""

    type: Literal["msgpack"] = "msgpack"


class AvroSource(NdjsonFormatSettings, FileSource):
    """Avro files, whose records are as JSON objects are."""

    dialect: ClassVar[tuple[str, ...]] = ("timezone", "repeated_hour")

    type: Literal["avro"] = "avro"


class ParquetSource(FileSource):
    """Parquet files."""

    type: Literal["parquet"] = "parquet"


class StreamSource(Settings):
    """A stream table of this installation."""

    type: Literal["stream"] = "stream"
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name of the stream table."""

    splits: Count = 1
    """Splits of the table, when it does not exist yet."""

    on: Nodes = ()
    """The node that has the table; without one, that which the job is submitted at."""


class HostMetricsSource(Settings):
    """Measurements of this machine: processors, memory, disks, network, load, busy processes."""

    type: Literal["host_metrics"] = "host_metrics"
    period_ms: Annotated[int, Field(ge=10, strict=True)] = 1000
    """Milliseconds between two samples."""

    process_count_max: Annotated[int, Field(ge=0, strict=True)] = 10
    """Busiest processes that are reported in each sample; 0 reports none."""

    process_percent_min: float = Field(default=1.0, ge=0, strict=True, allow_inf_nan=False)
    """Processor use below which a process is not reported, in percent of one processor."""

    on: Nodes = ()
    """The node that is measured; without one, that which the job is submitted at."""


HOST_METRICS_SCHEMA = {"time": "TIMESTAMP", "key": "SYMBOL", "kind": "SYMBOL", "name": "SYMBOL", "value": "DOUBLE"}
"""Columns of host metrics."""

SourceSettings: TypeAlias = Annotated[
    InlineSource
    | CsvSource
    | NdjsonSource
    | LogSource
    | InfluxSource
    | MsgpackSource
    | AvroSource
    | ParquetSource
    | StreamSource
    | HostMetricsSource
    | StdinSource
    | KafkaSource
    | NatsSource
    | RedisSource
    | MqttSource
    | HttpSource
    | SyslogSource
    | JournaldSource,
    Field(discriminator="type"),
]
"""Any source."""


LOG_SCHEMAS = {"syslog": SYSLOG_SCHEMA, "journald": JOURNALD_SCHEMA}
"""Columns that sources of logs bring, by their type."""

LOCAL_SOURCES = (StreamSource, HostMetricsSource, PushSource)
"""Sources of stream tables, each of which is on one node."""

LOCAL_TYPES = ("stream", "host_metrics", "mqtt", "http", "syslog", "journald")
"""Types of such sources."""

FILE_COLUMN = "file"
"""Column that holds the name of the file."""


def without_packing(name: str) -> str:
    """Return the name of a file without the ending of its compression, if it has one."""
    packing = next((suffix for suffix in PACKED_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(packing)]


def reads_files_apart(key_columns: Sequence[str], source: FileSource) -> bool:
    """Return whether each file is a split of its own, because its name is part of the key."""
    return any(name.lower() == FILE_COLUMN for name in key_columns) and FILE_COLUMN not in source.columns


def format_of(source: Settings) -> FormatSettings | None:
    """Return the format of what a source reads, `None` where its records are typed already."""
    return source if isinstance(source, FormatSettings) else getattr(source, "format", None)


def log_of(source: Settings) -> LogFormatSettings | None:
    """Return the format of the log that a source reads, `None` where it is no log."""
    form = format_of(source)
    return form if isinstance(form, LogFormatSettings) else None


def with_type(source: Any) -> Any:
    """Return the mapping of a source with the type that its format, rows or path suggest, where none is given."""
    if not isinstance(source, dict) or source.get("type", "file") != "file":
        return source
    plain = {key: value for key, value in source.items() if key != "type"}
    if "rows" in plain:
        return {"type": "inline", **plain}
    form = plain.get("format")
    if isinstance(form, str) and form in FORMAT_TYPES:
        del plain["format"]
        return {"type": FORMAT_TYPES[form], **plain}
    if isinstance(form, Mapping) and form.get("type") in tuple(FORMAT_TYPES):
        del plain["format"]
        return {**form, **plain, "type": FORMAT_TYPES[form["type"]]}
    path = plain.get("path")
    first = path[0] if isinstance(path, list) and path else path
    if isinstance(first, str):
        for suffix, kind in FILE_SUFFIXES.items():
            if without_packing(path_of(first)).lower().endswith(suffix):
                return {"type": kind, **plain}
    return source


_TYPES_OF_ONE_FORMAT = ("csv", "ndjson", "influx", "msgpack", "avro", "parquet")


def check_format(source: Any) -> None:
    """Check the key `format` of a source whose type is known; logs have formats of their own.

    Raises:
        SettingError: it names none, or the type names one already.
    """
    if not isinstance(source, dict) or "format" not in source or source.get("type") not in _TYPES_OF_ONE_FORMAT:
        return
    form = source["format"]
    if form in tuple(FORMAT_TYPES):
        raise fault(("format",), f"the type {source['type']!r} says the format already; leave one of them out")
    raise fault(("format",), f"no such format, {form!r}; use one of {', '.join(FORMAT_TYPES)}")


def schema_of_log(source: Any) -> dict[str, str] | None:
    """Return the columns that a log brings, of a source as plain data, or `None` when it is another source."""
    if isinstance(source, Mapping) and source.get("type") in LOG_SCHEMAS:
        return LOG_SCHEMAS[source["type"]]
    if not brings_log(source):
        return None
    kind = LogSource if source["type"] == "log" else LogFormatSettings
    plain = source if source["type"] == "log" else with_named_format(source["format"])
    try:
        return kind.model_validate(_without_type(plain, kind)).default_schema()
    except ValidationError:
        # What is wrong with the source is told when the job is checked; columns that are missing are no mistake then.
        return {"time": "TIMESTAMP"}


def brings_log(source: Any) -> bool:
    """Return whether a source as plain data reads a log, which brings its own columns."""
    if not isinstance(source, Mapping):
        return False
    if source.get("type") in LOG_SCHEMAS:
        return True
    form = with_named_format(source.get("format"))
    named = form.get("type") if isinstance(form, Mapping) and source.get("type") not in FILE_TYPES else None
    return source.get("type") == "log" or named == "log"


def _without_type(plain: Mapping[str, Any], kind: type[Settings]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key != "type" or "type" in kind.model_fields}
