"""Which of the files that a log has become is which, decided by what is in them.

The file that is read is the oldest of those that begin with what was read of it and were written since. A file that was
closed is known again by its first bytes, whatever its name is by now and whether it was compressed meanwhile.
"""

from actors.errors import SourceError
from actors.source.transport.contents import check_allowed, content_of, unreadable
from actors.source.transport.generation import FollowedChoice, Generation
from actors.source.transport.positions import FileMark, ReadPrefix
from actors.source.transport.rotated import FoundFile, list_files
from actors.source.transport.segments import Segment, SegmentLog
from config.sources import PACKED_SUFFIXES

CLOSED_COUNT_MAX = 64
"""Files that were closed last, which are looked at."""


class RotationSearch:
    """Looks for the files of one name; what was read of them is noted in the log."""

    def __init__(self, choice: FollowedChoice, log: SegmentLog) -> None:
        self._choice = choice
        self._log = log

    @property
    def _segments(self) -> list[Segment]:
        return self._log.segments[self._choice.number]

    def pick(self, files: list[FoundFile], known: FileMark, current: Generation | None) -> FoundFile | None:
        """Return the oldest file that may be the one that is read, or `None` when there is none."""
        last = self._segments[-1]
        others = [one for one in files if not self.is_earlier(one)]
        for one in others:
            if one.modified_ns >= last.modified_ns and _begins_with(one, known, current):
                return one
        if known.record_count:
            # Times of files are not to be relied on, as long as what is in them says enough.
            return next((one for one in reversed(others) if _begins_with(one, known, current)), None)
        return files[-1] if files and files[-1].path == self._choice.path else None

    def is_sure(self, found: FoundFile, files: list[FoundFile], known: FileMark) -> bool:
        """Return whether a file is the one that was begun, of which nothing is read, and not one that came after it."""
        own = (self._segments[-1].device, self._segments[-1].inode)
        is_packed = found.path.suffix.lower() in PACKED_SUFFIXES
        return bool(known.record_count) or is_packed or not own[1] or own in {one.identity for one in files}

    def is_earlier(self, found: FoundFile) -> bool:
        """Return whether a file is one of those that were closed."""
        return any(
            # One that was compressed, or copied, is known by all that was read of it.
            self.has_head(found, one)
            and ((one.device, one.inode) == found.identity or _has_prefix(found, one.size_bytes, one.digest))
            for one in self.closed_segments()[-CLOSED_COUNT_MAX:]
            if one.generation < self._segments[-1].generation
        )

    def closed_segments(self) -> list[Segment]:
        """Return what is noted last of each file that was read to its end, in their order."""
        last = {one.generation: one for one in self._segments if one.end_record and not one.lost}
        return [one for _, one in sorted(last.items())]

    def has_head(self, found: FoundFile, segment: Segment) -> bool:
        """Return whether a file begins with the first bytes that were read of the generation of a segment."""
        return _has_prefix(found, segment.head_size_bytes, segment.head_digest)

    def find(self, segment: Segment) -> FoundFile | None:
        """Return the file of a segment that is closed."""
        if segment.lost:
            return None
        own = [one for one in self._segments if one.generation == segment.generation and one.end_record is not None]
        files = self.files()
        same = [one for one in files if one.identity == (segment.device, segment.inode)]
        return next((one for one in (*same, *files) if self.has_head(one, own[-1])), None)

    def files(self) -> list[FoundFile]:
        """Return the files that there are, the oldest first, and at last that of the name where it is there.

        Raises:
            SourceError: they cannot be listed, or may not be read.
        """
        choice = self._choice
        check_allowed(choice.allowed, choice.rotated or self._choice.path)
        try:
            files = list_files(self._choice.path, choice.rotated)
        except OSError as error:
            raise unreadable(self._choice.path, error) from error
        for one in files:
            check_allowed(choice.allowed, one.path)
        return files


def _begins_with(found: FoundFile, known: FileMark, current: Generation | None) -> bool:
    if current is not None and current.identity() == found.identity and not current.lines.is_changed():
        return True
    return _has_prefix(found, known.size_bytes, known.digest)


def _has_prefix(found: FoundFile, size_bytes: int, digest: str) -> bool:
    if not size_bytes:
        return True
    try:
        content = content_of(found.path)
        if not content.is_packed and found.size_bytes < size_bytes:
            return False
        with content.opened():
            prefix = ReadPrefix(found.path)
            prefix.extend_from(content, size_bytes)
    except SourceError:
        # It is gone again, shorter, or being compressed at this moment.
        return False
    return prefix.digest == digest
