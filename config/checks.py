"""Checks that concern several settings of a job at once; each names the faulty key by its path."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.durations import duration_units
from actors.engine.arguments import DURATION_MAX, OUTPUT_COLUMNS
from actors.model import Schema, parse_column_type
from config.base import EVERY_NODE, fault, suggest
from config.brokers import KafkaSource, NatsSource, RedisSource
from config.detectors import EVERY_VARIABLE
from config.errors import Path, SettingError
from config.formats import META_NAME, CsvFormatSettings, FormatSettings, LogFormatSettings
from config.idle import check_idle_after
from config.notice_checks import check_notifications
from config.push import MqttSource
from config.settings import JobSettings
from config.sink_checks import check_alerts, check_files
from config.sinks import NdjsonSinkSettings
from config.sources import (
    FILE_COLUMN,
    HOST_METRICS_SCHEMA,
    LOCAL_SOURCES,
    FileSource,
    HostMetricsSource,
    InlineSource,
    SourceSettings,
    StreamSource,
    format_of,
    log_of,
    reads_files_apart,
)
from config.texts import text_faults
from config.windows import WindowSettings

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def job_faults(job: JobSettings) -> list[SettingError]:
    """Return what is wrong with settings that can be used one by one, the first fault of each kind."""
    schema = job.row_schema
    faults = [*_faults(_check_host_columns, job), *_faults(_check_time, job, schema)]
    if not faults:
        faults += _faults(_check_columns, job, schema)
        is_keyed = not faults
        looks = (_check_window, _check_durations, check_idle_after, _check_source, _check_events, _check_warm_start)
        for check in looks:
            faults += _faults(check, job, schema)
        # What keys mean for others is looked at where they are columns.
        for about_keys in (
            _check_sinks,
            check_alerts,
            check_files,
            check_notifications,
            _check_partition_by,
            _check_keys,
        ):
            faults += _faults(about_keys, job) if is_keyed else []
        faults += _faults(_check_nodes, job)
        for index in range(len(job.detectors)):
            faults += _faults(_check_detector, job, schema, index)
    faults += text_faults(job)
    return faults or _faults(_check_does_something, job)


def _faults(check: Callable[..., None], *arguments: Any) -> list[SettingError]:
    try:
        check(*arguments)
    except SettingError as found:
        return [found]
    return []


def _check_does_something(job: JobSettings) -> None:
    if not job.metrics and not job.detectors and not job.events.store and job.absent is None:
        raise fault(
            ("metrics",), "the job would do nothing; give a metric, a detector, `absent`, or `events: {store: true}`"
        )


def _check_time(job: JobSettings, schema: Schema) -> None:
    _require_column(schema, job.time, ("time",))
    if not schema[job.time].type.is_temporal:
        kind = schema[job.time].type
        raise fault(("time",), f"column {job.time!r} is {kind}; the time column must be a time, such as TIMESTAMP")


def _check_columns(job: JobSettings, schema: Schema) -> None:
    _check_key(job, schema, job.key, ("key",))
    for index, metric in enumerate(job.metrics):
        _check_key(job, schema, metric.key or (), ("metrics", index, "key"))
    if schema[job.time].name in OUTPUT_COLUMNS:
        raise fault(("time",), f"anomalies have a column {job.time!r} of their own; name the column otherwise")


def _check_key(job: JobSettings, schema: Schema, key: Sequence[str], path: Path) -> None:
    seen: set[str] = set()
    for index, name in enumerate(key):
        _require_column(schema, name, (*path, index))
        if name.lower() in seen or name.lower() == job.time.lower():
            raise fault((*path, index), f"{name!r} is named twice, or is the time column; leave it out")
        seen.add(name.lower())
        if schema[name].name in OUTPUT_COLUMNS:
            text = f"anomalies have a column {name!r} of their own; name the column otherwise"
            raise fault((*path, index), text)


def _check_keys(job: JobSettings) -> None:
    """Check that the rows of each key of a metric are in one partition, and come in one order."""
    source = job.source
    by_file = isinstance(source, FileSource) and reads_files_apart(job.key_columns, source)
    for index, key in enumerate(job.keys):
        path: Path = ("metrics", index, "key")
        if by_file and not any(name.lower() == FILE_COLUMN for name in key):
            text = (
                f"each file is a split, as the job's key has {FILE_COLUMN!r}; rows of one key would come from several"
            )
            raise fault(path, f"{text} in any order; add {FILE_COLUMN!r}, or leave it out of the job's key")
    own = [index for index, metric in enumerate(job.metrics) if metric.key is not None]
    if job.partition_by == "split" or job.partitions == 1 or job.route_columns or not own:
        return
    by_job = f"of one {', '.join(job.key_columns)}" if job.key_columns else "there are"
    index = next((index for index in own if not {*job.keys[index]} & {*job.key_columns}), own[0])
    by_metric = f"of one {', '.join(job.keys[index])}" if job.keys[index] else "there are"
    raise fault(
        ("metrics", index, "key"),
        f"needs all rows {by_metric} in one partition, and what has the job's key all {by_job}: no column is in all "
        "keys, by which rows could find it; set `partitions: 1`, or make two jobs of it",
    )


def _check_sinks(job: JobSettings) -> None:
    for index, sink in enumerate(job.sinks):
        if any(sink.identity == other.identity for other in job.sinks[:index]):
            way = (
                "give each a folder of its own" if isinstance(sink, NdjsonSinkSettings) else "give one of them a `name`"
            )
            raise fault(("sinks", index), f"{sink.name or sink.place!r} is that of another sink; {way}")
        for name in sink.where.key:
            if name not in job.all_key_columns:
                known = suggest(name, job.all_key_columns) if job.all_key_columns else "the job has none"
                raise fault(("sinks", index, "where", "key", name), f"{name!r} is no key column; {known}")
        if sink.only in ("episodes", "both") and not job.has_episodes:
            text = "the job has no metric, no detector and no `absent`, so there are no episodes; give it one"
            raise fault(("sinks", index, "only"), text)


def _check_nodes(job: JobSettings) -> None:
    """Check that what one machine alone can have is on no other."""
    source = job.source
    if not isinstance(source, LOCAL_SOURCES) or (len(source.on) < 2 and source.on != (EVERY_NODE,)):
        return
    if job.partition_by == "key":
        what = "what a machine measures of itself" if isinstance(source, HostMetricsSource) else "a stream table"
        raise fault(("source", "on"), f"{what} is on one node; name it, or set `partition_by: split`: a split for each")
    if isinstance(source, MqttSource) and not source.is_shared:
        text = "each node would get every message; share them by topics such as `$share/GROUP/site/#`, or name one node"
        raise fault(("source", "on"), text)
    if isinstance(source, StreamSource) and source.splits > 1:
        raise fault(("source", "splits"), "tables on several nodes are one split each; leave `splits` out")
    if any(sink.on for sink in job.sinks):
        raise fault(("source", "on"), "hosts are on each of these nodes; leave `on` of the sinks out")


def _check_partition_by(job: JobSettings) -> None:
    """Check that hosts can read the splits of a source by themselves, and that there is a partition for each."""
    if job.partition_by == "key":
        return
    source = job.source
    if job.standby and (job.split_nodes or len(job.source_nodes) == 1):
        where = "each split is on one node" if job.split_nodes else f"the source is on {job.source_nodes[0]}"
        raise fault(("standby",), f"{where} alone, and no other could read what a standby needs; leave `standby` out")
    if isinstance(source, KafkaSource):
        # Only the broker knows how many there are.
        return
    is_split_by_file = isinstance(source, FileSource) and reads_files_apart(job.key_columns, source)
    if is_split_by_file and getattr(source, "follow", False):
        text = "files that are followed become more splits, and a job's partitions are fixed; leave `partition_by` out"
        raise fault(("partition_by",), text)
    count = len(job.split_nodes) or split_count(source)
    if not is_split_by_file and job.partitions != count:
        text = f"with `partition_by: split` each split is one partition; the source has {count}: leave `partitions` out"
        way = ", or make `file` a key column, so that each file is a split" if isinstance(source, FileSource) else ""
        raise fault(("partitions",), text + way)


def split_count(source: SourceSettings) -> int:
    """Return how many splits a source has by what the job file says."""
    if isinstance(source, NatsSource):
        return max(len(source.subjects), 1)
    if isinstance(source, RedisSource):
        return len(source.streams)
    return source.splits if isinstance(source, StreamSource) else 1


def _check_detector(job: JobSettings, schema: Schema, index: int) -> None:
    detector = job.detectors[index]
    _require_columns(schema, detector.event, ("detectors", index, "event"))
    for number, part in enumerate(detector.watch):
        path = ("detectors", index, "watch", number)
        if part == EVERY_VARIABLE:
            _check_has_variables(job, path)
        elif isinstance(part, str):
            _require_column(schema, part, path)
        else:
            _require_columns(schema, part, path)
    name = detector.name or detector.type
    if any(name == (other.name or other.type) for other in job.detectors[:index]):
        raise fault(("detectors", index), f"two detectors are named {name!r}; give one a `name`")


def _check_window(job: JobSettings, schema: Schema) -> None:
    kind = schema[job.time].type
    paths: list[tuple[Path, WindowSettings | None]] = [(("window",), job.window)]
    paths += [(("metrics", index, "window"), metric.window) for index, metric in enumerate(job.metrics)]
    for path, window in paths:
        if window is not None and window.empty == "zero" and job.ticks is None:
            text = "'zero' needs `ticks`, at which windows without rows are computed; add `ticks: 10s` or the like"
            raise fault((*path, "empty"), text)
        if window is not None:
            window.check(kind, path)


def _check_durations(job: JobSettings, schema: Schema) -> None:
    kind = schema[job.time].type
    if job.absent is not None and job.ticks is None:
        raise fault(("absent",), "needs `ticks`, at which keys are looked at; add `ticks: 10s` or the like")
    if job.engine.ticks_close_windows and job.ticks is None:
        text = "needs `ticks`, at which windows close; add `ticks: 10s` or the like"
        raise fault(("engine", "ticks_close_windows"), text)
    if job.engine.idle_key_ttl is not None and job.ticks is None:
        raise fault(
            ("engine", "idle_key_ttl"), "needs `ticks`, at which keys are forgotten; add `ticks: 10s` or the like"
        )
    if job.ticks is not None and not kind.has_date:
        raise fault(
            ("ticks",), f"column {job.time!r} is {kind}, which starts again at midnight; use a type with a date"
        )
    durations: list[tuple[Path, int | str | None]] = [
        (("engine", "max_lateness"), job.engine.max_lateness),
        (("engine", "idle_key_ttl"), job.engine.idle_key_ttl),
        (("ticks",), job.ticks),
        (("absent",), job.absent),
        (("limits", "ahead_max"), None if job.limits.ahead_max == "off" else job.limits.ahead_max),
    ]
    for index, metric in enumerate(job.metrics):
        durations.append((("metrics", index, "for"), metric.hold))
        durations.append((("metrics", index, "keep_firing"), metric.keep_firing))
    for path, given in durations:
        try:
            units = duration_units(given or 0, kind)
        except ValueError as error:
            raise fault(path, str(error)) from None
        if units > DURATION_MAX:
            raise fault(
                path, f"{given!r} is more than 2**60 units of the {kind} column {job.time!r}; use a shorter one"
            )
        if given is not None and not units and path in (("ticks",), ("absent",)):
            raise fault(path, f"{given!r} is no time at all; give at least one unit, or leave it out")


def _check_source(job: JobSettings, schema: Schema) -> None:
    source, form = job.source, format_of(job.source)
    place: Path = ("source",) if form is source else ("source", "format")
    if form is not None:
        _check_meta(source, form, place)
        for name in form.columns:
            if schema.find(name) is None:
                back = next((other for other, field in form.columns.items() if field == name), name)
                field = form.columns[name]
                way = f"write `{field}: {name}`" if schema.find(field) and back else suggest(name, schema.names)
                where = "file" if isinstance(source, FileSource) else "record"
                raise fault(
                    (*place, "columns", name), f"no column {name!r} in the schema; {way} (column: name in the {where})"
                )
        named = [field for field in form.columns.values() if not META_NAME.fullmatch(field)]
        if isinstance(form, CsvFormatSettings) and not form.header and named:
            what = "a file without a header has" if isinstance(source, FileSource) else "records without a header have"
            raise fault((*place, "columns"), f"{what} no names; leave `columns` out")
        if isinstance(form, LogFormatSettings):
            _check_log(form, schema, place)
    elif isinstance(source, InlineSource):
        _check_rows(source, schema)


def _check_meta(source: SourceSettings, form: FormatSettings, place: Path) -> None:
    """Check that a source knows what columns want to have of it beside the bytes of records."""
    known = getattr(source, "meta_names", ())
    for column, field in form.columns.items():
        match = META_NAME.fullmatch(field)
        if match is not None and match["name"] not in known:
            what = f"it knows {' and '.join(known)}" if known else f"a source of type {source.type} knows no such thing"
            raise fault((*place, "columns", column), f"{field!r} is nothing that this source knows of a record; {what}")


def _check_log(source: LogFormatSettings, schema: Schema, place: Path) -> None:
    """Check that lines have what the columns of the schema want, which other files say only when they are opened."""
    mapped = {name.lower(): field for name, field in source.columns.items()}
    fields = {name.lower() for name in source.fields}
    for column in schema.columns:
        field = mapped.get(column.name.lower(), column.name)
        if field.lower() not in fields and field.lower() != "file" and not META_NAME.fullmatch(field):
            text = f"no line has a field {field!r}; {suggest(field, (*source.fields, 'file'))}"
            raise fault(("schema", column.name), text)
    for name, kind in source.types.items():
        named = schema.find(name)
        if named is None or named.type != parse_column_type(kind):
            said = "names all columns, and this one is not among them" if named is None else f"says {named.type}"
            raise fault((*place, "types", name), f"`schema` {said}; types of columns stand there, where there is one")
    name = next((name for name, field in source.columns.items() if field.lower() == "event_id"), "event_id")
    ids = schema.find(name)
    for index, template in enumerate(source.templates):
        if ids is not None and not ids.type.is_text and not re.fullmatch(r"-?[0-9]+", template.event_id):
            text = f"column {ids.name!r} is {ids.type}, which cannot hold {template.event_id!r}; make it a SYMBOL"
            raise fault((*place, "templates", index), text)


def _check_has_variables(job: JobSettings, path: Path) -> None:
    log = log_of(job.source)
    if log is None or not log.templates:
        text = f"{EVERY_VARIABLE!r} stands for the variables of templates, which this source has not; name columns"
        raise fault(path, text)


def _check_host_columns(job: JobSettings) -> None:
    if not isinstance(job.source, HostMetricsSource):
        return
    for name, kind in job.schema_types.items():
        if HOST_METRICS_SCHEMA.get(name) != kind or len(job.schema_types) != len(HOST_METRICS_SCHEMA):
            known = ", ".join(f"{column}: {known_kind}" for column, known_kind in HOST_METRICS_SCHEMA.items())
            raise fault(("schema", name), f"host metrics have the columns {known}; leave `schema` out to get them")


def _check_rows(source: InlineSource, schema: Schema) -> None:
    for index, row in enumerate(source.rows):
        if len(row) != len(schema.columns):
            text = f"the row has {len(row)} values; the schema has {len(schema.columns)} columns"
            raise fault(("source", "rows", index), text)


def _check_warm_start(job: JobSettings, schema: Schema) -> None:
    if job.warm_start is None:
        return
    if not job.events.store:
        raise fault(("warm_start",), "rows are learnt again from stored events; set `events: {store: true}`")
    if not any(one.order_by == "timestamp" for one in job.events.series):
        raise fault(("warm_start",), "rows are read from a series by timestamp; give `events.series` one")
    stored = {name.lower() for name in job.events.payload or schema.names}
    for name in schema.names:
        if name.lower() not in stored:
            raise fault(("warm_start",), f"column {name!r} is not in `events.payload`; store all columns")


def _check_events(job: JobSettings, schema: Schema) -> None:
    for index, part in enumerate(job.events.type or ()):
        for name in _PLACEHOLDER.findall(part):
            _require_column(schema, name, ("events", "type", index))
    _require_columns(schema, job.events.payload or (), ("events", "payload"))
    for number, series in enumerate(job.events.series):
        _check_patterns(series.types, ("events", "series", number, "types"))
    _check_patterns(job.events.latest, ("events", "latest"))


def _check_patterns(patterns: Iterable[tuple[str, ...]], path: Path) -> None:
    for index, pattern in enumerate(patterns):
        if "*" in pattern[:-1]:
            raise fault((*path, index), f"`*` may only be the last part of a pattern, not as in {list(pattern)}")


def _require_columns(schema: Schema, names: Iterable[str], path: Path) -> None:
    for index, name in enumerate(names):
        _require_column(schema, name, (*path, index))


def _require_column(schema: Schema, name: str, path: Path) -> None:
    if schema.find(name) is None:
        raise fault(path, f"no column {name!r} in the schema; {suggest(name, schema.names)}")
