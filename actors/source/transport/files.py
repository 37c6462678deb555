"""Sources that read files: which files, in which order, and how their records become offsets.

When `file` is a key column every file is a split of its own, numbered in the order of the names; otherwise all files
form one split, read in that order. The column `file` of the schema holds the name of the file without its ending. Files
that *grow* are read line by line as they do; a file that comes later in the order closes the one before it.
"""

import glob
import logging
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from actors.errors import SourceError
from actors.frames import polars_schema
from actors.model import Schema
from actors.source.protocol import DeadLetter, Offsets, SourceBatch, SplitInfo, beyond_end, check_request, cut_raw

log = logging.getLogger(__name__)

FILE_COLUMN = "file"
"""Column that holds the name of the file."""

BLOCK_COUNT_MAX = 64
"""Decoded blocks that are kept, one for each of the splits read last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBlock:
    """Consecutive records of a file, decoded."""

    first_record: int
    """Number of the first record, from 0."""

    record_count: int
    """Records in the block, good or bad."""

    frame: pl.DataFrame
    """Good rows."""

    records: Offsets
    """Number of the record of each row."""

    faults: tuple[tuple[int, str, bytes], ...]
    """Number, reason and bytes of each bad record."""


class RecordFile(Protocol):
    """One file of records."""

    path: Path
    """Where it is."""

    is_complete: bool
    """Whether nothing will be added to it."""

    def block_with(self, record: int) -> RecordBlock | None:
        """Return a block that holds a record, or `None` when the file has not that many."""
        ...

    def record_count(self) -> int:
        """Return the records there are now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChoice:
    """Which files a source reads, and how."""

    paths: tuple[str, ...]
    """Files, folders and patterns."""

    suffixes: tuple[str, ...]
    """Endings of the files that are taken from a folder."""

    is_split_by_file: bool
    """Whether every file is a split of its own."""

    follow: bool = False
    """Whether files grow and more may come."""


class FileSource:
    """Reads files; `open_file` makes a `RecordFile` of a path and of whether the file is complete."""

    def __init__(self, schema: Schema, choice: FileChoice, open_file: Callable[[Path, bool], RecordFile]) -> None:
        self._schema = schema
        self._choice = choice
        self._open_file = open_file
        self._files: list[RecordFile] = []
        self._first_offsets: list[int] = [0]
        self._blocks: OrderedDict[int, tuple[int, RecordBlock]] = OrderedDict()
        self._refresh()

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._schema

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits there are; in a source that follows, more may come."""
        self._refresh()
        return self._split_infos()

    def earliest_offset(self, split: int) -> int:
        """Return 0: a file holds all its records."""
        check_request(self._split_infos(), split, 0, 1)
        return 0

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return at most `row_count_max` records from `offset` on.

        Raises:
            SourceError: no such split, an offset beyond the end, or a file that cannot be read.
        """
        self._refresh()
        check_request(self._split_infos(), split, offset, row_count_max)
        parts: list[RecordBlock] = []
        position, end = offset, offset + row_count_max
        while position < end:
            found = self._block_at(split, position)
            if found is None:
                break
            first_offset, block = found
            part = _cut(block, position - first_offset, end - first_offset)
            parts.append(_shift(part, first_offset))
            position = first_offset + part.first_record + part.record_count
        if position == offset:
            self._check_end(split, offset)
        at_end = not self._choice.follow and position < end
        return _join(self._schema, split, parts, position, at_end)

    def close(self) -> None:
        """Forget what was read; files are only open during a read."""
        self._blocks.clear()

    def _split_infos(self) -> tuple[SplitInfo, ...]:
        if self._choice.is_split_by_file:
            return tuple(SplitInfo(number=number, name=file.path.stem) for number, file in enumerate(self._files))
        name = self._files[0].path.name if len(self._files) == 1 else ", ".join(self._choice.paths)
        return (SplitInfo(number=0, name=name),)

    def _block_at(self, split: int, offset: int) -> tuple[int, RecordBlock] | None:
        """Return the block with an offset and the offset of its file's first record, or `None` at the end."""
        kept = self._blocks.get(split)
        if kept is not None:
            record = offset - kept[0]
            if kept[1].first_record <= record < kept[1].first_record + kept[1].record_count:
                self._blocks.move_to_end(split)
                return kept
        found = self._find_block(split, offset)
        if found is None:
            return None
        first_offset, block = found
        self._blocks[split] = (first_offset, block)
        self._blocks.move_to_end(split)
        while len(self._blocks) > BLOCK_COUNT_MAX:
            self._blocks.popitem(last=False)
        return first_offset, block

    def _find_block(self, split: int, offset: int) -> tuple[int, RecordBlock] | None:
        if self._choice.is_split_by_file:
            block = self._files[split].block_with(offset)
            return None if block is None else (0, block)
        number = bisect_right(self._first_offsets, offset) - 1
        while number < len(self._files):
            file, first_offset = self._files[number], self._first_offsets[number]
            block = file.block_with(offset - first_offset)
            if block is not None:
                return first_offset, block
            if not file.is_complete:
                break
            # Offsets run on from file to file: the next begins where this one has ended.
            number += 1
            if number == len(self._first_offsets):
                self._first_offsets.append(first_offset + file.record_count())
            if offset < self._first_offsets[number]:
                break
        return None

    def _check_end(self, split: int, offset: int) -> None:
        if self._choice.is_split_by_file:
            end = self._files[split].record_count()
        else:
            last = len(self._first_offsets) - 1
            end = self._first_offsets[last] + (self._files[last].record_count() if last < len(self._files) else 0)
        if offset > end:
            raise beyond_end(self._split_infos()[split], offset, end)

    def _refresh(self) -> None:
        if self._files and not self._choice.follow:
            return
        paths = find_files(self._choice)
        known = [file.path for file in self._files]
        if paths[: len(known)] != known:
            _refuse_change(known, paths)
        for path in paths[len(known) :]:
            if self._files and not self._choice.is_split_by_file:
                self._files[-1].is_complete = True
            self._files.append(self._open_file(path, not self._choice.follow))
        if len(paths) > len(known) and self._choice.is_split_by_file:
            self._check_stems()

    def _check_stems(self) -> None:
        stems: dict[str, Path] = {}
        for file in self._files:
            other = stems.setdefault(file.path.stem, file.path)
            if other != file.path:
                raise SourceError(
                    f"{other} and {file.path} are both {file.path.stem!r}, but `{FILE_COLUMN}` is a key; rename one"
                )


