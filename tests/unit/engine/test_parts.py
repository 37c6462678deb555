"""Named parts and earlier windows: what may be named, what is refused, and that a part is computed once."""

import json
from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine, EngineError
from tests.unit.engine.support import engine, fire

LET = {"errors": "sum(qty >= 500)", "total": "count(*)", "share": "errors \\ total", "dear": "price > 5"}


def rows(*quantities: int | None) -> list[tuple[Any, ...]]:
    return [(i, "A", True, quantity, float(i)) for i, quantity in enumerate(quantities)]


def fired(metric: str, let: dict[str, str], *quantities: int | None) -> list[tuple[Any, ...]]:
    return fire(engine(metric, let=let, window_size=2, step=2), rows(*quantities))


def test_a_metric_uses_parts_of_parts_and_says_their_values() -> None:
    subject = engine("share > 0.4 and total > 1", let=LET, window_size=2, step=2, explain="all")
    (found,) = subject.append(rows(500, 200, 200)).rows(named=True)
    assert found["metric"] == "share > 0.4 and total > 1"
    values = json.loads(found["detail"])["values"]
    assert {name: values[name] for name in ("share", "errors", "total")} == {"share": 0.5, "errors": 1, "total": 2}


def test_a_part_is_computed_once_and_has_its_own_name_in_each_metric() -> None:
    metrics = ("errors > 0", "sum(qty >= 500) > 0", "Errors + total > 0", "not isNull(SHARE)")
    subject = engine(*metrics, let=LET, window_size=2, step=2, explain="all")
    # One sum and one count of values, both of all four metrics.
    assert [state.metrics for state in subject.costs().metrics[0].states] == [(0, 1, 2, 3)] * 2
    details = subject.append(rows(500, 200, 200))["detail"].to_list()
    names = [set(json.loads(detail)["values"]) for detail in details]
    assert names[0] == {"errors"}
    assert names[1] == {"sum(qty >= 500)"}
    assert names[2] == {"Errors + total", "errors", "total"}


@pytest.mark.parametrize(
    ("let", "metric", "problem"),
    [
        ({"a": "b", "b": "c + 1", "c": "a"}, "a > 1", "is made of itself: `a`, `b`, `c`, `a`"),
        ({"a": "a"}, "qty > 1", "the part `a` is made of itself"),
        ({"a": "earlier(a, 1)"}, "qty > 1", "the part `a` is made of itself"),
        ({"QTY": "1"}, "qty > 1", "the part 'QTY' in let has the name of the column 'qty'"),
        ({"in": "1"}, "qty > 1", "named 'in'"),
        ({"true": "1"}, "qty > 1", "named 'true'"),
        ({"a b": "1"}, "qty > 1", "named 'a b'"),
        ({"": "1"}, "qty > 1", "named ''"),
        ({"größe": "1"}, "qty > 1", "named 'größe'"),
        ({"a": "1", "A": "2"}, "qty > 1", "have one name"),
        ({"a": "qyt + 1"}, "qty > 1", "in the part `a`: there is no column `qyt`"),
        ({"a": ""}, "qty > 1", "in the part `a`: the metric ends too early"),
        ({"a": "5s"}, "qty > 1", "in the part `a`: a length of time cannot stand here"),
        ({"a": "[1, 2]"}, "qty in a", "in the part `a`: a list cannot stand here"),
        ({"a": 5}, "qty > 1", "let\\['a'\\] is 5; give a text"),
        ({5: "a"}, "qty > 1", "a name in let is 5; give a text"),
        (["a"], "qty > 1", "let is \\['a'\\]; give a mapping"),
        (LET, "prev(errors) > 1", "an aggregate cannot stand inside `prev`"),
        (LET, "sum(errors) > 1", "an aggregate cannot stand inside another"),
        (LET, "erors > 1", "Did you mean `errors`"),
        (LET, "col('errors') > 1", "there is no column `errors`"),
        (LET, "share", "the metric gives REAL values"),
        (LET, "earlier(qty) > 1", "`earlier` needs an aggregate"),
        (LET, "earlier(total + qty) > 1", "a column of a row stands here"),
        (LET, "earlier(earlier(total)) > 1", "`earlier` cannot stand inside another"),
        (LET | {"before": "earlier(total)"}, "earlier(before) > 1", "`earlier` cannot stand inside another"),
        (LET, "prev(earlier(total)) > 1", "an aggregate cannot stand inside `prev`"),
        (LET, "sum(earlier(total)) > 1", "an aggregate cannot stand inside another"),
        (LET, "earlier(total, 0) > 1", "`n` cannot be 0"),
        (LET, "earlier(total, 10001) > 1", "`n` cannot be 10001"),
        (LET, "earlier(total, total) > 1", "`n` must be a constant"),
        ({f"p{i}": "1" for i in range(257)}, "qty > 1", "there are 257 parts in let, and 256 are the most"),
        ({"p0": "qty"} | {f"p{i}": f"-p{i - 1}" for i in range(1, 250)}, "p249 > 1", "nested too deeply"),
        ({"p0": "qty"} | {f"p{i}": f"p{i - 1} * p{i - 1}" for i in range(1, 90)}, "p1 > 1", "stands for more than"),
    ],
)
def test_what_is_no_part_is_refused(let: Any, metric: str, problem: str) -> None:
    with pytest.raises(EngineError, match=problem):
        engine(metric, let=let, window_size=2, step=2)


def test_a_part_may_have_the_name_of_a_function() -> None:
    assert fired("sum > 3 and sum(qty) > 3", {"sum": "count(*) + 2"}, 5, 1, 1) == [(2, 0)]


def test_parts_of_rows_and_of_windows_meet_in_a_metric() -> None:
    assert fired("dear and total > 1", LET, *[1] * 8) == [(6, 0), (7, 0)]


def test_a_rule_of_an_episode_may_be_made_of_parts() -> None:
    from actors.engine import LifecycleSettings

    options = {"lifecycles": [LifecycleSettings(hold=0, keep_firing=0, clear="errors == 0")]}
    subject = engine("errors > 1", let=LET, window_size=2, step=2, **options)
    subject.append(rows(500, 500, 500, 1, 1, 1, 1))
    (first, last) = subject.take_episodes().notices
    assert (first.episode.end, last.episode.end) == (None, 6)


def test_snapshots_know_the_definitions_that_metrics_are_made_of() -> None:
    def made(let: dict[str, str]) -> AnomalyDetectionEngine:
        return engine("share > 0.5", let=let, window_size=2, step=2)

    snapshot = made(LET).snapshot()
    made({**LET, "dear": "price > 7", "other": "qty"}).restore(snapshot)
    with pytest.raises(EngineError, match="other metrics"):
        made({**LET, "errors": "sum(qty >= 400)"}).restore(snapshot)


def test_an_earlier_window_is_steps_before_and_null_where_it_held_no_row() -> None:
    subject = engine("earlier(total, 2) == 1", let=LET, window_size=2, step=2)
    times = [0, 2, 4, 5, 6, 14, 16, 18]
    assert fire(subject, [(time, "A", True, 1, 1.0) for time in times]) == [(6, 0), (8, 0)]
    subject.validate()


def test_windows_that_hold_the_same_rows_differ_in_what_was_before() -> None:
    subject = engine("isValid(earlier(total, 3))", let=LET, window_size=8, step=2)
    assert fire(subject, [(0, "A", True, 1, 1.0), (100, "A", True, 1, 1.0)]) == [(8, 0)]
