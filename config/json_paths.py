"""Paths into JSON: `a.b[0].c` is the value `c` of the first of the list `b` of the object `a`."""

import re
from typing import Any, Final

Steps = tuple[str | int, ...]
"""The way into a value: names of objects, places in lists from 0."""

MISSING: Final = object()
"""What a path that leads nowhere finds; `None` is a value."""

_PART = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([0-9]+)\]")


def steps_of(path: str) -> Steps:
    """Return the steps of a path; a text that is no path is the name of one key."""
    parts, end = [], 0
    for found in _PART.finditer(path):
        if found.start() != end:
            break
        name, place = found.groups()
        parts.append(name if place is None else int(place))
        end = found.end()
    return tuple(parts) if parts and end == len(path) else (path,)


def value_at_steps(value: Any, steps: Steps) -> Any:
    """Return what stands at the end of a way, `MISSING` where it breaks off."""
    for step in steps:
        if type(step) is int:
            if type(value) is not list or step >= len(value):
                return MISSING
            value = value[step]
        else:
            if type(value) is not dict:
                return MISSING
            value = value.get(step, MISSING)
            if value is MISSING:
                return MISSING
    return value
