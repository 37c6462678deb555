"""Frames: what is found as columns for engines, without making an event of every row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from actors.store.arguments import QUERY
from actors.store.disk.merging import Selection
from actors.store.disk.type_table import TypeTable
from actors.store.errors import QueryError
from actors.store.events.columns import Array, Chunk
from actors.store.query.fields import read_field
from actors.store.query.packed_fields import is_everything
from actors.store.query.queries import SeriesQuery, matching_selections
from actors.store.query.reading import View

FieldTypes = Mapping[str, Any]
"""Polars type of each wanted top-level field of the JSON payloads."""

ROW_COLUMNS = ("server", "session", "instance", "type", "timestamp", "source_timestamp")
"""Columns of a frame beside the fields: ids (UInt64), type (words joined by "/"), and microseconds (Int64)."""

_READ: Mapping[str, tuple[str, ...]] = {"type": ("type_id",), "timestamp": ("time",)}
_READ = {**_READ, "source_timestamp": ("source_time", "has_source")}


_POLARS_TYPES: Mapping[Any, Any] = {float: pl.Float64, int: pl.Int64, str: pl.String, bool: pl.Boolean}


def check_fields(fields: Any, taken: Sequence[str]) -> FieldTypes:
    """Return the Polars type of each wanted field; `taken` are the names of the frame's other columns.

    Raises:
        QueryError: they are no mapping of names to types, or a name is taken.
    """
    if not isinstance(fields, Mapping):
        raise QUERY.refuse("fields", fields, "give a mapping of names to Polars types, such as {'value': pl.Float64}")
    checked = {QUERY.text(name, "the name of a field"): _POLARS_TYPES.get(kind, kind) for name, kind in fields.items()}
    for name, kind in checked.items():
        if name in taken:
            raise QueryError(f"field {name!r} has the name of another column; give these a prefix, or leave it out")
        if not (isinstance(kind, pl.DataType) or (isinstance(kind, type) and issubclass(kind, pl.DataType))):
            raise QUERY.refuse(f"the type of field {name!r}", kind, "give a Polars type, such as pl.Float64")
    return checked


def query_frame(types: TypeTable, view: View, query: SeriesQuery | None, fields: FieldTypes) -> pl.DataFrame:
    """Return what a query finds as a frame of ids, types, times and fields."""
    builder = FrameBuilder(types, ROW_COLUMNS, check_fields(fields, ROW_COLUMNS))
    for selection in [] if query is None else matching_selections(types, view, query):
        builder.add(selection)
    return builder.frame()


class FrameBuilder:
    """Gathers rows of selections and makes one frame of them."""

    def __init__(self, types: TypeTable, columns: Sequence[str], fields: FieldTypes, prefix: str = "") -> None:
        self._types = types
        self._prefix = prefix
        self._columns = columns
        self._fields = fields
        self._parts: dict[str, list[Array]] = {one: [] for column in columns for one in _READ.get(column, (column,))}
        self._values: dict[str, list[pl.Series]] = {name: [] for name in fields}
        self.row_count = 0

    def add(self, selection: Selection) -> None:
        """Add rows after the others."""
        for name, arrays in self._parts.items():
            arrays.append(gather(selection, name))
        for name, kind in self._fields.items():
            self._values[name].append(_field(selection, name, kind))
        self.row_count += len(selection.rows)

    def frame(self) -> pl.DataFrame:
        """Return the rows as a frame."""
        arrays = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in self._parts.items()}
        columns = [self._column(name, arrays).alias(self._prefix + name) for name in self._columns]
        columns += [_joined(name, kind, self._values[name]) for name, kind in self._fields.items()]
        return pl.DataFrame(columns)

    def _column(self, name: str, arrays: Mapping[str, Array]) -> pl.Series:
        if name == "type":
            names = pl.Series("type", ["/".join(one) for one in self._types.types], dtype=pl.String)
            return names.gather(pl.Series(arrays["type_id"], dtype=pl.UInt32))
        if name == "timestamp":
            return _times(name, arrays["time"])
        if name == "source_timestamp":
            times, present = _times(name, arrays["source_time"]), arrays["has_source"]
            if bool(present.all()):
                return times
            return times.zip_with(pl.Series(present, dtype=pl.Boolean), pl.Series([None], dtype=pl.Int64))
        return pl.Series(name, arrays[name], dtype=pl.UInt64)


def gather(selection: Selection, name: str) -> Array:
    """Return a column of a chunk for the rows of a selection."""
    return _gather(selection, lambda chunk: getattr(chunk, name))


def _gather(selection: Selection, column_of: Callable[[Chunk], Array]) -> Array:
    if selection.which is None:
        column = column_of(selection.parts[0].chunk)
        return column if is_everything(selection.rows, len(column)) else column[selection.rows]
    columns = [column_of(part.chunk) for part in selection.parts]
    wide = any(one.dtype == object for one in columns)
    gathered = np.empty(len(selection.rows), dtype=object if wide else columns[0].dtype)
    for number, column in enumerate(columns):
        own = selection.which == number
        gathered[own] = column[selection.rows[own]]
    return gathered


def _joined(name: str, kind: Any, parts: Sequence[pl.Series]) -> pl.Series:
    return pl.concat(parts) if parts else pl.Series(name, [], dtype=kind)


def _times(name: str, ticks: Array) -> pl.Series:
    # Times beyond 64 bits of microseconds have no place in a frame.
    values = ticks.tolist() if ticks.dtype == object else ticks
    return pl.Series(name, values, dtype=pl.Int64, strict=False)


def _field(selection: Selection, name: str, kind: Any) -> pl.Series:
    if selection.which is None:
        return read_field(selection.parts[0].chunk, selection.rows, name, kind)
    values = [
        read_field(part.chunk, selection.rows[selection.which == number], name, kind)
        for number, part in enumerate(selection.parts)
    ]
    order = np.argsort(np.argsort(selection.which, kind="stable"), kind="stable")
    return pl.concat(values).gather(order)
