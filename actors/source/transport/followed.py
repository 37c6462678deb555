"""A file that is followed while it is rotated: renamed and begun anew, or copied and cut to nothing.

The files that have the name one after the other are read in their order, as one: offsets run on from one to the next.
Which file comes where is decided by what is in it and not by its name. The file that is read is the oldest of those
that begin with what was read of it and were written since; the next one is the file after it. It is read to its end
once a later file has something in it, for a writer goes on in the old file until it opens the new one; what several
writers still put into the old file after that is read next, as a segment of its own. A line that is half written then
has until the next rotation to get its end.

What was read and is found nowhere any more is an error, or a gap where the job wants that: see `_lose`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from actors.errors import SourceError
from actors.source.records import Block, Texts
from actors.source.transport.contents import content_of
from actors.source.transport.generation import FollowedChoice, Generation, OpenLines
from actors.source.transport.positions import (
    WAY_OUT,
    FileChangedError,
    FileMark,
    became_shorter,
    was_changed,
)
from actors.source.transport.rotated import FoundFile
from actors.source.transport.search import CLOSED_COUNT_MAX, RotationSearch
from actors.source.transport.segments import Segment, SegmentLog, as_mark, begun, cut_to, past_lost

_HELD_COUNT_MAX = 3
"""Files that were closed last, which are kept open in case they have more."""

_TRY_COUNT_MAX = 5
"""Looks for a file that is renamed at the same time."""


class FollowedFile:
    """The lines of a file that is followed through its rotations; close it."""

    def __init__(self, choice: FollowedChoice, open_lines: OpenLines, log: SegmentLog) -> None:
        self.path = choice.path
        self.is_complete = False
        self._choice = choice
        self._open_lines = open_lines
        self._log = log
        self._search = RotationSearch(choice, log)
        self._mark: FileMark | None = None
        self._current: Generation | None = None
        # Those that are closed and may still grow, and others that are read again.
        self._held: dict[int, Generation] = {}
        self._again: dict[int, Generation] = {}
        self._looked: list[object] = []

    def block_with(self, record: int) -> Block[Texts] | None:
        """Return a block that holds a record, or `None` when there are not that many yet.

        Raises:
            SourceError: a file cannot be read, the record is gone, or what was read is found nowhere.
        """
        self._begin()
        self._check_notes(record)
        while True:
            segment = self._segment_of(record)
            if segment.lost:
                raise SourceError(f"{self.path}: record {record} is gone: {segment.lost}")
            wanted = segment.first_record + record - segment.offset
            if segment is not self._segments[-1]:
                return cut_to(self._block_of_closed(segment, wanted), segment)
            with self._in_place():
                if not self._now.lines.end_record:
                    # There is nothing yet by which another file would be noticed.
                    self._look_again(self._search.files())
                block = self._now.lines.block_with(wanted)
                if block is not None:
                    return cut_to(block, segment)
                if not self._advance():
                    return None

    def record_count(self) -> int:
        """Return the records there are now, those that are gone included."""
        self._begin()
        while self.block_with(self._end()) is not None:
            pass
        return self._end()

    def earliest(self) -> int:
        """Return the first record after which none is gone.

        Raises:
            SourceError: what was read last is found nowhere.
        """
        self._begin()
        for segment in reversed(self._segments[:-1]):
            is_there = segment.generation == self._now.number or self._search.find(segment) is not None
            if segment.lost or not is_there:
                return segment.next_offset
        return 0

    def mark(self, number: int) -> FileMark:
        """Return how much has been read: records of all files, bytes of the one that is read."""
        if self._current is None:
            return self._mark or FileMark(number=number, path=str(self.path), record_count=0, size_bytes=0, digest="")
        return replace(self._current.lines.mark(number), path=str(self.path), record_count=self._end())

    def resume(self, mark: FileMark) -> None:
        """Go on where another process has read to; whether it is still there shows at the first read."""
        self._mark = mark

    def close(self) -> None:
        """Close all files; they are opened again by the next read."""
        if self._current is not None:
            self._mark = self.mark(self._choice.number)
        for one in (self._current, *self._held.values(), *self._again.values()):
            if one is not None:
                one.close()
        self._current = None
        self._held.clear()
        self._again.clear()
        self._looked = []

    @property
    def _segments(self) -> list[Segment]:
        return self._log.segments[self._choice.number]

    @property
    def _now(self) -> Generation:
        assert self._current is not None
        return self._current

    def _end(self) -> int:
        last = self._segments[-1]
        return last.offset + self._now.lines.end_record - last.first_record

    def _segment_of(self, record: int) -> Segment:
        return next((one for one in reversed(self._segments) if one.offset <= record), self._segments[0])

    def _begin(self) -> None:
        """Find the file that is read."""
        if self._current is not None:
            return
        files = self._search.files()
        if not self._log.segments.get(self._choice.number):
            if not files or files[-1].path != self.path:
                raise self._gone()
            first = begun(self._choice.number, 0, 0, 0, files[-1])
            # Files that were rotated before this were written before this, whatever their times.
            before = [one.modified_ns + 1 for one in files[:-1]]
            self._log.put([replace(first, modified_ns=max([first.modified_ns, *before]))])
        for _ in range(_TRY_COUNT_MAX):
            known = self._known()
            found = self._search.pick(files, known, self._current)
            if found is None or not self._search.is_sure(found, files, known):
                self._lose(files, known)
            elif self._take(found, known):
                self._find_previous()
                return
            files = self._search.files()
        raise SourceError(f"{self.path}: the file is renamed again and again; tried {_TRY_COUNT_MAX} times")

    def _check_notes(self, record: int) -> None:
        """Check that one who has not seen the file before is not asked for what may be in a rotated one."""
        is_new = len(self._segments) == 1 and not self._now.lines.end_record
        if record and is_new and len(self._search.files()) > 1:
            raise SourceError(
                f"{self.path} has been rotated, and nothing here tells which of its files has record {record}: another "
                "node, or another directory, has read it so far. Let that go on (`on: NODE`), or begin anew"
            )

    def _find_previous(self) -> None:
        """Find the file before the one that is read, which may still grow."""
        before = [one for one in self._search.closed_segments() if one.generation < self._now.number][-1:]
        found = self._search.find(before[0]) if before else None
        if found is not None and self._now.number not in self._held:
            self._hold(before[0], found, is_complete=False)

    def _hold(self, segment: Segment, found: FoundFile, *, is_complete: bool) -> Generation | None:
        """Keep a closed file open, in case it has more."""
        held = self._opened(segment.generation, found)
        if not self._resumed(held, segment):
            return None
        held.lines.is_complete = is_complete or held.content.is_packed
        self._held[held.number] = held
        return held

    def _take(self, found: FoundFile, known: FileMark) -> bool:
        """Go on in a file, unless it is another one by now."""
        current = self._opened(self._segments[-1].generation, found)
        try:
            is_same = current.identity() == found.identity
            if is_same:
                current.lines.resume(known)
        except (FileChangedError, FileNotFoundError):
            is_same = False
        if not is_same:
            current.close()
            return False
        if self._current is not None:
            self._current.close()
        self._current = current
        return True

    def _opened(self, number: int, found: FoundFile) -> Generation:
        content = content_of(found.path, is_held=True)
        lines = self._open_lines(found.path, content)
        return Generation(number=number, path=found.path, lines=lines, content=content)

    def _known(self) -> FileMark:
        """Return how much was read of the file that is read, as a mark of that file."""
        number, last = self._choice.number, self._segments[-1]
        if self._current is not None:
            return self._current.lines.mark(number)
        own = [one for one in self._segments if one.generation == last.generation and one.end_record is not None]
        known = as_mark(own[-1]) if own else replace(as_mark(last), record_count=0)
        mark = self._mark
        # At the offset where the segment begins, the mark may be that of the file before.
        if mark is not None and mark.size_bytes and (mark.record_count > last.offset or len(self._segments) == 1):
            count = last.first_record + mark.record_count - last.offset
            if count >= known.record_count:
                known = replace(mark, record_count=count)
        return known

    def _block_of_closed(self, segment: Segment, wanted: int) -> Block[Texts]:
        for _ in range(_TRY_COUNT_MAX):
            generation = self._generation_of(segment)
            if generation is None:
                break
            try:
                block = generation.lines.block_with(wanted)
            except FileChangedError:
                block = None
            if block is not None:
                return block
            self._forget(generation)
        raise SourceError(
            f"{self.path}: record {segment.offset} and those after it were in a rotated file that is gone; "
            f"records are left from {self.earliest()} on"
        )

    def _generation_of(self, segment: Segment) -> Generation | None:
        if segment.generation == self._now.number:
            return self._now
        kept = self._held.get(segment.generation) or self._again.get(segment.generation)
        if kept is not None:
            return kept
        found = self._search.find(segment)
        own = [one for one in self._search.closed_segments() if one.generation == segment.generation]
        if found is None or not own:
            return None
        again = self._opened(segment.generation, found)
        if not self._resumed(again, own[0]):
            return None
        again.lines.is_complete = True
        self._again[segment.generation] = again
        for number in list(self._again)[:-_HELD_COUNT_MAX]:
            self._forget(self._again[number])
        return again

    def _resumed(self, generation: Generation, segment: Segment) -> bool:
        try:
            generation.lines.resume(as_mark(segment))
        except SourceError:
            generation.close()
            return False
        return True

    def _forget(self, generation: Generation) -> None:
        generation.close()
        for kept in (self._held, self._again):
            if kept.get(generation.number) is generation:
                del kept[generation.number]

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """Look for what was read elsewhere when the file does not hold it any more."""
        known = self._known()
        try:
            yield
            return
        except FileChangedError:
            pass
        files = self._search.files()
        for _ in range(_TRY_COUNT_MAX):
            found = self._search.pick(files, known, self._current)
            if found is None:
                self._lose(files, known)
            elif self._take(found, known):
                return
            files = self._search.files()

    def _advance(self) -> bool:
        """At the end of the file that is read: go on in another one, if there is one."""
        current = self._now
        newest = max(one.generation for one in self._segments)
        if current.number < newest:
            return self._go_back(newest)
        files = self._search.files()
        late = self._grown(files)
        if late is not None:
            return self._go_late(late)
        if self._look_again(files):
            return True
        later = self._later(files)
        if len(later) > 1 or (later and self._has_records(later[0])):
            return self._go_on(later[0])
        return False

    def _look_again(self, files: list[FoundFile]) -> bool:
        """Return whether another file turns out to be the one that is read, once files are renamed or copied."""
        current = self._now
        if not current.lines.end_record and current.identity() not in {one.identity for one in files}:
            # It is open here, whatever becomes of its name.
            return False
        look: list[object] = [(one.path, one.identity) for one in files]
        look += [one.modified_ns for one in files if one.identity != current.identity()]
        if look == self._looked:
            return False
        known = self._known()
        found = self._search.pick(files, known, self._current)
        if found is not None and found.identity != current.identity():
            return self._take(found, known)
        self._looked = look
        return False

    def _has_records(self, found: FoundFile) -> bool:
        if not found.size_bytes:
            return False
        later = self._opened(self._now.number + 1, found)
        try:
            return later.lines.has_more()
        finally:
            later.close()

    def _later(self, files: list[FoundFile]) -> list[FoundFile]:
        """Return the files that came after the one that is read, the oldest first."""
        current = self._now
        identity = current.identity()
        place = next((place for place, one in enumerate(files) if one.identity == identity), None)
        if place is not None:
            return [one for one in files[place + 1 :] if not self._search.is_earlier(one)]
        # It is open here, though it has no name any more: all of it is read. What came between is not known.
        self._lose(files, self._known())
        raise AssertionError("what is lost is an error")

    def _go_on(self, later: FoundFile) -> bool:
        """Close the file that is read, and begin the one after it."""
        current = self._now
        if current.content.is_packed and not current.lines.is_complete:
            # What has no line end will get none.
            current.lines.is_complete = True
            return True
        for held in list(self._held.values()):
            # It had all the time from one rotation to the next for its last line.
            held.lines.is_complete = True
            if self._is_grown(held):
                return self._go_late(held)
            if held.number <= current.number - _HELD_COUNT_MAX:
                self._forget(held)
        closed = self._closing()
        last = self._segments[-1]
        place, offset = last.segment + len(closed), closed[0].next_offset if closed else last.offset
        self._log.put([*closed, begun(self._choice.number, place, current.number + 1, offset, later)])
        if current.lines.end_record:
            self._held[current.number] = current
        else:
            current.close()
        self._current = self._mark = None
        if not self._take(later, self._known()):
            self._begin()
        return True

    def _go_late(self, late: Generation) -> bool:
        """Read what was added to a file that was closed, then go on here."""
        closed, current, last = self._closing(), self._now, self._segments[-1]
        if not closed and last.offset == 0 and last.segment == 0:
            raise AssertionError("there was no file before the first")
        # Where nothing of this file is read yet, an empty segment says where it is.
        closed = closed or [replace(last, end_record=last.first_record)]
        added = Segment(
            number=self._choice.number,
            segment=last.segment + 1,
            generation=late.number,
            offset=closed[0].next_offset,
            first_record=self._noted_end(late),
            modified_ns=0,
        )
        self._log.put([*closed, added])
        self._held[current.number] = current
        self._current = self._held.pop(late.number)
        return True

    def _go_back(self, newest: int) -> bool:
        """Go on in the newest file after what was added to one before."""
        own = next(one for one in reversed(self._segments) if one.generation == newest)
        current, closed, last = self._now, self._closing(), self._segments[-1]
        again = replace(
            own,
            segment=last.segment + len(closed),
            offset=closed[0].next_offset if closed else last.offset,
            first_record=own.end_record or 0,
            end_record=None,
        )
        self._log.put([*closed, again])
        self._held[current.number] = current
        self._current = self._held.pop(newest, None)
        if self._current is None:
            self._mark = None
            self._begin()
        return True

    def _grown(self, files: list[FoundFile]) -> Generation | None:
        """Return a file that was closed and has more."""
        for held in list(self._held.values()):
            if self._is_grown(held):
                return held
        sizes = {one.identity: one for one in files}
        for segment in self._search.closed_segments()[-CLOSED_COUNT_MAX:]:
            found = sizes.get((segment.device, segment.inode))
            if found is None or segment.generation in self._held or segment.generation == self._now.number:
                continue
            if found.size_bytes > segment.size_bytes and self._search.has_head(found, segment):
                is_complete = segment.generation < self._now.number - 1
                late = self._hold(segment, found, is_complete=is_complete)
                if late is not None and self._is_grown(late):
                    return late
        return None

    def _noted_end(self, generation: Generation) -> int:
        """Return the number after the last record of a closed file that has an offset."""
        return next(
            (one.end_record or 0 for one in self._search.closed_segments() if one.generation == generation.number), 0
        )

    def _is_grown(self, held: Generation) -> bool:
        try:
            # Reading it again may have looked further than what is noted.
            return held.lines.end_record > self._noted_end(held) or held.lines.has_more()
        except FileChangedError:
            self._forget(held)
            return False

    def _closing(self) -> list[Segment]:
        """Return the segment that is read as one that is closed; none when it has no records."""
        last, current = self._segments[-1], self._now
        if current.lines.end_record == last.first_record:
            return []
        device, inode = current.identity()
        head = current.lines.head
        return [
            replace(
                last,
                device=device,
                inode=inode,
                end_record=current.lines.end_record,
                size_bytes=current.lines.size_bytes,
                digest=current.lines.digest,
                head_size_bytes=head[0],
                head_digest=head[1],
            )
        ]

    def _lose(self, files: list[FoundFile], known: FileMark) -> None:
        """Say that what was read is found nowhere, and go on after it where the job wants that.

        Raises:
            SourceError: always; the offsets after the gap can be read then.
        """
        last = self._segments[-1]
        if not files or files[-1].path != self.path:
            raise self._gone()
        if not self._choice.accepts_loss:
            now_bytes = files[-1].size_bytes
            if now_bytes < known.size_bytes:
                raise became_shorter(self.path, known.size_bytes, now_bytes, _OTHER_WAY)
            raise was_changed(self.path, known.size_bytes, _OTHER_WAY)
        why = (
            f"the file of which {known.size_bytes} bytes were read was rotated away, cut or replaced, and what was "
            "written to it after them is found nowhere"
        )
        later = [one for one in files if one.modified_ns >= last.modified_ns and not self._search.is_earlier(one)]
        skipped = past_lost(last, known, why)
        offset = skipped[-1].offset
        place, generation = last.segment + len(skipped), last.generation + 2
        next_one = begun(self._choice.number, place, generation, offset + 1, (later or files[-1:])[0])
        self._log.put([*skipped, next_one])
        self.close()
        self._mark = None
        raise SourceError(
            f"{self.path}: record {offset} is gone: {why}. What there is now is read from {offset + 1} on"
        )

    def _gone(self) -> SourceError:
        return SourceError(f"the file {self.path} is gone while it is followed, and offsets count its rows. {WAY_OUT}")


_OTHER_WAY = "or let `lost: gap` go on with what there is, and `status` say that something is missing"
