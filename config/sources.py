"""Settings of the source of a job: where its rows come from."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from config.base import Count, Settings, fault

TIME_FORMATS = ("auto", "ticks", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
"""Named time formats; any other is a pattern of `%` directives."""

FILE_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
"""Source type that a file name suggests."""


class InlineSource(Settings):
    """Rows in the job file itself, in the order of the schema's columns."""

    type: Literal["inline"] = "inline"
    rows: tuple[tuple[Any, ...], ...]
    """Each row has a value for every column; times as text or ticks."""


class FileSource(Settings):
    """What the sources that read files have in common."""

    path: str | tuple[str, ...]
    """A file, a folder, a pattern such as `data/*.csv`, or a list of them; relative to the job file."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Column of the schema -> name in the file, where they differ."""

    time_format: str = "auto"
    """`auto` (ISO or ticks), `ticks`, `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`, or a pattern, say `%d.%m.%Y`."""

    @model_validator(mode="after")
    def _check_file_source(self) -> "FileSource":
        if not self.path or not all(self.paths):
            raise fault(("path",), "no file is named; give a file, a folder, a pattern or a list of them")
        if self.time_format not in TIME_FORMATS and "%" not in self.time_format:
            names = ", ".join(TIME_FORMATS)
            raise fault(
                ("time_format",), f"no time format {self.time_format!r}; use {names} or a pattern such as %Y-%m-%d"
            )
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The path or paths, as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path


class TextSource(FileSource):
    """What the sources that read lines have in common."""

    follow: bool = False
    """Whether files grow: keep reading whole lines, and never end."""

    record_size_bytes_max: Count = 1 << 20
    """Longer lines are dead letters."""


class CsvSource(TextSource):
    """Lines of separated values."""

    type: Literal["csv"] = "csv"
    separator: str = Field(default=",", min_length=1, max_length=1)
    """One character between values."""

    header: bool = True
    """Whether the first line of each file names its columns; without it they are the schema's, in order."""

    null_values: tuple[str, ...] = ()
    """Text that means NULL, besides an empty value."""

    @model_validator(mode="after")
    def _check_csv_source(self) -> "CsvSource":
        if not self.separator.isascii() or self.separator in '"\r\n':
            raise fault(("separator",), f"{self.separator!r} cannot separate values; use a character such as , or ;")
        return self


class NdjsonSource(TextSource):
    """One JSON object a line."""

    type: Literal["ndjson"] = "ndjson"
    missing: Literal["refuse", "null"] = "refuse"
    """What an object without a column's key means: a dead letter, or NULL."""


class ParquetSource(FileSource):
    """Parquet files."""

    type: Literal["parquet"] = "parquet"


class StreamSource(Settings):
    """A stream table of this installation."""

    type: Literal["stream"] = "stream"
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name of the stream table."""

    splits: Count = 1
    """Splits of the table, when it does not exist yet."""


class HostMetricsSource(Settings):
    """Measurements of this machine: processors, memory, disks, network, load, busy processes."""

    type: Literal["host_metrics"] = "host_metrics"
    period_ms: Annotated[int, Field(ge=10, strict=True)] = 1000
    """Milliseconds between two samples."""

    process_count_max: Annotated[int, Field(ge=0, strict=True)] = 10
    """Busiest processes that are reported in each sample; 0 reports none."""

    process_percent_min: float = Field(default=1.0, ge=0)
    """Processor use below which a process is not reported, in percent of one processor."""


HOST_METRICS_SCHEMA = {"time": "TIMESTAMP", "key": "SYMBOL", "kind": "SYMBOL", "name": "SYMBOL", "value": "DOUBLE"}
"""Columns of host metrics."""

SourceSettings: TypeAlias = Annotated[
    InlineSource | CsvSource | NdjsonSource | ParquetSource | StreamSource | HostMetricsSource,
    Field(discriminator="type"),
]
"""Any source."""


def with_type(source: Any) -> Any:
    """Return the mapping of a source with the type that its path or rows suggest, where none is given."""
    if not isinstance(source, dict) or "type" in source:
        return source
    if "rows" in source:
        return {"type": "inline", **source}
    path = source.get("path")
    first = path[0] if isinstance(path, list) and path else path
    if isinstance(first, str):
        for suffix, kind in FILE_SUFFIXES.items():
            if first.lower().endswith(suffix):
                return {"type": kind, **source}
    return source
