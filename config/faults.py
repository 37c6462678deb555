"""What pydantic finds wrong with the data of a job: the path of each faulty value and a sentence about it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from config.base import DURATION_PATTERN, unknown_type
from config.errors import Path, SettingError

_TEXTS = {
    "missing": "missing; it must be given",
    "int_type": "must be a whole number, not {value}",
    "int_parsing": "must be a whole number, not {value}",
    "int_from_float": "must be a whole number, not {value}",
    "float_type": "must be a number, not {value}",
    "float_parsing": "must be a number, not {value}",
    "bool_type": "must be true or false, not {value}",
    "bool_parsing": "must be true or false, not {value}",
    "string_type": "must be text, not {value}; put it in quotes if it is meant as text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "tuple_type": "must be a list, not {value}",
    "dict_type": "must be a mapping of keys, not {value}",
    "model_type": "must be a mapping of keys, not {value}",
    "model_attributes_type": "must be a mapping of keys, not {value}",
    "union_tag_not_found": "`type` is missing",
    "greater_than": "must be more than {gt}, not {value}",
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "string_pattern_mismatch": "{value} cannot be used; it must match {pattern}",
    "string_too_long": "must have at most {max_length} characters, not {value}",
    "finite_number": "must be a finite number, not {value}",
    "literal_error": "must be one of {expected}, not {value}",
}


def find_faults(error: ValidationError, data: Any) -> list[SettingError]:
    """Return the faults that validation found in plain data, one for each value, in the order of the data."""
    found: dict[Path, SettingError] = {}
    for details in error.errors(include_url=False):
        one = _fault(dict(details))
        path = locate((*details["loc"], *one.path), data)
        if details.get("ctx", {}).get("pattern") == DURATION_PATTERN:
            # A text was not meant as the whole number that stands beside it.
            way_out = "write a number of units of the time column, or the like of 250ms, 3s, 5m or 1h30m"
            found[path] = SettingError(path, f"{_shown(details.get('input'))} is no duration; {way_out}")
        found.setdefault(path, SettingError(path, one.text, meant_key=one.meant_key, meant_value=one.meant_value))
    return list(found.values())


def locate(location: Sequence[str | int], data: Any) -> Path:
    """Return the part of a location that exists in the data (and one key more): names of union members are left out."""
    path: list[str | int] = []
    for number, part in enumerate(location):
        if has(data, part):
            data = data[part]
            path.append(part)
        elif isinstance(data, Mapping) and number == len(location) - 1 and str(part).isidentifier():
            path.append(part)
    return tuple(path)


def has(data: Any, part: str | int) -> bool:
    """Return whether data has a value for a key or at a position."""
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)


def _fault(details: dict[str, Any]) -> SettingError:
    """Return the fault of one error; its path is below the location that the error names."""
    context = details.get("ctx", {})
    if isinstance(raised := context.get("error"), SettingError):
        return raised
    if details["type"] == "union_tag_invalid":
        return unknown_type(context["tag"], re.findall(r"'([^']*)'", context["expected_tags"]))
    pattern = _TEXTS.get(details["type"])
    if pattern is None:
        return SettingError((), str(details["msg"]).removeprefix("Value error, "))
    return SettingError((), pattern.format(**context | {"value": _shown(details.get("input"))}))


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
