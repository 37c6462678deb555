"""Answers to commands, and the form of both in bytes: version, kind, and the fields by name.

Apart from `raft.commands`, because who only looks at the state of a group meets answers and no commands.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgpack

from raft.errors import FormatError
from raft.shapes import record, require, shown, unpack

FORMAT_VERSION: Final = 1
"""Version of the encoded commands and answers; the first value of each."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The command was applied."""

    epoch: int
    """Epoch after the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The command changed nothing."""

    reason: str
    """Why, and the way out, for people."""


Answer = Accepted | Refused


_ANSWERS: Final[Mapping[str, type[Answer]]] = {"Accepted": Accepted, "Refused": Refused}


def encode_answer(answer: Answer) -> bytes:
    """Return the answer's bytes."""
    return encode_kind(answer)


def decode_answer(data: bytes) -> Answer:
    """Return the answer that the bytes hold.

    Raises:
        FormatError: The bytes are no answer, or one of a later version.
    """
    return decode_kind(data, _ANSWERS, "answer")


def encode_kind(value: Any) -> bytes:
    """Return the bytes of a command or an answer: version, kind, fields by name."""
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    encoded: bytes = msgpack.packb((FORMAT_VERSION, type(value).__name__, fields), use_bin_type=True)
    return encoded


def decode_kind(data: bytes, kinds: Mapping[str, type[T]], what: str) -> T:
    """Return the value, one of the given kinds, every field of the type that is declared.

    Raises:
        FormatError: The bytes hold none, or one of a later version.
    """
    version, kind, fields = require(unpack(data, what), tuple[int, object, object], what)
    if version != FORMAT_VERSION:
        raise FormatError(f"format version {version} is unknown, known is {FORMAT_VERSION}; update this member")
    if not isinstance(kind, str) or kind not in kinds:
        raise FormatError(f"kind {shown(kind)} is unknown; update this member")
    return record(kinds[kind], fields)
