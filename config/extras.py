"""Which extras of Tocsin a job needs, besides what all jobs do."""

from collections.abc import Iterator

from config.remote import OBJECT_SCHEMES, path_of, scheme_of
from config.settings import JobSettings
from config.sources import FileSource

_BY_TYPE = ("avro", "kafka", "mqtt", "nats", "notify", "redis", "sql")
"""Types of sources and sinks that are the names of their extras."""


def needed_extras(job: JobSettings) -> list[tuple[str, str]]:
    """Return what of a job needs an extra, for people, and which one."""
    return list(dict.fromkeys(_needs(job)))


def _needs(job: JobSettings) -> Iterator[tuple[str, str]]:
    source = job.source
    if source.type in _BY_TYPE:
        yield "the source", source.type
    if isinstance(source, FileSource):
        schemes = {scheme_of(path) for path in source.paths}
        yield from (("the source", scheme) for scheme in OBJECT_SCHEMES if scheme in schemes)
        if any(path_of(path).lower().endswith(".zst") for path in source.paths):
            yield "the source", "zstd"
    for sink in job.sinks:
        if sink.type in _BY_TYPE:
            yield f"sink {sink.identity}", sink.type
