"""The kind `value_range`: numbers outside the lowest and highest that their group has learned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from actors.detectors.findings import MakeDetail, UnusualRows
from actors.detectors.groups import Bools, GroupedRows, Ints
from actors.detectors.parts import Materials
from actors.detectors.registry import detector_kind
from actors.detectors.specs import VariablesSpec
from actors.frames import physical_type
from actors.model import Column, ColumnType

Numbers = np.ndarray[Any, np.dtype[Any]]


@detector_kind("value_range")
@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRangeSpec(VariablesSpec):
    """Reports numbers outside the range that their group has learned; a group that learned none is not judged."""

    detail_names: ClassVar[tuple[str, ...]] = ("value", "low", "high")

    watches: ClassVar[str] = "numbers"
    needs_learning: ClassVar[bool] = True

    @classmethod
    def can_watch(cls, kind: ColumnType) -> bool:
        """Return whether a column has numbers."""
        return not kind.is_text and kind is not ColumnType.BOOL

    def make_watcher(self, column: Column, given: Materials) -> "ValueRangeWatcher":
        """Return the watcher of one column."""
        return ValueRangeWatcher(column.name, physical_type(column.type), given.detail_of([column.name]))


class ValueRangeWatcher:
    """The range of one column of numbers, per group."""

    def __init__(self, column: str, dtype: pl.DataType, make_detail: MakeDetail) -> None:
        self.metric = f"value range of {column}"
        self.about: str | None = column
        self.changed: set[int] = set()
        self._column = column
        self._make_detail = make_detail
        self._kind = np.float64 if dtype == pl.Float64 else np.int64
        self._low = np.zeros(0, self._kind)
        self._high = np.zeros(0, self._kind)
        self._has_range = np.zeros(0, np.bool_)
        self._is_muted = np.zeros(0, np.bool_)

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Learn from a batch and return what is out of range in it."""
        if not batch.row_count:
            return []
        self._grow(int(batch.group_codes.max()) + 1)
        series = batch.frame[self._column]
        is_given = series.is_not_null().to_numpy() & ~self._is_muted[batch.codes]
        values = series.fill_null(0).to_numpy()
        if self._kind is np.float64:
            # NaN is no number: a range that had learned it would hold nothing.
            is_given &= ~np.isnan(values)
        self._learn(batch.codes, values, is_given & batch.is_learning)
        judged = is_given & ~batch.is_learning & self._has_range[batch.codes]
        outside = judged & ((values < self._low[batch.codes]) | (values > self._high[batch.codes]))
        return [self._finding(batch, row, values[row].item()) for row in np.flatnonzero(outside).tolist()]

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Widen a group's range so that it holds a value."""
        del now
        self._grow(code + 1)
        self._learn(np.array([code]), np.array([value], self._kind), np.ones(1, np.bool_))

    def mute(self, code: int) -> None:
        """Stop watching a group."""
        self._grow(code + 1)
        self._is_muted[code], self._has_range[code] = True, False
        self.changed.add(code)

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return [int(code) for code in np.flatnonzero(self._has_range | self._is_muted)]

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        self._grow(code + 1)
        limits = [self._low[code].item(), self._high[code].item()] if self._has_range[code] else []
        return [limits, bool(self._is_muted[code])]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        limits, is_muted = saved
        self._grow(code + 1)
        self._is_muted[code] = is_muted
        if limits:
            self._low[code], self._high[code] = limits
            self._has_range[code] = True

    def validate(self) -> None:
        """Assert that ranges are ranges, and a group that is left alone has none."""
        assert np.all(self._low[self._has_range] <= self._high[self._has_range]), "a range that ends before it begins"
        assert not np.any(np.isnan(self._low[self._has_range])), "a range without a bound"

    def _learn(self, codes: Ints, values: Numbers, is_learned: Bools) -> None:
        # Adding 0 makes -0.0 a plain 0.0: the two are equal, so that swapping them would not count as a change.
        learned_codes, learned = codes[is_learned], values[is_learned] + 0
        if not len(learned):
            return
        touched = np.unique(learned_codes)
        fresh = touched[~self._has_range[touched]]
        extremes = np.iinfo(np.int64) if self._kind is np.int64 else np.finfo(np.float64)
        self._low[fresh], self._high[fresh] = extremes.max, extremes.min
        before = self._low[touched].copy(), self._high[touched].copy()
        np.minimum.at(self._low, learned_codes, learned)
        np.maximum.at(self._high, learned_codes, learned)
        differs = (self._low[touched] != before[0]) | (self._high[touched] != before[1]) | ~self._has_range[touched]
        self._has_range[touched] = True
        self.changed.update(touched[differs].tolist())

    def _grow(self, size: int) -> None:
        if size <= len(self._low):
            return
        size = max(1024, 2 * size)
        for name in ("_low", "_high", "_has_range", "_is_muted"):
            old = getattr(self, name)
            new = np.zeros(size, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _finding(self, batch: GroupedRows, row: int, value: Any) -> UnusualRows:
        code = int(batch.codes[row])
        shown = {"value": value, "low": self._low[code].item(), "high": self._high[code].item()}
        return UnusualRows((row,), self._make_detail(code, shown))
