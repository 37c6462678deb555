"""Metrics that somebody broke on purpose: each is refused with an `EngineError`, or it runs; nothing else happens."""

import time

import pytest
from hypothesis import given, settings

from actors.engine import AnomalyDetectionEngine, EngineError
from cluster.local.speed import slowness
from tests.support.hostile import METRIC_SEEDS, SCHEMA, hostile_metrics

ROWS = [
    (1000 + 3 * i, None if i == 11 else "ab"[i % 2], 1.5 * i if i % 7 else None, i - 5 if i % 5 else None, i % 3 == 0)
    for i in range(40)
]
BROKEN = {
    "brackets": lambda n: "(" * n + "qty > 1" + ")" * n,
    "open brackets": lambda n: "(" * n,
    "signs": lambda n: "-" * n + "qty > 1",
    "calls": lambda n: "abs(" * n + "qty" + ")" * n + " > 1",
    "conditions": lambda n: "qty > 1" + " or qty > 1" * n,
    "chain": lambda n: "qty > 1" + " < 2" * n,
    "not": lambda n: "not " * n + "qty > 1",
    "list": lambda n: "qty in [" + "1," * n + "1]",
    "lists": lambda n: "qty in " + "[" * n + "1" + "]" * n,
    "text": lambda n: 'sym == "' + "a" * n + '"',
    "name": lambda n: "a" * n + " > 1",
    "digits": lambda n: "qty > " + "9" * n,
    "decimals": lambda n: "price > ." + "9" * n,
    "exponent": lambda n: "price > 1e" + "9" * n,
    "duration": lambda n: "tmsum(time, qty, " + "9" * n + "s) > 1",
    "blanks": lambda n: "qty > 1" + " " * n,
    "arguments": lambda n: "max(" + "qty," * n + "1) > 1",
    "escapes": lambda n: '"' + "\\" * n,
    "pattern": lambda n: 'like(sym, "' + "a%" * n + 'b")',
}


def outcome(metric: str) -> str:
    """Return what becomes of a metric: `refused`, or `ran` over rows, cut in two with a snapshot between."""
    try:
        engine = AnomalyDetectionEngine("hostile", [metric], SCHEMA, "time", ["sym"], 30, 10)
    except EngineError as error:
        return "refused" if len(str(error)) < 1000 else "told at length"
    first = engine.append(ROWS[:20])
    other = AnomalyDetectionEngine("hostile", [metric], SCHEMA, "time", ["sym"], 30, 10)
    other.restore(engine.snapshot())
    assert first.height + other.append(ROWS[20:]).height <= 400
    return "ran"


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("size", [90, 2_000])
def test_depth_and_length_have_bounds(kind: str, size: int) -> None:
    started = time.process_time()
    assert outcome(BROKEN[kind](size)) in ("refused", "ran")
    assert time.process_time() - started < 10 * slowness()


def test_the_seeds_run() -> None:
    assert [metric for metric in METRIC_SEEDS if outcome(metric) == "refused"] == []


@settings(max_examples=20)
@given(hostile_metrics())
def test_a_broken_metric_is_refused_or_runs(metric: str) -> None:
    assert outcome(metric) in ("refused", "ran")


@pytest.mark.slow
@settings(max_examples=6_000)
@given(hostile_metrics())
def test_many_broken_metrics_are_refused_or_run(metric: str) -> None:
    assert outcome(metric) in ("refused", "ran")


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("qty + 99999999999999999999 > 1", "this whole number has more than 64 bits"),
        ("qty > 9223372036854775808", "this whole number has more than 64 bits"),
        ("qty in [1, 99999999999999999999]", "this whole number has more than 64 bits"),
        ("price > 1e999", "larger than real numbers can be"),
        ("tmsum(time, qty, 99999999999999d) > 1", "this length of time is too long"),
        ("qty > 1" + " or ok" * 40_000, "240007 characters, and 100000 are the most"),
    ],
)
def test_what_cannot_be_computed_with_is_refused(metric: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        AnomalyDetectionEngine("hostile", [metric], SCHEMA, "time", ["sym"], 30, 10)


def test_numbers_up_to_64_bits_are_taken() -> None:
    assert outcome("qty > -9223372036854775808 and qty < 9223372036854775807") == "ran"


def test_the_error_of_a_long_metric_shows_the_place() -> None:
    metric = " or ".join(["qty > 1"] * 40) + " or pirce > 1" + " or qty > 1" * 40
    with pytest.raises(EngineError) as caught:
        AnomalyDetectionEngine("hostile", [metric], SCHEMA, "time", ["sym"], 30, 10)
    _, shown, caret, _ = str(caught.value).splitlines()
    assert len(shown) < 170
    assert shown[caret.index("^") :].startswith("pirce")
