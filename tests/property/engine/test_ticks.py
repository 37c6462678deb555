"""Windows that close at ticks: as a row by row engine closes them, for every cut, restore and way of testing rows."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.engine.report.output import LATE_ORDINALS
from actors.given_rows import to_frame
from actors.model import Schema
from tests.property.engine.test_cuts import METRICS, SCHEMA, streams
from tests.property.engine.test_few_rows import METRICS as ROW_FORMS
from tests.support.naive.numbers import Fragile
from tests.support.naive.refusal import Refused
from tests.support.naive_engine import NaiveEngine
from tests.support.naive_reorder import naive_order

Stream = list[tuple[Any, ...]]
TYPES = Schema.from_mapping(SCHEMA)


def is_known(metric: str) -> bool:
    try:
        NaiveEngine([metric], SCHEMA, "time", (), 4, 2)
    except Refused:
        return False
    return True


METRIC_SETS = [[one for one in metrics if "ema(" not in one and is_known(one)] for metrics in (METRICS, ROW_FORMS)]


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, Any]:
    step = draw(st.sampled_from([1, 2, 3, 5, 10]))
    metrics = draw(st.sampled_from(METRIC_SETS))
    chosen = draw(st.lists(st.sampled_from(metrics), max_size=4, unique=True))
    return {
        "metrics": list(dict.fromkeys([*chosen, draw(st.sampled_from(["sum(qty) > 5", "avg(price) < price"]))])),
        "window_size": step * draw(st.sampled_from([1, 1, 2, 4])),
        "step": step,
        "key_columns": draw(st.sampled_from([(), ("sym",), ("sym",), ("sym", "flag"), ("sym", "price")])),
    }


def split_of(given: dict[str, Any], symbol: str | None) -> int:
    return 0 if not given["key_columns"] or symbol in ("A", "B") else 1


def ticks_of(given: dict[str, Any], stream: Stream, size: int) -> dict[int, int]:
    """Return the ticks by the offset of the row after which they come, found as `actors.partition.ticks` does."""
    reached: dict[int, int] = {}
    found = {}
    for offset, row in enumerate(stream):
        split = split_of(given, row[1])
        if row[0] is not None and row[0] // size > reached.get(split, -(10**9)):
            reached[split] = row[0] // size
            found[offset] = reached[split] * size
    return found


def make(given: dict[str, Any], few_rows_max: int | None = None) -> AnomalyDetectionEngine:
    settings = {"ticks_close_windows": True} | given
    engine = AnomalyDetectionEngine("test", schema=SCHEMA, time_column="time", **settings)
    if few_rows_max is not None:
        engine.few_rows_max = few_rows_max
    return engine


def parts(given: dict[str, Any], stream: Stream, ticks: dict[int, int], cuts: set[int]) -> Iterator[tuple[int, int]]:
    """Cut a stream where it is asked for, after ticks, and where the split changes."""
    splits = [split_of(given, row[1]) for row in stream]
    changes = {at for at in range(1, len(stream)) if splits[at] != splits[at - 1]}
    return pairwise(
        sorted({0, len(stream), *changes, *(at + 1 for at in ticks), *(c for c in cuts if c < len(stream))})
    )


def run(
    engine: AnomalyDetectionEngine, given: dict[str, Any], stream: Stream, ticks: dict[int, int], cuts: set[int]
) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for start, stop in parts(given, stream, ticks, cuts):
        engine.follow_split(split_of(given, stream[start][1]))
        found += engine.append_physical(to_frame(TYPES, stream[start:stop]), range(start, stop)).rows()
        engine.validate()
        if stop - 1 in ticks:
            found += engine.advance_physical(ticks[stop - 1], stop - 1).rows()
            engine.validate()
    return found


def naive_run(given: dict[str, Any], stream: Stream, ticks: dict[int, int]) -> tuple[list[tuple[Any, ...]], int]:
    ttl = given.get("idle_key_ttl", 0)
    own = {name: value for name, value in given.items() if name not in ("idle_key_ttl", "ticks_close_windows")}
    naive = NaiveEngine(schema=SCHEMA, time_column="time", **own)
    found = []
    for offset, row in enumerate(stream):
        told = naive.append([row], [offset])
        found += [(one.time, *one.key, one.metric_index, one.text, offset, one.ordinal) for one in told]
        if offset in ticks:
            split = split_of(given, row[1])

            def is_here(key: tuple[Any, ...], split: int = split) -> bool:
                return split_of(given, (*key, None)[0]) == split

            late = naive.advance(ticks[offset], offset, is_here)
            found += [
                (one.time, *one.key, one.metric_index, one.text, offset, LATE_ORDINALS + one.ordinal) for one in late
            ]
            if ttl:
                naive.forget(ticks[offset], ttl, is_here)
    return found, len(naive.late_offsets)


relaxed = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
sizes = st.sampled_from([1, 3, 7, 20])
cuts_ = st.sets(st.integers(1, 39), max_size=8)


def check(given: dict[str, Any], stream: Stream, size: int, cuts: set[int], few_rows_max: int) -> None:
    ticks = ticks_of(given, stream, size)
    try:
        expected, late_count = naive_run(given, stream, ticks)
    except Fragile:
        reject()
    vectors, both = make(given, 0), make(given, few_rows_max)
    assert run(vectors, given, stream, ticks, set()) == expected
    assert run(both, given, stream, ticks, cuts) == expected
    assert vectors.snapshot() == both.snapshot()
    assert vectors.stat() == both.stat()
    assert vectors.stat().late_row_count == late_count


@relaxed
@given(arguments(), streams(), sizes, cuts_, st.integers(1, 40))
def test_ticks_close_windows_as_one_row_at_a_time_would(
    given: dict[str, Any], stream: Stream, size: int, cuts: set[int], few_rows_max: int
) -> None:
    check(given, stream, size, cuts, few_rows_max)


@pytest.mark.slow
@settings(relaxed, max_examples=2000)
@given(arguments(), streams(), sizes, cuts_, st.integers(1, 40))
def test_ticks_close_windows_as_one_row_at_a_time_would_in_thousands_of_cases(
    given: dict[str, Any], stream: Stream, size: int, cuts: set[int], few_rows_max: int
) -> None:
    check(given, stream, size, cuts, few_rows_max)


@settings(relaxed, max_examples=10)
@given(arguments(), streams(), sizes, st.integers(1, 39), st.booleans())
def test_an_engine_goes_on_from_a_snapshot_before_or_after_a_tick(
    given: dict[str, Any], stream: Stream, size: int, cut: int, before: bool
) -> None:
    ticks = ticks_of(given, stream, size)
    whole, engine = make(given), make(given)
    expected = run(whole, given, stream, ticks, set())
    found: list[tuple[Any, ...]] = []
    for start, stop in parts(given, stream, ticks, {cut}):
        engine.follow_split(split_of(given, stream[start][1]))
        found += engine.append_physical(to_frame(TYPES, stream[start:stop]), range(start, stop)).rows()
        engine.validate()
        if before:
            engine = restored(given, engine, stream[start][1])
        if stop - 1 in ticks:
            found += engine.advance_physical(ticks[stop - 1], stop - 1).rows()
            engine.validate()
        engine = restored(given, engine, stream[start][1])
    assert found == expected
    assert engine.snapshot() == whole.snapshot()


def restored(given: dict[str, Any], engine: AnomalyDetectionEngine, symbol: str | None) -> AnomalyDetectionEngine:
    other = make(given)
    other.restore(engine.snapshot())
    other.follow_split(split_of(given, symbol))
    return other


@settings(relaxed, max_examples=10)
@given(arguments(), streams(), sizes, cuts_, st.sampled_from([1, 2, 5, 20]))
def test_ticks_let_rows_go_that_wait(
    given: dict[str, Any], stream: Stream, size: int, cuts: set[int], lateness: int
) -> None:
    given = given | {"key_columns": ("sym",)}
    stream = [(time, "A" if symbol == "C" else "B", *rest) for time, symbol, *rest in stream]
    ticks = ticks_of(given, stream, size)
    naive = NaiveEngine(schema=SCHEMA, time_column="time", **given)
    expected = []
    try:
        for number, (row, offset) in enumerate(naive_order(stream, 1, lateness, ticks)):
            told = naive.append([row], [number]) if row else naive.advance(ticks[offset] - lateness, offset)
            expected += [(one.time, *one.key, one.metric_index, one.text, offset) for one in told]
    except Fragile:
        reject()
    for some in (set(), cuts, set(range(40))):
        engine = make(given | {"max_lateness": lateness})
        found = run(engine, given, stream, ticks, some)
        assert [one[:-1] for one in found] == expected
        assert len({one[-2:] for one in found}) == len(found)
        assert engine.stat().late_row_count == len(naive.late_offsets)
