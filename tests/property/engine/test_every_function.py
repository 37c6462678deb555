"""Both executors agree on every function of the catalogue, hostile values included, in values, state and cuts.

Each function is called with every kind of argument that it takes, over rows that hold what is likely to go wrong: NULL,
NaN, infinity, zeros with a sign, the limits of each type, denormals, huge numbers, texts that end in NUL.
"""

from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.functions.catalogue import FUNCTIONS
from actors.engine.functions.definition import REQUIRED, Function, Kind

BIG = (1 << 63) - 1
SCHEMA = {
    "time": "TIMESTAMP",
    "key": "INT",
    **{f"b{i}": "BOOL" for i in range(3)},
    **{f"i{i}": "LONG" for i in range(3)},
    **{f"r{i}": "DOUBLE" for i in range(3)},
    **{f"s{i}": "STRING" for i in range(3)},
}
WHOLE = [None, 0, 1, -1, 7, BIG, -BIG - 1, BIG - 1, 1 << 53, (1 << 53) + 1, 1_764_520_000_000_000_001, 3, 3]
REAL = [None, 0.0, -0.0, 0.5, -2.5, 0.49999999999999994, 1e300, -1e300, 1.7e308, -1.7e308, 5e-324, 1e12, 1e12 + 1, 2.5]
REAL += [float("nan"), float("inf"), float("-inf")]
TEXT = [None, "", "a", "a\0", "\0", "A\0b", "straße", "ÄÖ", "😀", "a" * 300, "%", "b"]
CONSTANTS: dict[str, list[str]] = {
    "items": ["[3, NULL]", "[2.5, 1]"],
    "pattern": ["'%\\0'", "'a%'"],
    "precision": ["0", "2", "-2"],
    "window": ["3"],
    "percent": ["37.5"],
    "q": ["0.625"],
    "steps": ["2"],
    "k": ["1"],
    "zone": ["'UTC'", "'Asia/Kathmandu'"],
    "start": ["1", "-2"],
    "length": ["3"],
    "separator": ["'a'"],
    "index": ["0", "-1"],
    "tolerance": ["1"],
    "every": ["2"],
}
OPTIONAL = ("precision", "zone", "length", "tolerance", "every")
"""Constants that may be left out and are given all the same."""

LETTERS = {"number": "bir", "any": "birs", "text": "s", "time": "t", "moment": "t"}


def calls(function: Function) -> list[str]:
    """Return calls of a function with all kinds of arguments, three columns of each kind being there."""
    if function.name == "earlier":
        kept = [f"{one}({kind}{i})" for one in ("last", "first") for kind in "birs" for i in range(2)]
        return [f"earlier({one}, {n})" for one in kept for n in (1, 3)]
    found = []
    options = [p for p in function.parameters if p.is_constant and (p.default is REQUIRED or p.name in OPTIONAL)]
    for places in product(*(range(len(LETTERS[parameter.accepts])) for parameter in function.values)):
        letters = tuple(LETTERS[one.accepts][place] for one, place in zip(function.values, places, strict=True))
        # Of three arguments, every kind of one meets every kind of each other: more would be four times as many calls.
        if len(places) > 2 and function.name != "iif" and sum(places) % len(LETTERS[function.values[-1].accepts]):
            continue
        compared = letters[1:] if function.name == "iif" else letters
        if "s" in letters and set(compared) != {"s"}:
            continue
        arguments = ["time" if letter == "t" else f"{letter}{i}" for i, letter in enumerate(letters)]
        for constants in product(*(CONSTANTS[p.name] for p in options)):
            items = ("['a\\0', NULL]",) if "s" in letters and "items" in [p.name for p in options] else constants
            named = [f"{p.name}={value}" for p, value in zip(options, items, strict=True)]
            named += ["alpha=0.3"] if function.name.startswith("ewm") else []
            found.append(f"{function.name}({', '.join([*arguments, *named])})".replace("\\0", "\0"))
    return list(dict.fromkeys(found))


def rows() -> pl.DataFrame:
    """Return rows of two keys, in which each value stands beside many others."""
    generator, count = np.random.default_rng(11), 70
    values = {"b": [None, True, False], "i": WHOLE, "r": REAL, "s": TEXT}
    columns: dict[str, Any] = {"time": list(range(count)), "key": [i % 2 for i in range(count)]}
    for name in list(SCHEMA)[2:]:
        choices = values[name[0]]
        columns[name] = [choices[i] for i in generator.integers(0, len(choices), count)]
    types = {"b": pl.Boolean, "i": pl.Int64, "r": pl.Float64, "s": pl.String}
    return pl.DataFrame(columns, schema_overrides={name: types[name[0]] for name in list(SCHEMA)[2:]})


ROWS = rows()


def found(metrics: list[str], few_rows_max: int, size: int, nulls: str) -> tuple[list[Any], bytes, Any]:
    """Return all anomalies with the values of all parts, the state, and how often NULL was met."""
    engine = AnomalyDetectionEngine("t", metrics, SCHEMA, "time", ["key"], 20, 10, nulls=nulls, explain="all")
    if few_rows_max:
        assert engine.few_rows_max, metrics
    engine.few_rows_max = few_rows_max
    anomalies = [
        row for start in range(0, ROWS.height, size) for row in engine.append(ROWS[start : start + size]).rows()
    ]
    return anomalies, engine.snapshot(), engine.stat().null_comparison_counts


def cases() -> list[tuple[Function, str]]:
    """Return functions with each meaning of NULL that they know."""
    known = ("smallest", "unknown")
    return [(f, nulls) for f in FUNCTIONS for nulls in (known if f.compares or f.name in ("and", "or") else known[:1])]


@pytest.mark.parametrize(("function", "nulls"), cases(), ids=lambda case: getattr(case, "name", case))
def test_both_executors_and_all_cuts_agree_on_hostile_values(function: Function, nulls: str) -> None:
    metrics = [f"isNull({call}) or isValid({call})" for call in calls(function)]
    assert metrics
    if function.kind is Kind.SCALAR:
        # Over windows too, where aggregates stand in the place of columns.
        metrics += [
            m.replace("(i0", "(last(i0)").replace("(s0", "(last(s0)") for m in metrics if "(i0" in m or "(s0" in m
        ]
    for start in range(0, len(metrics), 30):
        part = metrics[start : start + 30]
        expected = found(part, 0, ROWS.height, nulls)
        assert found(part, 0, 13, nulls) == expected
        if function.row_form is not None:
            # Few rows alone, and changing between both.
            assert found(part, 1000, 70, nulls) == found(part, 7, 11, nulls) == expected
