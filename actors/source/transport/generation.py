"""The files that had a followed name one after the other, as they are opened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.allowed import EVERYTHING, AllowedPaths
from actors.source.transport.contents import FileContent
from actors.source.transport.lines import LineFile


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedChoice:
    """Which file is followed, and how."""

    number: int
    """Its place among the files of the source."""

    path: Path

    rotated: str | None = None
    """Pattern of its rotated files; `None` finds them beside it by their names."""

    accepts_loss: bool = False
    """Whether to go on, with a gap, where what was read is found nowhere."""

    allowed: AllowedPaths = EVERYTHING
    """What may be read."""


OpenLines = Callable[[Path, FileContent | None], LineFile]
"""Makes the lines of one of the files; they have the origin of the file that is followed."""


@dataclass(slots=True, kw_only=True)
class Generation:
    """One of the files that had the name."""

    number: int
    path: Path
    lines: LineFile
    content: FileContent

    def identity(self) -> tuple[int, int]:
        """Return what stays the same while it is renamed."""
        with self.content.opened():
            device, inode = self.content.stamp()[:2]
        return device, inode

    def close(self) -> None:
        """Close the file."""
        self.content.close()
