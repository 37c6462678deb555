"""Settings of the source of a job: where its rows come from."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from config.base import Count, Nodes, Settings, SizeBytes, fault
from config.log_patterns import FORMATS, LinePattern, compile_regex, needs_year, regex_of_text

TIME_FORMATS = ("auto", "ticks", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
"""Named time formats; any other is a pattern of `%` directives."""

FILE_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".log": "log",
    ".parquet": "parquet",
}
"""Source type that a file name suggests."""

FORMAT_TYPES = {"csv": "csv", "json": "ndjson", "ndjson": "ndjson", "log": "log", "parquet": "parquet"}
"""Source type of files of a format."""


def _null_as_text(value: Any) -> Any:
    """Return `null` for YAML's own null, which looks the same; anything else is left to be checked."""
    return "null" if value is None else value


class InlineSource(Settings):
    """Rows in the job file itself, in the order of the schema's columns."""

    type: Literal["inline"] = "inline"
    rows: tuple[tuple[Any, ...], ...]
    """Each row has a value for every column; times as text or ticks."""


class FormatSettings(Settings):
    """What all formats have in common, whatever brings their records."""

    values_are_text: ClassVar[bool] = True
    """Whether text may stand for numbers and Booleans, because the format knows nothing else."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Column of the schema -> name in the records, where they differ."""

    time_format: str = "auto"
    """`auto` (ISO or ticks), `ticks`, `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`, or a pattern, say `%d.%m.%Y`."""

    @model_validator(mode="after")
    def _check_record_format(self) -> "FormatSettings":
        if self.time_format not in TIME_FORMATS and "%" not in self.time_format:
            names = ", ".join(TIME_FORMATS)
            raise fault(
                ("time_format",), f"no time format {self.time_format!r}; use {names} or a pattern such as %Y-%m-%d"
            )
        return self

    @property
    def whole_time_format(self) -> str:
        """The time format with all that the reader adds to a time."""
        return self.time_format


class TextFormatSettings(FormatSettings):
    """What the formats of text have in common."""

    record_size_bytes_max: Annotated[SizeBytes, Field(le=1 << 30)] = 1 << 20
    """Longer lines are dead letters; at most 1 GiB."""


class CsvFormatSettings(TextFormatSettings):
    """Separated values."""

    separator: str = Field(default=",", min_length=1, max_length=1)
    """One character between values."""

    header: bool = True
    """Whether the first line of each file names its columns; without it they are the schema's, in order."""

    null_values: tuple[str, ...] = ()
    """Text that means NULL, besides an empty value."""

    @model_validator(mode="after")
    def _check_csv_format(self) -> "CsvFormatSettings":
        if not self.separator.isascii() or self.separator in '"\r\n':
            raise fault(("separator",), f"{self.separator!r} cannot separate values; use a character such as , or ;")
        return self


_Missing: TypeAlias = Literal["refuse", "null"]


class NdjsonFormatSettings(TextFormatSettings):
    """A JSON object for each record."""

    values_are_text: ClassVar[bool] = False

    missing: Annotated[_Missing, BeforeValidator(_null_as_text, json_schema_input_type=_Missing | None)] = "refuse"
    """What an object without a column's key means: a dead letter, or NULL."""


RESERVED_FIELDS = ("event_id", "template", "variables")
"""Fields of a log line that come from its template."""

DEAD_LETTER = "dead_letter"
"""What becomes of a line without a template, unless it gets an event id."""


class TemplateSettings(Settings):
    """One kind of message: its event id, and what all messages of the kind have in common."""

    id: str | Annotated[int, Field(strict=True)]
    """Event id."""

    name: str | None = None
    """What people call it."""

    text: str | None = None
    """The messages, with `<name>` or `<*>` for a word and `<name...>` or `<...>` for any text."""

    regex: str | None = None
    """The same as a regular expression for the whole message, instead of a text."""

    @model_validator(mode="after")
    def _check_template(self) -> "TemplateSettings":
        if (self.text is None) == (self.regex is None):
            raise fault((), f"template {self.id!r} needs either `text` or `regex`")
        try:
            _ = self.pattern
        except ValueError as error:
            raise fault(("text" if self.regex is None else "regex",), str(error)) from None
        return self

    @property
    def event_id(self) -> str:
        """The event id as text, which is what lines are given."""
        return str(self.id)

    @property
    def shown(self) -> str:
        """The text or expression, for people."""
        return self.text if self.text is not None else str(self.regex)

    @property
    def pattern(self) -> LinePattern:
        """The pattern that a message must fit."""
        return compile_regex(self.regex if self.regex is not None else regex_of_text(self.text or ""))


