"""A spool: events on their way to a file whose columns are known only when all have been seen.

They wait in memory, and in a temporary file once they are many, so an export of any length takes bounded memory.
"""

import struct
import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import msgpack

from actors.store import Event, EventId, Timestamp
from actors.store.payloads import decode_payload, encode_payload

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
        rows = [
            (event.id, event.type, event.timestamp, event.source_timestamp, *encode_payload(event.payload))
            for event in events
        ]
        data = msgpack.packb(rows, unicode_errors="surrogatepass")
        self._file.write(_LENGTH.pack(len(data)))
        self._file.write(data)

    def batches(self) -> Iterator[list[Event]]:
        """Yield the batches from the beginning."""
        self._file.seek(0)
        while head := self._file.read(_LENGTH.size):
            rows = msgpack.unpackb(self._file.read(*_LENGTH.unpack(head)), unicode_errors="surrogatepass")
            yield [
                Event(
                    EventId(*name),
                    tuple(words),
                    Timestamp(*time),
                    source and Timestamp(*source),
                    decode_payload(kind, data),
                )
                for name, words, time, source, kind, data in rows
            ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
