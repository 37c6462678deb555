"""Functions of texts, and those that make numbers of texts and texts of values.

Texts are Python's, one after the other, so that vectors and rows cannot differ. Regular expressions are those of
Polars (of Rust): they have no references back and no look-around, and take time in proportion to the text.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from actors.engine.functions.scalars import Evaluate, Usage
from actors.engine.vectors.vector import DTYPES, Type, Vector, both_valid, filler

PATTERN_SIZE_MAX = 1000
"""Letters of a regular expression."""

WHOLE_LOW, WHOLE_HIGH = -(1 << 63), (1 << 63) - 1

Make = Callable[[Usage], Callable[..., Any]]
"""From a call to the function of one row; `None` is NULL."""

_is_none = np.frompyfunc(lambda value: value is None, 1, 1)
_NUMBER = re.compile(r"\s*([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?\s*", re.ASCII)
_WHOLE_DIGITS_MAX = 19


def of_values(make: Make, kind: Type) -> Callable[[Usage], Evaluate]:
    """A function of Python over vectors."""

    def build(usage: Usage) -> Evaluate:
        apply = np.frompyfunc(make(usage), len(usage.types), 1)

        def evaluate(*operands: Vector) -> Vector:
            valid = None
            for operand in operands:
                valid = both_valid(valid, operand.valid)
            values = [
                "" if of is Type.NULL else operand.values for of, operand in zip(usage.types, operands, strict=True)
            ]
            found = np.asarray(apply(*values), dtype=object)
            missing = np.asarray(_is_none(found), dtype=np.bool_)
            if missing.any():
                valid = both_valid(valid, ~missing)
                found = np.where(missing, np.asarray(filler(kind), dtype=object), found)
            return Vector(found.astype(DTYPES[kind]), valid)

        return evaluate

    return build


def contains(usage: Usage) -> Callable[[str, str], bool]:
    """Whether a part occurs in a text."""
    return lambda text, part: part in text


def substring(usage: Usage) -> Callable[[str], str]:
    """Letters of a text from a position on."""
    start, length = usage.constants["start"], usage.constants["length"]

    def cut(text: str) -> str:
        first = max(len(text) + start, 0) if start < 0 else start
        return text[first:] if length is None else text[first : first + length]

    return cut


def split_part(usage: Usage) -> Callable[[str], str | None]:
    """One of the parts of a text between separators.

    Raises:
        ValueError: the separator is empty.
    """
    separator, number = usage.constants["separator"], usage.constants["index"]
    if not separator:
        raise ValueError("`separator` is empty")

    def part(text: str) -> str | None:
        parts = text.split(separator)
        return parts[number] if -len(parts) <= number < len(parts) else None

    return part


def expression(usage: Usage) -> Evaluate:
    """Whether a regular expression fits somewhere in a text.

    Raises:
        ValueError: it is none, or too large.
    """
    pattern = usage.constants["pattern"]
    if len(pattern) > PATTERN_SIZE_MAX:
        raise ValueError(f"the regular expression has {len(pattern)} letters, and {PATTERN_SIZE_MAX} are the most")
    _fits(["", "a"], pattern)

    def evaluate(operand: Vector) -> Vector:
        values = np.asarray("" if usage.types[0] is Type.NULL else operand.values, dtype=object)
        return Vector(_fits(values.reshape(-1).tolist(), pattern).reshape(values.shape), operand.valid)

    return evaluate


def _fits(texts: list[str], pattern: str) -> Any:
    try:
        return pl.Series(texts, dtype=pl.String).str.contains(pattern).to_numpy()
    except pl.exceptions.ComputeError as error:
        raise ValueError(_problem(str(error))) from None


def _problem(message: str) -> str:
    """Return what is wrong with a regular expression, of the several lines that its library says it in."""
    found = re.findall(r"^error: (.+)$", message, re.MULTILINE) or re.findall(r"regex error: (.+)", message)
    return f"this is no regular expression: {found[-1].rstrip('.') if found else 'it cannot be read'}"


def to_real(text: str) -> float | None:
    """Return the number that a text is, `None` if it is none or too large."""
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def to_whole(text: str) -> int | None:
    """Return the number that a text is, rounded half away from zero; beyond 64 bits the nearest integer."""
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    sign, digits = found[1], found[2]
    if digits.isdigit() and found.end(2) == len(text.rstrip()):
        digits = digits.lstrip("0") or "0"
        size = int(digits) if len(digits) <= _WHOLE_DIGITS_MAX else WHOLE_HIGH + 1
    else:
        number = abs(float(text))
        size = WHOLE_HIGH + 1 if number >= 2.0**63 else _half_away(number)
    return max(-size, WHOLE_LOW) if sign == "-" else min(size, WHOLE_HIGH)


def _half_away(number: float) -> int:
    whole = int(number)
    return whole + (number - whole >= 0.5)


def shown(value: Any) -> str:
    """Return a value as text: numbers as they are written in metrics, in the fewest digits that give them back."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float):
        # Without the sign of zero, which is no part of a value.
        return repr(float(value) + 0.0)
    return str(value)


def always(function: Callable[..., Any]) -> Make:
    """A function that is the same for every call."""
    return lambda usage: function
