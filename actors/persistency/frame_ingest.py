"""A frame of events taken apart: one group of columns per event id, in the order of first appearance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from actors.persistency.errors import PersistencyValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class EventGroup:
    """The rows of one event id."""

    event_id: int | str
    """The id, in the type of its column."""

    template: str | None
    """The last template of these rows; `None` when there is no template column."""

    columns: list[Sequence[Any]]
    """One sequence of values per variable."""

    timestamps: list[float | None]
    """One time per row, in seconds."""

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self.timestamps)


def as_frame(given: Any) -> pl.DataFrame:
    """Return a frame of anything that Polars makes one of.

    Raises:
        PersistencyValueError: it makes none.
    """
    if isinstance(given, pl.DataFrame):
        return given
    if isinstance(given, pl.LazyFrame):
        return given.collect()
    try:
        made = None if isinstance(given, str | None) else pl.DataFrame(given)
    except (TypeError, ValueError, ImportError, pl.exceptions.PolarsError) as error:
        raise PersistencyValueError(f"a {type(given).__name__} is no frame: {error}") from error
    if not isinstance(made, pl.DataFrame):
        raise PersistencyValueError(f"a {type(given).__name__} is no frame; give a Polars frame or a dict of columns")
    return made


def split_frame(
    frame: pl.DataFrame,
    event_id_column: str,
    variables: Sequence[str],
    template_column: str | None,
    timestamp_column: str | None,
) -> Iterator[EventGroup]:
    """Return the groups of a frame; rows keep their order within a group, rows without an id are left out.

    Raises:
        PersistencyValueError: a column is missing, or the ids are neither integers nor texts.
    """
    wanted = [event_id_column, *variables, template_column, timestamp_column]
    missing = [name for name in wanted if name is not None and name not in frame.columns]
    if missing:
        raise PersistencyValueError(f"the frame has no column {missing[0]!r}; it has {', '.join(frame.columns)}")
    ids = frame[event_id_column]
    if not (ids.dtype.is_integer() or ids.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise PersistencyValueError(
            f"event ids must be integers or texts; column {event_id_column!r} holds {ids.dtype}"
        )
    frame = frame.filter(ids.is_not_null()) if ids.null_count() else frame
    return _groups(frame, event_id_column, variables, template_column, timestamp_column)


def _groups(
    frame: pl.DataFrame,
    event_id_column: str,
    variables: Sequence[str],
    template_column: str | None,
    timestamp_column: str | None,
) -> Iterator[EventGroup]:
    index = pl.DataFrame({"id": frame[event_id_column], "row": pl.int_range(len(frame), eager=True)})
    grouped = index.group_by("id", maintain_order=True).agg("row")
    if grouped.height > 1:
        frame = frame[grouped["row"].explode()]
    columns = [frame[name].to_list() for name in variables]
    templates = None if template_column is None else frame[template_column].cast(pl.String).to_list()
    timestamps = _seconds(frame[timestamp_column]) if timestamp_column is not None else _no_times(len(frame))
    start = 0
    for event_id, count in zip(grouped["id"].to_list(), grouped["row"].list.len().to_list(), strict=True):
        end = start + count
        yield EventGroup(
            event_id=event_id,
            template=None if templates is None else templates[end - 1],
            columns=[column[start:end] for column in columns],
            timestamps=timestamps[start:end],
        )
        start = end


def _no_times(count: int) -> list[float | None]:
    return [None] * count


def _seconds(times: pl.Series) -> list[float | None]:
    if times.dtype.is_temporal():
        unit = {"ns": 1e9, "us": 1e6, "ms": 1e3}
        scale = unit[getattr(times.dtype, "time_unit", None) or ("ns" if times.dtype == pl.Time else "us")]
        ticks = times.cast(pl.Datetime("us")) if times.dtype == pl.Date else times
        return (ticks.cast(pl.Int64) / scale).to_list()
    if not times.dtype.is_numeric() and times.dtype != pl.Null:
        raise PersistencyValueError(f"column {times.name!r} is {times.dtype}; times are dates, or numbers of seconds")
    return times.cast(pl.Float64).to_list()
