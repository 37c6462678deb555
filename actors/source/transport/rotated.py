"""The files that a log becomes when it is rotated: which they are, and which is older.

A rotated file stands beside the file that is written, or where a pattern says. Its name is that of the file with a
number or a date behind it, or before its ending: `app.log.1`, `app.log-20260101`, `app.log.2026-01-01_12`,
`app-20260101.log`, `app.1.log`; each also with the ending of a compression. A greater number is older, a later date is
newer. Where names have both, or come from a pattern, the one that was written last is newer.
"""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.sources import PACKED_SUFFIXES, without_packing

_DIGIT_COUNT_MIN = 6
"""Digits that a date has; what has fewer is a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file that may be one of those that followed each other under one name."""

    path: Path
    device: int
    inode: int
    size_bytes: int
    """Its size as it is, compressed or not."""

    modified_ns: int

    @property
    def identity(self) -> tuple[int, int]:
        """What stays the same while it is renamed."""
        return self.device, self.inode


def list_files(path: Path, pattern: str | None = None) -> list[FoundFile]:
    """Return the rotated files of a file, the oldest first, and at last the file itself where it is there.

    Raises:
        OSError: the folder cannot be read.
    """
    # Files are renamed one after the other: a list counts when it is the same twice.
    files = _list_once(path, pattern)
    for _ in range(_LOOK_COUNT_MAX):
        again = _list_once(path, pattern)
        if [(one.path, one.identity) for one in again] == [(one.path, one.identity) for one in files]:
            return again
        files = again
    return files


_LOOK_COUNT_MAX = 10


def _list_once(path: Path, pattern: str | None) -> list[FoundFile]:
    if pattern is not None:
        rotated = [Path(match) for match in glob.glob(pattern, recursive=True) if Path(match) != path]
        found = sorted(_looked_at(rotated), key=lambda one: _time_place(one, path.name))
    else:
        tails = {path.with_name(name): tail for name in _names(path) if (tail := rotated_tail(path.name, name))}
        found = _ordered(_looked_at(list(tails)), tails, path.name)
    return found + _looked_at([path])


def _names(path: Path) -> Sequence[str]:
    try:
        return os.listdir(path.parent)
    except FileNotFoundError:
        return ()


def _looked_at(paths: Sequence[Path]) -> list[FoundFile]:
    found = []
    for path in paths:
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            found.append(
                FoundFile(
                    path=path,
                    device=stat.st_dev,
                    inode=stat.st_ino,
                    size_bytes=stat.st_size,
                    modified_ns=stat.st_mtime_ns,
                )
            )
    return found


def rotated_tail(name: str, other: str) -> str:
    """Return the number or date that another name has more than a name, empty when it is no rotated file of it."""
    bare = without_packing(other)
    stem, dot, ending = name.rpartition(".")
    pieces = [(name, "")] + ([(stem, dot + ending)] if stem else [])
    for before, after in pieces:
        fitting = re.fullmatch(rf"{re.escape(before)}[._-](\d[\dTZ._:-]*){re.escape(after)}", bare)
        if fitting:
            return fitting[1]
    return ""


def _time_place(found: FoundFile, name: str) -> tuple[int, tuple[int, ...], str]:
    """Return what files are sorted by that are told apart by their times; of the same time, names tell as elsewhere."""
    tail = rotated_tail(name, found.path.name)
    sign = -1 if tail and _is_number(tail) else 1
    return found.modified_ns, tuple(sign * number for number in _numbers(tail or found.path.name)), found.path.name


def _is_number(tail: str) -> bool:
    return len(re.sub(r"\D", "", tail)) < _DIGIT_COUNT_MIN


def _ordered(found: list[FoundFile], tails: dict[Path, str], name: str) -> list[FoundFile]:
    are_numbers = {_is_number(tails[one.path]) for one in found}
    if len(are_numbers) > 1:
        return sorted(found, key=lambda one: _time_place(one, name))
    sign = -1 if True in are_numbers else 1

    def place(one: FoundFile) -> tuple[tuple[int, ...], bool]:
        # While it is being compressed a file is there twice; the one that is whole comes first.
        is_packed = one.path.suffix.lower() in PACKED_SUFFIXES
        return tuple(sign * number for number in _numbers(tails[one.path])), is_packed

    return sorted(found, key=place)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", text))
