"""Settings of sources that bring records one by one: a pipe, the topics and streams of brokers.

Their `format` is a name, or a mapping with the options of the format: `format: json` is `format: {type: json}`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from config.base import Settings, check_type
from config.formats import (
    CsvFormatSettings,
    InfluxFormatSettings,
    LogFormatSettings,
    MsgpackFormatSettings,
    NdjsonFormatSettings,
)

FORMAT_NAMES = ("json", "csv", "log", "influx")
"""Names of the formats of lines."""


class CsvForm(CsvFormatSettings):
    """Lines of separated values."""

    type: Literal["csv"] = "csv"


class JsonForm(NdjsonFormatSettings):
    """A JSON object for each record."""

    type: Literal["json"] = "json"


class LogForm(LogFormatSettings):
    """Records of a log."""

    type: Literal["log"] = "log"


class InfluxForm(InfluxFormatSettings):
    """Lines of InfluxDB's line protocol."""

    type: Literal["influx"] = "influx"


class MsgpackForm(MsgpackFormatSettings):
    """A MessagePack object, or array, for each record."""

    type: Literal["msgpack"] = "msgpack"


def with_named_format(form: Any) -> Any:
    """Return a format as a mapping where it is a name."""
    named = {"type": form} if isinstance(form, str) else form
    if isinstance(named, Mapping) and named.get("type") == "ndjson":
        return {**named, "type": "json"}
    return named


def _line_form(form: Any) -> Any:
    return check_type(with_named_format(form), FORMAT_NAMES)


_Line: TypeAlias = CsvForm | JsonForm | LogForm | InfluxForm
LineFormat: TypeAlias = Annotated[
    Annotated[_Line, Field(discriminator="type")],
    BeforeValidator(_line_form, json_schema_input_type=Literal["json", "ndjson", "csv", "log", "influx"] | _Line),
]
"""How lines are written: a name, or a mapping with options."""


def _body_form(form: Any) -> Any:
    return check_type(with_named_format(form), (*FORMAT_NAMES, "msgpack"))


_Body: TypeAlias = CsvForm | JsonForm | LogForm | InfluxForm | MsgpackForm
BodyFormat: TypeAlias = Annotated[
    Annotated[_Body, Field(discriminator="type")],
    BeforeValidator(
        _body_form, json_schema_input_type=Literal["json", "ndjson", "csv", "log", "influx", "msgpack"] | _Body
    ),
]
"""How bodies are written: a name, or a mapping with options."""


class StdinSource(Settings):
    """The standard input of `tocsin run`: lines of a pipe."""

    type: Literal["stdin"] = "stdin"

    format: LineFormat
    """How lines are written: `json`, `csv`, `log` or `influx`, or a mapping of one with its options."""
