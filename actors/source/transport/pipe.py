"""A pipe as a transport: the standard input of a run, cut into records and kept in a journal.

It is read when its records are wanted and no sooner, so that a writer that is faster waits. What has no line end yet is
a record when the pipe is closed.
"""

import os
import select
from dataclasses import dataclass, field
from itertools import pairwise

from actors.source.protocol import SplitInfo
from actors.source.records import Block, Texts
from actors.source.transport.journal import RecordJournal
from actors.source.transport.lines import LineFraming, RecordEnds

PULL_SIZE_BYTES = 4 << 20
"""Bytes that are taken from the pipe at once, at most."""

WAIT_MS = 50
"""Milliseconds that a read waits for the pipe when nothing is there."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PIPE_SIZE_BYTES = 1 << 18
_HEADER_SIZE_BYTES_MAX = 1 << 20


@dataclass(slots=True)
class RecordCutter:
    """Cuts bytes that arrive in pieces into records, the first line being the header where there is one."""

    framing: LineFraming

    header: bytes | None = None
    """The first line, once it is whole."""

    _rest: bytearray = field(default_factory=bytearray)
    """Bytes of the records that are not whole; of a long one its beginning."""

    _is_first: bool = True
    _is_cut: bool = False
    """Whether the rest of a line that is too long is still to come."""

    def cut(self, data: bytes, *, is_end: bool = False) -> list[bytes]:
        """Return the records that are whole now; too long ones are cut to a byte more than they may have."""
        if self._is_cut:
            end = data.find(b"\n") + 1
            if not end and not is_end:
                return []
            self._is_cut = False
            data = data[end:] if end else b""
            done = [bytes(self._rest)]
            self._rest.clear()
            return done + self.cut(data, is_end=is_end)
        self._rest += data
        whole = len(self._rest) if is_end else self._rest.rfind(b"\n") + 1
        text = bytes(self._rest[:whole])
        if self.framing.record_ends is not None:
            return self._cut_by_ends(self.framing.record_ends, is_end=is_end)
        if self._is_first and text:
            self._is_first = False
            text = self._after_start(text)
        if self.framing.beginnings is not None:
            records, kept = self._groups(text, is_end=is_end)
            del self._rest[: whole - kept]
            # Lines that belong together without an end must not fill the memory.
            limit = self.framing.record_size_bytes_max + 1
            if len(self._rest) > 2 * limit:
                self._rest = bytearray(self._rest[:limit].rstrip(b"\n") + self._rest[-limit:])
            return records
        del self._rest[:whole]
        limit = self.framing.record_size_bytes_max + 1
        if len(self._rest) > (max(limit, _HEADER_SIZE_BYTES_MAX) if self._is_first else limit):
            del self._rest[limit:]
            self._is_cut = True
        records = text.split(b"\n")
        if not records[-1]:
            records.pop()
        return [one[:limit] for one in records] if len(text) > limit else records

    def _cut_by_ends(self, find: RecordEnds, *, is_end: bool) -> list[bytes]:
        """Return the records that are whole now, of which each may be several lines."""
        limit = self.framing.record_size_bytes_max + 1
        has_mark = self._is_first and self._rest.startswith(_BYTE_ORDER_MARK)
        skipped = len(_BYTE_ORDER_MARK) if has_mark else 0
        text = bytes(self._rest[skipped:])
        ends = find(text, is_end).tolist()
        records = [text[low:high].removesuffix(b"\n").removesuffix(b"\r") for low, high in pairwise([0, *ends])]
        del self._rest[: skipped + ends[-1] if ends else 0]
        if self._is_first and records:
            self._is_first = False
            if self.framing.has_header:
                self.header = records.pop(0)
        if len(self._rest) > (max(2 * limit, _HEADER_SIZE_BYTES_MAX) if self._is_first else 2 * limit):
            # A line without an end.
            del self._rest[limit:]
            self._is_cut = True
        return [one[:limit] for one in records]

    def _after_start(self, text: bytes) -> bytes:
        text = text.removeprefix(_BYTE_ORDER_MARK)
        if not self.framing.has_header:
            return text
        header, _, text = text.partition(b"\n")
        self.header = header.rstrip(b"\r")
        return text

    def _groups(self, text: bytes, *, is_end: bool) -> tuple[list[bytes], int]:
        """Return the records of lines that belong together, and how many bytes at the end are not whole yet."""
        assert self.framing.beginnings is not None
        starts = list(self.framing.beginnings(text)) if text else []
        if not starts and not is_end:
            return [], len(text)
        bounds = [*([0] if starts[:1] != [0] else []), *starts, *([len(text)] if is_end else [])]
        limit = self.framing.record_size_bytes_max + 1
        records = [text[low:high].rstrip(b"\r\n")[:limit] for low, high in pairwise(bounds) if low < high]
        return records, len(text) - bounds[-1]


class PipeTransport:
    """Brings the records of a pipe, given by its descriptor, which stays the caller's."""

    def __init__(self, descriptor: int, journal: RecordJournal, framing: LineFraming) -> None:
        self._descriptor = descriptor
        self._journal = journal
        self._cutter = RecordCutter(framing)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._has_ended = False

    @property
    def is_finite(self) -> bool:
        """Whether the pipe has been closed, so that what is here is all."""
        return self._has_ended

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the only split."""
        return (SplitInfo(number=0, name=self._journal.origin.name),)

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that the journal has."""
        del split
        return self._journal.earliest_offset

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Texts] | None:
        """Return records of the journal, or, after those, of the pipe; `None` when there are none yet.

        Raises:
            SourceError: the offset is gone or was never reached, or the header is another one than before.
            ShardError: the journal cannot be written.
        """
        del split
        if offset == self._journal.next_offset:
            self._pull()
        return self._journal.block_at(offset, record_count)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _pull(self) -> None:
        records: list[bytes] = []
        size, wait_ms = 0, WAIT_MS
        while size < PULL_SIZE_BYTES and not self._has_ended and self._poll.poll(wait_ms):
            data = os.read(self._descriptor, _PIPE_SIZE_BYTES)
            self._has_ended = not data
            size += len(data)
            records += self._cutter.cut(data, is_end=self._has_ended)
            wait_ms = 0
        if self._cutter.header is not None:
            self._journal.set_header(self._cutter.header)
        self._journal.append(records)
