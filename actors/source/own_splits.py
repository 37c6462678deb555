"""The source of a job, opened once for each split that a host reads by itself.

Each split keeps its own notes of what has been read of files, beside the shards, because other hosts of the machine
keep theirs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source, SourceBatch, SplitInfo
from actors.source.surroundings import NO_SURROUNDINGS, Surroundings
from actors.source.wrapped import WrappedSource
from config.settings import JobSettings

POSITIONS_FOLDER = "splits"
"""Folder beside the shards of a job with a folder for each split that was read here."""


class OwnSplits:
    """Opens the source of a job for one split after the other; call it with the number of a split.

    `streams` is where stream tables are, `partitions` where the job's shards are.
    """

    def __init__(
        self,
        job: JobSettings,
        streams: Path,
        partitions: Path,
        allowed: AllowedPaths,
        around: Surroundings = NO_SURROUNDINGS,
    ) -> None:
        self._job = job
        self._streams = streams
        self._partitions = partitions
        self._allowed = allowed
        self._around = around

    def __call__(self, split: int) -> Source:
        """Return the source of the job, for one of its splits.

        Raises:
            SourceError: the source cannot be opened, or files are not those that were read before.
            SchemaError: the job's schema is not that of its stream table.
        """
        positions = self._partitions / POSITIONS_FOLDER / f"{split:04d}"
        source = open_source(self._job, self._streams, {}, positions, self._allowed, self._around)
        names = self._job.split_nodes
        return OneOfSeveral(source, split, names) if names else source


class OneOfSeveral(WrappedSource):
    """The single split of a source of this node, as the one of its number among those of several nodes."""

    def __init__(self, source: Source, split: int, names: Sequence[str]) -> None:
        super().__init__(source)
        self._split = split
        self._names = names

    def splits(self) -> tuple[SplitInfo, ...]:
        if len(self._source.splits()) > 1:
            raise SourceError(f"{self._source.splits()[1].name} is a second split; a node has one of several nodes'")
        return tuple(SplitInfo(number=number, name=name) for number, name in enumerate(self._names))

    def earliest_offset(self, split: int) -> int:
        return self._source.earliest_offset(self._own(split))

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        batch = self._source.read(self._own(split), offset, row_count_max)
        return replace(batch, dead_letters=tuple(replace(one, split=split) for one in batch.dead_letters))

    def _own(self, split: int) -> int:
        if split != self._split:
            raise SourceError(f"split {split} is on {self._names[split]}, and only split {self._split} is here")
        return 0
