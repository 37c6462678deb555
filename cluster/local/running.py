"""A job run in this process from its beginning to the end of its input, for programs: settings in, anomalies out."""

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from actors.sink.anomaly_frames import anomaly_frame
from cluster.errors import NothingReadError
from cluster.local.embedded import open_job
from cluster.show.present import show_nothing_but_letters
from config.load import checked_path, load_job
from config.settings import JobSettings


def run(job: JobSettings | str | Path, directory: str | Path | None = None) -> pl.DataFrame:
    """Run a job, or that of a file, without a cluster; return its anomalies in the order of the rows.

    The frame has the time, the key columns, `type`, `metric`, `detail`, `split`, `offset` and `ordinal`. With a
    `directory` the partitions are kept there, and the next run goes on where this one has ended. A source without an
    end is read as far as it goes.

    Raises:
        ConfigError: the job cannot be used.
        NothingReadError: there were records, and none became a row.
        TocsinError: the source cannot be read, or the directory holds something else.
    """
    settings = job if isinstance(job, JobSettings) else load_job(job)
    kept = None if directory is None else checked_path("the directory", directory)
    with ExitStack() as stack:
        place = Path(kept or stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-")))
        running = stack.enter_context(open_job(settings, place, lambda: time.time_ns() // 1000))
        running.run()
        stat = running.stat()
        if stat.dead_letter_count and not stat.row_count:
            raise NothingReadError("; ".join([show_nothing_but_letters(stat.dead_letter_count), *running.remarks()]))
        return anomaly_frame(settings, running.new_anomalies(sys.maxsize))
