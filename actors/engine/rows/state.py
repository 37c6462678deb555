"""Fields: where the values that the generated function keeps of a key stand in the engine's arrays.

The arrays are the state. While few rows come at a time, the keys at hand have their fields in a tuple of Python, which
is made from the arrays when a key is first met and written back before anything else looks at them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from actors.engine.keys.log import KeyedLog
from actors.engine.keys.per_key import PerKey
from actors.engine.rows.code import wrap
from actors.engine.vectors.segments import layout_of
from actors.engine.vectors.vector import Array


class Field(Protocol):
    """One value of each key."""

    @property
    def name(self) -> str:
        """Name of the local variable in the generated function."""

    def read(self, number: int) -> Any:
        """Return the value of a key."""

    def write(self, numbers: Array, values: Sequence[Any]) -> None:
        """Put back the values of keys, which ascend."""


class PlainField:
    """A value that is always there."""

    def __init__(self, name: str, arrays: PerKey, array: str) -> None:
        self.name = name
        self._arrays = arrays
        self._array = array
        self._fill = _plain(arrays.fill(array))

    def read(self, number: int) -> Any:
        """Return the value of a key."""
        array = self._arrays[self._array]
        return array.item(number) if number < len(array) else self._fill

    def write(self, numbers: Array, values: Sequence[Any]) -> None:
        """Put back the values of keys."""
        self._arrays.cover(numbers)
        try:
            self._arrays[self._array][numbers] = values
        except OverflowError:
            self._arrays[self._array][numbers] = [wrap(value) for value in values]


class NullableField:
    """A value and, in another array, whether it is there."""

    def __init__(self, name: str, arrays: PerKey, value: str, valid: str) -> None:
        self.name = name
        self._arrays = arrays
        self._value = value
        self._valid = valid
        self._fill = arrays.fill(value)

    def read(self, number: int) -> Any:
        """Return the value of a key; `None` is NULL."""
        valid = self._arrays[self._valid]
        if number >= len(valid) or not valid.item(number):
            return None
        return self._arrays[self._value].item(number)

    def write(self, numbers: Array, values: Sequence[Any]) -> None:
        """Put back the values of keys."""
        self._arrays.cover(numbers)
        valid = [value is not None for value in values]
        self._arrays[self._valid][numbers] = valid
        if not all(valid):
            fill = self._fill
            values = [fill if value is None else value for value in values]
        self._arrays[self._value][numbers] = values


class LogField:
    """A history: a tuple of entries, each a tuple; `None` for a key whose history the log does not know.

    `pairs` says which columns make up the values of an entry: one that holds the value and, if it can be NULL, one that
    says whether it is there.
    """

    def __init__(self, name: str, log: KeyedLog, pairs: Sequence[tuple[int, int | None]], fills: Sequence[Any]) -> None:
        self.name = name
        self._log = log
        self._pairs = tuple(pairs)
        self._fills = tuple(fills)

    def read(self, number: int) -> Any:
        """Return the history of a key."""
        if number >= self._log.key_count:
            return None
        start = self._log.starts.item(number)
        part = slice(start, start + self._log.lengths.item(number))
        columns = []
        for value, valid in self._pairs:
            values = self._log.columns[value][part].tolist()
            if valid is not None:
                there = self._log.columns[valid][part].tolist()
                values = [v if is_there else None for v, is_there in zip(values, there, strict=True)]
            columns.append(values)
        return tuple(zip(*columns, strict=True))

    def write(self, numbers: Array, values: Sequence[Any]) -> None:
        """Put back the histories of keys."""
        known = [
            (number, entries) for number, entries in zip(numbers.tolist(), values, strict=True) if entries is not None
        ]
        if not known:
            return
        everybody = np.array([number for number, _ in known], dtype=np.int64)
        self._log.stops_for(everybody)
        self._log.keep_last(everybody, 0)
        filled = [(number, entries) for number, entries in known if entries]
        if not filled:
            return
        lengths = np.array([len(entries) for _, entries in filled], dtype=np.int64)
        layout = layout_of(np.array([number for number, _ in filled], dtype=np.int64), lengths)
        flat = list(zip(*(entry for _, entries in filled for entry in entries), strict=True))
        self._log.append(layout, self._columns(flat))

    def _columns(self, flat: Sequence[Sequence[Any]]) -> list[Array]:
        """Return the log's columns of entries laid out one after the other."""
        columns: list[Array] = [np.zeros(0)] * len(self._log.columns)
        for (value, valid), fill, given in zip(self._pairs, self._fills, flat, strict=True):
            dtype = self._log.columns[value].dtype
            if valid is not None:
                columns[valid] = np.array([item is not None for item in given], dtype=np.bool_)
                given = [fill if item is None else item for item in given]
            try:
                columns[value] = np.array(given, dtype=dtype)
            except OverflowError:
                columns[value] = np.array([wrap(item) for item in given], dtype=dtype)
        return columns


def _plain(fill: Any) -> Any:
    return fill.item() if isinstance(fill, np.generic) else fill
