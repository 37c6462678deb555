"""Columns: events as arrays, the form in which they are pending, sorted, merged and put into blocks.

Times are ticks (microseconds); an array of times is int64, or holds Python integers (dtype object) when one of them
lies beyond 64 bits. All NumPy operations in use treat both alike. Payloads are one run of bytes and the offsets where
each begins. A *chunk* is whatever can show such columns and single payloads: columns themselves, or a block on disk
that decodes its parts when asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""One column."""

TICKS_MIN, TICKS_MAX = -(1 << 63), (1 << 63) - 1
"""Times between these are kept as int64."""

ROW_OVERHEAD_BYTES = 64
"""Bytes that a pending row takes beside its payload."""

WINDOW_BYTES_MAX = 512
"""Bytes of the longest payload up to which payloads are taken by arrays."""

_MANY = 256


class Chunk(Protocol):
    """Sorted rows with columns and payloads."""

    @property
    def time(self) -> Array:
        """Timestamps, ticks."""

    @property
    def source_time(self) -> Array:
        """Source timestamps, ticks; 0 where there is none."""

    @property
    def has_source(self) -> Array:
        """Whether there is a source timestamp."""

    @property
    def server(self) -> Array:
        """Server numbers."""

    @property
    def session(self) -> Array:
        """Session numbers."""

    @property
    def instance(self) -> Array:
        """Instance numbers."""

    @property
    def type_id(self) -> Array:
        """Numbers of the event types."""

    @property
    def kind(self) -> Array:
        """Kinds of the payloads."""

    @property
    def offsets(self) -> Array:
        """Where each payload begins in `data`, and the end."""

    @property
    def data(self) -> bytes:
        """All payloads."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Columns:
    """Events as arrays of one length; also a chunk."""

    time: Array
    """Timestamps, ticks."""

    source_time: Array
    """Source timestamps, ticks; 0 where there is none."""

    has_source: Array
    """Whether there is a source timestamp."""

    server: Array
    """Server numbers, uint64."""

    session: Array
    """Session numbers, uint64."""

    instance: Array
    """Instance numbers, uint64."""

    type_id: Array
    """Numbers of the event types, uint32."""

    kind: Array
    """Kinds of the payloads, uint8."""

    offsets: Array
    """Where each payload begins in `data`, and the end; int64, one longer than the others."""

    data: bytes
    """All payloads, one after the other."""

    def __len__(self) -> int:
        return len(self.type_id)

    def __repr__(self) -> str:
        return f"Columns({len(self)} rows, {len(self.data)} bytes of payloads)"

    @property
    def size_bytes(self) -> int:
        """About the memory that the rows take."""
        return len(self.data) + ROW_OVERHEAD_BYTES * len(self)

    def payload_lengths(self) -> Array:
        """Return the length of each payload, in bytes."""
        return np.diff(self.offsets)

    def validate(self) -> None:
        """Assert that the arrays fit together."""
        count = len(self)
        for name in ("time", "source_time", "has_source", "server", "session", "instance", "kind"):
            assert len(getattr(self, name)) == count, name
        assert len(self.offsets) == count + 1
        assert (self.offsets[0], self.offsets[-1]) == (0, len(self.data))
        assert (np.diff(self.offsets) >= 0).all()
        assert not self.source_time[~self.has_source].any()


def empty_columns() -> Columns:
    """Return columns without rows."""
    return make_columns([], [], [], [], [], [], [], [])


def make_columns(
    time: Sequence[int] | Array,
    source_time: Sequence[int | None],
    server: Sequence[int],
    session: Sequence[int] | Array,
    instance: Sequence[int] | Array,
    type_id: Sequence[int] | Array,
    kind: Sequence[int] | Array,
    payloads: Sequence[bytes],
) -> Columns:
    """Return columns of Python values."""
    return Columns(
        time=times(time),
        source_time=times([0 if value is None else value for value in source_time]),
        has_source=np.array([value is not None for value in source_time], dtype=bool),
        server=np.array(server, dtype=np.uint64),
        session=np.array(session, dtype=np.uint64),
        instance=np.array(instance, dtype=np.uint64),
        type_id=np.array(type_id, dtype=np.uint32),
        kind=np.array(kind, dtype=np.uint8),
        offsets=offsets_of(payloads),
        data=b"".join(payloads),
    )


def times(values: Sequence[int] | Array) -> Array:
    """Return times as int64, or as Python integers when one is beyond 64 bits."""
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        return np.array(values, dtype=object)


def offsets_of(payloads: Sequence[bytes]) -> Array:
    """Return where each payload begins when all are joined, and the end."""
    offsets = np.zeros(len(payloads) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, payloads), dtype=np.int64, count=len(payloads)), out=offsets[1:])
    return offsets


def slice_columns(columns: Columns, start: int, end: int) -> Columns:
    """Return rows `start` to `end` (exclusive)."""
    if start == 0 and end == len(columns):
        return columns
    offsets = columns.offsets[start : end + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    return Columns(
        time=columns.time[start:end],
        source_time=columns.source_time[start:end],
        has_source=columns.has_source[start:end],
        server=columns.server[start:end],
        session=columns.session[start:end],
        instance=columns.instance[start:end],
        type_id=columns.type_id[start:end],
        kind=columns.kind[start:end],
        offsets=offsets - first,
        data=columns.data[first:last],
    )


def take_columns(columns: Columns, rows: Array) -> Columns:
    """Return the rows of those numbers, in that order."""
    if len(rows) == len(columns) and bool(np.array_equal(rows, np.arange(len(rows)))):
        return columns
    starts = columns.offsets[:-1][rows]
    lengths = columns.offsets[1:][rows] - starts
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Columns(
        time=columns.time[rows],
        source_time=columns.source_time[rows],
        has_source=columns.has_source[rows],
        server=columns.server[rows],
        session=columns.session[rows],
        instance=columns.instance[rows],
        type_id=columns.type_id[rows],
        kind=columns.kind[rows],
        offsets=offsets,
        data=_pieces(columns.data, starts, lengths),
    )


def _pieces(data: bytes, starts: Array, lengths: Array) -> bytes:
    """Return pieces of some bytes, one after the other."""
    count, longest = len(starts), int(lengths.max(initial=0))
    if count < _MANY or not 0 < longest <= WINDOW_BYTES_MAX or longest * count > 2 * int(lengths.sum()):
        ends = (starts + lengths).tolist()
        return b"".join([data[start:end] for start, end in zip(starts.tolist(), ends, strict=True)])
    # A row of bytes for each piece, as long as the longest; what stands behind the end of a shorter one is left out.
    windows: Array = np.ndarray((len(data) + 1,), dtype=f"V{longest}", buffer=data + bytes(longest), strides=(1,))
    taken = windows[starts].view(np.uint8).reshape(count, longest)
    return (taken if int(lengths.min()) == longest else taken[np.arange(longest) < lengths[:, None]]).tobytes()


def last_rows(type_ids: Array) -> dict[int, int]:
    """Return for each type the last row that has it."""
    count = len(type_ids)
    if count < _MANY or (end := int(type_ids.max()) + 1) > 4 * count:
        return dict(zip(type_ids.tolist(), range(count), strict=True))
    # Of rows of one type the last one's number stays.
    last = np.full(end, -1, dtype=np.int64)
    last[type_ids] = np.arange(count)
    present = np.flatnonzero(last >= 0)
    return dict(zip(present.tolist(), last[present].tolist(), strict=True))


def join_columns(parts: Sequence[Chunk]) -> Columns:
    """Return the rows of all parts, one after the other."""
    if not parts:
        return empty_columns()
    if len(parts) == 1 and isinstance(parts[0], Columns):
        return parts[0]
    # Where the payloads of each part begin in the joined bytes, and the end.
    ends = np.cumsum([0, *(int(part.offsets[-1]) for part in parts)])
    shifted = [part.offsets[:-1] + ends[number] for number, part in enumerate(parts)]
    return Columns(
        time=np.concatenate([part.time for part in parts]),
        source_time=np.concatenate([part.source_time for part in parts]),
        has_source=np.concatenate([part.has_source for part in parts]),
        server=np.concatenate([part.server for part in parts]),
        session=np.concatenate([part.session for part in parts]),
        instance=np.concatenate([part.instance for part in parts]),
        type_id=np.concatenate([part.type_id for part in parts]),
        kind=np.concatenate([part.kind for part in parts]),
        offsets=np.concatenate([*shifted, ends[-1:]]),
        data=b"".join(part.data for part in parts),
    )


def sort_rows(keys: Sequence[Array]) -> Array | None:
    """Return the order that sorts rows by the first key, then the next ones; `None` when they are sorted already."""
    first = keys[0]
    if len(first) < 2 or bool(np.all(first[1:] > first[:-1])):
        return None
    return np.lexsort([rank(key) for key in reversed(keys)])


def rank(key: Array) -> Array:
    """Return a key of machine integers in the same order (`lexsort` does not take Python integers)."""
    return np.unique(key, return_inverse=True)[1] if key.dtype == object else key


def cut_rows(columns: Columns, row_count_max: int, size_bytes_max: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of rows that become one block each; a range ends before its payloads exceed the size."""
    start, count = 0, len(columns)
    while start < count:
        end = min(start + row_count_max, count)
        if columns.offsets[end] - columns.offsets[start] > size_bytes_max:
            limit = columns.offsets[start] + size_bytes_max
            end = max(start + 1, int(np.searchsorted(columns.offsets, limit, side="right")) - 1)
        yield start, end
        start = end
