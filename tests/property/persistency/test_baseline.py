"""The baseline equals its definition, whichever executor takes a row and however rows are cut."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.detectors import BaselineSpec, Detector, make_detector
from actors.detectors.baseline import many_keys, one_key, watcher
from actors.detectors.baseline.judged import Judged
from actors.detectors.baseline.state import State
from actors.model import Schema
from tests.support.naive_baseline import naive_scores

SCHEMA = Schema.from_mapping({"time": "TIMESTAMP", "host": "SYMBOL", "load": "DOUBLE"})
HOSTILE = [0.0, -0.0, 1e150, -1e150, 5e-324, 1e-300, 1.0, 1e9]


def series(seed: int, row_count: int) -> list[float]:
    """Return a series with a course of the day, noise, shifts and spikes; or one of hostile values."""
    rng = np.random.default_rng(seed)
    if seed % 5 == 4:
        return [float(value) for value in rng.choice(HOSTILE, row_count)]
    values = 10 * np.sin(np.arange(row_count) * 2 * np.pi / 96) * (seed % 2) + rng.normal(size=row_count)
    values += np.cumsum(rng.random(row_count) < 0.002) * 20 + (rng.random(row_count) < 0.01) * rng.normal(0, 30)
    return (np.round(values, 1) if seed % 3 == 0 else values).tolist()


def one_key_scores(values: list[float], bins: list[int], bin_count: int, cuts: list[int]) -> tuple[State, Judged]:
    state, judged = State(bin_count), Judged.of(len(values))
    state.grow(1)
    for first, end in zip([0, *cuts], [*cuts, len(values)], strict=True):
        rows = np.arange(first, end)
        one_key.take_rows(state, 0, np.array(values[first:end]), np.array(bins[first:end], np.int64), judged, rows)
    return state, judged


@pytest.mark.parametrize("bin_count", [0, 96])
@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_their_definition(seed: int, bin_count: int) -> None:
    values, bins = series(seed, 1500), [row % 96 for row in range(1500)]
    _, judged = one_key_scores(values, bins, bin_count, [])
    np.testing.assert_allclose(judged.scores, naive_scores(values, bins if bin_count else None), rtol=1e-6, atol=1e-9)


@given(
    seed=st.integers(0, 1000),
    bin_count=st.sampled_from([0, 96]),
    cuts=st.lists(st.integers(0, 300), max_size=4).map(sorted),
)
@settings(max_examples=8, deadline=None)
def test_both_executors_give_the_same_bits(seed: int, bin_count: int, cuts: list[int]) -> None:
    courses = [series(seed + key, 300) for key in range(3)]
    bins = [row % 96 for row in range(300)]
    together, judged = State(bin_count), Judged.of(900)
    together.grow(3)
    for row in range(300):
        values, places = np.array([course[row] for course in courses]), np.full(3, bins[row])
        many_keys.take_rows(together, values, places, judged, np.arange(3) * 300 + row)
    for key, course in enumerate(courses):
        alone, own = one_key_scores(course, bins, bin_count, cuts)
        part = slice(300 * key, 300 * (key + 1))
        for name in ("expected", "reach", "level", "scores"):
            assert getattr(own, name).tobytes() == getattr(judged, name)[part].tobytes(), name
        assert own.parts.tobytes() == np.ascontiguousarray(judged.parts[:, part]).tobytes()
        assert alone.encode(0) == together.encode(key)


def detector(**options: Any) -> Detector:
    return make_detector(BaselineSpec(name="b", variables=("load",), **options), SCHEMA, "time", ["host"])


def frame_of(rows: list[tuple[int, str, float | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"time": pl.Int64, "host": pl.String, "load": pl.Float64}, orient="row")


@pytest.mark.parametrize(("many", "together"), [(2, 1024), (2, 3), (10_000, 1024)])
def test_neither_cuts_nor_restarts_change_anything(many: int, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MANY", many)
    monkeypatch.setattr(watcher, "TOGETHER_MAX", together)
    rng = np.random.default_rng(5)
    courses = {host: series(number, 450) for number, host in enumerate("ABCDE")}
    rows: list[tuple[int, str, float | None]] = []
    for row in range(450):
        rows += [(row * 900_000, host, course[row]) for host, course in courses.items() if rng.random() < 0.9]
        rows += [(row * 900_000, "A", value) for value in (None, float("nan"), float("inf"))[: row % 4]]
    whole = detector()
    expected = whole.process(frame_of(rows), np.arange(len(rows)))
    assert len(expected) > 1
    made, stored, parts = detector(), dict[bytes, bytes](), []
    bounds = sorted({0, len(rows), *rng.integers(0, len(rows), 12).tolist()})
    for start, end in pairwise(bounds):
        parts.append(made.process(frame_of(rows[start:end]), np.arange(start, end)))
        made.validate()
        stored.update(made.changed_state())
        made.mark_saved()
        if start % 3 == 0:
            made = detector()
            made.load_state(stored)
    assert pl.concat(parts).equals(expected)
    assert made.snapshot() == whole.snapshot()


def test_every_detail_is_json_without_what_json_lacks() -> None:
    rows = [(row * 1000, "A", value) for row, value in enumerate(series(4, 800))]
    found = detector(sensitivity=0.3).process(frame_of(rows), np.arange(len(rows)))
    for text in found["detail"]:
        assert json.loads(text, parse_constant=pytest.fail)["score"] >= 1
    assert len(found)
