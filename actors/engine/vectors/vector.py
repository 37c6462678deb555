"""Vectors: the values of one expression over many rows, and the NULL rules that all functions share.

A vector is an array of values with an array that says which of them are there; `valid` is `None` when all are. Values
that are not there are arbitrary but of the right type, and a real value is never NaN or infinite. A constant is a
vector whose values are a plain number, or an object array without dimensions for a text; it fits every length. Types:
Boolean, integer (int64), real (float64), text (objects, because numpy's own texts lose what they end in if it is NUL).
"""

from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Type(StrEnum):
    """Type of an expression's values; `NULL` is the type of the constant NULL alone."""

    BOOL = "BOOL"
    INT = "INT"
    REAL = "REAL"
    TEXT = "TEXT"
    NULL = "NULL"

    @property
    def is_number(self) -> bool:
        """Whether arithmetic applies; truth values count as 0 and 1."""
        return self is not Type.TEXT


DTYPES: dict[Type, Any] = {
    Type.BOOL: np.bool_,
    Type.INT: np.int64,
    Type.REAL: np.float64,
    Type.TEXT: np.object_,
    Type.NULL: np.int64,
}
"""The numpy type that holds the values of each type."""


class Vector(NamedTuple):
    """Values of an expression, one for each row, or one constant for all."""

    values: Any
    """Array of values, or a plain constant."""

    valid: Any
    """Which values are there; `None` for all of them."""


def both_valid(left: Any, right: Any) -> Any:
    """Return the validity of a result that needs both operands."""
    if left is None:
        return right
    return left if right is None else left & right


def finite(values: Any, valid: Any) -> Vector:
    """Return a vector of real values in which NaN and infinity are NULL."""
    good = np.isfinite(values)
    if good.all():
        return Vector(values, valid)
    return Vector(np.where(good, values, 0.0), both_valid(good, valid))


def filler(kind: Type) -> Any:
    """Return the value that stands where there is none."""
    return {Type.BOOL: False, Type.REAL: 0.0, Type.TEXT: ""}.get(kind, 0)


def as_array(vector: Vector, kind: Type, count: int) -> Vector:
    """Return a vector with one value per row, of the type's own numpy type."""
    values, valid = vector
    if not isinstance(values, np.ndarray) or values.ndim == 0:
        values = np.full(count, values if valid is None or valid else filler(kind), dtype=DTYPES[kind])
    elif values.dtype != DTYPES[kind]:
        values = values.astype(DTYPES[kind])
    if valid is not None and (not isinstance(valid, np.ndarray) or valid.ndim == 0):
        valid = None if valid else np.zeros(count, dtype=np.bool_)
    return Vector(values, valid)


def validity(vector: Vector) -> Array:
    """Return which values of a full-length vector are there, as an array."""
    return np.ones(len(vector.values), dtype=np.bool_) if vector.valid is None else vector.valid


def simplified(values: Array, valid: Array) -> Vector:
    """Return a vector whose validity is left out when every value is there."""
    return Vector(values, None if valid.all() else valid)


def take(vector: Vector, index: Any) -> Vector:
    """Return the values at the given positions (or under a mask)."""
    return Vector(vector.values[index], None if vector.valid is None else vector.valid[index])


def truth(vector: Vector) -> Any:
    """Return where a Boolean vector is true, NULL being not true."""
    return vector.values if vector.valid is None else vector.values & vector.valid


def number_values(vector: Vector) -> Any:
    """Return the values for arithmetic: truth values become 0 and 1."""
    values = vector.values
    if isinstance(values, np.ndarray):
        return values.astype(np.int64) if values.dtype == np.bool_ else values
    return int(values) if isinstance(values, bool | np.bool_) else values
