"""Reading again, for second copies that lack what others have been sent.

Each such reading of a split has a reader of its own: the ticks in it follow from its own rows, not from those that were
read further on meanwhile.
"""

from dataclasses import replace

import numpy as np

from actors.source.protocol import Source
from cluster.errors import InputGoneError
from cluster.leader.instructions import ReadAgain
from cluster.leader.reading import SplitBatch, SplitReader
from config.settings import JobSettings

Readers = dict[tuple[str, int], SplitReader]
"""Readers of one leader, by host and split."""


def read_again(readers: Readers, job: JobSettings, source: Source, request: ReadAgain) -> SplitBatch:
    """Return the records of a split from an offset on.

    Raises:
        InputGoneError: the source begins further on by now.
        SourceError: the source cannot be read.
    """
    place = (request.host, request.split)
    earliest = source.earliest_offset(request.split)
    if earliest > request.offset:
        raise InputGoneError(
            f"the standby on {request.host} needs split {request.split} from {request.offset}; it begins at {earliest}"
        )
    if request.is_first or place not in readers:
        readers[place] = SplitReader(job, source)
    return readers[place].read(request.split, request.offset, request.row_count_max)


def cut(batch: SplitBatch, end: int) -> SplitBatch:
    """Return the part of a batch below an offset."""
    if batch.end <= end:
        return batch
    rows = {}
    for number, (frame, offsets) in batch.rows.items():
        count = int(np.searchsorted(offsets, end))
        if count:
            rows[number] = (frame[:count], offsets[:count])
    letters = {
        number: kept
        for number, found in batch.dead_letters.items()
        if (kept := tuple(letter for letter in found if letter.offset < end))
    }
    ticks = tuple(tick for tick in batch.ticks if tick[0] < end)
    return replace(batch, end=end, rows=rows, dead_letters=letters, ticks=ticks, at_end=False)
