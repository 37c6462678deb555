"""Files as a transport: which files, in which order, and how their records become offsets.

When `file` is a key column every file is a split of its own, numbered in the order of the names; otherwise all files
form one split, read in that order. Files that *grow* are read line by line as they do; a file that comes later in the
order closes the one before it. What has been read of each file is marked, so that a file that is another one now is an
error, in this process and after a restart.
"""

import glob
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from actors.allowed import EVERYTHING, AllowedPaths
from actors.errors import SourceError
from actors.source.protocol import SplitInfo, beyond_end
from actors.source.records import Block, C, C_co
from actors.source.transport.contents import check_allowed, stem_of
from actors.source.transport.followed import FollowedFile
from actors.source.transport.positions import WAY_OUT, FileMark, PositionLog, grew_too_late
from actors.source.transport.remote.place import FilePlace, RemoteUrl
from actors.source.transport.remote.store import MovedOnError, RemoteStore
from actors.source.transport.rotated import rotated_tail
from config.sources import FILE_COLUMN, without_packing

T = TypeVar("T")
P = TypeVar("P", bound=FilePlace)

_TRY_COUNT_MAX = 20
"""Reads of a file that grows at the same time."""


class RecordFile(Protocol[C_co]):
    """One file of records."""

    is_complete: bool
    """Whether nothing will be added to it."""

    @property
    def path(self) -> FilePlace:
        """Where it is."""
        ...

    def block_with(self, record: int) -> Block[C_co] | None:
        """Return a block that holds a record, or `None` when the file has not that many; offsets count its records."""
        ...

    def record_count(self) -> int:
        """Return the records there are now."""
        ...

    def mark(self, number: int) -> FileMark:
        """Return how much has been read; `number` is the place of the file among those of its source."""
        ...

    def resume(self, mark: FileMark) -> None:
        """Go on where another process has read to, if the file still holds what was read then."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChoice:
    """Which files a source reads, and how."""

    paths: tuple[str, ...]
    """Files, folders and patterns."""

    suffixes: tuple[str, ...]
    """Endings of the files that are taken from a folder."""

    is_split_by_file: bool

    follow: bool = False
    """Whether files grow and more may come."""

    allowed: AllowedPaths = EVERYTHING
    """What may be read."""

    is_wide: bool = False
    """Whether characters have two bytes or four, so that sizes of files are not those of their texts."""

    store: RemoteStore | None = None
    """What has the files, `None` where they are on this machine."""

    @property
    def survives_rotation(self) -> bool:
        """Whether each file that is followed goes on when it is rotated: one that is named, or each that is a split."""
        if self.store is not None or self.is_wide:
            return False
        is_one = len(self.paths) == 1 and not glob.has_magic(self.paths[0]) and not os.path.isdir(self.paths[0])
        return self.follow and (self.is_split_by_file or is_one)


class FileTransport(Generic[C]):
    """Brings the records of files.

    `open_file` makes a `RecordFile` of the number of a file, its path, and whether it is complete.
    """

    def __init__(
        self,
        choice: FileChoice,
        open_file: Callable[[int, FilePlace, bool], RecordFile[C]],
        positions: PositionLog | None = None,
    ) -> None:
        self._choice = choice
        self._open_file = open_file
        self._positions = positions or PositionLog()
        self._files: list[RecordFile[C]] = []
        self._resumed: set[int] = set()
        self._first_offsets: list[int] = [0]
        self._last_begun = max((n for n, mark in self._positions.marks.items() if mark.record_count), default=0)
        self._refresh()

    @property
    def is_finite(self) -> bool:
        """Whether files are read to their end; those that are followed have none."""
        return not self._choice.follow

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits there are; of files that are followed, more may come."""
        self._refresh()
        return self._split_infos()

    def earliest_offset(self, split: int) -> int:
        """Return the first record that is left of a file that was rotated, else 0: a file holds all its records."""
        number = split if self._choice.is_split_by_file else 0
        if number >= len(self._files):
            return 0
        file = self._file(number)
        return file.earliest() if isinstance(file, FollowedFile) else 0

    def block_at(self, split: int, offset: int, record_count: int) -> Block[C] | None:
        """Return a block with an offset, or `None` at the end; its length is that of the blocks of files."""
        del record_count
        # A file may still grow while those after it have no records, so where these begin is only sure of one begun.
        sure = min(self._last_begun + 1, len(self._first_offsets))
        number = split if self._choice.is_split_by_file else bisect_right(self._first_offsets, offset, 0, sure) - 1
        first_offset = 0 if self._choice.is_split_by_file else self._first_offsets[number]
        while number < len(self._files):
            file = self._file(number)
            wanted = offset - first_offset
            block = patiently(partial(file.block_with, wanted))
            self._note(file, number)
            if block is not None:
                return block.moved(first_offset)
            end = first_offset + patiently(file.record_count)
            self._note(file, number)
            if offset > end and (self._choice.is_split_by_file or not file.is_complete):
                raise beyond_end(self._split_infos()[split], offset, end)
            if self._choice.is_split_by_file or not file.is_complete:
                return None
            # Offsets run on from file to file: the next begins where this one has ended.
            number, first_offset = number + 1, end
            self._first_offsets[number:] = [first_offset]
        if offset > first_offset:
            raise beyond_end(self._split_infos()[split], offset, first_offset)
        return None

    def close(self) -> None:
        """Close the files that are followed; others are only open during a read."""
        for file in self._files:
            file.close()
        if self._choice.store is not None:
            self._choice.store.close()

    def _file(self, number: int) -> RecordFile[C]:
        """Return a file; the first time it must hold what was read of it before this process."""
        file = self._files[number]
        if number not in self._resumed:
            mark = self._positions.marks.get(number)
            if mark is not None:
                patiently(partial(file.resume, mark))
            self._resumed.add(number)
        return file

    def _note(self, file: RecordFile[C], number: int) -> None:
        """Note how much of a file has been read; one after which others were read holds no more than it did then."""
        mark, known = file.mark(number), self._positions.marks.get(number)
        if self._is_closed(number) and known is not None and mark.record_count > known.record_count:
            raise grew_too_late(file.path)
        self._positions.put(mark)
        if mark.record_count:
            self._last_begun = max(self._last_begun, number)

    def _is_closed(self, number: int) -> bool:
        """Return whether records after those of a file were read, so that they would move if it grew."""
        return not self._choice.is_split_by_file and number < self._last_begun

    def _check_closed(self) -> None:
        for number, file in enumerate(self._files[: self._last_begun]):
            mark = self._positions.marks.get(number)
            # The last line may still get its end, which is no record.
            if mark is not None and self._is_closed(number) and self._size(file.path) > mark.size_bytes + len(b"\r\n"):
                raise grew_too_late(file.path)

    def _size(self, path: FilePlace) -> int:
        if not isinstance(path, Path):
            assert self._choice.store is not None
            return self._choice.store.look(str(path)).size_bytes
        try:
            return path.stat().st_size
        except OSError as error:
            raise SourceError(f"{path}: cannot be looked at: {error.strerror or error}") from error

    def _split_infos(self) -> tuple[SplitInfo, ...]:
        if self._choice.is_split_by_file:
            return tuple(SplitInfo(number=number, name=stem_of(file.path)) for number, file in enumerate(self._files))
        name = self._files[0].path.name if len(self._files) == 1 else ", ".join(self._choice.paths)
        return (SplitInfo(number=0, name=name),)

    def _refresh(self) -> None:
        if self._files and not self._choice.follow:
            return
        paths = find_files(self._choice)
        marks = self._positions.marks
        read = [] if self._files else self._positions.paths()
        known = read or [file.path for file in self._files]
        if self._choice.survives_rotation:
            here, read_here = ([one for one in places if isinstance(one, Path)] for places in (paths, known))
            paths = [*_without_rotated(here, read_here)]
        if paths[: len(known)] != known:
            raise _changed_choice(known, paths, is_followed=not read)
        for number, path in enumerate(paths[len(self._files) :], len(self._files)):
            if self._files and not self._choice.is_split_by_file:
                self._files[-1].is_complete = True
            self._files.append(self._open_file(number, path, not self._choice.follow))
            if self._choice.is_split_by_file and number not in marks:
                # The number of the split belongs to this file from now on, read or not.
                self._positions.put(self._files[-1].mark(number))
        if self._choice.is_split_by_file:
            self._check_stems()
        elif self._choice.follow and not self._choice.survives_rotation:
            self._check_closed()

    def _check_stems(self) -> None:
        stems: dict[str, FilePlace] = {}
        for file in self._files:
            other = stems.setdefault(stem_of(file.path), file.path)
            if other != file.path:
                raise SourceError(
                    f"{other} and {file.path} are both {stem_of(file.path)!r}, but `{FILE_COLUMN}` is a key; rename one"
                )


