"""What the naive engine refuses the engine refuses, and no text of a metric makes it do anything else than that."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.engine.errors import EngineError
from actors.errors import SchemaError
from actors.model import Schema
from tests.support.choices import SeededChoices
from tests.support.engine_case import EngineCase, create, create_naive
from tests.support.naive_engine import Refused
from tests.support.strategies_engine import engine_case
from tests.support.strategies_invalid import PUBLISHED_CODES, REFUSED, SCHEMA, mutated

CASE = EngineCase(schema=SCHEMA, metrics=[], time_column="time", window_size=10, step=10)


def code_of(metric: str, case: EngineCase = CASE) -> str | None:
    """Return why the engine refuses a metric, or `None` when it takes it; anything but `EngineError` gets out."""
    try:
        create(replace(case, metrics=[metric]))
    except EngineError as error:
        return error.code if str(error) else "says nothing"
    return None


def naive_code_of(metric: str, case: EngineCase = CASE) -> str | None:
    try:
        create_naive(replace(case, metrics=[metric]))
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize(("code", "metric"), [(code, metric) for code in REFUSED for metric in REFUSED[code]])
def test_a_metric_with_one_fault_is_refused_for_it(code: str, metric: str) -> None:
    assert naive_code_of(metric) == code
    assert code_of(metric) == code if code in PUBLISHED_CODES else code_of(metric) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"window_size": 0, "step": 10},
        {"window_size": -10, "step": 10},
        {"window_size": 10, "step": -10},
        {"metrics": []},
        {"anomaly_descriptions": ["one", "too many"]},
        {"anomaly_descriptions": []},
        {"time_column": "qty"},
        {"time_column": "nothing"},
        {"key_columns": ("nothing",)},
    ],
)
def test_an_argument_that_cannot_be_used_is_refused(change: dict[str, object]) -> None:
    case = replace(CASE, metrics=["sum(qty) > 3"])
    create(case)
    with pytest.raises((EngineError, SchemaError)):
        create(replace(case, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["1engine", "", "an engine", "_x", "a-b"])
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(EngineError):
        AnomalyDetectionEngine(name, ["qty > 3"], Schema.from_mapping(SCHEMA), "time")


@settings(max_examples=80)
@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused(text: str) -> None:
    code_of(text)


@settings(max_examples=80)
@given(st.text(alphabet="qtyx sumprev()[]<>=!+-*/%,:.'\"`0123&|\\", max_size=30))
def test_any_text_of_the_alphabet_is_taken_or_refused(text: str) -> None:
    code_of(text)


def test_spoilt_metrics_are_taken_or_refused_by_both() -> None:
    assert spoilt_disagreements(range(400)) == []


@pytest.mark.slow
def test_many_spoilt_metrics_are_taken_or_refused_by_both() -> None:
    assert spoilt_disagreements(range(1000, 20_000)) == []


def spoilt_disagreements(seeds: range) -> list[tuple[str, str | None, str | None]]:
    """Return the spoilt metrics of which one engine says that they cannot be read and the other takes them."""
    found = []
    for seed in seeds:
        choices = SeededChoices(seed)
        case = engine_case(choices)
        metric = mutated(choices, case.metrics[0])
        codes = (code_of(metric, case), naive_code_of(metric, case))
        if (codes[0] is None) != (codes[1] is None):
            found.append((metric, *codes))
    return found


@pytest.mark.parametrize(
    "metric",
    [
        "(" * 3000 + "qty" + ")" * 3000 + " > 3",
        "-" * 3000 + "qty > 3",
        "!" * 3000 + "flag",
        "not " * 3000 + "flag",
        " + ".join(["qty"] * 3000) + " > 3",
        " and ".join(["qty > 3"] * 3000),
        "abs(" * 3000 + "qty" + ")" * 3000 + " > 3",
        "qty > 3" + " " * 100_000,
        "9" * 5000 + " > qty",
        "qty > 1e999",
        "qty in [" + ", ".join(["1"] * 5000) + "]",
    ],
    ids=lambda metric: f"{metric[:12]}-{len(metric)}",
)
@pytest.mark.timeout(20)
def test_a_long_metric_is_taken_or_refused_soon(metric: str) -> None:
    code_of(metric)
