"""Settings of a job: what a job file says, checked and frozen.

`JobSettings` is built by `config.load`, which checks what settings mean together. It travels through the replicated log
as bytes (`to_bytes`, `from_bytes`), and its `fingerprint` names everything that decides what the job computes; how many
hosts it runs on and how often it writes do not.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, get_args

import msgpack
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from actors.errors import SchemaError
from actors.model import Schema, parse_column_type
from config.all_sinks import Sink
from config.base import (
    EVERY_NODE,
    Count,
    DurationSeconds,
    DurationTicks,
    Names,
    Settings,
    SizeBytes,
    check_type,
    duration_seconds,
    fault,
    time_text,
)
from config.brokers import begun
from config.detectors import DetectorSettings, detector_types
from config.errors import ConfigError
from config.events import EventsSettings, WarmStartSettings
from config.fingerprints import forget_usual_dialect, forget_what_decides_nothing
from config.notifications import ABSENT, NotificationSettings
from config.rules import RuleSettings
from config.sinks import SinkBase
from config.sources import HOST_METRICS_SCHEMA, LOCAL_TYPES, SourceSettings, check_format, schema_of_log, with_type
from config.windows import WindowSettings

FORMAT_VERSION = 1
"""Version of the bytes of a job."""

_PROCESS_KEYS = (
    "hosts",
    "linger",
    "standby",
    "flush",
    "limits",
    "snapshot_interval_rows",
    "warm_start",
    "notifications",
)
"""Settings that decide how a job runs but not what it computes."""


class MetricSettings(RuleSettings):
    """One metric: a condition over columns and windows."""

    when: str = Field(min_length=1)
    """Boolean expression, such as `avg(qty) > qty`."""

    describe: str | None = None
    """Text that replaces the expression in the output, a template: `{src} is silent`."""

    hold: DurationTicks | None = Field(default=None, alias="for")
    """How long the condition must hold before an episode fires."""

    keep_firing: DurationTicks | None = None
    """How long after the last row or window that was true an episode goes on at least."""

    clear: str | None = Field(default=None, min_length=1)
    """Boolean expression that ends an episode; `None` means that the condition does not hold."""

    window: WindowSettings | None = None
    """Window of its aggregates; `None` means that of the job."""

    key: Names | None = None
    """Names of the key columns it is computed per; none at all: of all rows together. `None` means the job's key."""

    @property
    def has_episodes(self) -> bool:
        """Whether it is said how what is found becomes episodes."""
        return any(value is not None for value in (self.hold, self.keep_firing, self.clear))


class EngineOptions(Settings):
    """How the engine computes metrics."""

    garbage_size: Count = 2000
    """Accepted for compatibility; memory is given back as soon as no window needs a row."""

    round_time: bool = True
    """Whether windows are aligned by the rule for several minutes (or by the minute)."""

    nulls: Literal["smallest", "unknown"] = "unknown"
    """What comparisons make of NULL: never true, or the smallest value."""

    max_lateness: DurationTicks | None = None
    """How long rows wait to be put in the order of their times; `None` means that they do not."""

    ticks_close_windows: bool = False
    """Whether ticks close windows, and let rows go that wait; otherwise only the key's own next row does."""

    idle_key_ttl: DurationTicks | None = None
    """How long a key is kept without a row of its own; `None`: for ever."""

    explain: Literal["all", "windows", "none"] = "all"
    """What is kept with an anomaly: the values of all parts of its metric and its window, the window, or nothing."""


class EpisodesSettings(Settings):
    """What becomes of the episodes of metrics with `for`, `keep_firing` or `clear`, besides the table of them."""

    deliver: bool = False
    """Whether sinks are told of episodes that fire or end."""


DEFAULT_TIME_MIN = "1980-01-01"
_FIRST_TIME_MIN = "1900-01-01"


class FlushSettings(Settings):
    """When changes become durable: whichever comes first."""

    period_ms: Annotated[int, Field(ge=1, strict=True)] = 250
    """Milliseconds between two flushes."""

    rows: Count = 100_000
    """Rows that may wait for a flush."""


