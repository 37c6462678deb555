"""The journal of a push source: a stream table with what arrived, and how a job reads it.

A sender that is told that its records are kept forgets them, so they are on disk before. One process receives and
writes the journal; who reads the job's rows reads it there, at offsets that never change.

The table has two splits. The first has the records, each with its *place* (a topic, a sender, a path), when it was
received, and the header that says how it is written, where its sender gave one. The second has *marks*: what is known
of arrivals, in the same transaction as their records, so that one that is repeated is known again after a crash.

Two small files stand beside the table, both of no consequence if they are lost: `read`, the offset up to which the
records have been asked for, and `trouble`, why nothing arrives.
"""

import os
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TypeVar

import polars as pl

from actors.errors import SourceError
from actors.files import replace_file
from actors.model import Schema
from actors.source.protocol import SplitInfo
from actors.source.records import Block, Origin, Texts
from actors.source.transport.positions import PositionLog
from actors.source.transport.stream_table import StreamTableTransport
from actors.stream.table import DurableStreamTable, StreamLimits

T = TypeVar("T")

SCHEMA = Schema.from_mapping({"record": "STRING", "place": "STRING", "header": "STRING", "received": "MICROTIMESTAMP"})
"""Columns of a journal; bytes of a record are kept as the letters of the same numbers (Latin-1)."""

SPLIT_COUNT = 2
_RECORDS, _MARKS = 0, 1

SIZE_BYTES_MAX = 256 << 20
"""Bytes that a journal keeps unless the job says otherwise."""

