"""Where transport and format meet: blocks of records with their positions.

A *transport* brings records of splits and knows their offsets: files, a stream table, the rows of a job file, a broker.
A *format* turns records into rows: CSV, NDJSON, log lines, typed columns. They meet in a `Block`, and
`actors.source.reading` makes a source of any pair, so that NDJSON over another transport is configuration.

What a block holds is its *content*: `Texts` (bytes, a span for each record), `Columns` (what is typed already),
`Fields` (named bytes) or `Values` (plain Python values). A format names the content that it reads; that is all it knows
of a transport.
"""

import codecs
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import polars as pl

from actors.model import ColumnType
from actors.source.protocol import Offsets, SplitInfo
from actors.source.times import temporal_unit_ns


class Content(Protocol):
    """Records as a transport brings them."""

    def __len__(self) -> int:
        """Return the number of records."""
        ...

    def raw(self, record: int) -> bytes:
        """Return one record as bytes, for its dead letter."""
        ...


_DAY_NS = 86_400_000_000_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""Days from 1970 to the first and the last that Python's dates know."""

C = TypeVar("C", bound=Content)
C_contra = TypeVar("C_contra", bound=Content, contravariant=True)
C_co = TypeVar("C_co", bound=Content, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run of records comes from, as far as a format needs it."""

    name: str
    """What people call it: a path, a topic."""

    stem: str
    """Value of the column `file`."""

    header: bytes | None = None
    """First line, if it names the columns; `None` where nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Records as spans of bytes, in ascending order and never touching; an empty span is no record."""

    content: bytes
    starts: Offsets
    """First byte of each record."""

    ends: Offsets
    """Byte after the last one of each record, without its line end."""

    are_lines: bool
    """Whether each record is a line of the content, and no record holds a line end."""

    meta: Mapping[str, pl.Series] = field(default_factory=dict)
    """What is known of each record beside its bytes, by names such as `$topic`."""

    tails: Mapping[int, bytes] = field(default_factory=dict)
    """Line ends that were taken for no part of a record, of messages that had any."""

    def __len__(self) -> int:
        return self.starts.size

    def raw(self, record: int) -> bytes:
        """Return the bytes of a record."""
        return self.content[self.starts[record] : self.ends[record]]

    def messages(self) -> list[bytes]:
        """Return the records as they came, for formats that are no text."""
        spans = enumerate(zip(self.starts.tolist(), self.ends.tolist(), strict=True))
        return [self.content[start:end] + self.tails.get(number, b"") for number, (start, end) in spans]

    @classmethod
    def of_lines(cls, content: bytes) -> "Texts":
        """Return the lines of a text; a carriage return before a line end belongs to it."""
        if not content:
            return cls(content=b"", starts=np.zeros(0, np.int64), ends=np.zeros(0, np.int64), are_lines=True)
        buffer = np.frombuffer(content, dtype=np.uint8)
        ends = np.flatnonzero(buffer == 10).astype(np.int64)
        if not content.endswith(b"\n"):
            ends = np.append(ends, len(content))
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1] + 1))
        before = buffer[np.maximum(ends - 1, 0)]
        return cls(content=content, starts=starts, ends=ends - ((before == 13) & (ends > starts)), are_lines=True)

    @classmethod
    def of_spans(cls, content: bytes, ends: Offsets, *, is_binary: bool = False) -> "Texts":
        """Return the records that end at some places; of text, behind their line ends, which the last one may lack."""
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1].astype(np.int64)))
        if is_binary:
            return cls(content=content, starts=starts, ends=ends.astype(np.int64), are_lines=False)
        buffer = np.frombuffer(content, dtype=np.uint8)
        bare = ends - ((buffer[ends - 1] == 10) & (ends > starts))
        bare -= (buffer[np.maximum(bare - 1, 0)] == 13) & (bare > starts) & (bare < ends)
        line_count = content.count(b"\n") + (not content.endswith(b"\n"))
        return cls(content=content, starts=starts, ends=bare.astype(np.int64), are_lines=line_count == ends.size)

    @classmethod
    def of_messages(cls, messages: Sequence[bytes], meta: Mapping[str, pl.Series] | None = None) -> "Texts":
        """Return messages, each a record by itself; a line end that closes one does not belong to its text."""
        content = b"\n".join(messages) + b"\n" if messages else b""
        if content.count(b"\n") == len(messages) and b"\r\n" not in content:
            # No message holds a line end, or closes with one.
            ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == 10)
            starts = np.concatenate((np.zeros(1, np.int64), ends + 1))[:-1]
            return cls(content=content, starts=starts, ends=ends, are_lines=True, meta=meta or {})
        bare = [message.removesuffix(b"\n").removesuffix(b"\r") for message in messages]
        lengths = np.fromiter(map(len, bare), dtype=np.int64, count=len(bare))
        starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths + 1)))[:-1]
        content = b"".join(message + b"\n" for message in bare)
        return cls(
            content=content,
            starts=starts,
            ends=starts + lengths,
            are_lines=content.count(b"\n") == len(bare),
            meta=meta or {},
            tails={
                number: message[len(text) :]
                for number, (message, text) in enumerate(zip(messages, bare, strict=True))
                if message.endswith(b"\n")
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Records as columns that are typed already, named as in the schema."""

    columns: Mapping[str, pl.Series]
    count: int

    def __len__(self) -> int:
        return self.count

    def raw(self, record: int) -> bytes:
        """Return a record as JSON."""
        return record_text({name: value_at(values, record) for name, values in self.columns.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Records as plain values of any types, in the order of the schema."""

    names: tuple[str, ...]
    rows: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def raw(self, record: int) -> bytes:
        """Return a record as JSON."""
        return record_text(dict(zip(self.names, self.rows[record], strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Records as fields with names, all of them bytes."""

    rows: Sequence[Mapping[bytes, bytes]]

    def __len__(self) -> int:
        return len(self.rows)

    def raw(self, record: int) -> bytes:
        """Return a record as JSON."""
        texts = {
            name.decode(errors="replace"): value.decode(errors="replace") for name, value in self.rows[record].items()
        }
        return record_text(texts)


BadRecord = tuple[int, str, bytes]
"""Offset, reason and bytes of a record that cannot become a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Generic[C_co]):
    """Consecutive records of a split."""

    origin: Origin
    offsets: Offsets
    """Offset of each record of the content, strictly increasing."""

    next_offset: int
    """Offset after the block; every record below it, from the first of the block on, is in it."""

    content: C_co
    bad: tuple[BadRecord, ...] = ()
    """Records of the block that the transport could not bring whole; the content is without them."""

    is_last: bool = False
    """Whether the split ends with this block for good."""

    def moved(self, distance: int) -> "Block[C_co]":
        """Return the block with all offsets moved by a distance."""
        if not distance:
            return self
        bad = tuple((offset + distance, reason, raw) for offset, reason, raw in self.bad)
        return replace(self, offsets=self.offsets + distance, next_offset=self.next_offset + distance, bad=bad)


class Transport(Protocol[C_co]):
    """Brings records of splits; reading an offset again brings the same records."""

    @property
    def is_finite(self) -> bool:
        """Whether splits end where they have no more records now."""
        ...

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits there are, in order of their numbers.

        Raises:
            SourceError: what is read cannot be reached, or is not what it was.
        """
        ...

    def earliest_offset(self, split: int) -> int:
        """Return the first offset of a split that can still be read."""
        ...

    def block_at(self, split: int, offset: int, record_count: int) -> Block[C_co] | None:
        """Return a block with the first record at or after an offset, or `None` when there is none yet.

        A block may be longer than the `record_count` records that are wanted, and begin before the offset.

        Raises:
            SourceError: the offset is gone or was never reached, or what is there cannot be read.
        """
        ...

    def close(self) -> None:
        """Give back files and handles; a second call does nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedRows:
    """Rows of the good records, and the reasons of the bad ones."""

    frame: pl.DataFrame
    """Canonical frame of the good records."""

    rows: Offsets
    """Place of each row: the number of its record among those given, times `rows_max` of the format, plus its number
    among the rows of the record."""

    faults: Mapping[int, str]
    """Place of each bad record, or of a bad row of a good one -> what is wrong with it."""

    def among(self, numbers: Offsets, faults: Mapping[int, str]) -> "DecodedRows":
        """Return the rows of a choice, by the places that these have among all, and the other bad ones."""
        own = {int(numbers[row]): reason for row, reason in self.faults.items()}
        return DecodedRows(frame=self.frame, rows=numbers[self.rows], faults={**own, **faults})

    @classmethod
    def joined(cls, parts: Sequence["DecodedRows"], faults: Mapping[int, str]) -> "DecodedRows":
        """Return the rows of one part or several, by places that no two share, in their order, and other bad ones."""
        whole = parts[0]
        if len(parts) > 1:
            rows = np.concatenate([part.rows for part in parts])
            order = np.argsort(rows, kind="stable")
            whole = cls(
                frame=pl.concat([part.frame for part in parts])[order],
                rows=rows[order],
                faults={place: reason for part in parts for place, reason in part.faults.items()},
            )
        return replace(whole, faults={**whole.faults, **faults}) if faults else whole

    def without(self, bad: Mapping[int, str]) -> "DecodedRows":
        """Return the rows without some records, which are bad for another reason."""
        if not bad:
            return self
        keep = ~np.isin(self.rows, np.fromiter(bad, dtype=np.int64, count=len(bad)))
        return DecodedRows(
            frame=self.frame.filter(pl.Series(keep)), rows=self.rows[keep], faults={**self.faults, **bad}
        )


class Format(Protocol[C_contra]):
    """Turns records into rows; each record is judged by itself."""

    @property
    def rows_max(self) -> int:
        """Rows that a record may become: offsets of rows are those of records times this, plus a number below it."""
        ...

    @property
    def fields(self) -> Mapping[str, str]:
        """Columns that some record should have a value for, each with its name in the records."""
        ...

    def decoder(self, origin: Origin) -> Callable[[C_contra], DecodedRows]:
        """Return what decodes the records of an origin.

        Raises:
            SourceError: the origin cannot have rows of this format, say because its header lacks a column.
        """
        ...


def find_unreadable(texts: Texts, size_bytes_max: int) -> dict[int, str]:
    """Return the records that no format of text can read, and why."""
    faults = dict.fromkeys(find_bad_text(texts), "the line is not UTF-8 text")
    for record in np.flatnonzero(texts.ends - texts.starts > size_bytes_max).tolist():
        faults[record] = f"the line is longer than {size_bytes_max} bytes"
    return faults


def find_bad_text(texts: Texts) -> list[int]:
    """Return the records that are not UTF-8."""
    bad: list[int] = []
    view = memoryview(texts.content)
    position = 0
    while position < len(texts.content):
        try:
            codecs.utf_8_decode(view[position:], "strict", True)
            break
        except UnicodeDecodeError as error:
            record = int(np.searchsorted(texts.starts, position + error.start, side="right")) - 1
            bad.append(record)
            position = int(texts.starts[record + 1]) if record + 1 < len(texts) else len(texts.content)
    return bad


def record_text(record: Mapping[str, Any]) -> bytes:
    """Return a record that never was text as JSON, for its dead letter."""
    return json.dumps(record, default=str, ensure_ascii=False).encode("utf-8", "replace")


def value_at(values: pl.Series, row: int) -> Any:
    """Return one value for people; a date beyond the calendar is its number, because converting it would be fatal."""
    if isinstance(values.dtype, pl.Datetime | pl.Date | pl.Duration):
        number = values.slice(row, 1).cast(pl.Int64)[0]
        unit_ns = temporal_unit_ns(values.dtype, ColumnType.TIMESTAMP)
        if number is not None and (unit_ns is None or not _FIRST_DAY <= number * unit_ns // _DAY_NS <= _LAST_DAY):
            return f"{number} {getattr(values.dtype, 'time_unit', 'days')}"
    return values[row]
