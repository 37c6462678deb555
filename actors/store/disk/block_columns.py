"""The columns of a block beside its payloads, each packed and read by itself.

Version 2, the present one: length of the head u32 little endian, head (msgpack list of forms, see
`actors.store.disk.packing`), section. Version 1 is read only: one msgpack list, deflated as a whole. In both, the
columns are times, source times minus times (0 without), which rows have a source time, servers, sessions, instances,
payload kinds, payload lengths. Times beyond 64 bits of microseconds stand in the list as pairs of seconds and
microseconds.
"""

import struct
from typing import Any

import msgpack
import numpy as np

from actors.store.disk.packing import Section, SectionWriter, pack_integers, unpack_integers
from actors.store.events.columns import TICKS_MAX, TICKS_MIN, Array, Columns, times
from actors.store.events.event import US_PER_S

TIME, SOURCE, HAS_SOURCE, SERVER, SESSION, INSTANCE, KIND, LENGTHS = range(8)
"""Positions of the columns."""

LENGTH = struct.Struct("<I")
"""Length of a head."""

_MASK = (1 << 64) - 1


def pack_columns(columns: Columns, *, with_lengths: bool, deflates: bool) -> bytes:
    """Return the columns as bytes."""
    writer = SectionWriter(deflates=deflates)
    wide = object in (columns.time.dtype, columns.source_time.dtype)
    forms: list[Any] = [
        _pack_wide(columns.time) if wide else pack_integers(columns.time, writer),
        _pack_wide(columns.source_time) if wide else pack_integers(_lag(columns), writer),
        pack_integers(columns.has_source.astype(np.int64), writer),
        pack_integers(columns.server, writer),
        pack_integers(columns.session, writer),
        pack_integers(columns.instance, writer),
        pack_integers(columns.kind.astype(np.int64), writer),
        pack_integers(columns.payload_lengths(), writer) if with_lengths else None,
    ]
    return with_head(forms, writer)


def with_head(head: list[Any], writer: SectionWriter) -> bytes:
    """Return length, head and section as bytes."""
    packed = bytes(msgpack.packb(head))
    return b"".join((LENGTH.pack(len(packed)), packed, writer.to_bytes()))


def head_size(part: bytes | memoryview) -> int:
    """Return how many of the bytes are length and head."""
    return LENGTH.size + int(LENGTH.unpack_from(part)[0])


class BlockColumns:
    """The columns of one block; each is unpacked when it is asked for."""

    def __init__(self, forms: list[Any], section: Section | None, row_count: int) -> None:
        """Take the head; `section` is `None` in version 1, whose list holds everything."""
        self._forms = forms
        self._section = section
        self._count = row_count
        # Columns that were asked for, by position; each has one item for each row of the block.
        self._known: dict[int, Array] = {}

    @property
    def time(self) -> Array:
        """Timestamps, ticks."""
        return self._get(TIME)

    @property
    def source_time(self) -> Array:
        """Source timestamps, ticks; 0 where there is none."""
        found = self._known.get(SOURCE)
        if found is None:
            form = self._forms[SOURCE]
            found = self._known[SOURCE] = _unpack_wide(form) if isinstance(form, dict) else self._source(form)
        return found

    @property
    def has_source(self) -> Array:
        """Whether there is a source timestamp."""
        found = self._known.get(HAS_SOURCE)
        if found is None:
            form = self._forms[HAS_SOURCE]
            if isinstance(form, bytes):
                found = np.unpackbits(np.frombuffer(form, np.uint8), count=self._count).view(bool)
            else:
                found = self._integers(form, HAS_SOURCE).astype(bool)
            self._known[HAS_SOURCE] = found
        return found

    @property
    def server(self) -> Array:
        """Server numbers."""
        return self._get(SERVER).view(np.uint64)

    @property
    def session(self) -> Array:
        """Session numbers."""
        return self._get(SESSION).view(np.uint64)

    @property
    def instance(self) -> Array:
        """Instance numbers."""
        return self._get(INSTANCE).view(np.uint64)

    @property
    def kind(self) -> Array:
        """Kinds of the payloads."""
        return self._get(KIND).astype(np.uint8)

    @property
    def offsets(self) -> Array:
        """Where each payload begins, and the end."""
        # One more than rows: from 0, never shrinking, to the length of all payloads.
        offsets = np.zeros(self._count + 1, dtype=np.int64)
        np.cumsum(self._get(LENGTHS), out=offsets[1:])
        return offsets

    def _get(self, number: int) -> Array:
        found = self._known.get(number)
        if found is None:
            form = self._forms[number]
            found = self._known[number] = _unpack_wide(form) if isinstance(form, dict) else self._integers(form, number)
        return found

    def _source(self, lag_form: list[Any]) -> Array:
        # Lags are modulo 2^64, so the sum is right whatever the signs; rows without source time have the lag 0.
        source = self._integers(lag_form, SOURCE).view(np.uint64) + self.time.view(np.uint64)
        if not self.has_source.all():
            source[~self.has_source] = 0
        return source.view(np.int64)

    def _integers(self, form: list[Any], number: int) -> Array:
        if self._section is not None:
            return unpack_integers(form, self._count, self._section)
        if number in (TIME, SERVER, SESSION, INSTANCE):
            return _unpack_steps(form, self._count).view(np.int64)
        return _unpack_distances(form, self._count).view(np.int64)


def _lag(columns: Columns) -> Array:
    lag = columns.source_time.view(np.uint64) - columns.time.view(np.uint64)
    return np.where(columns.has_source, lag, np.uint64(0)).view(np.int64)


def _pack_wide(values: Array) -> dict[str, Any]:
    return {"wide": [list(divmod(int(value), US_PER_S)) for value in values]}


def _unpack_wide(packed: dict[str, Any]) -> Array:
    ticks = [seconds * US_PER_S + microseconds for seconds, microseconds in packed["wide"]]
    narrow = all(TICKS_MIN <= value <= TICKS_MAX for value in ticks)
    return times(ticks) if narrow else np.array(ticks, dtype=object)


# Version 1: numbers are [smallest, width in bytes, bytes of the distances from the smallest], sequences are first value
# and such numbers of the differences.


def _unpack_distances(packed: list[Any], count: int) -> Array:
    smallest, width, data = packed
    base = np.uint64(smallest & _MASK)
    if width == 0:
        return np.full(count, base, dtype=np.uint64)
    return np.frombuffer(data, f"<u{width}").astype(np.uint64) + base


def _unpack_steps(packed: list[Any], count: int) -> Array:
    values = np.empty(count, dtype=np.uint64)
    values[0] = np.uint64(packed[0] & _MASK)
    if count > 1:
        values[1:] = _unpack_distances(packed[1], count - 1)
    return np.cumsum(values, dtype=np.uint64)