_READ_FILE, _TROUBLE_FILE = "read", "trouble"
_OFFSET = struct.Struct("<q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is known of an arrival, to know it again."""

    key: str
    """What its sender calls it: a packet id, an idempotency key. The newest mark of a key counts."""

    digest: str
    """Hash of what came, or anything else that tells it from other things of that key."""


FORGET_ALL = Mark(key="", digest="")
"""Mark after which those before it count no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Records that arrived together and are kept together."""

    records: Sequence[bytes]
    place: str
    """Topic, sender or path."""

    received_us: int
    """When it arrived, in microseconds since 1970."""

    header: str | None = None
    """What its sender says of how the records are written; `None` where the format needs nothing."""

    mark: Mark | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the records."""
        return sum(map(len, self.records))


class PushJournal:
    """What writes a journal; `marks_max` is how many of the newest marks are remembered. The table stays the caller's.

    Raises:
        SourceError: the marks cannot be read.
    """

    def __init__(self, table: DurableStreamTable, limits: StreamLimits, marks_max: int) -> None:
        self._table = table
        self._limits = StreamLimits(size_bytes_max=SIZE_BYTES_MAX) if limits == StreamLimits() else limits
        self._marks_max = marks_max
        self._marks: OrderedDict[str, str] = OrderedDict()
        self.say(None)
        bounds = table.bounds(_MARKS)
        frame, _ = table.read(_MARKS, max(bounds.earliest_offset, bounds.next_offset - marks_max), marks_max)
        for key, digest in frame.select("record", "place").iter_rows():
            self._remember(Mark(key=_bytes(key).decode(), digest=digest))

    def digest_of(self, key: str) -> str | None:
        """Return the digest of the newest mark of a key, `None` when it is not known."""
        return self._marks.get(key)

    def append(self, arrivals: Sequence[Arrival]) -> None:
        """Keep arrivals, all of them or none; they are on disk when it returns.

        Raises:
            ShardError: the disk is full, or the table is gone; nothing is kept.
        """
        marks = [(one.mark, one.received_us) for one in arrivals if one.mark is not None]
        parts: dict[int, pl.DataFrame] = {}
        if any(one.records for one in arrivals):
            parts[_RECORDS] = _frame_of(arrivals)
        if marks:
            parts[_MARKS] = _frame(
                [mark.key.encode() for mark, _ in marks],
                [mark.digest for mark, _ in marks],
                [None] * len(marks),
                [received for _, received in marks],
            )
        if parts:
            self._table.append_together(parts)
        for mark, _ in marks:
            self._remember(mark)
        self._trim()

    def has_room(self) -> bool:
        """Return whether what was not read yet takes less than half of what the journal keeps."""
        bounds, limits = self._table.bounds(_RECORDS), self._limits
        unread = bounds.next_offset - self._read_to()
        if limits.row_count_max is not None and unread * 2 > limits.row_count_max:
            return False
        kept = bounds.next_offset - bounds.earliest_offset
        return (
            limits.size_bytes_max is None or not kept or bounds.size_bytes / kept * unread * 2 <= limits.size_bytes_max
        )

    def say(self, trouble: str | None) -> None:
        """Tell who reads the job's rows why nothing arrives, or that all is well (`None`)."""
        path = self._table.directory / _TROUBLE_FILE
        if trouble is not None:
            replace_file(path, trouble.encode())
        else:
            path.unlink(missing_ok=True)

    def _remember(self, mark: Mark) -> None:
        if mark == FORGET_ALL:
            self._marks.clear()
            return
        self._marks[mark.key] = mark.digest
        self._marks.move_to_end(mark.key)
        while len(self._marks) > self._marks_max:
            self._marks.popitem(last=False)

    def _read_to(self) -> int:
        """Return the offset below which everything was asked for, as far as it is kept."""
        bounds = self._table.bounds(_RECORDS)
        try:
            data = (self._table.directory / _READ_FILE).read_bytes()
        except OSError:
            data = b""
        (offset,) = _OFFSET.unpack(data) if len(data) == _OFFSET.size else (0,)
        return min(max(int(offset), bounds.earliest_offset), bounds.next_offset)

    def _trim(self) -> None:
        """Give up what is beyond the limits, but nothing that was not read."""
        bounds, limits = self._table.bounds(_RECORDS), self._limits
        count, below = bounds.next_offset - bounds.earliest_offset, 0
        if limits.row_count_max is not None:
            below = bounds.next_offset - limits.row_count_max
        if limits.size_bytes_max is not None and bounds.size_bytes > limits.size_bytes_max:
            below = max(below, bounds.earliest_offset + int(count * (1 - limits.size_bytes_max / bounds.size_bytes)))
        if below > bounds.earliest_offset and (least := min(below, self._read_to())) > bounds.earliest_offset:
            self._table.trim(_RECORDS, least)
        marks = self._table.bounds(_MARKS)
        if marks.next_offset - marks.earliest_offset > 2 * self._marks_max:
            self._table.trim(_MARKS, marks.next_offset - self._marks_max)


class JournalTransport:
    """Brings the records of a journal; `place_name` is what the place of a record is called in `columns`."""

    is_finite = False

    def __init__(
        self, table: DurableStreamTable, place_name: str, positions: PositionLog | None = None, *, owns_table: bool
    ) -> None:
        self._table = table
        self._place_name = place_name
        self._inner = StreamTableTransport(table, positions, owns_table=owns_table)
        self._read_path = table.directory / _READ_FILE
        self._read: int | None = None

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the only split."""
        return (SplitInfo(number=0, name=self._table.name),)

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that the journal still has."""
        return self._inner.earliest_offset(split)

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Texts] | None:
        """Return records of one header from an offset on, `None` when there are none yet.

        Raises:
            SourceError: the offset is gone or was never reached, or nothing arrives and why is known.
        """
        self._note(offset)
        found = self._inner.block_at(split, offset, record_count)
        if found is None:
            self._raise_trouble()
            return None
        columns: Mapping[str, pl.Series] = found.content.columns
        header = columns["header"]
        others = (header.ne_missing(pl.Series([header[0]], dtype=header.dtype))).arg_true()
        count = int(others[0]) if len(others) else len(header)
        records = list(map(_bytes, columns["record"][:count].to_list()))
        meta = {
            self._place_name: columns["place"][:count],
            "$received": columns["received"][:count].cast(pl.Datetime("us")),
        }
        name = self._table.name
        return Block(
            origin=Origin(name=name, stem=name, header=None if header[0] is None else header[0].encode()),
            offsets=found.offsets[:count],
            next_offset=offset + count,
            content=Texts.of_messages(records, meta),
        )

    def close(self) -> None:
        """Close the table, if it belongs to this transport."""
        self._inner.close()

    def _note(self, offset: int) -> None:
        """Note how far the records were asked for, for who writes the journal."""
        if offset == self._read:
            return
        self._read = offset
        try:
            descriptor = os.open(self._read_path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(descriptor, _OFFSET.pack(offset), 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SourceError(f"{self._read_path}: cannot be written: {error.strerror or error}") from error

    def _raise_trouble(self) -> None:
        try:
            trouble = (self._table.directory / _TROUBLE_FILE).read_text()
        except OSError:
            return
        raise SourceError(trouble)


def _frame_of(arrivals: Sequence[Arrival]) -> pl.DataFrame:
    """Return the records of arrivals, made at once: one frame for each would cost more than all else."""
    counts = [len(one.records) for one in arrivals]
    return _frame(
        list(chain.from_iterable(one.records for one in arrivals)),
        _repeated([one.place for one in arrivals], counts),
        _repeated([one.header for one in arrivals], counts),
        _repeated([one.received_us for one in arrivals], counts),
    )


def _repeated(values: Sequence[T], counts: Sequence[int]) -> list[T]:
    return list(chain.from_iterable(map(repeat, values, counts)))


def _frame(
    records: Sequence[bytes], places: Sequence[str], headers: Sequence[str | None], received: Sequence[int]
) -> pl.DataFrame:
    texts = b"\0".join(records).decode("latin-1").split("\0")
    if len(texts) != len(records):
        texts = [one.decode("latin-1") for one in records]
    return pl.DataFrame(
        {
            "record": pl.Series(texts, dtype=pl.String),
            "place": pl.Series(places, dtype=pl.String),
            "header": pl.Series(headers, dtype=pl.String),
            "received": pl.Series(received, dtype=pl.Int64).cast(pl.Datetime("us")),
        }
    )


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
