"""Payloads as bytes: a kind and what it means.

JSON is kept as msgpack, and as JSON text where msgpack cannot hold it (integers beyond 64 bits). Encoding happens when
an event is registered, so that later changes by the caller are not seen and what cannot be stored is refused at once.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgpack

from actors.store.events.event import BinaryPayload, JsonPayload, Payload

NONE, JSON, JSON_TEXT, BINARY = 0, 1, 2, 3
"""Kinds of payload bytes: no payload, msgpack of a JSON value, JSON text, msgpack of [type, bytes]."""

_SCALARS = (str, int, float, bool, type(None))
_PLAIN, _STRING = frozenset(_SCALARS), frozenset({str})


class _Local(threading.local):
    """A packer per thread: making one for each payload costs more than packing it."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(unicode_errors="surrogatepass")
        # Takes two thirds of the time, and refuses texts with half a letter.
        self.strict_packer = msgpack.Packer()


_LOCAL = _Local()


def encode_payload(payload: Payload) -> tuple[int, bytes]:
    """Return kind and bytes of a payload.

    Raises:
        ValueError: it is neither JSON nor binary.
    """
    if payload is None:
        return NONE, b""
    if isinstance(payload, BinaryPayload):
        return BINARY, _encode_binary(payload)
    if isinstance(payload, JsonPayload):
        return encode_json(payload.data)
    raise ValueError(f"a payload of {type(payload).__name__}; use JsonPayload, BinaryPayload or None")


def encode_json(data: Any) -> tuple[int, bytes]:
    """Return kind and bytes of a JSON value.

    Raises:
        ValueError: it holds something that JSON has not.
    """
    try:
        _check_json(data)
        return JSON, _LOCAL.packer.pack(data)
    except OverflowError:
        _LOCAL.packer.reset()
        return JSON_TEXT, json.dumps(data).encode("ascii")
    except RecursionError:
        _LOCAL.packer.reset()
        raise ValueError("the JSON payload is nested too deeply; flatten it") from None


def encode_plain(payloads: Sequence[Payload]) -> list[bytes] | None:
    """Return the bytes of flat mappings as JSON payloads, `None` when one is anything else."""
    if set(map(type, payloads)) != {JsonPayload}:
        return None
    values = list(map(itemgetter(0), payloads))  # type: ignore[arg-type]
    # Keys are mostly the same in all: few are left to look at.
    if set(map(type, values)) != {dict} or not set(map(type, set().union(*values))) <= _STRING:
        return None
    if not set(map(type, chain.from_iterable(map(dict.values, values)))) <= _PLAIN:
        return None
    try:
        return list(map(_LOCAL.strict_packer.pack, values))
    except (OverflowError, UnicodeEncodeError):
        _LOCAL.strict_packer.reset()
        return None


def decode_payload(kind: int, data: bytes) -> Payload:
    """Return the payload of that kind and those bytes."""
    if kind == JSON:
        return JsonPayload(msgpack.unpackb(data, unicode_errors="surrogatepass"))
    if kind == NONE:
        return None
    if kind == JSON_TEXT:
        return JsonPayload(json.loads(data))
    return BinaryPayload(*msgpack.unpackb(data, unicode_errors="surrogatepass"))


def decode_many(data: bytes) -> Iterator[Any]:
    """Return the JSON values that stand one after the other as msgpack."""
    unpacker = msgpack.Unpacker(max_buffer_size=0, unicode_errors="surrogatepass")
    unpacker.feed(data)
    return iter(unpacker)


def _encode_binary(payload: BinaryPayload) -> bytes:
    if not isinstance(payload.type, str) or not isinstance(payload.data, bytes | bytearray | memoryview):
        raise ValueError("a binary payload needs a string as type and bytes as data; convert them")
    return bytes(msgpack.packb([payload.type, bytes(payload.data)], unicode_errors="surrogatepass"))


def _check_json(data: Any) -> None:
    if isinstance(data, _SCALARS):
        return
    if isinstance(data, dict):
        # The usual payload is a flat mapping: two set operations in C instead of a loop.
        if set(map(type, data)) <= _STRING and set(map(type, data.values())) <= _PLAIN:
            return
        for key, value in data.items():
            if not isinstance(key, str):
                raise ValueError(f"the JSON payload has the key {key!r}; keys are strings")
            if not isinstance(value, _SCALARS):
                _check_json(value)
    elif isinstance(data, list | tuple):
        for value in data:
            if not isinstance(value, _SCALARS):
                _check_json(value)
    else:
        raise ValueError(f"the JSON payload holds a {type(data).__name__}, which JSON has not; convert it")
