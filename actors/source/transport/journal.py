"""A journal of records that can be read only once: what arrives is kept, and read from there.

A pipe or a push gives each record once and forgets it. Its records are appended to a stream table before anything
else is done with them, so that a job that was killed reads them again at the same offsets. The table has one column;
bytes are kept as the letters of the same numbers (Latin-1), since a record may hold any. It has two splits: the
records, and the header that named their columns, if any.

Old records go when the journal is larger than its limit; until then nothing is lost.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from actors.errors import SourceError
from actors.model import Schema
from actors.source.records import Block, Origin, Texts
from actors.stream.table import DurableStreamTable, StreamLimits

SIZE_BYTES_MAX = 256 << 20
"""Bytes that a journal keeps unless the job says otherwise."""

_SCHEMA = Schema.from_mapping({"record": "STRING"})
_RECORDS, _HEADERS = 0, 1


class RecordJournal:
    """Records of one origin, in a stream table of their own; close it."""

    def __init__(self, directory: Path, limits: StreamLimits, name: str) -> None:
        self._table = DurableStreamTable.open(directory, _SCHEMA, split_count=2)
        self._limits = limits
        self._name = name
        headers, count = self._table.read(_HEADERS, 0, 1)
        self._header = _bytes(headers["record"][0]) if count else None

    @property
    def origin(self) -> Origin:
        """Where the records come from."""
        return Origin(name=self._name, stem=self._name, header=self._header)

    @property
    def next_offset(self) -> int:
        """Offset that the next record will have."""
        return self._table.bounds(_RECORDS).next_offset

    @property
    def earliest_offset(self) -> int:
        """First offset that is still there."""
        return self._table.bounds(_RECORDS).earliest_offset

    def append(self, records: Sequence[bytes]) -> None:
        """Append records; they are on disk when it returns. Those before them go, as far as limits say.

        Raises:
            ShardError: the disk is full; nothing is appended.
        """
        if records:
            texts = b"\0".join(records).decode("latin-1").split("\0")
            if len(texts) != len(records):
                texts = [one.decode("latin-1") for one in records]
            first = self._table.append(pl.DataFrame({"record": pl.Series(texts, dtype=pl.String)}), _RECORDS)
            self._trim(first)

    def _trim(self, unread: int) -> None:
        """Give up what is beyond the limits, but nothing from `unread` on."""
        bounds, limits = self._table.bounds(_RECORDS), self._limits
        count, below = bounds.next_offset - bounds.earliest_offset, 0
        if limits.row_count_max is not None:
            below = bounds.next_offset - limits.row_count_max
        if limits.size_bytes_max is not None and bounds.size_bytes > limits.size_bytes_max:
            beyond = 1 - limits.size_bytes_max / bounds.size_bytes
            below = max(below, bounds.earliest_offset + int(count * beyond))
        if min(below, unread) > bounds.earliest_offset:
            self._table.trim(_RECORDS, min(below, unread))

    def set_header(self, header: bytes) -> None:
        """Know the line that names the columns of what follows.

        Raises:
            SourceError: it is another one than before.
        """
        if self._header is None:
            self._table.append(pl.DataFrame({"record": [header.decode("latin-1")]}), _HEADERS)
            self._header = header
        elif self._header != header:
            raise SourceError(
                f"{self._name} begins with {header[:100]!r}, and before with {self._header[:100]!r}, which named the "
                "columns; begin anew: a job of another name, or `run` with another --directory"
            )

    def block_at(self, offset: int, record_count: int) -> Block[Texts] | None:
        """Return records from an offset on, `None` when there are none yet.

        Raises:
            SourceError: the offset is gone or was never reached.
        """
        frame, next_offset = self._table.read(_RECORDS, offset, record_count)
        if next_offset == offset:
            return None
        return Block(
            origin=self.origin,
            offsets=np.arange(offset, next_offset, dtype=np.int64),
            next_offset=next_offset,
            content=Texts.of_messages(list(map(_bytes, frame["record"].to_list()))),
        )

    def close(self) -> None:
        """Close the table; a second call does nothing."""
        self._table.close()


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
