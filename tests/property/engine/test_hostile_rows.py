"""Rows of anything: they are taken, or refused with a `SchemaError` and leave the engine as it was."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.errors import SchemaError
from tests.support.hostile import SCHEMA, anything

METRICS = ["sum(qty) > 5", "price > prev(price)", "nunique(sym) > 1 and ok", "avg(price) > qty"]
GOOD = [(1000, "a", 1.5, 3, True), (1004, "b", None, None, None), (1031, "a", 2.5, 9, False)]
NAMES = list(SCHEMA)

mostly_good = st.sampled_from(GOOD)
cell = st.one_of(st.integers(0, 2000), st.none(), anything())
hostile_row = st.one_of(
    mostly_good,
    st.tuples(*(cell for _ in NAMES)),
    st.lists(cell, max_size=7),
    anything(),
)
hostile_mapping = st.one_of(
    mostly_good.map(lambda row: dict(zip(NAMES, row, strict=True))),
    st.fixed_dictionaries(dict.fromkeys(NAMES, cell)),
    st.dictionaries(st.sampled_from([*NAMES, "TIME", "Qty", "other"]) | st.integers(), cell, max_size=7),
    anything(),
)
hostile_rows = st.one_of(st.lists(hostile_row, max_size=4), st.lists(hostile_mapping, max_size=4), anything())


def columns_of_any_type() -> st.SearchStrategy[pl.Series]:
    kinds: list[tuple[Any, st.SearchStrategy[Any]]] = [
        (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
        (pl.UInt64, st.integers(0, 2**64 - 1)),
        (pl.Int8, st.integers(-128, 127)),
        (pl.Float64, st.floats()),
        (pl.String, st.text(max_size=5).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))),
        (pl.Boolean, st.booleans()),
        (pl.Binary, st.binary(max_size=3)),
        (pl.Date, st.dates()),
        (pl.Time, st.times()),
        (pl.Datetime("us"), st.datetimes()),
        (pl.Duration("us"), st.timedeltas(timedelta(-5), timedelta(5))),
        (pl.List(pl.Int64), st.lists(st.integers(0, 5), max_size=2)),
        (pl.Categorical, st.sampled_from(["a", "b"])),
        (pl.Null, st.none()),
    ]
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.lists(st.none() | kind[1], min_size=3, max_size=3).map(lambda v: pl.Series(v, dtype=kind[0]))
    )


@st.composite
def hostile_frames(draw: st.DrawFn) -> pl.DataFrame:
    good = pl.DataFrame(GOOD, schema=NAMES, orient="row")
    for name in draw(st.lists(st.sampled_from([*NAMES, "other"]), max_size=3)):
        good = good.with_columns(draw(columns_of_any_type()).alias(name))
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=1)) if draw(st.booleans()) else []:
        good = good.drop(name)
    return good


def check(rows: Any) -> None:
    """Append rows; if they are refused, nothing has changed, and good rows are still taken."""
    engine = AnomalyDetectionEngine("hostile", METRICS, SCHEMA, "time", ["sym", "ok"], 30, 10)
    engine.append(GOOD)
    before = engine.snapshot()
    try:
        engine.append(rows)
    except SchemaError:
        assert engine.snapshot() == before
    engine.append(GOOD)
    engine.validate()
    engine.snapshot()


@settings(max_examples=20)
@given(hostile_rows)
def test_rows_of_anything_are_taken_or_refused(rows: Any) -> None:
    check(rows)


@settings(max_examples=20)
@given(hostile_frames())
def test_frames_of_any_types_are_taken_or_refused(rows: pl.DataFrame) -> None:
    check(rows)


@pytest.mark.slow
@settings(max_examples=5_000)
@given(hostile_rows | hostile_frames())
def test_many_rows_of_anything_are_taken_or_refused(rows: Any) -> None:
    check(rows)
