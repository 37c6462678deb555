"""Settings of formats: how the rows of a source are written, whatever brings them."""

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, model_validator

from actors.errors import SchemaError
from actors.model import parse_column_type
from config.base import Names, Settings, SizeBytes, fault, suggest
from config.log_patterns import FORMATS, LinePattern, compile_regex, needs_year, regex_of_text

TIME_FORMATS = ("auto", "ticks", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
"""Named time formats; any other is a pattern of `%` directives."""

META_NAME = re.compile(r"(?P<name>\$(?:topic|path|sender|received))(?:\[(?P<level>[0-9]{1,3})\])?")
"""What is known of a record beside its bytes, as `columns` name it; `$topic[1]` is a part between slashes."""


def _null_as_text(value: Any) -> Any:
    """Return `null` for YAML's own null, which looks the same; anything else is left to be checked."""
    return "null" if value is None else value


def check_zone(name: str) -> None:
    """Check that a time zone is known.

    Raises:
        SettingError: it is not.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(("timezone",), f"there is no time zone {name!r}; write one such as Europe/Berlin") from None


def is_byte_encoding(name: str) -> bool:
    """Return whether an encoding is UTF-8, or has one byte for each character and ASCII as its first half."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return False
    return known in ("utf-8", "ascii", "cp437", "cp850", "cp852", "mac-roman") or known.startswith(_BYTE_ENCODINGS)


WIDE_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be")
"""Encodings of two bytes or four a character, as Python names them; `utf-16` says by a mark which one it is."""


def is_wide_encoding(name: str) -> bool:
    """Return whether an encoding has two bytes or four for each character."""
    try:
        return codecs.lookup(name).name in WIDE_ENCODINGS
    except (LookupError, ValueError):
        return False


_BYTE_ENCODINGS = ("iso8859-", "cp125", "koi8-")
"""Beginnings of the names of such families, as Python writes them."""

DIALECT: Mapping[str, Any] = {
    "timezone": None,
    "repeated_hour": "first",
    "encoding": "utf-8",
    "decimal": ".",
    "thousands": None,
}
"""What texts are like unless a job says otherwise, as it always was."""


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

    dialect: ClassVar[tuple[str, ...]] = ("timezone", "repeated_hour", "encoding", "decimal", "thousands")
    """Keys of those below that mean something to the format."""

    reads_files: ClassVar[bool] = False
    """Whether these are settings of files too, which are decoded as a whole."""

    record_size_bytes_max: Annotated[SizeBytes, Field(le=1 << 30)] = 1 << 20
    """Longer lines are dead letters; at most 1 GiB."""

    timezone: str | None = None
    """Zone, such as `Europe/Zurich`, of times without an offset; `None` means UTC."""

    repeated_hour: Literal["first", "second", "refuse"] = "first"
    """Which hour a local time means that there was twice, because clocks were put back."""

    encoding: str = "utf-8"
    """How text is encoded: UTF-8, one byte a character (`latin-1`, `cp1252` ...), or, of files, `utf-16`."""

    decimal: Literal[".", ","] = "."
    """What stands between the whole part and the fraction of numbers that are text."""

    thousands: str | None = Field(default=None, min_length=1, max_length=1)
    """Character between groups of three digits of numbers that are text, such as `.` or `'`."""

    @model_validator(mode="after")
    def _check_dialect(self) -> "TextFormatSettings":
        if self.timezone is not None:
            check_zone(self.timezone)
        if self.repeated_hour != "first" and self.timezone is None:
            raise fault(("repeated_hour",), "there is no such hour in UTC; give `timezone`")
        if not is_byte_encoding(self.encoding) and not (self.reads_files and is_wide_encoding(self.encoding)):
            way = "use utf-8, or one of one byte a character, such as latin-1 or cp1252; utf-16 is for files"
            raise fault(("encoding",), f"{self.encoding!r} is not read; {way}")
        for name, usual in DIALECT.items():
            if name not in self.dialect and getattr(self, name) != usual:
                raise fault((name,), f"`{name}` means nothing to this format; leave it out")
        if self.thousands is not None and (self.thousands.isalnum() or self.thousands in f'+-{self.decimal}"\r\n'):
            raise fault(("thousands",), f"{self.thousands!r} cannot stand between digits here")
        return self


class CsvFormatSettings(TextFormatSettings):
    """Separated values."""

    separator: str = Field(default=",", min_length=1, max_length=1)
    """One character between values."""

    header: bool = True
    """Whether the first line of each file names its columns; without it they are the schema's, in order."""

    null_values: tuple[str, ...] = ()
    """Text that means NULL, besides an empty value."""

    quoted_line_ends: bool = False
    """Whether values in quotes may hold line ends, so that a record may be several lines."""

    time_columns: tuple[str, ...] = Field(default=(), max_length=4)
    """Names in the records whose values, with a blank between them, are the time: a date and a time of day."""

    @model_validator(mode="after")
    def _check_csv_format(self) -> "CsvFormatSettings":
        if not self.separator.isascii() or self.separator in '"\r\n':
            raise fault(("separator",), f"{self.separator!r} cannot separate values; use a character such as , or ;")
        return self


_Missing: TypeAlias = Literal["refuse", "null"]


class NdjsonFormatSettings(TextFormatSettings):
    """A JSON object for each record."""

    dialect: ClassVar[tuple[str, ...]] = ("timezone", "repeated_hour", "encoding")
    values_are_text: ClassVar[bool] = False

    missing: Annotated[_Missing, BeforeValidator(_null_as_text, json_schema_input_type=_Missing | None)] = "refuse"
    """What an object without a column's key means: a dead letter, or NULL."""

    explode: str | None = Field(default=None, min_length=1)
    """Path of a list whose elements each become a row; `None` makes each object one row."""

    explode_rows_max: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 1000
    """Elements that such a list may have; a longer one is a dead letter. Offsets are counted in steps of it."""

    @model_validator(mode="after")
    def _check_explode(self) -> "NdjsonFormatSettings":
        if self.explode is None and "explode_rows_max" in self.model_fields_set and self.explode_rows_max != 1000:
            raise fault(("explode_rows_max",), "there is no list to explode; name it by `explode`")
        return self

    @property
    def rows_max(self) -> int:
        """Rows that a record may become."""
        return 1 if self.explode is None else self.explode_rows_max


class MsgpackFormatSettings(NdjsonFormatSettings):
    """A MessagePack object for each record, or an array of the schema's columns."""

    dialect: ClassVar[tuple[str, ...]] = ("timezone", "repeated_hour")


class InfluxFormatSettings(TextFormatSettings):
    """A line of InfluxDB's line protocol for each record."""

    dialect: ClassVar[tuple[str, ...]] = ()

    time_format: str = "epoch_ns"
    """Of the time of lines nothing need be said; see `precision`."""

    precision: Literal["ns", "us", "ms", "s"] = "ns"
    """Unit of the times of lines, unless a request says another one."""

    measurements: Names = ()
    """Measurements whose lines are rows; those of others are no records. None means all."""

    missing: Annotated[_Missing, BeforeValidator(_null_as_text, json_schema_input_type=_Missing | None)] = "null"
    """What a line without a column's tag or field means: NULL, or a dead letter."""


class SyslogFormatSettings(TextFormatSettings):
    """Messages of syslog, RFC 5424 or 3164."""

    dialect: ClassVar[tuple[str, ...]] = ("timezone",)

    record_size_bytes_max: Annotated[SizeBytes, Field(le=1 << 30)] = 64 << 10
    """Longer messages are dead letters."""

    time_format: str = "epoch_ns"
    """Nothing need be said of the times of messages."""

    timezone: str = "UTC"
    """Zone of times that name none, such as `Europe/Berlin`."""


class JournaldFormatSettings(TextFormatSettings):
    """Entries of systemd's journal, as `journalctl --output=json` writes them."""

    dialect: ClassVar[tuple[str, ...]] = ()

    time_format: str = "epoch_us"
    """Nothing need be said of the times of entries."""


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

    format: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] = "iso"
    """`iso`, `journal`, `syslog`, or a regular expression whose named groups are fields; one of them is the time.

    Of several the first that fits a record says what is in it.
    """

    types: dict[str, str] = Field(default_factory=dict)
    """Types of columns, where the job names no schema: those of other fields are texts."""

    comments: str | None = Field(default=None, min_length=1)
    """What lines begin with that are no records; `None`: every line is one, or part of one."""

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
        if not isinstance(data, dict) or "time_format" in data:
            return data
        given = data.get("format", "iso")
        named = [FORMATS.get(str(one)) for one in (given if isinstance(given, list | tuple) else (given,))]
        times = dict.fromkeys(one[1] for one in named if one is not None)
        if len(times) > 1:
            text = f"these formats write times in several ways, {', '.join(times)}; use such as write them in one way"
            raise fault(("format",), text)
        return {**data, "time_format": next(iter(times))} if times else data

    @model_validator(mode="after")
    def _check_log_format(self) -> "LogFormatSettings":
        try:
            fields = self.format_fields
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
        self._check_types()
        taken = {name.lower() for name in (*fields, "message", "file")}
        for index, template in enumerate(self.templates):
            for name in template.pattern.variables:
                if name.lower() in taken or name.lower() in RESERVED_FIELDS:
                    raise fault(("templates", index), f"a variable may not be called {name!r}, a field of every line")
        return self

    def _check_types(self) -> None:
        for name, kind in self.types.items():
            known = (*self.fields, "file")
            if name.lower() not in {field.lower() for field in known}:
                raise fault(("types", name), f"no line has a field {name!r}; {suggest(name, known)}")
            try:
                parse_column_type(kind)
            except SchemaError as error:
                raise fault(("types", name), str(error)) from None

    @property
    def format_patterns(self) -> tuple[LinePattern, ...]:
        """The patterns of which a record must fit one.

        Raises:
            ValueError: one has a group without a name, or one that comes from templates.
        """
        return tuple(map(_format_pattern, (self.format,) if isinstance(self.format, str) else self.format))

    @property
    def format_fields(self) -> tuple[str, ...]:
        """Names of the groups of all formats, in order; they differ by more than their case."""
        found: dict[str, str] = {}
        for pattern in self.format_patterns:
            for name in pattern.variables:
                found.setdefault(name.lower(), name)
        return tuple(found.values())

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
        names = dict.fromkeys((*self.format_fields, "message"))
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
        others = [name for name in self.format_fields if name.lower() not in ("time", "message")]
        schema = {"time": "TIMESTAMP", **dict.fromkeys(others, "SYMBOL")}
        if self.templates:
            schema |= {"event_id": "SYMBOL", **dict.fromkeys(self.variables, "STRING")}
        schema["message"] = "STRING"
        given = {name.lower(): kind for name, kind in self.types.items()}
        schema = {name: given.pop(name.lower(), kind) for name, kind in schema.items()}
        # What is no column unless somebody wants it, such as the name of the file.
        return schema | {name: kind for name, kind in self.types.items() if name.lower() in given}


def _format_pattern(given: str) -> LinePattern:
    named = FORMATS.get(given)
    pattern = compile_regex(given if named is None else named[0])
    for group, name in pattern.groups:
        if group.isdigit() or name.lower() in RESERVED_FIELDS:
            shown = "a group without a name" if group.isdigit() else f"a group {name!r}, which templates give"
            raise ValueError(f"the format {given!r} has {shown}; write (?P<name>...), or (?:...) for no field")
    if not pattern.groups:
        raise ValueError(f"the format {given!r} names no field; use {', '.join(FORMATS)}, or write (?P<time>...)")
    return pattern
