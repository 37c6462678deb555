"""What was read under one name, file after file: the notes by which an offset finds its file again.

The files that had a name one after the other are its *generations*. What was read of one without a break is a
*segment*; mostly a generation is one segment. The notes of all files of a source are a log of JSON lines, the last one
of a segment counts. A segment is noted, and is on disk, before rows of it are given out.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.errors import SourceError
from actors.files import make_directory, private_opener, replace_file, sync_directory
from actors.source.note_lines import checksum, note_line
from actors.source.records import Block, Texts
from actors.source.transport.positions import FileMark, whole_lines
from actors.source.transport.rotated import FoundFile

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of records of one generation."""

    number: int
    """Place of the file among those of its source."""

    segment: int
    """Place among the segments of the file, from 0."""

    generation: int

    offset: int
    """Offset of its first record."""

    first_record: int
    """Number of this record in its generation."""

    modified_ns: int
    """When the generation was written last, as far as was known when the segment was noted; since 1970."""

    device: int = 0
    inode: int = 0

    end_record: int | None = None
    """Number after its last record in the generation, `None` while it is read."""

    size_bytes: int = 0
    """Bytes of the generation up to there."""

    digest: str = ""
    """XXH3 (128 bits, hexadecimal) of these bytes."""

    head_size_bytes: int = 0
    head_digest: str = ""
    """The same of the first bytes, by which the file is looked for."""

    lost: str = ""
    """Why its records are gone; empty as long as they may be there."""

    @property
    def next_offset(self) -> int:
        """Offset after its last record, once it is closed."""
        assert self.end_record is not None
        return self.offset + self.end_record - self.first_record


class SegmentLog:
    """The segments of one source by the number of the file; in memory alone when there is no path."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.segments: dict[int, list[Segment]] = {}
        if path is not None and path.exists():
            self._load(path)

    def put(self, segments: Sequence[Segment]) -> None:
        """Note segments of one file: each takes the place of its number, and those after the last go.

        Raises:
            SourceError: they cannot be written.
        """
        for one in segments:
            self._take(one)
        if self._path is None:
            return
        data = b"".join(map(_line, segments))
        try:
            is_new = not self._path.exists()
            if is_new:
                make_directory(self._path.parent)
            with open(self._path, "ab", buffering=0, opener=private_opener) as file:
                file.write(data)
                os.fsync(file.fileno())
            if is_new:
                sync_directory(self._path.parent)
        except OSError as error:
            raise SourceError(
                f"{self._path}: what was read of the source cannot be noted: {error.strerror or error}"
            ) from error

    def _take(self, one: Segment) -> None:
        known = self.segments.setdefault(one.number, [])
        if one.segment > len(known):
            raise SourceError(f"{self._path}: segment {len(known)} of file {one.number} is missing. Restore the log")
        known[one.segment :] = [one]

    def _load(self, path: Path) -> None:
        whole, is_torn = whole_lines(path)
        for number, line in enumerate(whole.splitlines(), 1):
            one = _segment(line)
            if one is None:
                raise SourceError(
                    f"{path}: line {number} is damaged, or of another format than {FORMAT_VERSION}. Restore the file "
                    "from a copy; without it nobody knows which rotated file an offset is in"
                )
            self._take(one)
        if is_torn:
            replace_file(path, whole)


def begun(number: int, segment: int, generation: int, offset: int, found: FoundFile) -> Segment:
    """Return the segment of a file that is begun."""
    return Segment(
        number=number,
        segment=segment,
        generation=generation,
        offset=offset,
        first_record=0,
        modified_ns=found.modified_ns,
        device=found.device,
        inode=found.inode,
    )


def past_lost(last: Segment, known: FileMark, why: str) -> list[Segment]:
    """Return what is noted where the rest of a generation is gone: what was read of it, if anything, and a gap of one.

    `last` is the segment that was read, `known` what was read of its generation.
    """
    closed = replace(
        last,
        end_record=known.record_count,
        size_bytes=known.size_bytes,
        digest=known.digest,
        head_size_bytes=known.size_bytes,
        head_digest=known.digest,
    )
    noted = [closed] if known.record_count > last.first_record else []
    gap = Segment(
        number=last.number,
        segment=last.segment + len(noted),
        generation=last.generation + 1,
        offset=last.offset + known.record_count - last.first_record,
        first_record=0,
        end_record=1,
        modified_ns=last.modified_ns,
        lost=why,
    )
    return [*noted, gap]


def as_mark(segment: Segment) -> FileMark:
    """Return what was read of the generation of a segment as a mark."""
    return FileMark(
        number=segment.number,
        path="",
        record_count=segment.end_record or 0,
        size_bytes=segment.size_bytes,
        digest=segment.digest,
    )


def cut_to(block: Block[Texts], segment: Segment) -> Block[Texts]:
    """Return the records of a block that are in a segment, with their offsets."""
    low = segment.first_record
    high = block.next_offset if segment.end_record is None else min(segment.end_record, block.next_offset)
    moved = segment.offset - segment.first_record
    texts = block.content
    first, last = np.searchsorted(block.offsets, (low, high)).tolist()
    if last - first < len(texts):
        start = int(texts.starts[first]) if first < len(texts) else len(texts.content)
        end = int(texts.starts[last]) if last < len(texts) else len(texts.content)
        texts = Texts(
            content=texts.content[start:end],
            starts=texts.starts[first:last] - start,
            ends=texts.ends[first:last] - start,
            are_lines=texts.are_lines,
        )
    bad = tuple(one for one in block.bad if low <= one[0] < high)
    cut = replace(block, content=texts, offsets=block.offsets[first:last], next_offset=high, bad=bad)
    return cut.moved(moved)


def _line(segment: Segment) -> bytes:
    fields = {"format": FORMAT_VERSION, **asdict(segment)}
    return note_line(fields)


def _segment(line: bytes) -> Segment | None:
    try:
        found: dict[str, Any] = json.loads(line)
        if found.pop("checksum") != checksum(found) or found.pop("format") != FORMAT_VERSION:
            return None
        return Segment(**found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
