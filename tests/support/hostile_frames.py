"""Bytes that strangers and faulty members send: real ones, changed a little, and others made up."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    5,
    1 << 62,
    (1 << 63) - 1,
    (1 << 64) - 1,
    -(1 << 63),
    1.5,
    float("nan"),
    float("inf"),
    "",
    "type",
    "a..b:80",
    "x" * 2000,
    b"",
    b"\x00",
    b"\x07new",
    (),
    (1, 2, 3),
    (5, b""),
    {},
    {"type": "append_entries"},
    msgpack.Timestamp(0, 0),
    msgpack.ExtType(7, b"x"),
)
"""Values of every type, in the places of others."""

ODD_FRAMES = (
    b"",
    b"\x05",
    b"\xc1",
    b"\x80\x04pickle",
    b"\x91" * 5000,
    b"\x81" * 5000,
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xd9\x02\xff\xfe",
    b"\x81\x90\x90",
    b"\x81\x80\x80",
    b"\xd6\xff\xff\xff\xff\xff",
    msgpack.packb((1, 2, 3)),
    msgpack.packb((5, b"")),
    msgpack.packb((b"", b"")),
    msgpack.packb(("", b"")),
)
"""Frames that are nothing, or nearly something."""


def changed_frames(dice: random.Random, frames: list[bytes], count: int) -> Iterator[bytes]:
    """Yield frames with a few bytes or one value changed, and all the odd ones."""
    yield from ODD_FRAMES
    changes: tuple[Callable[[random.Random, bytes], bytes], ...] = (_changed_bytes, _cut, _changed_value)
    for _ in range(count):
        yield dice.choice(changes)(dice, dice.choice(frames))


def _changed_bytes(dice: random.Random, frame: bytes) -> bytes:
    changed = bytearray(frame)
    for _ in range(dice.randint(1, 3)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(dice: random.Random, frame: bytes) -> bytes:
    cut = dice.randrange(len(frame))
    return frame[:cut] if dice.random() < 0.5 else frame + frame[cut:]


def _changed_value(dice: random.Random, frame: bytes) -> bytes:
    """Put an odd value in the place of one, also inside of packed bytes, which a byte for their kind may precede."""
    kind = frame[:1] if frame[:1] in (b"\x00", b"\x02") else b""
    value = msgpack.unpackb(frame[len(kind) :], use_list=False, strict_map_key=False)
    return kind + bytes(msgpack.packb(_with_odd_value(dice, value)))


def _with_odd_value(dice: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and dice.random() < 0.9:
        name = dice.choice(list(value))
        if dice.random() < 0.15:
            return {key: one for key, one in value.items() if key != name}
        return {**value, name: _with_odd_value(dice, value[name])}
    if isinstance(value, tuple) and value and dice.random() < 0.9:
        at = dice.randrange(len(value))
        return (*value[:at], _with_odd_value(dice, value[at]), *value[at + 1 :])
    if isinstance(value, bytes) and len(value) > 1 and dice.random() < 0.7:
        try:
            return _changed_value(dice, value)
        except (ValueError, TypeError, msgpack.UnpackException):
            # Random bytes, such as a nonce, may begin like a value whose keys cannot be keys of Python.
            return _changed_bytes(dice, value)
    if isinstance(value, int) and dice.random() < 0.4:
        return value + dice.choice((-1, 1, 2))
    return dice.choice(ODD_VALUES)
