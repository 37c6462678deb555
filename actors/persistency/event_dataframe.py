"""The pandas backend: all rows of one event id.

The rows wait in the same buffer as everywhere and become a pandas frame when somebody reads. pandas is imported then,
so the rest of the package works without it. Types follow what appending one-row frames gives: absent cells are NaN,
integers and floats are floats, anything else that is mixed is held as objects.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actors.persistency.errors import PersistencyLoadError, PersistencyValueError
from actors.persistency.event_data_structure import EventDataStructure
from actors.persistency.row_buffer import Columns, RowBuffer, Timestamps

if TYPE_CHECKING:
    import pandas as pd

_ABSENT = object()
"""Stands for a cell of a row that does not have the column."""


class EventDataFrame(EventDataStructure):
    """Rows of one event id as a pandas frame."""

    def __init__(self, event_id: int = -1, template: str = "", data: "pd.DataFrame | None" = None) -> None:
        super().__init__(event_id, template)
        self._frames: list[pd.DataFrame] = [] if data is None else [data]
        self._buffer = RowBuffer(self._fold_columns, fill=_ABSENT)
        self._buffered = type(self).add_data is EventDataFrame.add_data and type(self).to_data is EventDataFrame.to_data

    @property
    def data(self) -> "pd.DataFrame":
        """The rows; a frame handed out earlier does not change."""
        pandas = _pandas()
        with self._buffer.lock:
            self._buffer.fold()
            if not self._frames:
                return pandas.DataFrame()
            if len(self._frames) > 1:
                self._frames = [pandas.concat(self._frames, ignore_index=True)]
            return self._frames[0]

    @data.setter
    def data(self, data: "pd.DataFrame") -> None:
        with self._buffer.lock:
            self._buffer.fold()
            self._frames = [data]

    def add_data(self, data: "pd.DataFrame", timestamp: float | None = None) -> None:
        """Add rows; the timestamp is not kept."""
        with self._buffer.lock:
            self._buffer.fold()
            self._frames.append(data)

    def get_data(self) -> "pd.DataFrame":
        """Return the rows."""
        return self.data

    def get_variables(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.data.columns)

    def to_data(self, raw_data: Mapping[Any, Any]) -> "pd.DataFrame":
        """Return a frame of one row, one cell per value, also where that is a list."""
        return _pandas().DataFrame({name: _cells([value]) for name, value in raw_data.items()})

    def row_buffer(self) -> RowBuffer | None:
        return self._buffer if self._buffered else None

    def dump(self) -> bytes:
        """Return the rows as Parquet."""
        body = io.BytesIO()
        self.data.to_parquet(body)
        return body.getvalue()

    @classmethod
    def load(cls, data: bytes, **kwargs: Any) -> "EventDataFrame":
        """Return the backend of these bytes.

        Raises:
            PersistencyLoadError: the bytes are torn or foreign.
        """
        made = cls(**kwargs)
        try:
            frame = _pandas().read_parquet(io.BytesIO(data))
        except ImportError:
            raise
        except Exception as error:  # the Parquet reader raises several unrelated types
            raise PersistencyLoadError(f"saved rows cannot be read: {error!r}") from error
        made._frames = [frame] if len(frame.columns) else []
        return made

    def why_not_mergeable(self, other: EventDataStructure) -> str | None:
        """Return why another backend's rows cannot be added exactly, or `None` when they can."""
        if not isinstance(other, EventDataFrame):
            return f"a {type(other).__name__} cannot be merged into an EventDataFrame"
        return None

    def merge(self, other: "EventDataFrame") -> None:
        """Add the other's rows as if they had come after ours."""
        reason = self.why_not_mergeable(other)
        if reason is not None:
            raise PersistencyValueError(reason)
        self.add_data(other.data)

    def __repr__(self) -> str:
        rows = sum(map(len, self._frames)) + self._buffer.row_count
        return f"EventDataFrame(rows={rows})"

    def _fold_columns(self, layout: tuple[str, ...], columns: Columns, timestamps: Timestamps) -> None:
        pandas = _pandas()
        index = pandas.RangeIndex(len(timestamps))
        made = {name: _column(values, index) for name, values in zip(layout, columns, strict=True)}
        self._frames.append(pandas.DataFrame(made, index=index))


def _column(values: Sequence[Any], index: Any) -> "pd.Series":
    present = [place for place, value in enumerate(values) if value is not _ABSENT]
    if len(present) == len(values):
        return _cells(values).set_axis(index)
    return _cells([values[place] for place in present]).set_axis(present).reindex(index)


def _cells(values: Sequence[Any]) -> "pd.Series":
    """Return values in the type that appending them one by one would lead to."""
    pandas = _pandas()
    kinds = set(map(type, values))
    if len(kinds) == 1 and not kinds & {list, tuple, dict, set, type(None)}:
        return pandas.Series(list(values))
    if kinds == {int, float}:
        return pandas.Series([float(value) for value in values])
    if kinds == {bool, int}:
        return pandas.Series([int(value) for value in values])
    return pandas.Series(list(values), dtype=object)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("EventDataFrame needs pandas: install tocsin with the extra 'pandas'") from error
    return pandas