class LimitsSettings(Settings):
    """Bounds of queues, batches and values."""

    batch_rows_max: Count = 50_000
    """Records that are read from a source at once."""

    batches_in_flight_max: Count = 4
    """Batches that a host may have waiting; more, and the source waits."""

    map_size_bytes_max: SizeBytes = 1 << 40
    """Bytes that a shard may grow to."""

    dead_letters_max: Annotated[int, Field(ge=0, strict=True)] = 10_000
    """Dead letters that a partition keeps; all are counted."""

    late_rows_max: Annotated[int, Field(ge=0, strict=True)] = 10_000
    """Rows discarded by the metrics that a partition keeps; all are counted."""

    stream_rows_max: Count | None = None
    """Rows of each split that the job's stream table keeps; `None` means all."""

    stream_bytes_max: SizeBytes | None = None
    """Bytes of each split that the job's stream table keeps; `None` means no limit."""

    ahead_max: Annotated[
        DurationTicks | Literal["off"] | None, BeforeValidator(lambda value: "off" if value is False else value)
    ] = None
    """How far a row may be ahead of most keys of its split; `None`: an hour, or more where the job looks further."""

    time_min: Annotated[str, BeforeValidator(time_text)] = DEFAULT_TIME_MIN
    """Earliest time that a row may have; later than what seconds since 1970 give when they are read as milliseconds."""

    time_max: Annotated[str, BeforeValidator(time_text)] = "2100-01-01"
    """First time that is too late for a row."""

    @model_validator(mode="after")
    def _check_times(self) -> "LimitsSettings":
        for key in ("time_min", "time_max"):
            try:
                datetime.fromisoformat(getattr(self, key))
            except ValueError:
                raise fault((key,), f"{getattr(self, key)!r} is no time; write it like 2100-01-01") from None
        if not self.time_range[0] < self.time_range[1]:
            raise fault(("time_max",), f"{self.time_max!r} is not after time_min, {self.time_min!r}")
        return self

    @property
    def time_range(self) -> tuple[datetime, datetime]:
        """Earliest time and first too late one, both naive and in UTC."""
        low, high = (datetime.fromisoformat(text).replace(tzinfo=None) for text in (self.time_min, self.time_max))
        return low, high


def _with_when(value: Any) -> Any:
    if not isinstance(value, str | Mapping | MetricSettings):
        raise fault((), f"a metric is a text, or a mapping with `when`, not {'nothing' if value is None else value}")
    return {"when": value} if isinstance(value, str) else value


def _with_source_type(source: Any) -> Any:
    typed = check_type(with_type(source), _SOURCE_TYPES)
    check_format(typed)
    return typed


def _with_detector_type(detector: Any) -> Any:
    return check_type(detector, detector_types())


