"""A look at the first rows of a job: what `tocsin check` can say of the data before the job runs."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from actors.errors import TocsinError
from actors.source.open import open_source
from actors.split_reader import check_split_count
from cluster.backtest.counting import run_backtest
from cluster.backtest.inputs import read_all, with_end
from cluster.backtest.replay import InputBatch
from cluster.backtest.summary import shown_time
from cluster.surroundings import surroundings_here
from config.errors import ConfigError
from config.settings import JobSettings

ROW_COUNT = 10_000
"""Records after which enough has been seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the first records of a job's source are."""

    rows: int = 0
    time_from: str | None = None
    time_to: str | None = None
    dead_letters: int = 0
    reasons: tuple[str, ...] = ()
    """Why the first few records are dead letters."""

    remarks: tuple[str, ...] = ()
    """What the source has to say of them."""

    null_comparisons: tuple[int, ...] = ()
    """For each metric, how many of its comparisons met NULL."""

    trouble: str | None = None
    """Why nothing could be read: it is not there yet, or only in a cluster. That is no mistake of the job file."""


def take_sample(job: JobSettings) -> Sample:
    """Return what the first records of a job's source are.

    Raises:
        ConfigError: each partition is to have a split, and there are more or fewer.
    """
    try:
        with closing(open_source(with_end(job), Path(), around=surroundings_here())) as source:
            check_split_count(job, source)
            result = run_backtest(job, lambda: _first(read_all(source, ROW_COUNT)))
            remarks = source.remarks()
    except ConfigError:
        raise
    except TocsinError as error:
        return Sample(trouble=str(error))
    return Sample(
        rows=result.row_count,
        time_from=shown_time(result, result.time_first),
        time_to=shown_time(result, result.time_last),
        dead_letters=result.dead_letter_count,
        remarks=remarks,
        reasons=tuple(letter.reason for letter in result.dead_letters),
        null_comparisons=result.null_comparison_counts,
    )


def _first(batches: Iterable[InputBatch]) -> Iterator[InputBatch]:
    seen = 0
    for batch in batches:
        yield batch
        seen += batch.frame.height + len(batch.dead_letters)
        if seen >= ROW_COUNT:
            return
