"""Values as bytes between processes of one cluster: msgpack, with our own dataclasses, named tuples and enums by name.

Lists and tuples are told apart, because payloads of events contain both. A class is found by module and name, and
counts only if it is one of these, or an error, of our own packages: bytes can make values, and do nothing else.
Whoever sends them has proved to be of the cluster, so fields are not looked at; `raft.shapes` does that for what is
kept.
"""

import dataclasses
import importlib
from enum import Enum
from typing import Any, Final

import msgpack

from actors.errors import TocsinError
from cluster.errors import ClusterError
from raft.errors import FormatError, RaftError

PACKAGES: Final = frozenset({"actors", "cluster", "config", "raft"})
"""Packages whose classes may travel."""

_RECORD, _TUPLE, _ENUM, _ERROR, _INTEGER, _SET, _NAMED_TUPLE = range(1, 8)


def encode_value(value: object) -> bytes:
    """Return the bytes of a value.

    Raises:
        TypeError: it holds something that does not travel.
    """
    return bytes(msgpack.packb(value, default=_extended, strict_types=True))


def decode_value(data: bytes) -> Any:
    """Return the value that `encode_value` wrote.

    Raises:
        FormatError: the bytes hold none.
    """
    try:
        return msgpack.unpackb(data, ext_hook=_restored, strict_map_key=False, use_list=True)
    except Exception as error:  # msgpack and constructors raise what they meet
        raise FormatError(f"{len(data)} bytes are no value: {error}") from error


def _extended(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        return msgpack.ExtType(_TUPLE, encode_value(list(value)))
    if isinstance(value, tuple):
        return msgpack.ExtType(_NAMED_TUPLE, encode_value([*_name(kind), list(value)]))
    if isinstance(value, Enum):
        return msgpack.ExtType(_ENUM, encode_value([*_name(kind), value.name]))
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return msgpack.ExtType(_RECORD, encode_value([*_name(kind), fields]))
    if isinstance(value, BaseException):
        return msgpack.ExtType(_ERROR, encode_value([*_name(kind), str(value)]))
    if isinstance(value, int):
        return msgpack.ExtType(_INTEGER, str(int(value)).encode("ascii"))
    if isinstance(value, set | frozenset):
        return msgpack.ExtType(_SET, encode_value(list(value)))
    if isinstance(value, dict):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a {kind.__module__}.{kind.__qualname__} does not travel between processes")


def _name(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _restored(code: int, data: bytes) -> Any:
    if code == _INTEGER:
        return int(data)
    parts = decode_value(data)
    if code == _TUPLE:
        return tuple(parts)
    if code == _SET:
        return frozenset(parts)
    module, name, content = parts
    if code == _ERROR:
        return _error(module, name, content)
    kind = _find(module, name)
    if code == _ENUM and issubclass(kind, Enum):
        return kind[content]
    if code == _NAMED_TUPLE and issubclass(kind, tuple):
        return kind(*content)
    if code == _RECORD and dataclasses.is_dataclass(kind):
        return kind(**content)
    raise FormatError(f"{module}.{name} is not what it is said to be")


def _find(module: str, name: str) -> type:
    if module.partition(".")[0] not in PACKAGES:
        raise FormatError(f"{module}.{name} is none of our classes")
    kind = getattr(importlib.import_module(module), name)
    if not isinstance(kind, type):
        raise FormatError(f"{module}.{name} is no class")
    return kind


def _error(module: str, name: str, text: str) -> Exception:
    """Return an error of ours as it was raised there, and others as a `ClusterError` that names them."""
    if module.partition(".")[0] in PACKAGES:
        kind = _find(module, name)
        if issubclass(kind, TocsinError | RaftError):
            return kind(text)
    return ClusterError(f"{name}: {text}")
