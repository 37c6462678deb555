"""The table of all functions: one entry for each name and arity. `docs/metrics.md` is written from it."""

from actors.engine.functions.definition import Function
from actors.engine.functions.entries.aggregates import AGGREGATES
from actors.engine.functions.entries.history import HISTORY
from actors.engine.functions.entries.operators import OPERATORS
from actors.engine.functions.entries.ranges import ranges
from actors.engine.functions.entries.scalars import CONDITIONS, NUMBERS
from actors.engine.functions.entries.texts import TEXTS
from actors.engine.functions.entries.times import TIMES

FORBIDDEN = {
    "next": "Use `prev`, which looks at the row before.",
    "talibNull": "Use `nullFill` or `ffill`.",
    "linearTimeTrend": "Use `mbeta` over a time column.",
    "iterate": "Use `ema` or `ewmMean`.",
}
"""Functions that are refused, and what to use instead."""

FUNCTIONS: tuple[Function, ...] = (
    *OPERATORS,
    *NUMBERS,
    *CONDITIONS,
    *TEXTS,
    *TIMES,
    *AGGREGATES,
    *HISTORY,
    *ranges(AGGREGATES),
)
"""Every function and operator of the expression language."""


def _index() -> dict[str, list[Function]]:
    index: dict[str, list[Function]] = {}
    for function in FUNCTIONS:
        index.setdefault(function.name.lower(), []).append(function)
        if function.sign and function.sign != function.name:
            index.setdefault(function.sign, []).append(function)
    return index


BY_NAME: dict[str, list[Function]] = _index()
"""Functions by name in small letters, and by operator sign; several when arities differ in meaning."""
