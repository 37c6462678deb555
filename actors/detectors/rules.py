"""The watcher of a rule: conditions that the user wrote, which need no learning."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from actors.detectors.errors import DetectorSpecError
from actors.detectors.findings import Finding, MakeDetail
from actors.detectors.groups import Batch
from actors.detectors.specs import Condition, Rule


class RuleWatcher:
    """Rows that fulfil all conditions of one rule.

    Raises:
        DetectorSpecError: a condition that Polars cannot ask of its column.
    """

    def __init__(self, rule: Rule, columns: Sequence[str], types: dict[str, Any], make_detail: MakeDetail) -> None:
        self.metric = f"rule {rule.name}"
        self.changed: set[int] = set()
        self._columns = list(dict.fromkeys(columns))
        self._make_detail = make_detail
        pairs = zip(rule.conditions, columns, strict=True)
        self._holds = pl.all_horizontal([_expression(condition, pl.col(name)) for condition, name in pairs])
        try:
            pl.DataFrame(schema={name: types[name] for name in self._columns}).select(self._holds)
        except (pl.exceptions.PolarsError, TypeError) as error:
            raise DetectorSpecError(f"rule {rule.name!r} does not fit its columns: {error}") from error

    def observe(self, batch: Batch) -> list[Finding]:
        """Return the rows that fulfil the rule."""
        if not batch.row_count:
            return []
        holds = batch.frame.select(self._holds.fill_null(value=False)).to_series().to_numpy()
        rows = np.flatnonzero(holds & ~batch.is_learning)
        shown = batch.frame.select(self._columns)[rows].rows(named=True)
        found = zip(rows.tolist(), shown, strict=True)
        return [Finding((row,), self._make_detail(int(batch.codes[row]), {"values": values})) for row, values in found]

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
            return column.str.contains(str(value), literal=True)
        case _:
            return column.str.contains(str(value))
