"""The kind `rule`: rows that fulfil conditions which the user wrote, and which need no learning."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, isfinite, nextafter
from typing import Any

import numpy as np
import polars as pl

from actors.detectors.checks import as_tuple, check_choice, check_variables
from actors.detectors.errors import DetectorSpecError
from actors.detectors.findings import MakeDetail, UnusualRows
from actors.detectors.groups import GroupedRows
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind
from actors.detectors.specs import GroupSpec
from actors.frames import polars_schema

OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "is null", "is not null", "contains", "matches")
"""What a condition may ask; `matches` takes a regular expression. NULL fulfils `is null` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One question about one column.

    Raises:
        DetectorSpecError: an operator that does not exist, or a value that nothing could ever fulfil.
    """

    column: str
    """Column asked about."""

    operator: str
    """One of `OPERATORS`."""

    value: Any = None
    """What the column is compared with: a value, or a list of values for `in` and `not in`."""

    def __post_init__(self) -> None:
        owner = f"a condition on {self.column!r}"
        if not isinstance(self.column, str):
            raise DetectorSpecError(f"{owner} names no column; give its name")
        object.__setattr__(self, "operator", check_choice(owner, "operator", self.operator, OPERATORS))
        if self.operator in ("in", "not in"):
            object.__setattr__(self, "value", as_tuple(owner, "value", self.value))
            if not self.value:
                raise DetectorSpecError(f"{owner} has an empty list; give at least one value")
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        asks_for_null = self.operator in ("is null", "is not null")
        if asks_for_null != all(value is None for value in values) or (not asks_for_null and None in values):
            way = "takes no value" if asks_for_null else "needs one other than NULL; `is null` asks for NULL"
            raise DetectorSpecError(f"{owner} has the value {self.value!r}; `{self.operator}` {way}")
        if any(value != value for value in values):  # NaN alone differs from itself
            raise DetectorSpecError(f"{owner} has the value {self.value!r}, which equals nothing; give a number")
        for value in values:
            if not isinstance(value, str | int | float | None) or (isinstance(value, int) and abs(value) >= 1 << 63):
                raise DetectorSpecError(
                    f"{owner} has the value {value!r}; give a text, a number of 64 bits or a Boolean"
                )
        if self.operator in ("contains", "matches"):
            _check_pattern(owner, self.operator, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Conditions that together make a row an anomaly.

    Raises:
        DetectorSpecError: no name, or no condition.
    """

    name: str
    """Name, unique within the detector."""

    conditions: tuple[Condition, ...]
    """All must hold; mappings of the fields of a condition will do."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise DetectorSpecError(f"a rule has the name {self.name!r}; give it a text")
        given = as_tuple(f"rule {self.name!r}", "conditions", self.conditions)
        object.__setattr__(self, "conditions", tuple(_made(Condition, one) for one in given))
        if not self.conditions:
            raise DetectorSpecError(f"rule {self.name!r} has no condition; give at least one")


@detector_kind("rule")
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec(GroupSpec):
    """Reports rows that fulfil a rule; rows of the learn phase are not judged."""

    rules: tuple[Rule, ...]
    """Rules, or mappings of the fields of a rule; the position is the anomaly's type."""

    def _check(self) -> None:
        given = as_tuple(repr(self.name), "rules", self.rules)
        self.put("rules", tuple(_made(Rule, one) for one in given))
        if not self.rules:
            raise DetectorSpecError(f"detector {self.name!r} has no rule; give at least one")
        check_variables(repr(self.name), [rule.name for rule in self.rules])

    def make_parts(self, given: Materials) -> Parts:
        """Return a watcher for each rule."""
        types: dict[str, Any] = dict(polars_schema(given.schema))
        watchers = []
        for rule in self.rules:
            columns = given.names([condition.column for condition in rule.conditions])
            watchers.append(RuleWatcher(rule, columns, types, given.detail_of([rule.name], "rule")))
        return Parts(watchers=watchers)


def _made(kind: type[Any], given: Any) -> Any:
    """Return a value of a kind: the one given, or the one that a mapping of its fields describes."""
    noun = kind.__name__.lower()
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise DetectorSpecError(f"{given!r} is no {noun}; give a mapping of its fields")
    try:
        return kind(**given)
    except TypeError as error:
        raise DetectorSpecError(f"{dict(given)} does not describe a {noun}: {error}") from error


