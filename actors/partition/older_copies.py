"""Older copies of a partition's shard: kept until the current one has durably what they have."""

import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from actors.errors import TocsinError
from actors.lmdb_file import DATA_FILE
from actors.partition.check import PartitionMarks, read_marks
from actors.partition.gaps import Gap
from actors.shard import Shard
from actors.shard.generations import copies_beside

log = logging.getLogger(__name__)


class OlderCopies:
    """The copies of lower generations that stand beside the shard of a partition.

    One goes as soon as a flush has made durable everything up to its offsets. It stays, with a warning, when the
    current one has a gap there: then it may be the only one that has this history, and people decide.
    """

    def __init__(self, shard: Shard, number: int) -> None:
        self._number = number
        self._waiting: dict[Path, PartitionMarks] = {}
        for generation, path in copies_beside(shard.directory):
            if generation < shard.generation:
                self._look_at(path)

    def _look_at(self, path: Path) -> None:
        marks = None
        if (path / DATA_FILE).exists():
            try:
                with Shard.open(path, read_only=True) as copy:
                    marks = read_marks(copy)
            except (TocsinError, ValueError) as error:
                self._keep(path, str(error))
                return
        if marks is None:
            shutil.rmtree(path, ignore_errors=True)
        else:
            self._waiting[path] = marks

    def remove_surpassed(self, committed: Mapping[int, int], gaps: Iterable[Gap]) -> None:
        """Remove the copies whose history the current shard has, after a flush of it."""
        for path, marks in list(self._waiting.items()):
            if any(committed.get(split, 0) < offset for split, offset in marks.committed.items()):
                continue
            del self._waiting[path]
            same = {gap.records for gap in marks.gaps if not gap.has_results}
            missing = [
                gap.records
                for gap in gaps
                if not gap.has_results and gap.records not in same and gap.start < marks.committed.get(gap.split, 0)
            ]
            if missing:
                self._keep(path, f"the current shard lacks {', '.join(missing)}, which the source has no more")
            else:
                shutil.rmtree(path, ignore_errors=True)

    def _keep(self, path: Path, reason: str) -> None:
        log.warning("an older copy is kept", extra={"partition": self._number, "path": str(path), "reason": reason})
