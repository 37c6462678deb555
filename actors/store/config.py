"""Settings of the event store, as frozen values and as read from plain data.

Series are given one by one, each ordered by one of the two times, or as *sets*: a set of types with two series, one per
time, each with its own limit. `StoreConfig.from_mapping` reads what a JSON or YAML file holds and refuses what it does
not know.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from actors.store.errors import StoreConfigError
from actors.store.events.conditions import ANYTHING, AllCondition, AnyCondition, Condition, ConditionRule, JsonCondition
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConfig:
    """A set of types with a series for each of the two times."""

    subscriptions: PatternSet = EVERYTHING
    """Types in both series."""

    timestamp_limit: Limit = UNLIMITED
    """Limit of the series by timestamp."""

    source_timestamp_limit: Limit = UNLIMITED
    """Limit of the series by source timestamp."""

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
        for name in ("flush_row_count", "pending_size_bytes_max", "payload_size_bytes_max", "map_size_bytes_max"):
            if getattr(self, name) <= 0:
                raise StoreConfigError(f"{name} is {getattr(self, name)}; give a number above 0")
        if self.flush_period_ms is not None and self.flush_period_ms <= 0:
            raise StoreConfigError(f"flush_period_ms is {self.flush_period_ms}; give milliseconds above 0, or null")
        if self.timeseries_max_results < 0:
            raise StoreConfigError(f"timeseries_max_results is {self.timeseries_max_results}; give a number from 0")

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
        readers: dict[str, Callable[[Any, str], Any]] = {
            "latest": lambda value, path: _patterns(_only(value, path, {"subscriptions"}), path),
            "sets": lambda value, path: tuple(_set(one, f"{path}[{n}]") for n, one in enumerate(_list(value, path))),
            "series": lambda value, path: tuple(
                _series(one, f"{path}[{n}]") for n, one in enumerate(_list(value, path))
            ),
            "conditions": lambda value, path: tuple(
                _rule(one, f"{path}[{n}]") for n, one in enumerate(_list(value, path))
            ),
            "orphans": lambda value, path: _choice(OrphanPolicy, value, path),
            "identifier": _text_or_none,
            "flush_period_ms": lambda value, path: None if value is None else _integer(value, path),
        }
        known = _only(data, "store", {field.name for field in fields(cls)})
        values = {name: readers[name](value, name) for name, value in known.items() if name in readers}
        values |= {name: _integer(value, name) for name, value in known.items() if name not in readers}
        return cls(**values)


def _only(value: Any, path: str, names: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise StoreConfigError(f"{path} is {value!r}; give a mapping")
    for name in value:
        if name not in names:
            raise StoreConfigError(f"{path} has the unknown key {name!r}; use {', '.join(sorted(names))}")
    return value


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise StoreConfigError(f"{path} is {value!r}; give a list")
    return list(value)


def _integer(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise StoreConfigError(f"{path} is {value!r}; give an integer")
    return value


def _text_or_none(value: Any, path: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise StoreConfigError(f"{path} is {value!r}; give a text or null")
    return value


def _choice(kind: type[OrderBy] | type[OrphanPolicy], value: Any, path: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise StoreConfigError(f"{path} is {value!r}; use one of {', '.join(kind)}") from None


def _patterns(value: Mapping[str, Any], path: str) -> PatternSet:
    if "subscriptions" not in value:
        raise StoreConfigError(f"{path} has no subscriptions; give a list of patterns such as ['a', '*']")
    patterns = _list(value["subscriptions"], f"{path}.subscriptions")
    return PatternSet(tuple(_list(one, f"{path}.subscriptions[{n}]")) for n, one in enumerate(patterns))


def _limit(value: Any, path: str) -> Limit:
    try:
        return Limit(**_only(value, path, {field.name for field in fields(Limit)}))
    except StoreConfigError as error:
        raise StoreConfigError(f"{path}: {error}") from None


def _set(value: Any, path: str) -> SetConfig:
    known = _only(value, path, {"subscriptions", "timestamp_limit", "source_timestamp_limit"})
    limits = {name: _limit(limit, f"{path}.{name}") for name, limit in known.items() if name != "subscriptions"}
    return SetConfig(subscriptions=_patterns(known, path), **limits)


def _series(value: Any, path: str) -> SeriesConfig:
    known = _only(value, path, {"order_by", "subscriptions", "limit"})
    return SeriesConfig(
        order_by=_choice(OrderBy, known.get("order_by"), f"{path}.order_by"),
        subscriptions=_patterns(known, path),
        limit=_limit(known.get("limit", {}), f"{path}.limit"),
    )


def _rule(value: Any, path: str) -> ConditionRule:
    known = _only(value, path, {"subscriptions", "condition"})
    condition = _condition(known.get("condition"), f"{path}.condition")
    return ConditionRule(subscriptions=_patterns(known, path), condition=condition)


def _condition(value: Any, path: str) -> Condition:
    known = _only(value, path, {"type", "conditions", "data_path", "data_type", "data_value"})
    kind = known.get("type")
    if kind in ("all", "any"):
        inner = _list(_only(value, path, {"type", "conditions"}).get("conditions"), f"{path}.conditions")
        conditions = tuple(_condition(one, f"{path}.conditions[{n}]") for n, one in enumerate(inner))
        return AllCondition(conditions=conditions) if kind == "all" else AnyCondition(conditions=conditions)
    if kind != "json":
        raise StoreConfigError(f"{path}.type is {kind!r}; use one of all, any, json")
    _only(value, path, {"type", "data_path", "data_type", "data_value"})
    return JsonCondition(
        data_path=known.get("data_path", ()),
        data_type=known.get("data_type"),
        data_value=known.get("data_value", ANYTHING),
    )
