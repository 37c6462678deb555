"""Whole cases for an engine: a schema, rows with NULLs, late rows and gaps, windows, metrics, cuts into batches."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from tests.support.choices import Choices, DrawnChoices, happens, pick, shuffled
from tests.support.engine_case import EngineCase
from tests.support.strategies_expressions import ExpressionMaker, respaced

TIMES_OF_DAY = ("NANOTIME", "TIME", "SECOND", "MINUTE")
TIME_KINDS = (
    *("TIMESTAMP", "TIMESTAMP", "TIMESTAMP", "NANOTIMESTAMP", "MICROTIMESTAMP", "DATETIME", "DATE", "MONTH"),
    *TIMES_OF_DAY,
)
STEPS = (1, 2, 3, 3, 4, 5, 7, 10, 20, 31, 60, 100, 601, 1_500, 45_000, 1_000_001)
STARTS = (0, 1, 2, 7, 59, 1003, -7, -1000, 24_280, 1_538_960_461_002)
STARTS_OF_DAY = (0, 1, 2, 7, 59, 333)
TEXTS = ("A", "b", "", "US x", "AB")
KEYS = ((), ("sym",), ("sym",), ("sym", "id"), ("id", "sym"), ("Site",))
KEY_KINDS = {"sym": "SYMBOL", "id": "INT", "Site": "STRING"}
ROW_COUNT_MAX = 24


@st.composite
def engine_cases(draw: Callable[..., Any]) -> EngineCase:
    """Draw a case whose metrics are valid."""
    return engine_case(DrawnChoices(draw))


def engine_case(choices: Choices) -> EngineCase:
    """Choose a case whose metrics are valid."""
    schema, time_column, keys = _schema(choices)
    maker = ExpressionMaker(choices, schema, time_column)
    metrics = [respaced(choices, maker.metric()) for _ in range(choices.integer(1, 3))]
    step = pick(choices, STEPS)
    size = step * pick(choices, (1, 1, 2, 3, 4, 12))
    rows = _rows(choices, schema, time_column, keys, _hops(step, size))
    return EngineCase(
        schema=schema,
        metrics=metrics,
        time_column=time_column,
        key_columns=keys,
        window_size=size,
        step=step,
        round_time=happens(choices, 50),
        garbage_size=pick(choices, (2000, 1, 3)),
        nulls=pick(choices, ("smallest", "smallest", "smallest", "unknown")),
        batches=batches_of(choices, rows),
    )


def _schema(choices: Choices) -> tuple[dict[str, str], str, tuple[str, ...]]:
    """Choose columns with their types, the time column and the key columns."""
    time_column = pick(choices, ("time", "ts", "Moment"))
    columns = {time_column: pick(choices, TIME_KINDS), pick(choices, ("qty", "x", "Count")): "INT"}
    optional = {pick(choices, ("price", "Value", "max")): "DOUBLE", "total": "LONG", "flag": "BOOL", "word": "STRING"}
    columns |= {name: kind for name, kind in optional.items() if happens(choices, 50)}
    keys = pick(choices, KEYS)
    columns |= {name: KEY_KINDS[name] for name in keys}
    return {name: columns[name] for name in shuffled(choices, list(columns))}, time_column, keys


def _hops(step: int, size: int) -> Sequence[int]:
    """Return how far a row may be after the one before: not at all, within a window, at its edge, or beyond it."""
    return (0, 0, 1, 1, 2, max(1, step // 2), max(1, step - 1), step, step + 1, 2 * step, size, 5 * size)


def _rows(
    choices: Choices, schema: Mapping[str, str], time_column: str, keys: Sequence[str], hops: Sequence[int]
) -> list[list[Any]]:
    """Choose rows whose times stand still, advance by about a step, jump far, or fall back; a few have none."""
    starts = STARTS_OF_DAY if schema[time_column] in TIMES_OF_DAY else STARTS
    time = pick(choices, starts)
    rows = []
    for _ in range(choices.integer(1, ROW_COUNT_MAX)):
        time += pick(choices, (-1, -hops[7], 10_000)) if happens(choices, 5) else pick(choices, hops)
        shown = None if happens(choices, 2) else time
        rows.append(
            [shown if name == time_column else _value(choices, kind, name in keys) for name, kind in schema.items()]
        )
    return rows


def _value(choices: Choices, kind: str, is_key: bool) -> Any:
    if is_key:
        return pick(choices, (1, 2, None) if kind == "INT" else ("A", "A", "B", "C", None, ""))
    if happens(choices, 15):
        return None
    if kind == "BOOL":
        return happens(choices, 50)
    if kind == "STRING":
        return pick(choices, TEXTS)
    low, high = {"INT": (-4, 9), "LONG": (-100, 100), "DOUBLE": (-20, 40)}[kind]
    number = choices.integer(low, high)
    return number / 4 if kind == "DOUBLE" else number


def batches_of(choices: Choices, rows: Sequence[Any]) -> list[list[Any]]:
    """Choose how rows are cut into batches, some of them empty."""
    cuts = sorted(choices.integer(0, len(rows)) for _ in range(choices.integer(0, 4)))
    return [list(rows[start:end]) for start, end in pairwise([0, *cuts, len(rows)])]


def large_case(choices: Choices) -> EngineCase:
    """Choose a case with many rows and keys, whose metrics look back no further than a window."""
    size = pick(choices, (6, 10, 60, 300))
    metrics = [pick(choices, LARGE_METRICS).format(number=choices.integer(-20, 120)) for _ in range(4)]
    rows: list[list[Any]] = []
    time, key_count = 1_000_003, pick(choices, (1, 7, 60, 400))
    for _ in range(pick(choices, (600, 1500)) if key_count > 10 else 250):
        time += pick(choices, (0, 0, 0, 0, 0, 0, 1, 1, 2, size // 4))
        shown = time - 1 if happens(choices, 3) else time
        qty = None if happens(choices, 5) else choices.integer(-50, 50)
        rows.append([shown, f"key {choices.integer(1, key_count)}", qty, choices.integer(0, 400) / 4])
    return EngineCase(
        schema={"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "price": "DOUBLE"},
        metrics=metrics,
        time_column="time",
        key_columns=("sym",),
        window_size=size,
        step=pick(choices, (size, size, size // 2, max(1, size // 20))),
        garbage_size=pick(choices, (2000, 10)),
        batches=batches_of(choices, rows),
    )


LARGE_METRICS = (
    *(
        "sum(qty) > {number}",
        "avg(qty) > qty",
        "qty < {number}",
        "max(price) - min(price) > {number}",
        "count(qty) == 3",
    ),
    *("percentile(price, 90) < price", "std(qty) > 14.1417", "last(price) < first(price)", "nunique(qty) < size(qty)"),
    *("wavg(price, qty) > {number}.0371", "med(qty) < {number}", "corr(price, qty) > 0.6371", "qty > prev(qty) + 40"),
    *("price > 1.5 * mavg(price, 3)", "sum(deltas(qty)) > {number}", "cumsum(qty) > {number}"),
    *("price > mmax(prev(price), 30)", "price > 1.4 * mmed(price, 10)", "cummax(qty) > cummax(prev(qty))"),
    *(
        "price > 2 * tmavg(time, price, 300)",
        "mcount(qty, 20) < 18",
        "deltas(time) > {number}",
        "ffill(qty) > 40 and isNull(qty)",
    ),
    *("tmsum(time, qty, 20) > {number}", "price > percentile(price, 75) and qty > {number}"),
)
"""Metrics of large cases; `{number}` is replaced by an integer."""
