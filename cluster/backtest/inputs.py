"""Inputs of a backtest: the job's own source, or another file read by the same rules."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from actors.source.open import open_source
from actors.source.protocol import Source
from cluster.backtest.replay import Input, InputBatch
from cluster.errors import BacktestError
from cluster.surroundings import surroundings_here
from config.load import make_job
from config.settings import JobSettings
from config.sources import FILE_SUFFIXES, FORMAT_TYPES, LOCAL_TYPES, without_packing

_LIVE_SOURCES = (*LOCAL_TYPES, "stdin")
"""Sources that are not a record by themselves."""


def source_input(job: JobSettings) -> Input:
    """Return the input that a job's source is.

    Raises:
        BacktestError: the job reads something live.
    """
    ended = with_end(job)

    def batches() -> Iterator[InputBatch]:
        with closing(open_source(ended, Path(), around=surroundings_here())) as source:
            yield from read_all(source, ended.limits.batch_rows_max)

    return batches


def with_end(job: JobSettings) -> JobSettings:
    """Return a job that reads what its source has by now.

    Raises:
        BacktestError: the job reads something live.
    """
    if job.source.type in _LIVE_SOURCES:
        raise BacktestError(
            f"job {job.name!r} reads {job.source.type}, which is no recording; see it live with `tocsin run`, or give "
            "`tocsin backtest` a recording by --source FILE or --history"
        )
    if not getattr(job.source, "follow", False):
        return job
    return job.model_copy(update={"source": job.source.model_copy(update={"follow": False})})


def with_source(job: JobSettings, path: Path) -> JobSettings:
    """Return a job that reads another file; what its source says of columns and times holds if it fits.

    Raises:
        BacktestError: the name of the file does not say what it is.
        ConfigError: the job cannot read such a file.
    """
    kind = FILE_SUFFIXES.get(Path(without_packing(path.name)).suffix.lower())
    own = job.source.model_dump(mode="json")
    if isinstance(own.get("format"), dict):
        # What brings the records is another thing now; how they are written is not.
        own = own["format"] | {"type": FORMAT_TYPES.get(own["format"]["type"], own["format"]["type"])}
    if kind is None and not ("path" in own and path.exists()):
        known = ", ".join(FILE_SUFFIXES)
        raise BacktestError(f"{str(path)!r} is no file that a backtest can read; its name ends with one of {known}")
    if not path.exists():
        raise BacktestError(f"there is no file {str(path)!r}")
    kept: dict[str, Any] = own if kind in (None, own["type"]) else {"type": kind}
    if kind is not None and kind != own["type"] and "path" in own:
        kept |= {name: own[name] for name in ("columns", "time_format") if name in own}
    plain = job.model_dump(mode="json", by_alias=True)
    # A file is read as one split, whatever the job's own source has.
    return make_job(plain | {"partition_by": "key", "source": {**kept, "path": str(path.resolve())}})


def read_all(source: Source, row_count_max: int) -> Iterator[InputBatch]:
    """Yield what a source has, a batch of each split in turn, as the pump of a job reads it."""
    positions = {split.number: source.earliest_offset(split.number) for split in source.splits()}
    while positions:
        for split, start in list(positions.items()):
            batch = source.read(split, start, row_count_max)
            yield InputBatch(
                split=split, frame=batch.frame, offsets=batch.offsets, dead_letters=tuple(batch.dead_letters)
            )
            positions[split] = batch.next_offset
            if batch.at_end or batch.next_offset <= start:
                del positions[split]
