"""A source made of a transport and a format.

Blocks are as long as the transport likes; batches are cut from them. A block that was not used up is kept, decoded, for
each of the splits read last.

A format may make several rows of a record. The offsets of a source are then those of its transport times the most rows
that a record may become, plus the number of the row: any of them can be read from, nothing has to be remembered.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

import numpy as np
import polars as pl

from actors.errors import SourceError
from actors.frames import polars_schema
from actors.model import Schema
from actors.source.protocol import OFFSET_MAX, DeadLetter, Offsets, SourceBatch, SplitInfo, check_request, cut_raw
from actors.source.records import BadRecord, Block, C, DecodedRows, Format, Origin, Transport
from actors.source.remarks import Remarks

K = TypeVar("K")
V = TypeVar("V")

BLOCK_COUNT_MAX = 64
"""Decoded blocks, and decoders of origins, that are kept; blocks that one read looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Decoded records of a split in `[start, next_offset)`."""

    start: int
    next_offset: int
    frame: pl.DataFrame
    offsets: Offsets
    """Offset of each row."""

    bad: tuple[BadRecord, ...]
    """In order of their offsets."""

    is_last: bool

    @property
    def record_count(self) -> int:
        """Rows and bad records."""
        return self.offsets.size + len(self.bad)

    def first(self, start: int, count: int) -> "_Part":
        """Return the part from `start` on with at most so many rows and bad records."""
        rest = self.between(start, self.next_offset)
        if rest.record_count <= count:
            return rest
        places = np.sort(np.concatenate((rest.offsets, np.array([one[0] for one in rest.bad], dtype=np.int64))))
        return rest.between(start, int(places[count - 1]) + 1)

    def between(self, start: int, end: int) -> "_Part":
        """Return the part in `[start, end)`."""
        if start <= self.start and self.next_offset <= end:
            return self
        low, high = np.searchsorted(self.offsets, (start, end)).tolist()
        return _Part(
            start=max(start, self.start),
            next_offset=min(end, self.next_offset),
            frame=self.frame.slice(low, high - low),
            offsets=self.offsets[low:high],
            bad=tuple(one for one in self.bad if start <= one[0] < end),
            is_last=self.is_last and end >= self.next_offset,
        )


class RecordSource(Generic[C]):
    """Reads what a transport brings by a format."""

    def __init__(self, schema: Schema, transport: Transport[C], form: Format[C]) -> None:
        self._schema = schema
        self._transport = transport
        self._format = form
        self._remarks = Remarks(form.fields)
        self._parts: OrderedDict[int, _Part] = OrderedDict()
        self._decoders: OrderedDict[Origin, Callable[[C], DecodedRows]] = OrderedDict()

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._schema

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits of the transport."""
        return self._transport.splits()

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that the transport still has."""
        check_request(self._transport.splits(), split, 0, 1)
        return self._transport.earliest_offset(split) * self._format.rows_max

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return at most `row_count_max` rows and dead letters from an offset on, as far as there are any yet.

        Raises:
            SourceError: no such split, an offset that is gone or was never reached, or data that cannot be read.
        """
        check_request(self._transport.splits(), split, offset, row_count_max)
        parts: list[_Part] = []
        position, room, at_end = offset, row_count_max, False
        while room and len(parts) < BLOCK_COUNT_MAX and not at_end:
            found = self._part_at(split, position, room)
            if found is None:
                at_end = self._transport.is_finite
                break
            part = found.first(position, room)
            parts.append(part)
            position, at_end = part.next_offset, part.is_last
            room -= part.record_count
            if position == found.next_offset:
                self._parts.pop(split, None)
        batch = self._join(split, parts, position, at_end)
        self._remarks.note(batch.frame, batch.dead_letters)
        return batch

    def remarks(self) -> tuple[str, ...]:
        """Return what is odd about everything read so far."""
        return self._remarks.texts()

    def close(self) -> None:
        """Close the transport and forget what was read."""
        self._parts.clear()
        self._transport.close()

    def _part_at(self, split: int, offset: int, record_count: int) -> _Part | None:
        part = self._parts.pop(split, None)
        if part is None or not part.start <= offset < part.next_offset:
            block = self._transport.block_at(split, offset // self._format.rows_max, record_count)
            if block is None:
                return None
            part = self._decoded(block, offset)
        _keep(self._parts, split, part)
        return part

    def _decoded(self, block: Block[C], offset: int) -> _Part:
        decode = self._decoders.pop(block.origin, None) or self._format.decoder(block.origin)
        _keep(self._decoders, block.origin, decode)
        decoded = decode(block.content)
        scale = self._format.rows_max
        if block.next_offset > OFFSET_MAX // scale:
            raise SourceError(
                f"offset {block.next_offset} of {block.origin.name}, for {scale} rows of each record, is beyond what "
                "positions can be; make `explode_rows_max` smaller"
            )
        own = [
            (int(block.offsets[place // scale]) * scale + place % scale, why, block.content.raw(place // scale))
            for place, why in decoded.faults.items()
        ]
        lost = [(one * scale, why, raw) for one, why, raw in block.bad]
        firsts = (*block.offsets[:1].tolist(), *(one[0] for one in block.bad))
        return _Part(
            # Between the offset that was asked for and the first record there is none.
            start=min([offset, *(one * scale for one in firsts)]),
            next_offset=block.next_offset * scale,
            frame=decoded.frame,
            offsets=_offsets(block.offsets, decoded.rows, scale),
            bad=tuple(sorted((*own, *lost), key=itemgetter(0))),
            is_last=block.is_last,
        )

    def _join(self, split: int, parts: Sequence[_Part], next_offset: int, at_end: bool) -> SourceBatch:
        letters = tuple(
            DeadLetter(split=split, offset=offset, reason=reason, raw=cut_raw(raw))
            for part in parts
            for offset, reason, raw in part.bad
        )
        frame = pl.concat([part.frame for part in parts]) if parts else pl.DataFrame(schema=polars_schema(self._schema))
        return SourceBatch(
            frame=frame,
            offsets=np.concatenate([part.offsets for part in parts]) if parts else np.zeros(0, dtype=np.int64),
            next_offset=next_offset,
            dead_letters=letters,
            at_end=at_end,
        )


def _offsets(records: Offsets, places: Offsets, scale: int) -> Offsets:
    """Return the offset of each row; `records` has that of each record, `places` the place of each row."""
    if scale == 1:
        return records if places.size == records.size else records[places]
    return records[places // scale] * scale + places % scale


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > BLOCK_COUNT_MAX:
        kept.popitem(last=False)
