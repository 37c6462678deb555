"""MessagePack: each message is an object, whose rows are found as those of JSON, or an array of the schema's columns.

In a file objects follow each other without anything between them.

With `explode: .` a message may be an array of such objects or arrays, each of which is a row. Times of the kind that
MessagePack has itself become ISO text.
"""

from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np

from actors.model import ColumnType
from actors.source.decoding import RowRules
from actors.source.format.ndjson import NdjsonReader
from actors.source.format.text import TextFormat, field_names
from actors.source.protocol import Offsets
from actors.source.records import Texts
from actors.source.transport.lines import LineFraming
from actors.time_text import time_text
from config.formats import MsgpackFormatSettings

WHOLE = "."
"""What `explode` calls the message itself."""


class MsgpackReader:
    """Reads messages, looking into objects as `NdjsonReader` does; `names` are those of the values of an array."""

    def __init__(self, settings: MsgpackFormatSettings, objects: NdjsonReader, names: Sequence[str]) -> None:
        self._objects = objects
        self._names = tuple(names)
        self._is_exploded = settings.explode == WHOLE
        self._size_bytes_max = settings.record_size_bytes_max

    def read(self, texts: Texts) -> tuple[dict[str, list[Any]], Offsets, dict[int, str]]:
        """Return the values of the good rows by column, the places of these, and what is wrong at others."""
        numbers: list[int] = []
        objects: list[dict[str, Any]] = []
        faults: dict[int, str] = {}
        for number, message in enumerate(texts.messages()):
            if not message:
                continue
            found = self._object(message)
            if isinstance(found, str):
                faults[number] = found
            else:
                numbers.append(number)
                objects.append(found)
        return self._objects.rows_of(numbers, objects, faults)

    def _object(self, message: bytes) -> dict[str, Any] | str:
        """Return the object that a message is, or what is wrong with it."""
        if len(message) > self._size_bytes_max:
            return f"the message is longer than {self._size_bytes_max} bytes"
        try:
            found = msgpack.unpackb(message, strict_map_key=False, timestamp=0)
        except UnicodeDecodeError:
            return "the message holds text that is not UTF-8"
        except msgpack.ExtraData:
            return "the message is longer than its MessagePack; write one object a message"
        except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
            return f"the message is no MessagePack: {str(error) or type(error).__name__}"
        if self._is_exploded:
            elements = found if isinstance(found, list) else [found]
            return {WHOLE: [self._named(one) for one in elements]}
        named = self._named(found)
        return named if isinstance(named, dict) else self._explain(found)

    def _named(self, found: Any) -> Any:
        """Return an object, or an array of as many values as there are columns, with names and plain times."""
        if isinstance(found, list) and len(found) == len(self._names) and not any(map(_is_nested, found)):
            found = dict(zip(self._names, found, strict=True))
        return _plain(found) if isinstance(found, dict) else found

    def _explain(self, found: Any) -> str:
        if isinstance(found, list) and found and all(map(_is_nested, found)):
            return f"the message is an array of {len(found)}; say `explode: {WHOLE}` to make each a row"
        if isinstance(found, list):
            return f"the array has {len(found)} values; the schema has {len(self._names)} columns"
        return f"the message is a {type(found).__name__}; write an object or an array"


def object_ends(content: bytes, is_all: bool) -> Offsets:
    """Return where objects end that follow each other without anything between them.

    Raises:
        ValueError: at some place there is no MessagePack; what comes after cannot be told apart.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(content), 1), strict_map_key=False)
    unpacker.feed(content)
    ends: list[int] = []
    is_torn = False
    while True:
        try:
            unpacker.skip()
        except msgpack.OutOfData:
            is_torn = True
            break
        except (ValueError, msgpack.UnpackException) as error:
            if ends:
                # What is before it is read first.
                break
            raise ValueError("no MessagePack object; what comes after it cannot be told apart") from error
        ends.append(unpacker.tell())
    if is_all and is_torn and len(content) > (ends[-1] if ends else 0):
        # The last one was not written to its end.
        ends.append(len(content))
    return np.array(ends, dtype=np.int64)


def msgpack_format(settings: MsgpackFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format of MessagePack."""
    fields = field_names(rules.schema, settings.columns)
    reader = MsgpackReader(settings, NdjsonReader(settings, fields), list(fields.values()))
    framing = LineFraming(record_size_bytes_max=settings.record_size_bytes_max, record_ends=object_ends, is_binary=True)
    return TextFormat(rules, fields, framing, lambda _: reader, rows_max=settings.rows_max, columns=settings.columns)


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _plain(value: Any) -> Any:
    """Return a value with times as text and all names of objects as text."""
    if isinstance(value, msgpack.Timestamp):
        nanoseconds = value.to_unix_nano()
        is_near = -(2**63) <= nanoseconds < 2**63
        return time_text(ColumnType.NANOTIMESTAMP, nanoseconds) if is_near else str(value)
    if isinstance(value, dict):
        return {_name(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _name(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
