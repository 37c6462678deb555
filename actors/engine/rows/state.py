"""Fields: where the values that the generated function keeps of a key stand in the engine's arrays.

The arrays are the state. While few rows come at a time, the keys at hand have their fields in a tuple of Python, which
is made from the arrays when a key is first met and written back before anything else looks at them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from actors.engine.functions.partials import Place
from actors.engine.keys.log import KeyedLog
from actors.engine.keys.per_key import PerKey
from actors.engine.rows.code import wrap
from actors.engine.vectors.segments import layout_of
from actors.engine.vectors.vector import Array
from actors.engine.vectors.wide import is_small, sign_of, to_int


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


class WideField:
    """A whole number of 128 bits: its lowest 64 in one array, those above them in another that may be missing yet."""

    def __init__(self, name: str, arrays: PerKey, low: str, high: str, widen: Callable[[], None]) -> None:
        self.name = name
        self._arrays = arrays
        self._low = low
        self._high = high
        self._widen = widen

    def read(self, number: int) -> int:
        """Return the value of a key."""
        low = self._arrays[self._low]
        if number >= len(low):
            return 0
        found: int = low.item(number)
        if self._high not in self._arrays:
            return found
        return to_int(found, self._arrays[self._high].item(number))

    def write(self, numbers: Array, values: Sequence[int]) -> None:
        """Put back the values of keys."""
        self._arrays.cover(numbers)
        low, high = _wide(values)
        if self._high not in self._arrays and not is_small(low, high):
            self._widen()
        self._arrays[self._low][numbers] = low
        if self._high in self._arrays:
            self._arrays[self._high][numbers] = high


def _wide(values: Sequence[int]) -> tuple[Array, Array]:
    try:
        low = np.array(values, dtype=np.int64)
    except OverflowError:
        low = np.array([wrap(value) for value in values], dtype=np.int64)
        return low, np.array([value >> 64 for value in values], dtype=np.int64)
    return low, sign_of(low)


class Entry(NamedTuple):
    """One value of the entries of a history."""

    place: Place
    columns: Sequence[int]
    """The log's column of each component of the place; what is above 64 bits may be missing yet."""

    fill: Any
    """What stands where there is no value."""

    widen: Callable[[], None] = lambda: None
    """Adds the column of what is above 64 bits."""

    @property
    def high(self) -> int | None:
        """The column of what is above 64 bits, if there is one."""
        at = self.place.high
        return None if at is None or at >= len(self.columns) else self.columns[at]


class LogField:
    """A history: a tuple of entries, each a tuple; `None` for a key whose history the log does not know."""

    def __init__(self, name: str, log: KeyedLog, entries: Sequence[Entry]) -> None:
        self.name = name
        self._log = log
        self._entries = tuple(entries)

    def read(self, number: int) -> Any:
        """Return the history of a key."""
        if number >= self._log.key_count:
            return None
        start = self._log.starts.item(number)
        part = slice(start, start + self._log.lengths.item(number))
        columns = []
        for entry in self._entries:
            values = self._log.columns[entry.columns[entry.place.component]][part].tolist()
            if entry.high is not None:
                above = self._log.columns[entry.high][part].tolist()
                values = [to_int(low, high) for low, high in zip(values, above, strict=True)]
            if entry.place.validity is not None:
                there = self._log.columns[entry.columns[entry.place.validity]][part].tolist()
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
        found: dict[int, Array] = {}
        for entry, given in zip(self._entries, flat, strict=True):
            place, column = entry.place, entry.columns[entry.place.component]
            if place.high is not None:
                found[column], high = _wide(given)
                if entry.high is None and not is_small(found[column], high):
                    entry.widen()
                if entry.high is not None:
                    found[entry.high] = high
                continue
            if place.validity is not None:
                found[entry.columns[place.validity]] = np.array([item is not None for item in given], dtype=np.bool_)
                given = [entry.fill if item is None else item for item in given]
            dtype = self._log.columns[column].dtype
            try:
                found[column] = np.array(given, dtype=dtype)
            except OverflowError:
                found[column] = np.array([wrap(item) for item in given], dtype=dtype)
        return [found[number] for number in range(len(self._log.columns))]


def _plain(fill: Any) -> Any:
    return fill.item() if isinstance(fill, np.generic) else fill