def patiently(read: Callable[[], T]) -> T:
    """Return what a call reads, which is made again when a file of a store has moved on meanwhile.

    Raises:
        SourceError: it fails for another reason, or a file moves on again and again.
    """
    for _ in range(_TRY_COUNT_MAX):
        try:
            return read()
        except MovedOnError:
            continue
    return read()


def find_files(choice: FileChoice) -> list[FilePlace]:
    """Return the files of a choice, in the order of their names.

    Raises:
        SourceError: nothing is there, unless files may still come; or a job may not read it.
    """
    found: set[FilePlace] = set()
    for text in choice.paths:
        # Before anything is looked for: whether it is there is no business of the job either.
        check_allowed(choice.allowed, text)
        try:
            here = _find(text, choice)
        except OSError as error:
            raise SourceError(f"{text}: cannot be looked at: {error.strerror or error}") from error
        if not here and not choice.follow:
            raise SourceError(_explain_nothing(text, choice))
        for path in here:
            check_allowed(choice.allowed, path)
        found.update(here)
    return _sorted(found)


def _without_rotated(paths: Sequence[Path], known: Sequence[Path]) -> list[Path]:
    """Return the files without those that others have become, and with those that have no file of their name now."""
    beside = {path.parent: [one for one in paths if one.parent == path.parent] for path in paths}
    return _sorted(
        path
        for path in {*paths, *known}
        if path in known or not any(rotated_tail(other.name, path.name) for other in beside[path.parent])
    )


