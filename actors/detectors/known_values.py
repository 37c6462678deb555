"""Known values: what a group has learned of one variable or combination, and which rows bring something else.

Only the distinct values of a batch are looked up, one by one; the rows that carry them are found by Polars. Learning
comes before judging within a group, so values are learned in row order and everything else is independent of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from actors.detectors.checks import check_count
from actors.detectors.configuration import Configuration
from actors.detectors.findings import CODE, FIRST, GAP, NOW, ROW, ROWS, MakeDetail, UnusualRows, distinct_values
from actors.detectors.groups import GroupedRows
from actors.detectors.parts import Materials, Parts
from actors.detectors.specs import KnownSpec, check_configure


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownValuesSpec(KnownSpec):
    """What the kinds have in common that know values, or combinations of values."""

    detail_names: ClassVar[tuple[str, ...]] = ("value", "known")

    expire_after: int | None = None
    """Age, since the value was last seen, from which a value is reported again; `None` for never."""

    configure_row_count: int | None = None
    """The first rows of each group, after which only variables found STATIC or STABLE in them stay watched there.

    These rows are learned as well. `None` watches every variable from the start.
    """

    def _check(self) -> None:
        KnownSpec._check(self)
        check_configure(self.name, self.configure_row_count)
        if self.expire_after is not None:
            check_count(repr(self.name), "expire_after", self.expire_after)

    @property
    def needs_all_times(self) -> bool:
        """Whether values age with rows that are judged, too."""
        return self.expire_after is not None

    def make_watcher(self, columns: Sequence[str], noun: str, detail: MakeDetail) -> "KnownValueWatcher":
        """Return the watcher of one column or combination."""
        return KnownValueWatcher(
            columns,
            f"new {noun} of {', '.join(columns)}",
            detail,
            distinct_count_max=self.distinct_count_max,
            expire_after=self.expire_after,
            reports_once=self.reports_once,
        )

    def make_configured(self, watched: Sequence[Sequence[str]], noun: str, given: Materials) -> Parts:
        """Return a watcher for each combination of columns, and what decides which are left alone."""
        watchers = [self.make_watcher(columns, noun, given.detail_of(columns)) for columns in watched]
        return Parts(watchers=watchers, configuration=Configuration(watched, watchers, self.configure_row_count))


class KnownValueWatcher:
    """Values of one column, or of one combination of columns, per group."""

    def __init__(
        self,
        columns: Sequence[str],
        metric: str,
        make_detail: MakeDetail,
        *,
        distinct_count_max: int,
        expire_after: int | None,
        reports_once: bool,
    ) -> None:
        self.metric = metric
        self.about: str | None = ", ".join(columns)
        self.changed: set[int] = set()
        self._columns = list(columns)
        self._make_detail = make_detail
        self._distinct_count_max = distinct_count_max
        self._expire_after = expire_after
        self._reports_once = reports_once
        self._known: dict[int, dict[Any, int]] = {}
        self._learned_count: dict[int, int] = {}
        self._muted: set[int] = set()

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Learn from a batch and return what is unknown in it."""
        pairs = self._pairs(batch)
        if self._expire_after is None:
            return self._observe_ageless(batch, pairs)
        return self._observe_ageing(batch, pairs, self._expire_after)

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Let a value count as known for a group."""
        known = self._table(code)
        if value not in known:
            self._learned_count[code] = self._learned_count.get(code, 0) + 1
        known[value] = now or 0
        self.changed.add(code)

    def known_values(self, code: int) -> list[Any]:
        """Return the values that a group knows, in the order in which it learned them."""
        return list(self._known.get(code, ()))

    def is_muted(self, code: int) -> bool:
        """Return whether a group learned more values than allowed, so that the variable is not watched there."""
        return code in self._muted

    def mute(self, code: int) -> None:
        """Stop watching a group, and forget what it knows."""
        self._muted.add(code)
        self._known.pop(code, None)
        # How much was learned before depends on where batches were cut, when the group is being configured.
        self._learned_count.pop(code, None)
        self.changed.add(code)

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return {code for code, known in self._known.items() if known} | self._muted

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        known = self._known.get(code, {})
        times = [] if self._expire_after is None else list(known.values())
        return [list(known), times, self._learned_count.get(code, 0), code in self._muted]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        values, times, learned_count, is_muted = saved
        keys = [tuple(value) if isinstance(value, list) else value for value in values]
        self._known[code] = dict(zip(keys, times or [0] * len(keys), strict=True))
        self._learned_count[code] = learned_count
        if is_muted:
            self._muted.add(code)

    def validate(self) -> None:
        """Assert that no group has learned more than it knows."""
        for code, count in self._learned_count.items():
            assert 0 <= count <= len(self._known.get(code, ())), f"group {code} has learned {count}"

    def _pairs(self, batch: GroupedRows) -> pl.DataFrame:
        return distinct_values(batch, self._columns, with_times=self._expire_after is not None)

    def _values(self, pairs: pl.DataFrame) -> list[Any]:
        columns = [pairs[name].to_list() for name in self._columns]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def _observe_ageless(self, batch: GroupedRows, pairs: pl.DataFrame) -> list[UnusualRows]:
        codes, values = pairs[CODE].to_list(), self._values(pairs)
        known = self._known
        for code in batch.group_codes.tolist():
            if code not in known:
                known[code] = {}
        unknown = [place for place, code in enumerate(codes) if values[place] not in known[code]]
        learns = batch.is_learning[pairs[ROW].to_numpy()].tolist() if unknown else []
        for place in unknown:
            if learns[place]:
                self._learn(codes[place], values[place], 0)
        places = [place for place in unknown if not learns[place] and codes[place] not in self._muted]
        findings = []
        for place, rows in zip(places, _rows_of(pairs, places), strict=True):
            # Without room left, the value stays unknown and each of its rows is reported.
            is_added = self._reports_once and self._add_reported(codes[place], values[place], 0)
            findings.append(self._finding(codes[place], values[place], rows[:1] if is_added else rows))
        return findings

    def _observe_ageing(self, batch: GroupedRows, pairs: pl.DataFrame, expire_after: int) -> list[UnusualRows]:
        codes, values = pairs[CODE].to_list(), self._values(pairs)
        gaps, firsts, lasts = pairs[GAP].to_list(), pairs[FIRST].to_list(), pairs[NOW].to_list()
        odd: list[int] = []
        for place, (code, value) in enumerate(zip(codes, values, strict=True)):
            known = self._table(code)
            seen = known.get(value)
            if seen is not None and gaps[place] <= expire_after and firsts[place] - seen <= expire_after:
                known[value] = lasts[place]
            else:
                odd.append(place)
        self.changed.update(batch.group_codes.tolist())
        found: list[tuple[int, Any, list[int]]] = []
        for place, rows in zip(odd, _rows_of(pairs, odd), strict=True):
            unknown = self._judge_rows(batch, codes[place], values[place], rows, expire_after)
            if unknown:
                found.append((codes[place], values[place], unknown))
        return [self._finding(code, value, rows) for code, value, rows in found if code not in self._muted]

    def _judge_rows(self, batch: GroupedRows, code: int, value: Any, rows: list[int], expire_after: int) -> list[int]:
        """Go through the rows of one value and return those in which it is unknown or has expired."""
        if code in self._muted:
            return []
        known = self._table(code)
        found = []
        for row in rows:
            now, seen = int(batch.now[row]), known.get(value)
            if seen is not None and now - seen <= expire_after:
                known[value] = now
            elif batch.is_learning[row]:
                self._learn(code, value, now)
                if code in self._muted:
                    return []
            else:
                found.append(row)
                if self._reports_once:
                    self._add_reported(code, value, now)
        return found

    def _learn(self, code: int, value: Any, now: int) -> None:
        if code in self._muted:
            return
        known = self._table(code)
        self.changed.add(code)
        if value not in known:
            if len(known) >= self._distinct_count_max:
                self.mute(code)
                return
            self._learned_count[code] = self._learned_count.get(code, 0) + 1
        known[value] = now

    def _add_reported(self, code: int, value: Any, now: int) -> bool:
        """Let a reported value count as known, and return whether there was room for it."""
        known = self._table(code)
        if value not in known and len(known) >= self._distinct_count_max:
            return False
        known[value] = now
        self.changed.add(code)
        return True

    def _table(self, code: int) -> dict[Any, int]:
        table = self._known.get(code)
        if table is None:
            table = self._known[code] = {}
        return table

    def _finding(self, code: int, value: Any, rows: Sequence[int]) -> UnusualRows:
        known_count = self._learned_count.get(code, 0)
        return UnusualRows(rows, self._make_detail(code, {"value": value, "known": known_count}))


def _rows_of(pairs: pl.DataFrame, places: Sequence[int]) -> list[list[int]]:
    """Return the rows that carry each of these distinct values."""
    found: list[list[int]] = pairs[ROWS].gather(list(places)).to_list() if places else []
    return found
