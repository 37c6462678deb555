"""Opening the sinks of a job."""

from pathlib import Path

from actors.sink.ndjson import NdjsonSink
from actors.sink.protocol import Sink
from config.settings import JobSettings


def open_sinks(job: JobSettings) -> list[Sink]:
    """Return the sinks that a job names, in their order; files are touched by the first write."""
    time_type = job.row_schema[job.time_column].type
    return [NdjsonSink(Path(sink.path), time_type) for sink in job.sinks]
