"""What is wrong with a job file, told from pydantic's errors: the path of each faulty key and a sentence about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from config.document import Path, format_path
from config.errors import Problem

PROBLEM_COUNT_MAX = 20

_SOURCE_TYPES = "inline, csv, ndjson, log, parquet, stream, host_metrics"

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
    "tuple_type": "must be a list, not {value}",
    "dict_type": "must be a mapping of keys, not {value}",
    "model_type": "must be a mapping of keys, not {value}",
    "model_attributes_type": "must be a mapping of keys, not {value}",
    "union_tag_not_found": "`type` is missing; use one of {tags}",
    "union_tag_invalid": "no such type, {tag!r}; use one of {tags}",
    "greater_than": "must be more than {gt}, not {value}",
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "string_pattern_mismatch": "{value} cannot be used; it must match {pattern}",
    "literal_error": "must be one of {expected}, not {value}",
}


def find_problems(error: ValidationError, data: Any, lines: Mapping[Path, int] | None = None) -> tuple[Problem, ...]:
    """Return the problems that validation found in plain data, one for each faulty key, in the order of the data."""
    found: dict[Path, Problem] = {}
    for details in error.errors(include_url=False):
        context = details.get("ctx", {})
        path = locate((*details["loc"], *context.get("path", ())), data)
        found.setdefault(
            path, Problem(path=format_path(path), line=line_of(path, lines or {}), text=_text(dict(details)))
        )
    return tuple(found.values())[:PROBLEM_COUNT_MAX]


def locate(location: Sequence[str | int], data: Any) -> Path:
    """Return the part of a location that exists in the data (and one key more): names of union members are left out."""
    path: list[str | int] = []
    for number, part in enumerate(location):
        if _holds(data, part):
            data = data[part]
            path.append(part)
        elif isinstance(data, Mapping) and number == len(location) - 1 and str(part).isidentifier():
            path.append(part)
    return tuple(path)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)


def line_of(path: Path, lines: Mapping[Path, int]) -> int | None:
    """Return the line of the value at a path, or of the nearest thing around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _text(details: dict[str, Any]) -> str:
    context = details.get("ctx", {})
    pattern = _TEXTS.get(details["type"])
    if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
        context = context | {
            "tags": context.get("expected_tags", "inline, csv, ndjson, log, parquet, stream, host_metrics")
        }
    if pattern is None:
        text = str(details["msg"])
        return text.removeprefix("Value error, ")
    return pattern.format(**context | {"value": _shown(details.get("input"))})


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
