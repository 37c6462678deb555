"""Order-sensitive functions that are aggregates over ranges of rows: the last ones, those of some time, or all."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from actors.engine.functions import order_statistics, sequences
from actors.engine.functions.definition import (
    REQUIRED,
    Function,
    Parameter,
    VectorsOnly,
    sequence,
    switch,
    value,
    whole,
    word,
)
from actors.engine.functions.scalars import Usage
from actors.engine.rows import sequences as form

WINDOW_ROWS_MAX = 102_400
"""Longest window of a moving function, in rows."""

_RANGE = VectorsOnly("looks at its range again for each row, which pays with vectors alone")

_MERGEABLE = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "std",
    "stdp",
    "var",
    "varp",
    "prod",
    "wsum",
    "wavg",
    "corr",
    "covar",
    "beta",
]
_RANGED = [*_MERGEABLE, "first", "last", "med", "mad", "percentile"]
"""Aggregates over ranges of rows of a key: the last ones (`m...`), or those of some time (`tm...`)."""


def ranges(base: Sequence[Function]) -> list[Function]:
    """Return the entries made of those of aggregates."""
    by_name = {function.name: function for function in base}
    made = [_like(by_name[name], derive) for derive in (_moving, _timed) for name in _RANGED]
    return [*made, *(_like(by_name[name], _running) for name in _MERGEABLE), _rank()]


def _like(base: Function, derive: Callable[[Function], Function]) -> Function:
    return replace(derive(base), keeps_unit=base.keeps_unit)


def _constants(base: Function) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Return the constants of an aggregate that stand before and after the window of its moving form."""
    own = [parameter for parameter in base.parameters if parameter.is_constant]
    return tuple(p for p in own if p.default is REQUIRED), tuple(p for p in own if p.default is not REQUIRED)


def _moving(base: Function) -> Function:
    before, after = _constants(base)
    window = whole("window", low=2, high=WINDOW_ROWS_MAX)
    period = whole("minPeriods", 1 if base.name == "count" else None, 1)

    def build(usage: Usage) -> Any:
        given = usage.constants
        return sequences.MovingState(base.build(usage), usage.types, given["window"], given["minPeriods"])

    return sequence(
        f"m{base.name}",
        (*base.values, *before, window, *after, period),
        base.result,
        (build, _RANGE),
        f"{base.name} over the last `window` rows of the key",
        "NULL before `window` rows; with minPeriods NULL below that many values. " + base.nulls,
    )


def _timed(base: Function) -> Function:
    before, after = _constants(base)

    def build(usage: Usage) -> Any:
        inner = Usage(types=usage.types[1:], constants=usage.constants, nulls_smallest=usage.nulls_smallest)
        is_count = base.name == "count"
        return sequences.TimedState(base.build(inner), usage.types, usage.constants["window"], is_count)

    return sequence(
        f"tm{base.name}",
        (value("T", "time"), *base.values, *before, whole("window", low=1), *after),
        lambda types, constants: base.result(types[1:], constants),
        (build, _RANGE),
        f"{base.name} over the key's rows so far whose T is in (T - window, T]",
        base.nulls,
    )


def _running(base: Function) -> Function:
    return sequence(
        f"cum{base.name}",
        base.parameters,
        base.result,
        (
            lambda u: sequences.CumulativeState(base.build(u)),
            _RANGE if base.row_form is None else form.running(base.row_form),
        ),
        f"{base.name} over all rows of the key so far",
        base.nulls,
    )


def _rank() -> Function:
    return sequence(
        "mrank",
        (
            value(),
            switch("ascending", True),
            whole("window", low=2, high=WINDOW_ROWS_MAX),
            switch("ignoreNA", True),
            word("tiesMethod", "min", ("min", "max", "average")),
            switch("percent", False),
            whole("minPeriods", None, 1),
        ),
        lambda types, constants: order_statistics.rank_type(constants["tiesMethod"], constants["percent"]),
        (_build_rank, _RANGE),
        "rank, from 0, of the row's value among the last `window` rows",
        "NULL for NULL, unless ignoreNA is false: then NULL is the smallest value.",
    )


def _build_rank(usage: Usage) -> Any:
    given = usage.constants
    rank = order_statistics.last_rank(given["ascending"], given["ignoreNA"], given["tiesMethod"], given["percent"])
    return sequences.MovingState(rank, usage.types, given["window"], given["minPeriods"])
