"""Settings of the event store, as frozen values and as read from plain data.

Series are given one by one, each ordered by one of the two times, or as *sets*: a set of types with two series, one per
time, each with its own limit. Wherever a value of the library stands, the plain data of a JSON or YAML file are taken
too; what is unknown or of another kind is refused, by its path.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from threading import TIMEOUT_MAX
from typing import Any, TypeVar

from actors.store.arguments import SETTINGS, set_fields
from actors.store.errors import StoreConfigError
from actors.store.events.conditions import AllCondition, AnyCondition, Condition, ConditionRule, JsonCondition
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet

T = TypeVar("T")

MIB = 1 << 20
"""Bytes in one mebibyte."""

UNLIMITED = Limit()
"""The limit that gives nothing up."""

EVERYTHING = PatternSet([("*",)])
"""Patterns that match every type."""


class OrderBy(StrEnum):
    """Which of an event's two times orders a series."""

    TIMESTAMP = "TIMESTAMP"
    """The server's time."""

    SOURCE_TIMESTAMP = "SOURCE_TIMESTAMP"
    """The client's time; events without one are not in the series."""


class OrphanPolicy(StrEnum):
    """What happens to the data of a series that is no longer configured."""

    KEEP = "keep"
    """It stays on disk, is found by server queries, and goes on when the series is configured again."""

    DROP = "drop"
    """It is deleted when the store is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesConfig:
    """One time-ordered series of events."""

    order_by: OrderBy
    """Time that orders the series; with the patterns it is the series' identity."""

    subscriptions: PatternSet = EVERYTHING
    """Types in the series."""

    limit: Limit = UNLIMITED
    """What the series may hold."""

    def __post_init__(self) -> None:
        set_fields(
            self,
            order_by=SETTINGS.choice(OrderBy, self.order_by, "order_by"),
            subscriptions=_pattern_set(self.subscriptions, "subscriptions"),
            limit=_limit(self.limit, "limit"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConfig:
    """A set of types with a series for each of the two times."""

    subscriptions: PatternSet = EVERYTHING
    """Types in both series."""

    timestamp_limit: Limit = UNLIMITED
    """Limit of the series by timestamp."""

    source_timestamp_limit: Limit = UNLIMITED
    """Limit of the series by source timestamp."""

    def __post_init__(self) -> None:
        set_fields(
            self,
            subscriptions=_pattern_set(self.subscriptions, "subscriptions"),
            timestamp_limit=_limit(self.timestamp_limit, "timestamp_limit"),
            source_timestamp_limit=_limit(self.source_timestamp_limit, "source_timestamp_limit"),
        )

    def expand(self) -> tuple[SeriesConfig, SeriesConfig]:
        """Return the two series."""
        return (
            SeriesConfig(order_by=OrderBy.TIMESTAMP, subscriptions=self.subscriptions, limit=self.timestamp_limit),
            SeriesConfig(
                order_by=OrderBy.SOURCE_TIMESTAMP, subscriptions=self.subscriptions, limit=self.source_timestamp_limit
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """What the store keeps and how.

    Raises:
        StoreConfigError: a number that makes no sense.
    """

    identifier: str | None = None
    """Name stored with the data; opening data of another name is refused. `None` compares nothing."""

    latest: PatternSet = EVERYTHING
    """Types whose latest event is kept."""

    sets: tuple[SetConfig, ...] = ()
    """Sets of types, each with two series; they come before `series`."""

    series: tuple[SeriesConfig, ...] = ()
    """Further series; queries use the first that fits."""

    conditions: tuple[ConditionRule, ...] = ()
    """What events must satisfy to be stored and shown."""

    flush_period_ms: int | None = 500
    """Period of the flush in the background; `None` leaves it to the caller. Only for a store that owns its shard."""

    flush_row_count: int = 262_144
    """Rows that may be pending before the background flush starts early."""

    pending_size_bytes_max: int = 256 * MIB
    """Bytes that may be pending in memory; registering beyond them waits for the flush, or is refused."""

    payload_size_bytes_max: int = 16 * MIB
    """Largest encoded payload; events with a larger one are refused."""

    timeseries_max_results: int = 4096
    """Most events that one time series query returns."""

    orphans: OrphanPolicy = OrphanPolicy.KEEP
    """What happens to series that are no longer configured."""

    map_size_bytes: int = 256 * MIB
    """Size of the shard's map at first. Only for a store that owns its shard."""

    map_size_bytes_max: int = 1 << 40
    """Size up to which the map may grow. Only for a store that owns its shard."""

    def __post_init__(self) -> None:
        set_fields(
            self,
            identifier=SETTINGS.optional(SETTINGS.text, self.identifier, "identifier"),
            latest=_latest(self.latest, "latest"),
            sets=_each(_set, self.sets, "sets"),
            series=_each(_series, self.series, "series"),
            conditions=_each(_rule, self.conditions, "conditions"),
            flush_period_ms=SETTINGS.optional(_period, self.flush_period_ms, "flush_period_ms"),
            timeseries_max_results=SETTINGS.integer(self.timeseries_max_results, "timeseries_max_results"),
            orphans=SETTINGS.choice(OrphanPolicy, self.orphans, "orphans"),
            **{name: _positive(getattr(self, name), name) for name in _POSITIVE},
        )

    def all_series(self) -> tuple[SeriesConfig, ...]:
        """Return every series, sets first; of two with one identity the first place and the last limit count."""
        chosen: dict[tuple[OrderBy, PatternSet], SeriesConfig] = {}
        for series in (*(one for pair in self.sets for one in pair.expand()), *self.series):
            chosen[series.order_by, series.subscriptions] = series
        return tuple(chosen.values())

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> "StoreConfig":
        """Return the settings of plain data.

        Raises:
            StoreConfigError: a key is unknown or a value is wrong; the message names its path.
        """
        return cls(**_only(data, "store", {field.name for field in fields(cls)}))


_POSITIVE = (
    "flush_row_count",
    "pending_size_bytes_max",
    "payload_size_bytes_max",
    "map_size_bytes",
    "map_size_bytes_max",
)


def _positive(value: Any, path: str) -> int:
    return SETTINGS.integer(value, path, 1)


def _period(value: Any, path: str) -> int:
    return SETTINGS.integer(value, path, 1, int(TIMEOUT_MAX) * 1_000)


def _only(value: Any, path: str, names: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SETTINGS.refuse(path, value, "give a mapping")
    for name in value:
        if name not in names:
            raise StoreConfigError(f"{path} has the unknown key {name!r}; use {', '.join(sorted(names))}")
    return value


def _each(reader: Callable[[Any, str], T], value: Any, path: str) -> tuple[T, ...]:
    return tuple(reader(one, f"{path}[{number}]") for number, one in enumerate(SETTINGS.sequence(value, path)))


def _made(kind: Callable[..., T], values: Mapping[str, Any], path: str) -> T:
    """Make a value of settings below a path, which errors name."""
    try:
        return kind(**values)
    except StoreConfigError as error:
        raise StoreConfigError(f"{path}.{error}") from None


def _latest(value: Any, path: str) -> PatternSet:
    if isinstance(value, Mapping):
        return _subscriptions(_only(value, path, {"subscriptions"}), path)
    return _pattern_set(value, path)


def _subscriptions(value: Mapping[str, Any], path: str) -> PatternSet:
    if "subscriptions" not in value:
        raise StoreConfigError(f"{path} has no subscriptions; give a list of patterns such as ['a', '*']")
    return _pattern_set(value["subscriptions"], f"{path}.subscriptions")


def _pattern_set(value: Any, path: str) -> PatternSet:
    return value if isinstance(value, PatternSet) else PatternSet(SETTINGS.sequence(value, path))


def _limit(value: Any, path: str) -> Limit:
    if isinstance(value, Limit):
        return value
    known = _only(value, path, {field.name for field in fields(Limit)})
    try:
        return Limit(**known)
    except StoreConfigError as error:
        raise StoreConfigError(f"{path}: {error}") from None


def _set(value: Any, path: str) -> SetConfig:
    if isinstance(value, SetConfig):
        return value
    known = _only(value, path, {"subscriptions", "timestamp_limit", "source_timestamp_limit"})
    return _made(SetConfig, {**known, "subscriptions": _subscriptions(known, path)}, path)


def _series(value: Any, path: str) -> SeriesConfig:
    if isinstance(value, SeriesConfig):
        return value
    known = _only(value, path, {"order_by", "subscriptions", "limit"})
    subscriptions = _subscriptions(known, path)
    return _made(SeriesConfig, {"order_by": None, **known, "subscriptions": subscriptions}, path)


def _rule(value: Any, path: str) -> ConditionRule:
    if isinstance(value, ConditionRule):
        return value
    known = _only(value, path, {"subscriptions", "condition"})
    condition = _condition(known.get("condition"), f"{path}.condition")
    return ConditionRule(subscriptions=_subscriptions(known, path), condition=condition)


def _condition(value: Any, path: str) -> Condition:
    if not isinstance(value, Mapping) and isinstance(value, Condition):
        return value
    known = dict(_only(value, path, {"type", "conditions", "data_path", "data_type", "data_value"}))
    kind = known.pop("type", None)
    if kind in ("all", "any"):
        inner = _only(known, path, {"conditions"}).get("conditions")
        conditions = _each(_condition, inner, f"{path}.conditions")
        return AllCondition(conditions=conditions) if kind == "all" else AnyCondition(conditions=conditions)
    if kind != "json":
        raise SETTINGS.refuse(f"{path}.type", kind, "use one of all, any, json")
    return _made(JsonCondition, _only(known, path, {"data_path", "data_type", "data_value"}), path)
