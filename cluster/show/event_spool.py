"""A spool: events on their way to a file whose columns are known only when all have been seen.

They wait in memory, and in a temporary file once they are many, so an export of any length takes bounded memory.
"""

import struct
import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import msgpack

from actors.store import Event, EventId, Timestamp
from actors.store.events.payloads import decode_payload, encode_payload

MEMORY_SIZE_BYTES_MAX = 8 << 20
"""Bytes that wait in memory."""

_LENGTH = struct.Struct("<I")


class EventSpool:
    """Takes batches of events and gives them back in the same order; a context manager."""

    def __init__(self) -> None:
        # Closed when the context ends.
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_SIZE_BYTES_MAX)  # noqa: SIM115

    def add(self, events: Sequence[Event]) -> None:
        """Take a batch."""
        words = list(dict.fromkeys(event.type for event in events))
        numbers = {one: number for number, one in enumerate(words)}
        # Columns of plain numbers, because lists inside of lists are slow to make again.
        columns = [
            words,
            [numbers[event.type] for event in events],
            [number for event in events for number in event.id],
            [number for event in events for number in event.timestamp],
            [event.source_timestamp is not None for event in events],
            [number for event in events for number in event.source_timestamp or ()],
            [part for event in events for part in encode_payload(event.payload)],
        ]
        data = msgpack.packb(columns, unicode_errors="surrogatepass")
        self._file.write(_LENGTH.pack(len(data)))
        self._file.write(data)

    def batches(self) -> Iterator[list[Event]]:
        """Yield the batches from the beginning."""
        self._file.seek(0)
        while head := self._file.read(_LENGTH.size):
            data = self._file.read(*_LENGTH.unpack(head))
            yield _events(msgpack.unpackb(data, unicode_errors="surrogatepass"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _events(columns: list[Any]) -> list[Event]:
    words, types, ids, times, has_source, sources, payloads = columns
    types_by_number = [tuple(one) for one in words]
    found = map(Timestamp, sources[::2], sources[1::2])
    return list(
        map(
            Event,
            map(EventId, ids[::3], ids[1::3], ids[2::3]),
            map(types_by_number.__getitem__, types),
            map(Timestamp, times[::2], times[1::2]),
            [next(found) if has else None for has in has_source],
            map(decode_payload, payloads[::2], payloads[1::2]),
        )
    )