def _check_pattern(owner: str, operator: str, pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise DetectorSpecError(f"{owner} has the value {pattern!r}; `{operator}` needs a text")
    if operator == "matches":
        try:
            pl.Series([""]).str.contains(pattern, literal=False, strict=True)
        except pl.exceptions.PolarsError as error:
            raise DetectorSpecError(f"{owner}: {pattern!r} is no regular expression: {error}") from error


class RuleWatcher:
    """Rows that fulfil all conditions of one rule.

    Raises:
        DetectorSpecError: a condition that Polars cannot ask of its column.
    """

    def __init__(self, rule: Rule, columns: Sequence[str], types: dict[str, Any], make_detail: MakeDetail) -> None:
        self.metric = f"rule {rule.name}"
        self.about: str | None = None
        self.changed: set[int] = set()
        self._columns = list(dict.fromkeys(columns))
        self._make_detail = make_detail
        asked: dict[str, list[Condition]] = {name: [] for name in self._columns}
        for condition, name in zip(rule.conditions, columns, strict=True):
            asked[name].append(condition)
        try:
            self._holds = pl.all_horizontal([_all_of(conditions, name) for name, conditions in asked.items()])
            useless = [name for name in asked if not _may_hold(asked[name], name, types[name])]
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
            raise DetectorSpecError(f"rule {rule.name!r} does not fit its columns: {error}") from error
        if useless:
            text = f"rule {rule.name!r} would find nothing: no value of column {useless[0]!r} fulfils its conditions"
            raise DetectorSpecError(f"{text}; change them")

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Return the rows that fulfil the rule."""
        if not batch.row_count:
            return []
        holds = batch.frame.select(self._holds.fill_null(value=False)).to_series().to_numpy()
        rows = np.flatnonzero(holds & ~batch.is_learning)
        shown = batch.frame.select(self._columns)[rows].rows(named=True)
        found = zip(rows.tolist(), shown, strict=True)
        return [
            UnusualRows((row,), self._make_detail(int(batch.codes[row]), {"values": values})) for row, values in found
        ]

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Refuse: a rule knows no values.

        Raises:
            DetectorSpecError: always.
        """
        del code, value, now
        raise DetectorSpecError(f"{self.metric} knows no values that could be accepted; change the rule")

    def codes(self) -> Iterable[int]:
        """Return no group."""
        return ()

    def encode(self, code: int) -> list[Any]:
        """Return nothing."""
        return []

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over nothing."""

    def validate(self) -> None:
        """Assert nothing: a rule has no state."""


def _all_of(conditions: Sequence[Condition], column: str) -> pl.Expr:
    return pl.all_horizontal([_expression(condition, pl.col(column)) for condition in conditions])


def _may_hold(conditions: Sequence[Condition], column: str, dtype: pl.DataType) -> bool:
    """Return whether a value of a column may fulfil all of its conditions; texts that must look like something may.

    What conditions compare with cuts the values into ranges, so the ends of ranges and their neighbours are enough.
    """
    ends = [end for one in conditions for end in (one.value if isinstance(one.value, tuple) else (one.value,))]
    values = pl.Series(column, [None, *_values_around(ends, dtype)], dtype=dtype)
    holds = values.to_frame().select(_all_of(conditions, column).fill_null(value=False)).to_series()
    return bool(holds.any()) or any(one.operator in ("contains", "matches") for one in conditions)


def _values_around(ends: Sequence[Any], dtype: pl.DataType) -> list[Any]:
    """Return the first and last values of a column, and those at and beside the ends of ranges."""
    if dtype == pl.Boolean:
        return [False, True]
    if dtype == pl.String:
        texts = ["", _LAST_TEXT, *(end for end in ends if isinstance(end, str))]
        return [*texts, *(f"{text}\0" for text in texts)]
    numbers = [end for end in ends if isinstance(end, int | float) and isfinite(end)]
    if dtype == pl.Float64:
        near = [nextafter(number, way) for number in numbers for way in (-inf, inf)]
        return [-_REAL_MAX, _REAL_MAX, *filter(isfinite, [*map(float, numbers), *near])]
    whole = [floor(number) + step for number in numbers for step in (-1, 0, 1, 2)]
    return [*_INTEGERS, *(number for number in whole if _INTEGERS[0] <= number <= _INTEGERS[1])]


_LAST_TEXT = chr(0x10FFFF) * 8
_REAL_MAX = float(np.finfo(np.float64).max)
_INTEGERS = (-(1 << 63), (1 << 63) - 1)


def _expression(condition: Condition, column: pl.Expr) -> pl.Expr:
    value = condition.value
    match condition.operator:
        case "==":
            return column == pl.lit(value)
        case "!=":
            return column != pl.lit(value)
        case "<":
            return column < pl.lit(value)
        case "<=":
            return column <= pl.lit(value)
        case ">":
            return column > pl.lit(value)
        case ">=":
            return column >= pl.lit(value)
        case "in":
            return column.is_in(list(value))
        case "not in":
            return ~column.is_in(list(value))
        case "is null":
            return column.is_null()
        case "is not null":
            return column.is_not_null()
        case "contains":
            return column.str.contains(value, literal=True)
        case _:
            return column.str.contains(value)
