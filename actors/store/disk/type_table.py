"""Event types as numbers, and what is known about each of them.

A type gets the next number when its first event is accepted; numbers are never used again. For every type the table
knows which storages want it and which conditions concern it, and for any set of patterns which types match, so that the
work per event is an index into an array.
"""

import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from enum import IntFlag

import msgpack
import numpy as np

from actors.shard import Table, Txn
from actors.store.config import OrderBy, StoreConfig
from actors.store.disk.sealing import damaged, find_damaged, join_values, put_sealed, read_table
from actors.store.events.columns import Array
from actors.store.events.conditions import Condition, ConditionRule, rules_for
from actors.store.events.event import EventType
from actors.store.events.patterns import PatternSet

_KEY = struct.Struct(">I")
MASKS_MAX = 256
"""Pattern sets whose matches are remembered."""


class Wanted(IntFlag):
    """Which storages want a type."""

    NOWHERE = 0
    """None."""

    LATEST = 1
    """The latest events."""

    BY_TIME = 2
    """A series by timestamp."""

    BY_SOURCE = 4
    """A series by source timestamp."""


CONDITIONAL = 8
"""Flag beside `Wanted` of types that conditions concern."""


_LATEST, _BY_TIME, _BY_SOURCE = Wanted.LATEST.value, Wanted.BY_TIME.value, Wanted.BY_SOURCE.value


class TypeMask:
    """Which types match a set of patterns, as an array by type number that grows with the table."""

    def __init__(self, patterns: PatternSet, types: Sequence[EventType]) -> None:
        self._patterns = patterns
        self._types = types
        self._known = 0
        self._array: Array = np.zeros(64, dtype=bool)
        self._lock = threading.Lock()

    def array(self) -> Array:
        """Return the array, which covers every type there is now."""
        if self._known < len(self._types):
            with self._lock:
                self._extend(len(self._types))
        return self._array

    def _extend(self, count: int) -> None:
        if count > len(self._array):
            larger = np.zeros(max(count, 2 * len(self._array)), dtype=bool)
            larger[: self._known] = self._array[: self._known]
            self._array = larger
        if self._patterns.is_everything:
            self._array[self._known : count] = True
        else:
            for number in range(self._known, count):
                self._array[number] = self._patterns.matches(self._types[number])
        self._known = count


class TypeTable:
    """Numbers of the types; one thread at a time adds, any may read."""

    def __init__(self, config: StoreConfig) -> None:
        self._types: list[EventType] = []
        self._numbers: dict[EventType, int] = {}
        self._wanted: list[int] = []
        self._flags: list[int] = []
        self._conditions: list[tuple[Condition, ...]] = []
        self._wanted_by = [(config.latest, _LATEST)] + [
            (one.subscriptions, _BY_TIME if one.order_by is OrderBy.TIMESTAMP else _BY_SOURCE)
            for one in config.all_series()
        ]
        self._rules: Sequence[ConditionRule] = config.conditions
        self._masks: OrderedDict[PatternSet, TypeMask] = OrderedDict()
        self._lock = threading.Lock()
        self._saved = 0

    def __len__(self) -> int:
        return len(self._types)

    @property
    def types(self) -> Sequence[EventType]:
        """All types by number."""
        return self._types

    @property
    def wanted(self) -> Sequence[int]:
        """Which storages want each type (`Wanted` as plain integers), by number."""
        return self._wanted

    @property
    def flags(self) -> Sequence[int]:
        """`wanted` of each type and whether it is `CONDITIONAL`, by number."""
        return self._flags

    @property
    def conditions(self) -> Sequence[tuple[Condition, ...]]:
        """Conditions that concern each type, by number."""
        return self._conditions

    def find(self, event_type: EventType) -> int | None:
        """Return the number of a type, `None` when it has none."""
        return self._numbers.get(event_type)

    def find_all(self, event_types: Iterable[EventType]) -> list[int | None]:
        """Return the number of each type, `None` for those that have none."""
        return list(map(self._numbers.get, event_types))

    def number(self, event_type: EventType) -> int:
        """Return the number of a type, which gets one when it has none."""
        number = self._numbers.get(event_type)
        return self._add(event_type) if number is None else number

    def judge(self, event_type: EventType) -> tuple[int, tuple[Condition, ...]]:
        """Return which storages want a type and its conditions, without giving it a number."""
        number = self._numbers.get(event_type)
        if number is not None:
            return self._wanted[number], self._conditions[number]
        return self._judge(event_type)

    def mask(self, patterns: PatternSet) -> TypeMask:
        """Return which types match the patterns; recently used ones are remembered."""
        with self._lock:
            mask = self._masks.pop(patterns, None) or TypeMask(patterns, self._types)
            self._masks[patterns] = mask
            if len(self._masks) > MASKS_MAX:
                self._masks.popitem(last=False)
        return mask

    def validate(self) -> None:
        """Assert that numbers and types are the inverse of each other, and that all is known of each type."""
        assert {event_type: number for number, event_type in enumerate(self._types)} == self._numbers
        assert len(self._types) == len(self._wanted) == len(self._flags) == len(self._conditions)
        for event_type, wanted, conditions in zip(self._types, self._wanted, self._conditions, strict=True):
            assert (wanted, conditions) == self._judge(event_type)
        assert self._saved <= len(self._types)

    def load(self, txn: Txn, table: Table, *, is_sealed: bool) -> None:
        """Read all types.

        Raises:
            RecordDamagedError: one does not fit its checksum.
        """
        keys, values = read_table(txn, table)
        for position in find_damaged(keys, values) if is_sealed else ():
            raise damaged(f"the name of type {int.from_bytes(keys[position], 'big')}")
        unpacker = msgpack.Unpacker(max_buffer_size=0, use_list=False, unicode_errors="surrogatepass")
        unpacker.feed(join_values(values, is_sealed=is_sealed))
        types: list[EventType] = list(unpacker)
        if self._rules or not all(patterns.is_everything for patterns, _ in self._wanted_by):
            for event_type in types:
                self._add(event_type)
        else:
            # The usual store keeps everything: one judgement is every type's.
            wanted, _ = self._judge(())
            self._numbers.update(zip(types, range(len(types)), strict=True))
            self._wanted += [wanted] * len(types)
            self._flags += [wanted] * len(types)
            self._conditions += [()] * len(types)
            self._types += types
        self._saved = len(self._types)

    def save(self, txn: Txn, table: Table) -> int:
        """Write the types that are not on disk and return how many there are then; call `saved` after the commit."""
        count = len(self._types)
        pack = msgpack.Packer(unicode_errors="surrogatepass").pack
        keys = list(map(_KEY.pack, range(self._saved, count)))
        put_sealed(txn, table, keys, list(map(pack, self._types[self._saved :])))
        return count

    def saved(self, count: int) -> None:
        """Remember that so many types are on disk."""
        self._saved = count

    def _add(self, event_type: EventType) -> int:
        wanted, conditions = self._judge(event_type)
        number = len(self._types)
        self._wanted.append(wanted)
        self._flags.append(wanted | (CONDITIONAL if conditions else 0))
        self._conditions.append(conditions)
        self._types.append(event_type)
        self._numbers[event_type] = number
        return number

    def _judge(self, event_type: EventType) -> tuple[int, tuple[Condition, ...]]:
        wanted = 0
        for patterns, flag in self._wanted_by:
            if patterns.matches(event_type):
                wanted |= flag
        return wanted, rules_for(self._rules, event_type)