def find_files(choice: FileChoice) -> list[Path]:
    """Return the files of a choice, in the order of their names.

    Raises:
        SourceError: nothing is there, unless files may still come.
    """
    found: set[Path] = set()
    for text in choice.paths:
        here = _find(text, choice.suffixes)
        if not here and not choice.follow:
            raise SourceError(_explain_nothing(text, choice.suffixes))
        found.update(here)
    return sorted(found, key=lambda path: (path.name, str(path)))


def stem_column(path: Path, row_count: int) -> pl.Series:
    """Return the column `file` for the rows of a file."""
    return pl.repeat(path.stem, row_count, dtype=pl.String, eager=True).alias(FILE_COLUMN)


def field_names(schema: Schema, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the name in the file of each column of the schema, without the column `file` unless it is mapped."""
    folded = {name.lower(): field for name, field in mapping.items()}
    wanted = {name: folded.get(name.lower(), name) for name in schema.names}
    return {name: field for name, field in wanted.items() if name.lower() != FILE_COLUMN or name.lower() in folded}


def _find(text: str, suffixes: Sequence[str]) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        return [entry for entry in path.iterdir() if entry.suffix.lower() in suffixes and entry.is_file()]
    if path.exists():
        return [path]
    return [Path(match) for match in glob.glob(text, recursive=True) if os.path.isfile(match)]


def _explain_nothing(text: str, suffixes: Sequence[str]) -> str:
    if Path(text).is_dir():
        return f"the folder {text} has no file ending in {' or '.join(suffixes)}; name the files"
    if glob.has_magic(text):
        return f"no file matches {text}; look at the pattern"
    return f"there is no file {text}; look at the name, which is relative to the job file"


def _refuse_change(known: Sequence[Path], now: Sequence[Path]) -> None:
    gone = [path for path in known if path not in now]
    if gone:
        raise SourceError(f"the file {gone[0]} is gone while it is followed; put it back or start a new job")
    early = next(path for path in now if path not in known)
    raise SourceError(
        f"the file {early} comes before files that were read already; new files must come after {known[-1].name}"
    )


def _cut(block: RecordBlock, start: int, end: int) -> RecordBlock:
    """Return the part of a block with the records from `start` (inclusive) to `end` (exclusive)."""
    start = max(start, block.first_record)
    end = min(end, block.first_record + block.record_count)
    low, high = np.searchsorted(block.records, (start, end)).tolist()
    return RecordBlock(
        first_record=start,
        record_count=end - start,
        frame=block.frame.slice(low, high - low),
        records=block.records[low:high],
        faults=tuple(fault for fault in block.faults if start <= fault[0] < end),
    )


def _shift(part: RecordBlock, first_offset: int) -> RecordBlock:
    """Return a part whose records and faults are counted from the start of the split; its place in the file stays."""
    faults = tuple((record + first_offset, reason, raw) for record, reason, raw in part.faults)
    return RecordBlock(
        first_record=part.first_record,
        record_count=part.record_count,
        frame=part.frame,
        records=part.records + first_offset,
        faults=faults,
    )


def _join(schema: Schema, split: int, parts: Sequence[RecordBlock], next_offset: int, at_end: bool) -> SourceBatch:
    letters = tuple(
        DeadLetter(split=split, offset=offset, reason=reason, raw=cut_raw(raw))
        for part in parts
        for offset, reason, raw in part.faults
    )
    return SourceBatch(
        frame=pl.concat([part.frame for part in parts]) if parts else pl.DataFrame(schema=polars_schema(schema)),
        offsets=np.concatenate([part.records for part in parts]) if parts else np.zeros(0, dtype=np.int64),
        next_offset=next_offset,
        dead_letters=letters,
        at_end=at_end,
    )
