"""Keys that are forgotten: as a row by row engine forgets them, for every cut, restore and way of testing rows."""

from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from actors.given_rows import to_frame
from tests.property.engine.test_cuts import streams
from tests.property.engine.test_ticks import (
    METRIC_SETS,
    TYPES,
    Stream,
    arguments,
    cuts_,
    make,
    naive_run,
    parts,
    relaxed,
    restored,
    run,
    sizes,
    split_of,
    ticks_of,
)
from tests.support.naive.numbers import Fragile
from tests.support.naive_engine import NaiveEngine


def has_aggregate(metric: str) -> bool:
    return bool(NaiveEngine([metric], TYPE_NAMES, "time", (), 4, 2)._metrics[0].aggregates)


TYPE_NAMES = {column.name: str(column.type) for column in TYPES.columns}
ROW_METRICS = [metric for metrics in METRIC_SETS for metric in metrics if not has_aggregate(metric)]


@st.composite
def forgetful(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of an engine that forgets keys, with windows or without."""
    given = draw(arguments())
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(ROW_METRICS), min_size=1, max_size=4, unique=True))
        given |= {"metrics": chosen, "ticks_close_windows": False, "window_size": None, "step": None}
    return given | {"idle_key_ttl": (given["window_size"] or 1) + draw(st.sampled_from([0, 1, 5, 20]))}


@st.composite
def phases(draw: st.DrawFn) -> Stream:
    """Rows of few keys at a time, so that others are idle and come back."""
    rng = draw(st.randoms(use_true_random=False))
    time, stream = 0, []
    while len(stream) < 36:
        present = rng.sample(["A", "B", "C", "D", "E", None], 2)
        for _ in range(rng.randint(3, 9)):
            time += rng.choice((0, 1, 1, 2, 4))
            qty, price = rng.choice((None, 1, 2, 5, 9)), rng.choice((None, 0.25, 0.5, 1.5, 2.0))
            shown = time - 2 if rng.random() < 0.1 else time
            stream.append((shown, rng.choice(present), rng.choice((None, True, False)), qty, price))
    return stream


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


@settings(relaxed, max_examples=12)
@given(forgetful(), streams() | phases(), sizes, cuts_, st.integers(1, 40))
def test_keys_are_forgotten_as_one_row_at_a_time_would(
    given: dict[str, Any], stream: Stream, size: int, cuts: set[int], few_rows_max: int
) -> None:
    check(given, stream, size, cuts, few_rows_max)


@pytest.mark.slow
@settings(relaxed, max_examples=2000)
@given(forgetful(), streams() | phases(), sizes, cuts_, st.integers(1, 40))
def test_keys_are_forgotten_as_one_row_at_a_time_would_in_thousands_of_cases(
    given: dict[str, Any], stream: Stream, size: int, cuts: set[int], few_rows_max: int
) -> None:
    check(given, stream, size, cuts, few_rows_max)


@settings(relaxed, max_examples=6)
@given(forgetful(), streams() | phases(), sizes, cuts_)
def test_an_engine_that_forgets_goes_on_from_a_snapshot(
    given: dict[str, Any], stream: Stream, size: int, cuts: set[int]
) -> None:
    ticks = ticks_of(given, stream, size)
    whole, engine = make(given), make(given)
    expected = run(whole, given, stream, ticks, set())
    found: list[tuple[Any, ...]] = []
    for start, stop in parts(given, stream, ticks, cuts):
        engine.follow_split(split_of(given, stream[start][1]))
        found += engine.append_physical(to_frame(TYPES, stream[start:stop]), range(start, stop)).rows()
        engine.validate()
        if stop - 1 in ticks:
            found += engine.advance_physical(ticks[stop - 1], stop - 1).rows()
            engine.validate()
        engine = restored(given, engine, stream[start][1])
    assert found == expected
    assert engine.snapshot() == whole.snapshot()
