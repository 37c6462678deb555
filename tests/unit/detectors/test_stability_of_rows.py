"""Trackers in a detector: what is said of each variable of each group."""

import numpy as np
import polars as pl
import pytest

from actors.detectors import Detector, DetectorSpecError, LearnPhase, make_detector
from actors.detectors.stability import StabilitySpec
from actors.given_rows import to_frame
from actors.model import Schema

SCHEMA = Schema.from_mapping(
    {"time": "TIMESTAMP", "host": "SYMBOL", "event": "SYMBOL", "user": "STRING", "size": "LONG"}
)


def follow(rows: list[tuple[int, str, str, str | None, int | None]], **settings: object) -> Detector:
    spec = StabilitySpec(name="d", variables=("user", "size"), event_id_columns=("event",), **settings)  # type: ignore[arg-type]
    made = make_detector(spec, SCHEMA, "time", ["host"])
    types = {"time": pl.Int64, "host": pl.String, "event": pl.String, "user": pl.String, "size": pl.Int64}
    assert made.process(pl.DataFrame(rows, schema=types, orient="row"), np.arange(len(rows))).is_empty()
    return made


def test_each_variable_of_each_key_and_event_has_a_verdict() -> None:
    rows = [(10 * n, "h1", "login", "ann", n) for n in range(6)]
    rows += [(5, "h2", "login", "bob", None), (7, "h2", "quit", None, 1)]
    found = follow(rows).verdicts()
    assert [(one.group, one.variable, one.type) for one in found] == [
        (("h1", "login"), "user", "STATIC"),
        (("h1", "login"), "size", "RANDOM"),
        (("h2", "login"), "user", "INSUFFICIENT_DATA"),
        (("h2", "quit"), "size", "INSUFFICIENT_DATA"),
    ]
    assert (found[0].observation_count, found[0].distinct_count, found[0].last_change) == (6, 1, 0)
    assert (found[1].change_count, found[1].last_change) == (6, 50)


def test_values_beyond_the_limit_are_estimated() -> None:
    found = follow([(n, "h", "e", None, n % 50) for n in range(500)], value_count_max=10).verdicts()[0]
    assert (found.observation_count, found.type) == (500, "STABLE")
    assert 48 <= found.distinct_count <= 52


def test_with_a_learn_phase_only_its_rows_are_followed() -> None:
    rows = [(n, "h", "e", "ann" if n < 4 else f"u{n}", None) for n in range(9)]
    found = follow(rows, learn=LearnPhase(row_count=4)).verdicts()[0]
    assert (found.type, found.observation_count) == ("STATIC", 4)


def test_a_value_that_was_accepted_is_no_change() -> None:
    made = follow([(n, "h", "e", "ann", None) for n in range(4)])
    made.accept(("h", "e"), "user", "bob")
    made.process(to_frame(SCHEMA, [(9, "h", "e", "bob", None)]), np.array([4]))
    assert made.verdicts()[0].last_change == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"segmentation": "size"},
        {"min_samples": 0},
        {"value_count_max": 0},
        {"segment_thresholds": ()},
        {"variables": ()},
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(DetectorSpecError, match="'d'"):
        StabilitySpec(**({"name": "d", "variables": ("user",)} | settings))  # type: ignore[arg-type]