def _as_hosts(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if is_count or value == "shared":
        return value
    raise fault((), f"must be `shared`, or a whole number of at least 1, not {value!r}")


_SOURCE_TYPES = tuple(kind.model_fields["type"].default for kind in get_args(get_args(SourceSettings)[0]))

Hosts = Annotated[
    int | Literal["shared"],
    BeforeValidator(_as_hosts, json_schema_input_type=Annotated[int, Field(gt=0)] | Literal["shared"]),
]
"""A number of hosts, or that the job shares one with others."""

Linger = Annotated[
    float,
    BeforeValidator(duration_seconds, json_schema_input_type=float | str),
    Field(ge=1, strict=True, allow_inf_nan=False),
]
"""Seconds, or a duration such as `5m`; long enough for a query, which opens and asks."""

Detector = Annotated[DetectorSettings, BeforeValidator(_with_detector_type)]
Metric = Annotated[MetricSettings, BeforeValidator(_with_when, json_schema_input_type=str | MetricSettings)]


def _with_split_count(data: Any) -> Any:
    """Return a job with as many partitions as its source has splits, where it wants that and the file says how many."""
    if not isinstance(data, Mapping) or data.get("partition_by") != "split" or "partitions" in data:
        return data
    source = with_type(data.get("source"))
    count, nodes = 1, None
    if isinstance(source, Mapping) and source.get("type") in LOCAL_TYPES:
        count, nodes = source.get("splits", 1), source.get("on")
    count = len(nodes) if isinstance(nodes, list | tuple) and len(nodes) > 1 else count
    if isinstance(source, Mapping) and source.get("type") == "kafka":
        # Only the broker knows how many partitions a topic has.
        text = "say how many partitions the topic has: each is one of the job's with `partition_by: split`"
        raise fault(("partitions",), text)
    if isinstance(source, Mapping) and source.get("type") in ("nats", "redis"):
        names = source.get("subjects" if source["type"] == "nats" else "streams")
        count = max(len(names), 1) if isinstance(names, list | tuple) else 1
    return {**data, "partitions": count if isinstance(count, int) else 1}


class JobSettings(Settings):
    """One job: rows from a source, metrics and detectors over them, and what becomes of the result."""

    name: str = Field(alias="job", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=100)
    """Name of the job: a letter, then letters, digits, underscores or dashes."""

    schema_types: dict[str, str] = Field(alias="schema")
    """Columns of a row, in order: name -> type."""

    time: str
    """Name of the time column."""

    key: Names = ()
    """Names of the key columns; everything is computed per key, but metrics that have one of their own."""

    let: dict[str, str] = Field(default_factory=dict)
    """Named parts: expressions that metrics, and texts about them, use by name."""

    metrics: tuple[Metric, ...] = ()
    """Conditions; their positions are the `type` in the output."""

    window: WindowSettings | None = None
    """Window of the aggregates of metrics that have none of their own."""

    engine: EngineOptions = EngineOptions()
    """How metrics are computed."""

    source: Annotated[SourceSettings, BeforeValidator(_with_source_type)]
    """Where rows come from."""

    detectors: tuple[Detector, ...] = ()
    """Detectors that learn; their positions follow the metrics' in the output."""

    events: EventsSettings = EventsSettings()
    """What is stored as events."""

    warm_start: WarmStartSettings | None = None
    """How a job with changed metrics or detectors begins; `None` refuses shards of the job as it was."""

    ticks: DurationTicks | None = None
    """How often the time of the rows themselves is made known to all keys of a split; `None` means never."""

    absent: DurationTicks | None = None
    """Time without a row after which a key is reported, at a tick; `None` means never."""

    idle_after: DurationSeconds | None = None
    """How long nothing new must come of a split until its time goes on by the clock; `None` means never."""

    episodes: EpisodesSettings = EpisodesSettings()
    """Who is told about episodes."""

    notifications: NotificationSettings | None = None
    """When and how people are told of episodes; `None`: at once, and of each by itself."""

    sinks: tuple[Sink, ...] = ()
    """Where anomalies and episodes are delivered, besides the tables that are always kept."""

    partitions: Annotated[int, Field(gt=0, le=4096, strict=True)] = 4
    """Shares into which the keys are cut; fixed for the life of the job."""

    partition_by: Literal["key", "split"] = "key"
    """Which partition has a row: that of its key, or that of its split, which the partition's host reads itself."""

    hosts: Hosts = "shared"
    """Who owns the partitions: a process that jobs share, or so many of its own; may be changed while it runs."""

    linger: Linger = 60.0
    """Seconds after which a job that does not run gives its hosts back, counted from the last query."""

    standby: Annotated[int, Field(ge=0, le=1, strict=True)] = 0
    """Second copies of each partition, on another node than the first, that take over when its host or node dies."""

    group: Annotated[int, Field(gt=1, strict=True)] | None = None
    """Raft group that runs the job; `None` means whichever the cluster has."""

    flush: FlushSettings = FlushSettings()
    """When changes become durable."""

    snapshot_interval_rows: Count = 100_000
    """Rows between two snapshots of an engine."""

    limits: LimitsSettings = LimitsSettings()
    """Bounds of queues, batches and values."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_schema(cls, data: Any) -> Any:
        data = _with_split_count(data)
        source = data.get("source") if isinstance(data, Mapping) else None
        if isinstance(source, Mapping) and source.get("type") == "host_metrics":
            return {"schema": HOST_METRICS_SCHEMA, "time": "time", "key": ["key"], **data}
        if isinstance(data, Mapping) and "schema" not in data and "schema_types" not in data:
            schema = schema_of_log(with_type(source))
            return data if schema is None else {"schema": schema, "time": "time", **data}
        return data

    @field_validator("schema_types", mode="after")
    @classmethod
    def _check_types(cls, types: dict[str, str]) -> dict[str, str]:
        for name, kind in types.items():
            try:
                parse_column_type(kind)
            except SchemaError as error:
                raise fault((name,), str(error)) from None
        try:
            Schema.from_mapping(types)
        except SchemaError as error:
            raise fault((), str(error)) from None
        return {name: kind.upper() for name, kind in types.items()}

    @property
    def row_schema(self) -> Schema:
        """Columns of a row."""
        return _schema_of(tuple(self.schema_types.items()))

    @property
    def time_column(self) -> str:
        """Name of the time column, spelt as in the schema."""
        return _names_in(tuple(self.schema_types.items()), (self.time,))[0]

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Names of the key columns, spelt as in the schema."""
        return _names_in(tuple(self.schema_types.items()), self.key)

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """Key columns of each metric, spelt as in the schema."""
        types = tuple(self.schema_types.items())
        return tuple(_names_in(types, self.key if metric.key is None else metric.key) for metric in self.metrics)

    @property
    def all_key_columns(self) -> tuple[str, ...]:
        """Names of the columns of all keys: the job's, then what metrics have besides. Anomalies have all of them."""
        if all(metric.key is None for metric in self.metrics):
            return self.key_columns
        return tuple(dict.fromkeys((*self.key_columns, *(name for key in self.keys for name in key))))

    @property
    def route_columns(self) -> tuple[str, ...]:
        """Names of the key columns that say which partition has a row: those that all keys have in common."""
        keys = self.keys
        return tuple(name for name in self.key_columns if all(name in key for key in keys))

    def partitions_of_key(self, key: Sequence[Any]) -> tuple[int, ...]:
        """Return the partitions that may have rows of a key of the job."""
        from actors.routing import partition_of_key

        if self.partition_by == "split":
            return tuple(range(self.partitions))
        values = dict(zip(self.key_columns, key, strict=True))
        return (partition_of_key([values[name] for name in self.route_columns], self.partitions),)

    def partitions_of_split(self, split: int) -> tuple[int, ...]:
        """Return the partitions that may have rows of a split."""
        return (split,) if self.partition_by == "split" else tuple(range(self.partitions))

    @property
    def source_nodes(self) -> tuple[str, ...]:
        """Nodes that can read the source; none means all."""
        return _named(getattr(self.source, "on", ()))

    @property
    def split_nodes(self) -> tuple[str, ...]:
        """Node of each split, where each is on a node of its own; otherwise none."""
        is_local = self.source.type in LOCAL_TYPES
        return self.source_nodes if self.partition_by == "split" and is_local and len(self.source_nodes) > 1 else ()

    def begun(self, now_us: int) -> "JobSettings":
        """Return the job as one that begins at this time, if its source begins at the newest records."""
        source = begun(self.source, now_us)
        return self if source is self.source else self.model_copy(update={"source": source})

    @property
    def host_ties(self) -> tuple[tuple[str, ...], ...]:
        """Nodes that the job's hosts are tied to: of each list, a host is on one of them."""
        ties = [self.source_nodes] if self.partition_by == "split" and not self.split_nodes else []
        return tuple(tie for tie in (*ties, *(_named(sink.on) for sink in self.sinks)) if tie)

    @property
    def has_episodes(self) -> bool:
        """Whether anything becomes episodes."""
        return self.absent is not None or any(map(self.makes_episodes, (*self.metrics, *self.detectors)))

    def makes_episodes(self, rule: RuleSettings) -> bool:
        """Return whether what a metric or detector finds becomes episodes: it says how, or a sink asks for them."""
        return rule.has_episodes or self.implies_episodes

    @cached_property
    def detector_type_counts(self) -> tuple[int, ...]:
        """Types of anomalies that each detector raises.

        Raises:
            ConfigError: a detector refuses its settings.
        """
        if not self.detectors:
            return ()
        from config.detector_specs import make_detectors

        return tuple(len(detector.metrics) for detector in make_detectors(self))

    @property
    def rules(self) -> tuple[RuleSettings, ...]:
        """By type of anomaly the metric or detector that raises it; none raises what comes after them."""
        pairs = zip(self.detectors, self.detector_type_counts, strict=True)
        return (*self.metrics, *(detector for detector, count in pairs for _ in range(count)))

    @property
    def implies_episodes(self) -> bool:
        """Whether a sink asks for episodes, so that all metrics and detectors have them."""
        return any(sink.only in ("episodes", "both") for sink in self.sinks)

    @property
    def delivers_episodes(self) -> bool:
        """Whether some sink takes episodes."""
        return any(self.sink_takes(sink)[1] for sink in self.sinks)

    def sink_takes(self, sink: SinkBase) -> tuple[bool, bool]:
        """Return whether a sink takes anomalies, and whether it takes episodes."""
        only = sink.only or ("both" if self.episodes.deliver else "anomalies")
        return only != "episodes", only != "anomalies"

    def follows_policy(self, sink: SinkBase) -> bool:
        """Return whether what a sink is given goes through the job's `notifications`."""
        if self.notifications is None or not sink.notifies or self.sink_takes(sink) != (False, True):
            return False
        return sink.policy is not False

    @property
    def inhibiting_types(self) -> frozenset[int]:
        """What `episode_type` says of the episodes that keep others from being notified."""
        rules = self.rules
        names = {one.id for rule in rules for one in rule.inhibited_by}
        found = {number for number, rule in enumerate(rules) if rule.id in names}
        return frozenset(found | ({len(rules)} if ABSENT in names else set()))

    def episode_type(self, kind: int) -> int:
        """Return the position of an episode's type among the rules; absences count as the one after the last."""
        return min(kind, len(self.rules))

    @property
    def windows(self) -> tuple[WindowSettings, ...]:
        """The windows of the job and of its metrics."""
        return tuple(one for one in (self.window, *(metric.window for metric in self.metrics)) if one is not None)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides what the job computes, in hexadecimal."""
        data = {key: value for key, value in self._plain().items() if key not in _PROCESS_KEYS}
        for place in (data["source"], *data["sinks"]):
            place.pop("on", None)
        # Once a job has begun it makes no difference where.
        for name in ("start", "rotated", "lost", "storage_options"):
            data["source"].pop(name, None)
        forget_what_decides_nothing(data)
        for form in (data["source"], data["source"].get("format")):
            if isinstance(form, dict) and form.get("explode", "") is None:
                # Every record was a row when the first shards were made.
                del form["explode"], form["explode_rows_max"]
            if isinstance(form, dict):
                forget_usual_dialect(form)
        if self.partition_by == "key":
            # There was no choice when the first shards were made.
            del data["partition_by"]
        # The default was another one when the first shards were made; they stay those of the same job.
        time_min = _FIRST_TIME_MIN if self.limits.time_min == DEFAULT_TIME_MIN else self.limits.time_min
        data["times"] = [time_min, self.limits.time_max]
        # How long is no matter of what is computed, but where records are is.
        if data.pop("idle_after") is not None:
            data["has_time_marks"] = True
        if self.limits.ahead_max is not None:
            data["ahead_max"] = self.limits.ahead_max
        return hashlib.blake2b(_pack(data), digest_size=16).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the versioned bytes of these settings; equal settings have equal bytes."""
        return _pack({"version": FORMAT_VERSION, "job": self._plain()})

    @classmethod
    def from_bytes(cls, data: bytes) -> "JobSettings":
        """Return the settings that `to_bytes` wrote.

        Raises:
            ConfigError: torn or foreign bytes, or another version of the format.
        """
        try:
            content = msgpack.unpackb(data)
            version, job = content["version"], content["job"]
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            raise ConfigError(f"these {len(data)} bytes are no job settings: {error}") from error
        if version != FORMAT_VERSION:
            raise ConfigError(f"job settings of format {version}; this version reads format {FORMAT_VERSION}")
        return cls._of_stored(job)

    @classmethod
    def _of_stored(cls, job: Any) -> "JobSettings":
        # Settings that were stored before there was a choice keep the meaning that they had.
        engine = job.get("engine", {}) if isinstance(job, Mapping) else {}
        stored = {**job, "engine": {"nulls": "smallest", **engine}} if isinstance(engine, Mapping) else job
        try:
            return cls.model_validate(stored)
        except ValidationError as error:
            raise ConfigError(f"these are no settings of a job: {error}") from error

    def _plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


@lru_cache(maxsize=256)
def _schema_of(types: tuple[tuple[str, str], ...]) -> Schema:
    """Return columns of such names and types: they are asked for with each anomaly, and cost more than that one."""
    return Schema.from_mapping(dict(types))


@lru_cache(maxsize=1024)
def _names_in(types: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of columns spelt as in the schema."""
    schema = _schema_of(types)
    return tuple(schema[name].name for name in names)


def _named(nodes: tuple[str, ...]) -> tuple[str, ...]:
    return () if nodes == (EVERY_NODE,) else nodes


def _pack(data: Mapping[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(data, use_bin_type=True)
    return packed
