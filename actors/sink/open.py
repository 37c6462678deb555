"""Opening the sinks of a job. The table at the end says which there are; a new one is registered there alone."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actors.allowed import EVERYTHING, AllowedPaths
from actors.sink.ndjson import NdjsonSink
from actors.sink.protocol import Sink
from config.settings import JobSettings, NdjsonSinkSettings


def open_sinks(job: JobSettings, allowed: AllowedPaths = EVERYTHING) -> list[Sink]:
    """Return the sinks that a job names, in their order; files, as far as allowed, are touched by the first write."""
    return [SINKS[type(settings)](settings, job, allowed) for settings in job.sinks]


def _open_ndjson(settings: NdjsonSinkSettings, job: JobSettings, allowed: AllowedPaths) -> Sink:
    return NdjsonSink(Path(settings.path), job, allowed)


SINKS: Mapping[type[Any], Callable[[Any, JobSettings, AllowedPaths], Sink]] = {NdjsonSinkSettings: _open_ndjson}
"""Settings of a sink -> what opens it."""
