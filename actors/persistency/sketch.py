"""A sketch of the number of distinct values: HyperLogLog with 4096 registers, about 1.6 % standard error.

The sum that the estimate needs is kept up to date, so that asking for the estimate costs nothing. The hash is the same
in every process, so a sketch depends on the set of values only, not on their order.
"""

from math import log
from typing import Any

from actors.persistency.values import value_hash

_INDEX_BITS = 12
_REGISTER_COUNT = 1 << _INDEX_BITS
_REST_BITS = 64 - _INDEX_BITS
_BIAS = 0.7213 / (1 + 1.079 / _REGISTER_COUNT)

_SCALE = 1 << 64
"""The sum of inverse powers of two is kept in this unit, as an integer, so that no order of additions rounds it."""

RELATIVE_ERROR = 1.04 / _REGISTER_COUNT**0.5
"""Standard error of the estimate, relative to the number."""


class DistinctSketch:
    """An estimate of how many distinct values were added, in 4 KiB."""

    __slots__ = ("_inverse_sum", "_registers", "_zero_count")

    def __init__(self, registers: bytes | None = None) -> None:
        self._registers = bytearray(_REGISTER_COUNT) if registers is None else bytearray(registers)
        self._zero_count = self._registers.count(0)
        self._inverse_sum = sum(_SCALE >> rank for rank in self._registers)

    def add(self, value: Any) -> bool:
        """Add a value and return whether the sketch has changed."""
        hashed = value_hash(value)
        index = hashed >> _REST_BITS
        rank = _REST_BITS - (hashed & ((1 << _REST_BITS) - 1)).bit_length() + 1
        return self._raise_register(index, rank)

    def merge(self, other: "DistinctSketch") -> None:
        """Add everything that was added to another sketch."""
        for index, rank in enumerate(other._registers):
            self._raise_register(index, rank)

    def estimate(self) -> float:
        """Return the estimated number of distinct values."""
        raw = _BIAS * _REGISTER_COUNT * _REGISTER_COUNT * _SCALE / self._inverse_sum
        if raw <= 2.5 * _REGISTER_COUNT and self._zero_count:
            return _REGISTER_COUNT * log(_REGISTER_COUNT / self._zero_count)
        return raw

    def to_bytes(self) -> bytes:
        """Return the registers."""
        return bytes(self._registers)

    def _raise_register(self, index: int, rank: int) -> bool:
        known = self._registers[index]
        if rank <= known:
            return False
        self._registers[index] = rank
        self._zero_count -= known == 0
        self._inverse_sum += (_SCALE >> rank) - (_SCALE >> known)
        return True
