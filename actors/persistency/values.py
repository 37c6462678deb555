"""Values of monitored variables: one identity for each, and bytes that bring it back.

A variable may hold anything. `canonical_value` gives the form by which values are told apart: all NaN are one value,
and a value without a hash (a list, a dictionary) stands as its text, whose dictionaries and sets are in sorted order.
`encode_value` and `decode_value` are msgpack with extension types, so that tuples, dates, decimals and integers of any
size come back as what they were; no class is ever looked up by a name found in the bytes.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgpack
import xxhash

from actors.persistency.errors import PersistencyLoadError, PersistencySaveError

NAN = float("nan")
"""The one NaN that sets of values hold."""

_TUPLE, _INTEGER, _DATETIME, _DATE, _TIME, _DURATION, _DECIMAL, _SET, _FROZENSET, _COMPLEX = range(1, 11)


def canonical_value(value: Any) -> Any:
    """Return the hashable form by which a value is told apart from others."""
    if isinstance(value, float):
        return NAN if value != value else value
    if isinstance(value, Decimal):
        return NAN if value.is_nan() else value
    try:
        hash(value)
    except TypeError:
        return stable_text(value)
    return tuple(map(canonical_value, value)) if type(value) is tuple else value


def stable_text(value: Any) -> str:
    """Return a text that is equal for equal values, whatever the order of their dictionaries and sets."""
    if isinstance(value, dict):
        items = sorted((stable_text(key), stable_text(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in items) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(stable_text, value))) + "}"
    if isinstance(value, list | tuple):
        left, right = "[]" if isinstance(value, list) else "()"
        return left + ", ".join(map(stable_text, value)) + right
    to_list = getattr(value, "tolist", None) or getattr(value, "to_list", None)
    return stable_text(to_list()) if callable(to_list) and not isinstance(value, type) else repr(value)


def freeze_value(value: Any) -> Any:
    """Return a value that the caller can no longer change: itself when it is hashable, else a copy."""
    try:
        hash(value)
    except TypeError:
        from copy import deepcopy  # rare, and slow to import

        return deepcopy(value)
    return value


def value_hash(value: Any) -> int:
    """Return a 64-bit hash of a value that is the same in every process; equal numbers of any type share it."""
    if isinstance(value, bool | float) and value == value and abs(value) != float("inf") and int(value) == value:
        value = int(value)
    try:
        encoded = encode_value(value)
    except PersistencySaveError:
        encoded = stable_text(value).encode("utf-8", "surrogatepass")
    return xxhash.xxh3_64_intdigest(encoded)


def encode_value(value: Any) -> bytes:
    """Return the bytes of a value.

    Raises:
        PersistencySaveError: the value, or one inside it, has a type that has no bytes.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_pack_other, strict_types=True, unicode_errors="surrogatepass")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PersistencySaveError(f"a value of a monitored variable cannot be saved: {error}") from error
    return packed


def decode_value(data: bytes) -> Any:
    """Return the value of these bytes.

    Raises:
        PersistencyLoadError: the bytes are torn or were not made by `encode_value`.
    """
    try:
        return msgpack.unpackb(data, ext_hook=_unpack_other, strict_map_key=False, unicode_errors="surrogatepass")
    except PersistencyLoadError:
        raise
    except Exception as error:  # msgpack raises several unrelated types for foreign bytes
        raise PersistencyLoadError(f"saved values cannot be read: {error!r}; they are torn or foreign") from error


def _pack_other(value: Any) -> Any:
    if isinstance(value, tuple):
        return msgpack.ExtType(_TUPLE, encode_value(list(value)))
    if isinstance(value, int) and type(value) is int:
        return msgpack.ExtType(_INTEGER, str(value).encode())
    for kind, code, encode in _PACKERS:
        if type(value) is kind:
            return msgpack.ExtType(code, encode(value))
    to_python = getattr(value, "item", None)
    if callable(to_python):
        return to_python()
    plain_kinds: tuple[Any, ...] = (int, float, str, bytes, dict, list)
    for kind in plain_kinds:
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"type {type(value).__name__} has no saved form; convert it with a converter function")


_PACKERS: tuple[tuple[type, int, Callable[[Any], bytes]], ...] = (
    (datetime, _DATETIME, lambda value: value.isoformat().encode()),
    (date, _DATE, lambda value: value.isoformat().encode()),
    (time, _TIME, lambda value: value.isoformat().encode()),
    (timedelta, _DURATION, lambda value: encode_value([value.days, value.seconds, value.microseconds])),
    (Decimal, _DECIMAL, lambda value: str(value).encode()),
    (set, _SET, lambda value: encode_value(sorted(value, key=value_hash))),
    (frozenset, _FROZENSET, lambda value: encode_value(sorted(value, key=value_hash))),
    (complex, _COMPLEX, lambda value: encode_value([value.real, value.imag])),
)

_UNPACKERS: dict[int, Callable[[bytes], Any]] = {
    _TUPLE: lambda data: tuple(decode_value(data)),
    _INTEGER: lambda data: int(data),
    _DATETIME: lambda data: datetime.fromisoformat(data.decode()),
    _DATE: lambda data: date.fromisoformat(data.decode()),
    _TIME: lambda data: time.fromisoformat(data.decode()),
    _DURATION: lambda data: timedelta(*decode_value(data)),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _SET: lambda data: set(decode_value(data)),
    _FROZENSET: lambda data: frozenset(decode_value(data)),
    _COMPLEX: lambda data: complex(*decode_value(data)),
}


def _unpack_other(code: int, data: bytes) -> Any:
    unpack = _UNPACKERS.get(code)
    if unpack is None:
        raise PersistencyLoadError(f"saved values hold extension type {code}, which this version does not know")
    return unpack(data)
