"""Shapes: what bytes from a disk or a network must look like before anything uses what they hold.

A *shape* is written as annotations are: plain types (`bool` is no `int`), `X | None`, `tuple[...]`, `Mapping[...]`,
`Literal[...]`, `Annotated[X, rule]`, a `TypedDict`, or a dataclass, whose fields are looked at too. Decoding passes
through `unpack` and `require` and fails in one way only, by `FormatError`.
"""

import dataclasses
import functools
import itertools
import math
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgpack

from raft.errors import FormatError

T = TypeVar("T")
Predicate = Callable[[Any], bool]

COUNT_MAX: Final = (1 << 63) - 1
"""Largest index, term or number of a request that is taken; terms and indices are kept in 64 bits."""

Count = Annotated[int, lambda value: 0 <= value <= COUNT_MAX]
"""An index, a term, or the number of a request."""

LENGTH_MAX: Final = 1 << 20
"""Most elements of one array or map, and letters of one text, that are decoded."""

CONTAINER_COUNT_MAX: Final = 1 << 22
"""Most arrays and maps in one value: a byte each where they come from, a hundred and more in memory."""

Seconds = Annotated[float, math.isfinite]
"""A moment of somebody's clock."""


def unpack(data: bytes, what: str) -> object:
    """Return the value that msgpack bytes hold, arrays as tuples.

    Raises:
        FormatError: They hold none, or one beyond the limits above; `what` says what they were to be.
    """
    left = itertools.repeat(None, CONTAINER_COUNT_MAX)

    def count(container: Any) -> Any:
        next(left)
        return container

    # Fewer bytes cannot be more containers, and counting takes as long as decoding.
    hook = count if len(data) > CONTAINER_COUNT_MAX else None
    try:
        value: object = msgpack.unpackb(
            data,
            use_list=False,
            strict_map_key=False,
            max_array_len=LENGTH_MAX,
            max_map_len=LENGTH_MAX,
            max_str_len=LENGTH_MAX,
            max_ext_len=0,
            list_hook=hook,
            object_hook=hook,
        )
    except StopIteration:
        raise FormatError(f"{len(data)} bytes are no {what}: more than {CONTAINER_COUNT_MAX} arrays and maps") from None
    except Exception as error:  # msgpack raises what it meets: by depth, by key, by number, by text
        raise FormatError(f"{len(data)} bytes are no {what}: {error}") from error
    return value


def require(value: object, shape: Any, what: str) -> Any:
    """Return a value that has a shape.

    Raises:
        FormatError: It has not.
    """
    if not _predicate(shape)(value):
        raise FormatError(f"{what} is {shown(value)}, not {getattr(shape, '__name__', shape)}")
    return value


def record(kind: type[T], fields: object) -> T:
    """Return a value of a dataclass with these fields.

    Raises:
        FormatError: They are not its fields, or one has another shape than declared.
    """
    require(fields, Mapping[str, object], kind.__name__)
    assert isinstance(fields, dict)
    try:
        value = kind(**fields)
    except TypeError as error:
        raise FormatError(f"{shown(fields)} are no {kind.__name__}: {error}") from error
    for name, shape in _hints(typing.cast(type, kind)).items():
        require(getattr(value, name), shape, f"{kind.__name__}.{name}")
    return value


def shown(value: object) -> str:
    """Return a value as text for a message: short, and safe for values that are nested deeply."""
    return reprlib.repr(value)


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


@functools.cache
def _predicate(shape: Any) -> Predicate:
    """Return what tells whether a value has a shape; made once for each, because messages are many."""
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if shape is object:
        return lambda _: True
    if origin in (typing.Required, typing.NotRequired):
        return _predicate(arguments[0])
    if origin is Annotated:
        is_plain, rules = _predicate(arguments[0]), arguments[1:]
        return lambda value: is_plain(value) and all(rule(value) for rule in rules)
    if origin in (typing.Union, types.UnionType):
        choices = [_predicate(one) for one in arguments]
        return lambda value: any(fits(value) for fits in choices)
    if origin is typing.Literal:
        return lambda value: any(type(value) is type(one) and value == one for one in arguments)
    if origin is tuple:
        return _tuple_predicate(arguments)
    if origin is not None and issubclass(origin, Mapping):
        is_key, is_value = map(_predicate, arguments)
        return lambda value: type(value) is dict and all(is_key(key) and is_value(one) for key, one in value.items())
    if typing.is_typeddict(shape):
        needed, fields = shape.__required_keys__, {name: _predicate(one) for name, one in _hints(shape).items()}
        return lambda value: (
            type(value) is dict
            and needed <= value.keys() <= fields.keys()
            and all(fields[name](one) for name, one in value.items())
        )
    if dataclasses.is_dataclass(shape):
        parts = {name: _predicate(one) for name, one in _hints(typing.cast(type, shape)).items()}
        return lambda value: type(value) is shape and all(fits(getattr(value, n)) for n, fits in parts.items())
    return lambda value: type(value) is shape


def _tuple_predicate(parts: tuple[Any, ...]) -> Predicate:
    """Return what tells whether a value is a tuple of these parts, or of any number of the first one."""
    if len(parts) == 2 and parts[1] is Ellipsis:
        is_part = _predicate(parts[0])
        return lambda value: type(value) is tuple and all(map(is_part, value))
    are_parts = [_predicate(part) for part in parts]
    return lambda value: (
        type(value) is tuple
        and len(value) == len(are_parts)
        and all(fits(part) for fits, part in zip(are_parts, value, strict=True))
    )
