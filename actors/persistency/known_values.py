"""What a stability tracker has seen, bounded by number and by age where that is asked for.

Invariants: `_order` holds the values in the order in which they were first seen, as long as that order is known (state
written by other programs has none); a sketch exists only once the cap has been reached; last-seen times exist only with
`expire_after`. Cap, age and order apply to the default semantics, where what is known are values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from actors.persistency.arguments import number, whole
from actors.persistency.errors import PersistencyValueError
from actors.persistency.rle_list import RLEList
from actors.persistency.sketch import RELATIVE_ERROR, DistinctSketch
from actors.persistency.value_semantics import (
    Observed,
    Semantics,
    find_fresh,
)
from actors.persistency.values import canonical_value, value_hash

_TOLERANCE = 3 * RELATIVE_ERROR
"""Share by which an estimate may fall short of the number of observations and still mean that all are distinct."""


class KnownValues:
    """Values, characters or the range of one variable."""

    def __init__(
        self, semantics: Semantics, is_default: bool, max_distinct: int | None, expire_after: float | None
    ) -> None:
        if max_distinct is not None:
            whole("max_distinct", max_distinct, 1)
        if expire_after is not None and not number("expire_after", expire_after) > 0:
            raise PersistencyValueError(f"expire_after {expire_after} must be above 0 seconds, or None for no ageing")
        if not is_default and (max_distinct is not None or expire_after is not None):
            raise PersistencyValueError("max_distinct and expire_after need add_value_fn 'default'; leave them out")
        self._semantics = semantics
        self._is_default = is_default
        self._max_distinct = max_distinct
        self._expire_after = expire_after
        self._values: set[Any] = set()
        self._order: list[Any] | None = [] if is_default and max_distinct is None and expire_after is None else None
        self._last_seen: dict[Any, float] | None = None if expire_after is None else {}
        self._now = float("-inf")
        self._sketch: DistinctSketch | None = None
        self.extra_state: dict[Any, Any] = {}
        self.accepted_count = 0

    def observe(self, values: Sequence[Any], timestamps: Sequence[float | None], changes: RLEList[bool]) -> Observed:
        """Take values; return which of them were observations (`None`: all), and the indexes of changes among those."""
        if self._last_seen is not None:
            return None, self._observe_ageing(values, timestamps, changes.true_count())
        if self._max_distinct is not None and self._may_exceed(values):
            return None, self._observe_capped(values, changes.true_count())
        if not self._is_default:
            return self._semantics(self._values, self.extra_state, values)
        values, changed = find_fresh(self._values, values)
        if self._order is not None and changed:
            self._order.extend(values if len(changed) == len(values) else [values[index] for index in changed])
        return None, changed

    def accept(self, value: Any) -> None:
        """Let a value count as known."""
        self._semantics(self._values, self.extra_state, (value,))
        self.accepted_count += 1
        if self._last_seen is not None:
            self._last_seen[canonical_value(value)] = self._now

    def alive(self) -> set[Any]:
        """Return the live set of what is known, without what has expired."""
        self._forget_expired()
        return self._values

    def distinct_count(self) -> int:
        """Return the number of distinct things known; an estimate beyond the cap."""
        if self._last_seen is not None:
            self._forget_expired()
        return len(self._values) if self._sketch is None else max(len(self._values), round(self._sketch.estimate()))

    def are_all_distinct(self, observation_count: int) -> bool:
        """Return whether no value was seen twice; beyond the cap, whether the estimate allows that."""
        if self._sketch is None:
            return len(self._values) == observation_count
        return bool(self._sketch.estimate() >= observation_count * (1 - _TOLERANCE))

    def to_state(self) -> dict[str, Any]:
        """Return everything that is kept, as plain values."""
        ordered = self._order is not None
        # A set has an order of its own in each process; what is saved must be equal for what is equal.
        rest = sorted(self._values.difference(self._order or ()), key=value_hash)
        return {
            "unique_set": [*(self._order or ()), *rest],
            "unique_set_is_ordered": ordered,
            "extra_state": self.extra_state,
            "max_distinct": self._max_distinct,
            "expire_after": self._expire_after,
            "last_seen": None if self._last_seen is None else [list(item) for item in self._last_seen.items()],
            "now": None if self._last_seen is None else self._now,
            "sketch": None if self._sketch is None else self._sketch.to_bytes(),
        }

    def restore(self, state: Mapping[str, Any], change_count: int) -> None:
        """Take over what `to_state` gave; a list within `unique_set` was a tuple once."""
        values = [canonical_value(_with_tuples(value)) for value in state["unique_set"]]
        self._values = set(values)
        self.extra_state = state.get("extra_state") or {}
        ordered = self._order is not None and state.get("unique_set_is_ordered", False)
        self._order = values[:change_count] if ordered else None
        if self._last_seen is not None:
            self._now = float("-inf") if state.get("now") is None else float(state["now"])
            self._last_seen = {canonical_value(value): seen for value, seen in state.get("last_seen") or ()}
        sketch = state.get("sketch")
        self._sketch = None if sketch is None else DistinctSketch(sketch)

    def why_not_mergeable(self, other: "KnownValues", other_changes: RLEList[bool]) -> str | None:
        """Return why the other's observations cannot be added as if they came after ours, or `None`."""
        if not (self._is_default and other._is_default):
            return "only trackers with the default value semantics can be merged exactly"
        if self._order is None or other._order is None:
            return "trackers with max_distinct, expire_after or foreign state cannot be merged exactly"
        if len(other._order) != other_changes.true_count():
            return "values accepted before they were seen keep the trackers from being merged exactly"
        return None

    def merge(self, other: "KnownValues", other_changes: RLEList[bool]) -> list[int]:
        """Add what the other knows and return the indexes of its observations that are changes for us too."""
        assert self._order is not None  # callers ask `why_not_mergeable` first
        assert other._order is not None
        pairs = zip(other_changes.true_positions(), other._order, strict=True)
        fresh = [(index, value) for index, value in pairs if value not in self._values]
        self._order.extend(value for _, value in fresh)
        self._values |= other._values
        return [index for index, _ in fresh]

    def _may_exceed(self, values: Sequence[Any]) -> bool:
        assert self._max_distinct is not None  # asked only with a cap
        if self._sketch is None:
            return len(self._values) + len(values) > self._max_distinct
        return True

    def _observe_capped(self, values: Sequence[Any], change_count: int) -> list[int]:
        try:
            if self._values.issuperset(values):
                return []
        except TypeError:
            pass
        changed: list[int] = []
        for index, raw in enumerate(values):
            value = canonical_value(raw)
            if value not in self._values and self._is_change(value, change_count + len(changed)):
                changed.append(index)
        return changed

    def _is_change(self, value: Any, change_count: int) -> bool:
        """Take an unknown value: into the set while there is room, else into the sketch."""
        if self._max_distinct is None or (self._sketch is None and len(self._values) < self._max_distinct):
            self._values.add(value)
            return True
        if self._sketch is None:
            self._sketch = DistinctSketch()
            for known in self._values:
                self._sketch.add(known)
        self._sketch.add(value)
        return self._sketch.estimate() > change_count

    def _observe_ageing(
        self, values: Sequence[Any], timestamps: Sequence[float | None], change_count: int
    ) -> list[int]:
        assert self._last_seen is not None  # asked only with an age
        assert self._expire_after is not None
        changed: list[int] = []
        for index, (raw, stamp) in enumerate(zip(values, timestamps, strict=True)):
            value = canonical_value(raw)
            if stamp is not None and stamp > self._now:
                self._now = stamp
            seen = self._last_seen.get(value)
            if seen is not None and self._now - seen > self._expire_after:
                self._values.discard(value)
                del self._last_seen[value]
                seen = None
            if seen is None and self._is_aged_change(value, change_count + len(changed)):
                changed.append(index)
            if value in self._values:
                self._last_seen[value] = self._now
        return changed

    def _is_aged_change(self, value: Any, change_count: int) -> bool:
        if self._max_distinct is not None and len(self._values) >= self._max_distinct:
            self._forget_expired()
        return value not in self._values and self._is_change(value, change_count)

    def _forget_expired(self) -> None:
        if self._last_seen is None or self._expire_after is None:
            return
        limit = self._now - self._expire_after
        for value in [value for value, seen in self._last_seen.items() if seen < limit]:
            del self._last_seen[value]
            self._values.discard(value)


def _with_tuples(value: Any) -> Any:
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
