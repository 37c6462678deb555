"""One batch of rows: its columns as vectors, in arrival order or sorted by key."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from actors.engine.vectors.segments import Layout, run_lengths, run_starts, running_maximum, stable_order
from actors.engine.vectors.vector import Array, Vector


def vector_of(values: pl.Series) -> Vector:
    """Return a column as a vector; NaN and infinity are NULL."""
    valid = None
    if values.null_count():
        valid = values.is_not_null().to_numpy()
        if values.dtype == pl.String:
            values = values.fill_null("")
        elif values.dtype == pl.Boolean:
            values = values.fill_null(False)
        else:
            values = values.fill_null(0)
    array = values.to_numpy()
    if array.dtype == np.float64 and not (good := np.isfinite(array)).all():
        return Vector(np.where(good, array, 0.0), good if valid is None else good & valid)
    if array.dtype.kind not in "ifbO" and values.dtype == pl.String:
        array = array.astype(object)
    return Vector(array, valid)


def all_between(values: pl.Series, low: int, high: int) -> bool:
    """Return whether no value is missing and all lie between two, both included."""
    if values.null_count():
        return False
    lowest: Any = values.min()
    highest: Any = values.max()
    return bool(low <= lowest and highest <= high)


class Batch:
    """Rows of a canonical frame; `order` sorts them by key if their order by key is needed."""

    def __init__(self, frame: pl.DataFrame, offsets: Array, ordinals: Array | None = None) -> None:
        self.frame = frame
        self.offsets = offsets
        self.ordinals = ordinals
        """Sets rows apart that share an offset, as those do that leave the reorder buffer together; or `None`."""

        # Position in the frame of each row that takes part, sorted by key and arrival; `None`: all, as they came.
        self.order: Array | None = None
        # Columns in that order, made when they are first asked for.
        self._columns: dict[str, Vector] = {}

    @property
    def row_count(self) -> int:
        """Rows that take part."""
        return self.frame.height if self.order is None else len(self.order)

    def column(self, name: str) -> Vector:
        """Return a column in the batch's order."""
        known = self._columns.get(name)
        if known is None:
            values, valid = vector_of(self.frame.get_column(name))
            if self.order is not None:
                values = values.take(self.order)
                valid = None if valid is None else valid.take(self.order)
            known = self._columns[name] = Vector(values, valid)
        return known

    def arrivals(self, rows: Array) -> Array:
        """Return the positions in the frame of rows in the batch's order."""
        return rows if self.order is None else self.order.take(rows)

    def slices(self, row_count_max: int) -> Iterator["Batch"]:
        """Cut a batch, before it is sorted, into shorter ones."""
        for start in range(0, self.frame.height, row_count_max):
            stop = start + row_count_max
            ordinals = None if self.ordinals is None else self.ordinals[start:stop]
            yield Batch(self.frame[start:stop], self.offsets[start:stop], ordinals)

    def keep(self, kept: Array) -> None:
        """Leave out all but the chosen rows of the batch's order."""
        assert self.order is not None
        self.order = self.order[kept]
        self._columns = {
            name: Vector(values[kept], None if valid is None else valid[kept])
            for name, (values, valid) in self._columns.items()
        }


def sort_by_key(numbers: Array, key_count: int) -> tuple[Array, Layout]:
    """Return the order that sorts rows by key and arrival, and the layout of the sorted rows.

    `key_count` is more than any key number.
    """
    if len(numbers) == 1:
        return _ZERO, Layout(numbers, _ZERO, _ONE, _ZERO, 1)
    order = stable_order(numbers, key_count)
    return order, _layout(numbers.take(order))


_ZERO = np.zeros(1, dtype=np.int64)
_ONE = np.ones(1, dtype=np.int64)


def _layout(sorted_numbers: Array) -> Layout:
    count = len(sorted_numbers)
    starts = run_starts(sorted_numbers)
    lengths = run_lengths(starts, count)
    numbers = sorted_numbers.take(starts).astype(np.int64, copy=False)
    return Layout(numbers, starts, lengths, starts + lengths - 1, count)


def accepted_rows(times: Array, layout: Layout, latest: Array) -> Array | None:
    """Return which sorted rows are not late (`None` for all), given the latest time of each segment so far."""
    # By sorted row: whether its time is before that of the row above, or of its key before the batch for the first one.
    # Without any there is nothing to do; with some, a row is late if it is behind the latest of all those above.
    backwards = np.empty(layout.row_count, dtype=np.bool_)
    np.less(times[1:], times[:-1], out=backwards[1:])
    backwards[layout.starts] = times[layout.starts] < latest
    if not backwards.any():
        return None
    raised = times.copy()
    raised[layout.starts] = np.maximum(times[layout.starts], latest)
    return times >= running_maximum(raised, layout)


def relaid(layout: Layout, kept: Array) -> Layout:
    """Return the layout of the rows that were kept."""
    return _layout(np.repeat(layout.numbers, layout.lengths)[kept])


def single_key(row_count: int) -> Layout:
    """Return the layout of rows that all have key number 0."""
    return Layout(_ZERO, _ZERO, np.array([row_count]), np.array([row_count - 1]), row_count)
