"""What all settings have in common: frozen, strict about keys, and helpful about misspelt ones."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from actors.durations import parse_duration
from actors.nearness import nearest
from config.errors import Path, SettingError
from config.units import parse_size

DURATION_PATTERN = r"^[0-9]"
"""What the text of a duration begins with."""

DurationTicks = Annotated[int, Field(gt=0, strict=True)] | Annotated[str, Field(pattern=DURATION_PATTERN)]
"""Ticks of the time column, or a duration such as `5m`."""


def size_bytes(value: Any) -> Any:
    """Return bytes of a size such as `64MiB`; anything else is left to be checked."""
    return parse_size(value) if isinstance(value, str) else value


def duration_seconds(value: Any) -> Any:
    """Return seconds of a duration such as `7d`; anything else is left to be checked."""
    return parse_duration(value) / 1e9 if isinstance(value, str) else value


def time_text(value: Any) -> Any:
    """Return the text of a date or time; anything else is left to be checked."""
    return value.isoformat() if isinstance(value, date | datetime) else value


SizeBytes = Annotated[int, BeforeValidator(size_bytes, json_schema_input_type=int | str), Field(gt=0, strict=True)]
"""Bytes, or a size such as `64MiB`."""

DurationSeconds = Annotated[
    float,
    BeforeValidator(duration_seconds, json_schema_input_type=float | str),
    Field(ge=0, strict=True, allow_inf_nan=False),
]
"""Seconds, or a duration such as `7d`."""

Count = Annotated[int, Field(gt=0, strict=True)]
"""A whole number of at least 1."""


def as_list(value: Any) -> Any:
    """Return a single text as a list of one; anything else is left to be checked."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_list, json_schema_input_type=str | tuple[str, ...])]
"""One name, or a list of them."""


EVERY_NODE = "every"
"""Stands for all nodes where a source or a sink says on which it is."""


def _checked_nodes(names: tuple[str, ...]) -> tuple[str, ...]:
    if EVERY_NODE in names and len(names) > 1:
        raise fault((), f"{EVERY_NODE!r} means all nodes; leave the other names out")
    return names


Nodes = Annotated[Names, AfterValidator(_checked_nodes)]
"""Names of nodes, or `every` alone; none is no wish."""


class Settings(BaseModel):
    """Frozen settings; a key that does not exist is refused with the nearest one that does."""

    # What fields are for stands below each of them; `config.schema` reads it, since to do so takes longer than all the
    # rest of an import.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            cls._refuse_unknown_type(data)
            known = [name for key, info in cls.model_fields.items() for name in {key, info.alias or key}]
            shown = [info.alias or key for key, info in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise unknown_key(str(key), shown)
        return data

    @classmethod
    def _refuse_unknown_type(cls, data: Mapping[str, Any]) -> None:
        # Before the keys, which are those of the type that was meant.
        field = cls.model_fields.get("type")
        names = get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()
        if names and "type" in data and data["type"] not in names:
            raise unknown_type(data["type"], names)


def unknown_key(key: str, known: Iterable[str]) -> SettingError:
    """Return the fault of a key that does not exist."""
    if any(sign in key for sign in "()<>"):
        # In `{when: f(x, 1) > 2}` the comma ends the value, and the rest looks like a key.
        return fault((key,), f"unknown key {key!r}; put an expression with commas in quotes")
    names = list(known)
    return SettingError((key,), f"unknown key {key!r}; {suggest(key, names)}", meant_key=nearest(key, names))


def check_type(data: Any, names: Iterable[str]) -> Any:
    """Return the data of settings of which there are several types.

    Raises:
        SettingError: there is no type, or none such.
    """
    if isinstance(data, Mapping) and "type" not in data:
        raise fault((), f"`type` is missing; use one of {', '.join(names)}")
    if isinstance(data, Mapping) and data["type"] not in (known := list(names)):
        raise unknown_type(data["type"], known)
    return data


def unknown_type(kind: Any, known: Iterable[str]) -> SettingError:
    """Return the fault of a `type` that does not exist."""
    names = list(known)
    meant = nearest(str(kind), names)
    asked = "" if meant is None else f"did you mean {meant!r}? "
    return SettingError(("type",), f"no such type, {kind!r}; {asked}use one of {', '.join(names)}", meant_value=meant)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the words that end a message: the nearest known word, or all of them."""
    names = list(known)
    near = nearest(word, names)
    return f"did you mean {near!r}?" if near is not None else f"use one of {', '.join(names)}"


def fault(path: Path, text: str) -> SettingError:
    """Return the fault of the value at a path below the settings that raise it."""
    return SettingError(path, text)
