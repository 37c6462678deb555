"""The Polars backend: rows of one event id, bounded by number, in chunks that are joined from time to time.

Invariants: after every call the rows held are the newest `max_rows`, in order; the columns of all chunks fit the united
types, which only ever widen, so that a read cannot fail on what was once accepted.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import polars as pl

from actors.persistency.arguments import whole
from actors.persistency.columns import conform, make_series, widened
from actors.persistency.errors import PersistencyLoadError
from actors.persistency.event_data_structure import EventDataStructure
from actors.persistency.row_buffer import ROW_COUNT_MAX, Columns, RowBuffer, Timestamps

_WAITING_ROW_COUNT_MIN = 256
"""Rows may wait up to this number even where fewer are kept: folding single rows would cost far more."""


@dataclass(repr=False)
class ChunkedEventDataFrame(EventDataStructure):
    """Rows of one event id as a Polars frame."""

    max_rows: int | None = 10_000_000
    """Rows kept; `None` means no limit."""

    compact_every: int = 1000
    """Number of chunks beyond which all become one."""

    _chunks: list[pl.DataFrame] = field(default_factory=list, init=False, compare=False)
    _times: list[pl.Series] = field(default_factory=list, init=False, compare=False)
    _dtypes: dict[str, pl.DataType] = field(default_factory=dict, init=False, compare=False)
    _joined: pl.DataFrame | None = field(default=None, init=False, compare=False)
    _rows: int = field(default=0, init=False, compare=False)
    _total_rows: int = field(default=0, init=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_rows is not None:
            whole("max_rows", self.max_rows, 0)
        whole("compact_every", self.compact_every, 0)
        limit = (
            ROW_COUNT_MAX if self.max_rows is None else min(ROW_COUNT_MAX, max(self.max_rows, _WAITING_ROW_COUNT_MIN))
        )
        self._buffer = RowBuffer(self._fold_columns, limit, fill=None)
        self._buffered = type(self).add_data is ChunkedEventDataFrame.add_data
        self._buffered = self._buffered and type(self).to_data is ChunkedEventDataFrame.to_data

    @property
    def chunks(self) -> list[pl.DataFrame]:
        """The chunks held, oldest first."""
        self._buffer.fold()
        return self._chunks

    def add_data(self, data: pl.DataFrame, timestamp: float | None = None) -> None:
        """Add rows; an empty frame is ignored."""
        with self._buffer.lock:
            self._buffer.fold()
            self._append(data, pl.Series("time", [timestamp] * len(data), dtype=pl.Float64))

    def get_data(self) -> pl.DataFrame:
        """Return the rows held; an empty frame when there are none."""
        with self._buffer.lock:
            self._buffer.fold()
            if self._joined is None:
                self._joined = self._join(rechunk=False)
            return self._joined

    def get_timestamps(self) -> list[float | None]:
        """Return the time of each row held, in seconds; `None` where it was not given."""
        self._buffer.fold()
        return [time for times in self._times for time in times.to_list()]

    def get_variables(self) -> list[str]:
        """Return the names of the columns."""
        self._buffer.fold()
        return list(self._dtypes) if self._chunks else []

    def to_data(self, raw_data: Mapping[str, Any]) -> pl.DataFrame:
        """Return a frame of `{variable: value}`: one row of scalars, or as many rows as the lists hold."""
        if any(isinstance(value, list) for value in raw_data.values()):
            count = max(len(value) for value in raw_data.values() if isinstance(value, list))
            columns = {name: value if isinstance(value, list) else [value] * count for name, value in raw_data.items()}
            return pl.DataFrame([make_series(name, values) for name, values in columns.items()])
        return pl.DataFrame([make_series(name, [value]) for name, value in raw_data.items()])

    def row_buffer(self) -> RowBuffer | None:
        """Return the buffer; rows that come through it hold one cell per value, also where that is a list."""
        return self._buffer if self._buffered else None

    def revision(self) -> object | None:
        """Return something that differs whenever the state does."""
        self._buffer.fold()
        return id(self), self._total_rows

    def dump(self) -> bytes:
        """Return settings and rows: a length of 4 bytes, the settings as msgpack, the rows as Parquet."""
        frame = self.get_data()
        settings: dict[str, Any] = {"max_rows": self.max_rows, "compact_every": self.compact_every}
        timestamps = self.get_timestamps()
        if any(time is not None for time in timestamps):
            settings["timestamps"] = timestamps
        header = msgpack.packb(settings)
        body = io.BytesIO()
        if frame.width:
            frame.write_parquet(body)
        return len(header).to_bytes(4, "big") + bytes(header) + body.getvalue()

    @classmethod
    def load(cls, data: bytes, **kwargs: Any) -> "ChunkedEventDataFrame":
        """Return the backend of these bytes; its settings are those that were saved.

        Raises:
            PersistencyLoadError: the bytes are torn or foreign.
        """
        try:
            size = int.from_bytes(data[:4], "big")
            settings = msgpack.unpackb(data[4 : 4 + size])
            made = cls(**{**kwargs, "max_rows": settings["max_rows"], "compact_every": settings["compact_every"]})
            body = data[4 + size :]
            frame = pl.read_parquet(io.BytesIO(body)) if body else pl.DataFrame()
            times = settings.get("timestamps") or [None] * len(frame)
            made._append(frame, pl.Series("time", times, dtype=pl.Float64))
        except Exception as error:  # torn bytes raise whatever they happen to look like
            raise PersistencyLoadError(f"saved rows cannot be read: {error!r}") from error
        return made

    def why_not_mergeable(self, other: EventDataStructure) -> str | None:
        """Return why another backend's rows cannot be added exactly, or `None` when they can."""
        if not isinstance(other, ChunkedEventDataFrame):
            return f"a {type(other).__name__} cannot be merged into a ChunkedEventDataFrame"
        return None

    def merge(self, other: "ChunkedEventDataFrame") -> None:
        """Add the other's rows as if they had come after ours."""
        self.fold_into(other.get_data(), other.get_timestamps())

    def fold_into(self, frame: pl.DataFrame, timestamps: Timestamps) -> None:
        """Add rows that have a time each."""
        with self._buffer.lock:
            self._buffer.fold()
            self._append(frame, pl.Series("time", timestamps, dtype=pl.Float64))

    def __repr__(self) -> str:
        self._buffer.fold()
        return f"ChunkedEventDataFrame(rows={self._rows}, chunks={len(self._chunks)}, variables={self.get_variables()})"

    def _fold_columns(self, layout: tuple[str, ...], columns: Columns, timestamps: Timestamps) -> None:
        frame = pl.DataFrame([make_series(name, values) for name, values in zip(layout, columns, strict=True)])
        self._append(frame, pl.Series("time", timestamps, dtype=pl.Float64))

    def _append(self, frame: pl.DataFrame, times: pl.Series) -> None:
        if not len(frame):
            return
        for name, dtype in frame.schema.items():
            self._dtypes[name] = widened(self._dtypes.get(name, pl.Null()), dtype)
        self._chunks.append(frame)
        self._times.append(times)
        self._rows += len(frame)
        self._total_rows += len(frame)
        self._joined = None
        self._evict()
        if len(self._chunks) > self.compact_every:
            self._chunks, self._times = [self._join(rechunk=True)], [pl.concat(self._times, rechunk=True)]

    def _evict(self) -> None:
        if self.max_rows is None or self._rows <= self.max_rows:
            return
        excess = self._rows - self.max_rows
        whole = 0
        while whole < len(self._chunks) and len(self._chunks[whole]) <= excess:
            excess -= len(self._chunks[whole])
            whole += 1
        del self._chunks[:whole], self._times[:whole]
        if excess:
            # Joining later copies what is left; until then the slice keeps the head of one chunk alive.
            self._chunks[0], self._times[0] = self._chunks[0][excess:], self._times[0][excess:]
        self._rows = self.max_rows

    def _join(self, *, rechunk: bool) -> pl.DataFrame:
        if not self._chunks:
            return pl.DataFrame()
        frames = [conform(chunk, self._dtypes) for chunk in self._chunks]
        return frames[0] if len(frames) == 1 else pl.concat(frames, rechunk=rechunk)