_TemplatesInFile: TypeAlias = str | tuple[TemplateSettings, ...]


def _as_it_is(value: Any) -> Any:
    """Return what the file of a job gave; the name of a file was replaced by its content when the job was loaded."""
    return value


class LogFormatSettings(TextFormatSettings):
    """Lines of a log: a time, what the format names, and a message that templates make an event with variables."""

    format: str = "iso"
    """`iso`, `journal`, `syslog`, or a regular expression whose named groups are fields; one of them is the time."""

    year: Annotated[int, Field(ge=1900, le=2099, strict=True)] | Literal["file"] | None = None
    """Year of times that tell none: a number, or `file` to take it from the name of the file."""

    record_start: str | None = Field(default=None, min_length=1)
    """Regular expression of the first line of a record of several lines; `None` means that each line is a record."""

    templates: Annotated[
        tuple[TemplateSettings, ...], BeforeValidator(_as_it_is, json_schema_input_type=_TemplatesInFile)
    ] = Field(default=(), max_length=1000)
    """Kinds of messages; the first that fits gives event id and variables. A job file may name a file of them."""

    unmatched: str = DEAD_LETTER
    """Event id of messages that no template fits; `dead_letter` makes such a line a dead letter."""

    @model_validator(mode="before")
    @classmethod
    def _name_time_format(cls, data: Any) -> Any:
        named = FORMATS.get(str(data.get("format", "iso"))) if isinstance(data, dict) else None
        return data if named is None or "time_format" in data else {**data, "time_format": named[1]}

    @model_validator(mode="after")
    def _check_log_format(self) -> "LogFormatSettings":
        try:
            fields = self.format_pattern.variables
        except ValueError as error:
            raise fault(("format",), str(error)) from None
        try:
            _ = self.start_pattern
        except ValueError as error:
            raise fault(("record_start",), str(error)) from None
        if needs_year(self.time_format) and self.year is None:
            text = f"times of {self.time_format!r} tell no year; give it as a number, or as `file`"
            raise fault(("year",), f"{text} where the name of the file holds it")
        if self.year is not None and not needs_year(self.time_format):
            raise fault(("year",), f"times of {self.time_format!r} tell the year already; leave `year` out")
        taken = {name.lower() for name in (*fields, "message", "file")}
        for index, template in enumerate(self.templates):
            for name in template.pattern.variables:
                if name.lower() in taken or name.lower() in RESERVED_FIELDS:
                    raise fault(("templates", index), f"a variable may not be called {name!r}, a field of every line")
        return self

    @property
    def format_pattern(self) -> LinePattern:
        """The pattern that a record must fit.

        Raises:
            ValueError: it has a group without a name, or one that comes from templates.
        """
        named = FORMATS.get(self.format)
        pattern = compile_regex(self.format if named is None else named[0])
        for group, name in pattern.groups:
            if group.isdigit() or name.lower() in RESERVED_FIELDS:
                shown = "a group without a name" if group.isdigit() else f"a group {name!r}, which templates give"
                raise ValueError(
                    f"the format {self.format!r} has {shown}; write (?P<name>...), or (?:...) for no field"
                )
        if not pattern.groups:
            known = ", ".join(FORMATS)
            raise ValueError(f"the format {self.format!r} names no field; use {known}, or write (?P<time>...)")

        return pattern

    @property
    def whole_time_format(self) -> str:
        """The time format; the reader puts the year in front of times that tell none."""
        return self.time_format if self.year is None else f"%Y {self.time_format}"

    @property
    def start_pattern(self) -> LinePattern | None:
        """The pattern of the first line of a record, or `None` when each line is one."""
        return None if self.record_start is None else compile_regex(self.record_start)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of everything that a line may give a column: those of the format, the message, those of templates."""
        names = dict.fromkeys((*self.format_pattern.variables, "message"))
        return (*names, *RESERVED_FIELDS, *self.variables) if self.templates else tuple(names)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables of all templates, in order."""
        found: dict[str, str] = {}
        for template in self.templates:
            for name in template.pattern.variables:
                found.setdefault(name.lower(), name)
        return tuple(found.values())

    def default_schema(self) -> dict[str, str]:
        """Return the columns of a job that names none: the time, other fields, event id, variables, message."""
        others = [name for name in self.format_pattern.variables if name.lower() not in ("time", "message")]
        schema = {"time": "TIMESTAMP", **dict.fromkeys(others, "SYMBOL")}
        if self.templates:
            schema |= {"event_id": "SYMBOL", **dict.fromkeys(self.variables, "STRING")}
        return {**schema, "message": "STRING"}


