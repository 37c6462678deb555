"""Arrays by key number: what is kept of each key that always takes the same place."""

from typing import Any

import numpy as np

from actors.engine.keys.kept import Kept, held_size_bytes, value_size_bytes
from actors.engine.vectors.segments import grown
from actors.engine.vectors.vector import Array


class PerKey:
    """Arrays with one entry per key."""

    def __init__(self, **fills: Any) -> None:
        self._fills = fills
        # Entries in use. Each array has at least so many, by key number; those beyond hold the fill.
        self._count = 0
        self._arrays = {name: np.zeros(0, dtype=_dtype_of(fill)) for name, fill in fills.items()}

    def cover(self, numbers: Array) -> None:
        """Make room for the given keys, which ascend."""
        count = int(numbers[-1]) + 1 if len(numbers) else 0
        if count <= self._count:
            return
        self._count = count
        for name, array in self._arrays.items():
            self._arrays[name] = grown(array, count, self._fills[name])

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def add(self, name: str, fill: Any, values: Array) -> None:
        """Keep a further array, of values for all keys that there is room for."""
        self._fills[name] = fill
        self._arrays[name] = values

    def fill(self, name: str) -> Any:
        """Return what stands in an array for keys without state."""
        return self._fills[name]

    def reset(self, numbers: Array) -> None:
        """Give keys, which ascend, the state of keys that have never been there."""
        known = numbers[: numbers.searchsorted(self._count)]
        for name, array in self._arrays.items():
            array[known] = self._fills[name]

    def keep(self, numbers: Array) -> None:
        """Keep the state of some keys, which ascend, and number them from 0 on."""
        known = numbers[: numbers.searchsorted(self._count)]
        self._arrays = {name: array[known] for name, array in self._arrays.items()}
        self._count = len(known)

    def kept(self, what: str, of: str = "") -> Kept:
        arrays = self._arrays.values()
        size_bytes = value_size_bytes(array.dtype for array in arrays)
        return Kept(what=what, of=of, key_size_bytes=size_bytes, held_size_bytes=held_size_bytes(arrays, self._count))

    def state(self) -> dict[str, Array]:
        """Return the arrays, copied."""
        return {name: array[: self._count].copy() for name, array in self._arrays.items()}

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self._arrays = {name: state[name].astype(array.dtype) for name, array in self._arrays.items()}
        self._count = min(len(array) for array in self._arrays.values())

    def validate(self, key_count: int) -> None:
        """Assert what is always true."""
        assert self._count <= key_count, (self._count, key_count)
        for name, array in self._arrays.items():
            assert array.ndim == 1, name
            assert len(array) >= self._count, name


def _dtype_of(fill: Any) -> Any:
    return np.object_ if isinstance(fill, str) else np.asarray(fill).dtype
