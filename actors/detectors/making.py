"""Detectors made from their specifications."""

from collections.abc import Sequence
from typing import Any

from actors.detectors.detector import Detector, Watcher
from actors.detectors.errors import DetectorSpecError
from actors.detectors.groups import Groups
from actors.detectors.known_values import KnownValueWatcher
from actors.detectors.specs import GroupSpec, NewEventSpec, NewValueCombinationSpec, NewValueSpec
from actors.errors import SchemaError
from actors.model import Schema


def make_detector(spec: GroupSpec, schema: Schema, time_column: str, key_columns: Sequence[str] = ()) -> Detector:
    """Return a detector that has seen nothing.

    Raises:
        DetectorSpecError: the schema lacks a column, or there is no detector of that kind.
    """
    if isinstance(spec, NewValueSpec):
        return _known_values(spec, schema, time_column, key_columns, [(name,) for name in spec.variables])
    if isinstance(spec, NewValueCombinationSpec):
        return _known_values(spec, schema, time_column, key_columns, spec.combinations)
    if isinstance(spec, NewEventSpec):
        return _known_values(spec, schema, time_column, key_columns, [spec.event_id_columns])
    raise DetectorSpecError(f"there is no detector of kind {type(spec).__name__}")


def _known_values(
    spec: NewValueSpec | NewValueCombinationSpec | NewEventSpec,
    schema: Schema,
    time_column: str,
    key_columns: Sequence[str],
    watched: Sequence[Sequence[str]],
) -> Detector:
    is_event = isinstance(spec, NewEventSpec)
    keys = find_columns(spec, schema, key_columns)
    id_columns = () if is_event else find_columns(spec, schema, spec.event_id_columns)
    group_columns = tuple(dict.fromkeys((*keys, *id_columns)))
    places = [group_columns.index(name) for name in id_columns]
    noun = "event" if is_event else "value" if isinstance(spec, NewValueSpec) else "combination"

    def make_watchers(groups: Groups) -> list[Watcher]:
        return [make(groups, find_columns(spec, schema, columns)) for columns in watched]

    def make(groups: Groups, columns: Sequence[str]) -> Watcher:
        name = ", ".join(columns)

        def detail(code: int, value: Any, known_count: int) -> dict[str, Any]:
            return {
                "event_id": event_id_of(spec, groups.ids[code], places),
                "variable": name,
                "value": value,
                "known": known_count,
                "learned_since": groups.first_time(code),
            }

        return KnownValueWatcher(
            columns,
            f"new {noun} of {name}",
            detail,
            distinct_count_max=spec.distinct_count_max,
            expire_after=spec.expire_after,
            reports_once=spec.report == "once",
        )

    return Detector(
        spec,
        schema,
        time_column,
        keys,
        group_columns=group_columns,
        make_watchers=make_watchers,
        keeps_time=spec.expire_after is not None,
    )


def event_id_of(spec: GroupSpec, group: Sequence[Any], places: Sequence[int]) -> Any:
    """Return the event id of a group as anomalies show it: the constant, one value, or a list of values."""
    if not places:
        return spec.event_id
    values = [group[place] for place in places]
    return values[0] if len(values) == 1 else values


def find_columns(spec: GroupSpec, schema: Schema, names: Sequence[str]) -> tuple[str, ...]:
    """Return columns under the names the schema gives them.

    Raises:
        DetectorSpecError: the schema lacks one.
    """
    try:
        return tuple(schema[name].name for name in names)
    except SchemaError as error:
        raise DetectorSpecError(f"detector {spec.name!r}: {error}") from error