def _sorted(paths: Iterable[P]) -> list[P]:
    return sorted(paths, key=lambda path: (path.name, str(path)))


def _find(text: str, choice: FileChoice) -> list[FilePlace]:
    if choice.store is not None:
        return [RemoteUrl(url) for url in choice.store.find(text, choice.suffixes)]
    path = Path(text)
    if path.is_dir():
        return [entry for entry in path.iterdir() if _suffix(entry) in choice.suffixes and entry.is_file()]
    if path.is_file():
        return [path]
    if path.exists():
        raise SourceError(f"{text} is no file but a pipe or a device, which cannot be read again from any position")
    return [Path(match) for match in glob.glob(text, recursive=True) if os.path.isfile(match)]


def _suffix(path: Path) -> str:
    return Path(without_packing(path.name)).suffix.lower()


def _explain_nothing(text: str, choice: FileChoice) -> str:
    endings = " or ".join(choice.suffixes)
    if choice.store is not None and not glob.has_magic(text):
        return f"there is no file {text}, and none ending in {endings} below it"
    if choice.store is None and Path(text).is_dir():
        return f"the folder {text} has no file ending in {endings}; name the files"
    if glob.has_magic(text):
        return f"no file matches {text}; look at the pattern"
    return f"there is no file {text}; look at the name, which is relative to the job file"


def _changed_choice(known: Sequence[FilePlace], now: Sequence[FilePlace], *, is_followed: bool) -> SourceError:
    gone = [path for path in known if path not in now]
    if gone:
        when = "is gone while it is followed" if is_followed else "was read before and is gone"
        if isinstance(gone[0], Path) and gone[0].exists():
            when = "was read before and is no file of the source any more"
        return SourceError(f"the file {gone[0]} {when}, and offsets count its rows. {WAY_OUT}")
    early = next(path for path in now if path not in known)
    return SourceError(
        f"the file {early} comes before files that were read already, so offsets would change; "
        f"new files must come after {known[-1].name}. Rename it, or begin anew"
    )
