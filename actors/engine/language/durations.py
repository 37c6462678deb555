"""Lengths of time in metrics: how many units of a column's type they are.

Times are whole numbers in the unit of their column. A *clock* is the type of such a column: a term has one where its
values are times, or lengths of time, in that unit. A length such as `60s` is a number beside a term with a clock.
"""

from collections.abc import Iterable

from actors.durations import nanoseconds_per_unit, show_duration
from actors.engine.language.grammar import WHOLE_MAX
from actors.engine.language.syntax import Duration
from actors.engine.language.text import render
from actors.model import ColumnType, Schema

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "H": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}


def one_clock(clocks: Iterable[ColumnType | None]) -> ColumnType | None:
    """Return the clock of several terms: that of those which have one, `None` if these differ."""
    found = {clock for clock in clocks if clock is not None}
    return found.pop() if len(found) == 1 else None


def units_of(given: Duration, clock: ColumnType) -> int:
    """Return a length of time in units of a type.

    Raises:
        ValueError: it is no whole number of them, or too large.
    """
    unit, nanoseconds = nanoseconds_per_unit(clock), given.count * _NANOSECONDS[given.unit]
    if unit is None:
        raise ValueError(f"months have no length, so {render(given)} is no number of them; give a number of months")
    if abs(nanoseconds) // unit > WHOLE_MAX // 4:
        raise ValueError(f"this length of time is too long for a {clock}; choose a shorter one")
    if nanoseconds % unit:
        raise ValueError(
            f"{render(given)} is no whole number of ticks of a {clock}; give a multiple of {show_duration(unit)}"
        )
    return nanoseconds // unit


def as_number(given: Duration, schema: Schema) -> str:
    """Return what a length of time is among times, which are numbers."""
    text = "Lengths of time stand beside times, as in `time - prev(time) > 5s`; times are numbers in the unit of theirs"
    for column in schema.columns:
        unit = nanoseconds_per_unit(column.type) if column.type.is_temporal else None
        count, rest = divmod(given.count * _NANOSECONDS[given.unit], unit or 1)
        if unit is not None and not rest:
            return f"{text}: {render(given)} of `{column.name}`, a {column.type}, is {count}."
    return f"{text}; give one."