class FileSource(FormatSettings):
    """Files of some format."""

    path: str | tuple[str, ...]
    """A file, a folder, a pattern such as `data/*.csv`, or a list of them; relative to the job file."""

    on: Nodes = ()
    """Nodes that have the files; `every`, or none, means that all have them at the same path."""

    @model_validator(mode="after")
    def _check_file_source(self) -> "FileSource":
        if not self.path or not all(self.paths):
            raise fault(("path",), "no file is named; give a file, a folder, a pattern or a list of them")
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


_KEY_ORDER = {
    name: place
    for place, name in enumerate(("path", "columns", "time_format", "follow", "record_size_bytes_max", "type"))
}


class GrowingFileSource(FileSource):
    """Files that may grow."""

    follow: bool = False
    """Whether files grow: keep reading whole lines, and never end."""


class CsvSource(CsvFormatSettings, GrowingFileSource):
    """Files of separated values."""

    type: Literal["csv"] = "csv"


class NdjsonSource(NdjsonFormatSettings, GrowingFileSource):
    """Files with one JSON object a line."""

    type: Literal["ndjson"] = "ndjson"


class LogSource(LogFormatSettings, GrowingFileSource):
    """Files of log lines."""

    type: Literal["log"] = "log"


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
    InlineSource | CsvSource | NdjsonSource | LogSource | ParquetSource | StreamSource | HostMetricsSource,
    Field(discriminator="type"),
]
"""Any source."""


FILE_COLUMN = "file"
"""Column that holds the name of the file."""


def reads_files_apart(key_columns: Sequence[str], source: FileSource) -> bool:
    """Return whether each file is a split of its own, because its name is part of the key."""
    return any(name.lower() == FILE_COLUMN for name in key_columns) and FILE_COLUMN not in source.columns


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
    path = plain.get("path")
    first = path[0] if isinstance(path, list) and path else path
    if isinstance(first, str):
        for suffix, kind in FILE_SUFFIXES.items():
            if first.lower().endswith(suffix):
                return {"type": kind, **plain}
    return source


def check_format(source: Any) -> None:
    """Check the key `format` of a source whose type is known; logs have formats of their own.

    Raises:
        SettingError: it names none, or the type names one already.
    """
    if not isinstance(source, dict) or "format" not in source or source.get("type") not in ("csv", "ndjson", "parquet"):
        return
    form = source["format"]
    if form in tuple(FORMAT_TYPES):
        raise fault(("format",), f"the type {source['type']!r} says the format already; leave one of them out")
    raise fault(("format",), f"no such format, {form!r}; use one of {', '.join(FORMAT_TYPES)}")


def schema_of_log(source: Any) -> dict[str, str] | None:
    """Return the columns that a log brings, of a source as plain data, or `None` when it is another source."""
    if not isinstance(source, dict) or source.get("type") != "log":
        return None
    try:
        return LogSource.model_validate(source).default_schema()
    except ValidationError:
        # What is wrong with the source is told when the job is checked; columns that are missing are no mistake then.
        return {"time": "TIMESTAMP"}
