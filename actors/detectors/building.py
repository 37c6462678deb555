"""Detectors made from their specifications."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from actors.detectors.charset import CharsetWatcher
from actors.detectors.configuration import Configuration
from actors.detectors.count_vector import CountVectorWatcher, OpenWindows
from actors.detectors.detector import Detector, Parts
from actors.detectors.errors import DetectorSpecError
from actors.detectors.event_sequence import EventSequenceWatcher, LatestIds
from actors.detectors.findings import MakeDetail
from actors.detectors.groups import Groups
from actors.detectors.known_things import KnownThings
from actors.detectors.known_values import KnownValueWatcher
from actors.detectors.rules import RuleWatcher
from actors.detectors.specs import (
    CharsetSpec,
    CountVectorSpec,
    EventSequenceSpec,
    GroupSpec,
    LearnPhase,
    NewEventSpec,
    NewValueCombinationSpec,
    NewValueSpec,
    RuleSpec,
    StabilitySpec,
    ValueRangeSpec,
)
from actors.detectors.stability import StabilityTrackers
from actors.detectors.value_range import ValueRangeWatcher
from actors.errors import SchemaError
from actors.frames import physical_type, polars_schema
from actors.model import ColumnType, Schema
from actors.persistency.stability_tracker import SingleStabilityTracker

TIME_BUCKET_COUNT = 256
"""Spans in which times of values are counted, where stability is judged by time."""

_WATCHES_EVENTS = (NewEventSpec, EventSequenceSpec, CountVectorSpec)
"""Kinds whose event id is what is watched, and therefore no part of the group."""


def make_detector(spec: GroupSpec, schema: Schema, time_column: str, key_columns: Sequence[str] = ()) -> Detector:
    """Return a detector that has seen nothing.

    Raises:
        DetectorSpecError: the schema lacks a column, a column has the wrong type, or there is no such detector.
    """
    maker = _Maker(spec, schema, key_columns)
    return Detector(
        spec,
        schema,
        find_columns(spec, schema, [time_column])[0],
        maker.keys,
        group_columns=maker.group_columns,
        learn=_effective_learn(spec),
        make_parts=lambda groups: maker.make_parts(groups, schema[time_column].name),
        keeps_time=_needs_all_times(spec),
    )


def find_columns(spec: GroupSpec, schema: Schema, names: Sequence[str]) -> tuple[str, ...]:
    """Return columns under the names the schema gives them.

    Raises:
        DetectorSpecError: the schema lacks one.
    """
    try:
        return tuple(schema[name].name for name in names)
    except SchemaError as error:
        raise DetectorSpecError(f"detector {spec.name!r}: {error}") from error


class _Maker:
    """Makes the parts of one detector."""

    def __init__(self, spec: GroupSpec, schema: Schema, key_columns: Sequence[str]) -> None:
        self._spec = spec
        self._schema = schema
        self.keys = find_columns(spec, schema, key_columns)
        self.event_columns = find_columns(spec, schema, spec.event_id_columns)
        id_columns = () if isinstance(spec, _WATCHES_EVENTS) else self.event_columns
        self.group_columns = tuple(dict.fromkeys((*self.keys, *id_columns)))
        self._id_places = [self.group_columns.index(name) for name in id_columns]

    def make_parts(self, groups: Groups, time_column: str) -> Parts:
        """Return the parts of the detector whose groups these are."""
        spec = self._spec
        if isinstance(spec, StabilitySpec):
            return self._make_stability(spec, time_column)
        if isinstance(spec, NewValueSpec | ValueRangeSpec | CharsetSpec):
            watched = [find_columns(spec, self._schema, [name]) for name in spec.variables]
        elif isinstance(spec, NewValueCombinationSpec):
            watched = [find_columns(spec, self._schema, names) for names in spec.combinations]
        else:
            return self._make_others(groups)
        watchers = [self._make_for_columns(columns, self._detail_of(groups, columns)) for columns in watched]
        return Parts(watchers=watchers, configuration=Configuration(watched, watchers, spec.configure_row_count))

    def _make_others(self, groups: Groups) -> Parts:
        spec, columns = self._spec, self.event_columns
        detail = self._detail_of(groups, columns)
        if isinstance(spec, NewEventSpec):
            return Parts(watchers=[_known_values(spec, columns, "event", detail)])
        if isinstance(spec, EventSequenceSpec):
            latest = LatestIds(spec.length - 1)
            known = KnownThings(spec.distinct_count_max, reports_once=spec.report == "once")
            watcher = EventSequenceWatcher(columns, spec.length, known, latest, detail)
            return Parts(watchers=[watcher], memories=[latest])
        if isinstance(spec, CountVectorSpec):
            return self._make_count_vector(spec, detail)
        if isinstance(spec, RuleSpec):
            return self._make_rules(spec, groups)
        raise DetectorSpecError(f"there is no detector of kind {type(spec).__name__}")

    def _make_for_columns(self, columns: Sequence[str], detail: MakeDetail) -> Any:
        spec = self._spec
        if isinstance(spec, NewValueSpec | NewValueCombinationSpec):
            return _known_values(spec, columns, "value" if isinstance(spec, NewValueSpec) else "combination", detail)
        column = columns[0]
        kind = self._schema[column].type
        if isinstance(spec, CharsetSpec):
            if not kind.is_text:
                raise DetectorSpecError(f"detector {spec.name!r} watches texts but column {column!r} is {kind}")
            return CharsetWatcher(column, detail)
        if kind.is_text or kind is ColumnType.BOOL:
            raise DetectorSpecError(f"detector {spec.name!r} watches numbers but column {column!r} is {kind}")
        return ValueRangeWatcher(column, physical_type(kind), detail)

    def _make_count_vector(self, spec: CountVectorSpec, detail: MakeDetail) -> Parts:
        windows = OpenWindows()
        watcher = CountVectorWatcher(
            self.event_columns,
            row_count=spec.window_row_count,
            ticks=spec.window_ticks,
            distance_max=spec.distance_max,
            known=KnownThings(spec.distinct_count_max, reports_once=spec.report == "once"),
            windows=windows,
            make_detail=detail,
        )
        return Parts(watchers=[watcher], memories=[windows])

    def _make_stability(self, spec: StabilitySpec, time_column: str) -> Parts:
        columns = find_columns(spec, self._schema, spec.variables)
        is_limited = any(limit is not None for limit in (spec.learn.row_count, spec.learn.duration, spec.learn.until))

        def make_tracker() -> SingleStabilityTracker:
            return SingleStabilityTracker(
                spec.min_samples,
                spec.segmentation,
                segment_thresholds=spec.segment_thresholds,
                max_distinct=spec.value_count_max,
                time_buckets=None if spec.segmentation == "count" else TIME_BUCKET_COUNT,
            )

        trackers = [StabilityTrackers(column, time_column, make_tracker, learns_only=is_limited) for column in columns]
        return Parts(watchers=[], trackers=trackers)

    def _make_rules(self, spec: RuleSpec, groups: Groups) -> Parts:
        types: dict[str, Any] = dict(polars_schema(self._schema))
        watchers = []
        for rule in spec.rules:
            columns = find_columns(spec, self._schema, [condition.column for condition in rule.conditions])
            watchers.append(RuleWatcher(rule, columns, types, self._detail_of(groups, [rule.name], "rule")))
        return Parts(watchers=watchers)

    def _detail_of(self, groups: Groups, names: Sequence[str], label: str = "variable") -> MakeDetail:
        """Return the function that describes anomalies of one metric."""
        name = ", ".join(names)

        def detail(code: int, shown: Mapping[str, Any]) -> str:
            described = {"event_id": self._event_id(groups.ids[code]), label: name, **shown}
            described["learned_since"] = groups.first_time(code)
            return json.dumps(described, ensure_ascii=False)

        return detail

    def _event_id(self, group: Sequence[Any]) -> Any:
        """Return the event id of a group as anomalies show it: the constant, one value, or a list of values."""
        if not self._id_places:
            return self._spec.event_id
        values = [group[place] for place in self._id_places]
        return values[0] if len(values) == 1 else values


def _known_values(
    spec: NewValueSpec | NewValueCombinationSpec | NewEventSpec, columns: Sequence[str], noun: str, detail: MakeDetail
) -> KnownValueWatcher:
    return KnownValueWatcher(
        columns,
        f"new {noun} of {', '.join(columns)}",
        detail,
        distinct_count_max=spec.distinct_count_max,
        expire_after=spec.expire_after,
        reports_once=spec.report == "once",
    )


def _needs_all_times(spec: GroupSpec) -> bool:
    """Return whether judged rows, too, are judged by the latest time of their group."""
    return any(getattr(spec, name, None) is not None for name in ("expire_after", "window_ticks"))


def _effective_learn(spec: GroupSpec) -> LearnPhase:
    """Return the learn phase, which lasts at least as long as the automatic configuration."""
    configured: int | None = getattr(spec, "configure_row_count", None)
    if configured is None:
        return spec.learn
    return replace(spec.learn, row_count=max(configured, spec.learn.row_count or 0))
