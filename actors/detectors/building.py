"""Detectors made from their specifications."""

from collections.abc import Mapping, Sequence
from typing import Any

from actors.detectors.checks import as_names, check_text
from actors.detectors.detector import Detector
from actors.detectors.errors import DetectorSpecError
from actors.detectors.groups import Groups
from actors.detectors.parts import Materials, Parts, find_columns
from actors.detectors.specs import GroupSpec
from actors.errors import SchemaError
from actors.frames import schema_of
from actors.model import Schema


def make_detector(
    spec: GroupSpec, schema: Schema | Mapping[str, Any], time_column: str, key_columns: Sequence[str] = ()
) -> Detector:
    """Return a detector that has seen nothing; the schema may be types by name, or that of a Polars frame.

    Raises:
        DetectorSpecError: the schema lacks a column, a column has the wrong type, or nothing could ever be found.
    """
    if not isinstance(spec, GroupSpec):
        raise DetectorSpecError(f"{spec!r} is no specification of a detector; give one, such as a NewValueSpec")
    try:
        schema = schema_of(schema)
    except SchemaError as error:
        raise DetectorSpecError(f"detector {spec.name!r}: {error}") from None
    check_text(repr(spec.name), "time_column", time_column)
    keys = _names(spec, schema, as_names(repr(spec.name), "key_columns", key_columns))
    ids = () if spec.watches_events else _names(spec, schema, spec.event_id_columns)
    group_columns = tuple(dict.fromkeys((*keys, *ids)))
    (time,) = find_columns(spec.name, schema, [time_column])
    if not time.type.is_temporal:
        raise DetectorSpecError(f"detector {spec.name!r}: column {time.name!r} is {time.type}; the time must be a time")
    if time.name in (*keys, *_names(spec, schema, spec.event_id_columns)):
        text = f"detector {spec.name!r}: {time.name!r} is the time column, so that each time would be of its own"
        raise DetectorSpecError(f"{text}; leave it out of the key and of the event id")
    _check_values_differ(spec, schema, group_columns)
    places = [group_columns.index(name) for name in ids]

    def show_event_id(group: Sequence[Any]) -> Any:
        values = [group[place] for place in places]
        return spec.event_id if not values else values[0] if len(values) == 1 else values

    def make_parts(groups: Groups) -> Parts:
        return spec.make_parts(Materials(spec.name, schema, time.name, groups, show_event_id))

    return Detector(spec, schema, time.name, keys, group_columns=group_columns, make_parts=make_parts)


def _names(spec: GroupSpec, schema: Schema, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(column.name for column in find_columns(spec.name, schema, names))


def _check_values_differ(spec: GroupSpec, schema: Schema, group_columns: Sequence[str]) -> None:
    """Refuse to watch only what is the same in all rows of a group: learned with the first row, it is never new."""
    watched = [_names(spec, schema, columns) for columns in spec.watched_columns()]
    if not watched or not spec.effective_learn().has_limit or spec.learn.until is not None:
        # Groups that begin after a moment learn nothing, so that their first row is reported.
        return
    if all(set(columns) <= set(group_columns) for columns in watched):
        names = ", ".join(dict.fromkeys(name for columns in watched for name in columns))
        text = f"detector {spec.name!r} watches {names}, by which its groups are told apart"
        raise DetectorSpecError(f"{text}, so that nothing would ever be new; watch another column")
