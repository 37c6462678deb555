"""Anomalies on their way to a screen or a file, in whatever form, without holding them all."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly, NewestPlace
from actors.sink.lines import anomaly_rows, as_record, column_names, detail_text
from cluster.client.nodes import PAGE_EVENT_COUNT
from cluster.client.typed_times import read_whole
from cluster.errors import ClusterError
from cluster.show.output import Form, Output, write_next, write_records
from cluster.show.present import narrow_rows
from config.form import JobForm

if TYPE_CHECKING:
    import polars as pl


@dataclass(slots=True, kw_only=True)
class ExportedAnomalies:
    """What was written; complete when the export has ended."""

    count: int = 0
    """Anomalies written."""

    more_follows: bool = False
    """Whether at least one more would have matched."""

    newest_first: bool = False
    """Whether they come in the order of times."""

    next: str | None = None
    """Cursor that the next page begins after; `None` when there was nothing."""


def export_anomalies(
    output: Output,
    job: JobForm,
    found: Iterator[Anomaly],
    count_max: int | None,
    *,
    is_wide: bool,
    newest_first: bool = False,
) -> ExportedAnomalies:
    """Write anomalies, at most `count_max` of them (`None`: all); one more is taken to know whether more follow.

    A table leaves out what names the row unless it `is_wide`. JSON on the standard output ends with a line
    `{"next": cursor}` when more follow.

    Raises:
        ClusterError: a column that there is not, or a file that cannot be written.
    """
    exported = ExportedAnomalies(newest_first=newest_first)
    batches = _batches(found, count_max, exported)
    if output.form is Form.JSON:
        write_records(
            output, column_names(job), (anomaly_rows(job, batch) for batch in batches), partial(as_record, job)
        )
    elif output.form is Form.TABLE and (output.columns or is_wide):
        write_records(output, column_names(job), (anomaly_rows(job, batch, detail_text) for batch in batches))
    elif output.form is Form.TABLE:
        names, narrowed = narrow_rows(job, [one for batch in batches for one in batch])
        write_records(output, names, [narrowed])
    else:
        # Imports Polars, which who looks at a screen does without.
        from actors.sink.anomaly_frames import anomaly_frame
        from cluster.show.frame_output import write_frames

        write_frames(output, anomaly_frame(job, []).schema, (anomaly_frame(job, batch) for batch in batches))
    write_next(output, exported.next if exported.more_follows else None)
    return exported


def _cursor(last: Anomaly, newest_first: bool) -> str:
    text = f"{last.id.split}/{last.id.offset}/{last.id.ordinal}"
    return f"{'none' if last.time is None else last.time}/{text}" if newest_first else text


def read_newest_cursor(text: str) -> NewestPlace:
    """Return the place in the order of times that a cursor of a page names.

    Raises:
        ClusterError: it is no cursor, or one of the other order.
    """
    time, _, rest = text.partition("/")
    ticks = read_whole(time)
    if rest.count("/") != 2 or (time != "none" and ticks is None):
        raise ClusterError(
            f"{text!r} is no cursor of --newest, as 1767225600000/0/17/0; copy the one of the page before"
        )
    return time != "none", ticks or 0, read_cursor(rest)


def read_cursor(text: str) -> AnomalyId:
    """Return the id that a cursor of a page names.

    Raises:
        ClusterError: it is no cursor.
    """
    parts = text.split("/")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ClusterError(f"{text!r} is no cursor of anomalies; write split/offset/ordinal, as 0/17/0")
    split, offset, ordinal = map(int, parts)
    if split >= 1 << 32 or offset >= 1 << 64 or ordinal >= 1 << 32:
        raise ClusterError(f"{text!r} is beyond every anomaly; copy what the page before gave")
    return AnomalyId(split=split, offset=offset, ordinal=ordinal)


def _batches(found: Iterator[Anomaly], count_max: int | None, exported: ExportedAnomalies) -> Iterator[list[Anomaly]]:
    wanted = islice(found, count_max)
    while batch := list(islice(wanted, PAGE_EVENT_COUNT)):
        exported.count += len(batch)
        exported.next = _cursor(batch[-1], exported.newest_first)
        yield batch
    exported.more_follows = count_max is not None and next(found, None) is not None


def export_stored_anomalies(output: Output, found: Iterator[Anomaly], count_max: int | None) -> ExportedAnomalies:
    """Write anomalies of which no job is known: times are ticks, keys are JSON.

    Raises:
        ClusterError: a column that there is not, or a file that cannot be written.
    """
    from actors.sink.anomaly_frames import json_records
    from cluster.show.frame_output import write_frames

    exported = ExportedAnomalies()
    frames = (_stored_frame(batch) for batch in _batches(found, count_max, exported))
    write_frames(output, _stored_frame([]).schema, frames, partial(json_records, json_columns=("key", "detail")))
    write_next(output, exported.next if exported.more_follows else None)
    return exported


def _stored_frame(anomalies: Sequence[Anomaly]) -> "pl.DataFrame":
    import polars as pl

    columns: dict[str, tuple[list[Any], Any]] = {
        "split": ([one.id.split for one in anomalies], pl.Int64),
        "offset": ([one.id.offset for one in anomalies], pl.Int64),
        "ordinal": ([one.id.ordinal for one in anomalies], pl.Int64),
        "ticks": ([one.time for one in anomalies], pl.Int64),
        "key": ([json.dumps(one.key, ensure_ascii=False) for one in anomalies], pl.String),
        "type": ([one.type for one in anomalies], pl.Int32),
        "metric": ([one.metric for one in anomalies], pl.String),
        "detail": ([one.detail for one in anomalies], pl.String),
    }
    return pl.DataFrame([pl.Series(name, values, dtype=kind) for name, (values, kind) in columns.items()])
