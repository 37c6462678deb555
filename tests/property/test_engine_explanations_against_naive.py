"""The engine explains an anomaly as the naive one does: the window it rests on, the values of the metric's parts."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine
from actors.given_rows import to_frame
from tests.support.choices import SeededChoices
from tests.support.engine_case import EngineCase, create, feed
from tests.support.naive.engine import NaiveEngine
from tests.support.naive.syntax import Node, parse
from tests.support.naive_engine import Anomaly, Fragile
from tests.support.strategies_engine import engine_case

SEEDS = range(800, 840)


def last_batch(seed: int) -> tuple[EngineCase, NaiveEngine, list[Anomaly]]:
    """Return a case in two batches, a naive engine that was given both, and the anomalies of the second."""
    case = engine_case(SeededChoices(seed))
    middle = len(case.rows) // 2
    case = replace(case, batches=[case.rows[:middle], case.rows[middle:]])
    naive = NaiveEngine(schema=case.schema, gives_values=True, **case.arguments())
    try:
        naive.append(case.batches[0])
        return case, naive, naive.append(case.batches[1])
    except Fragile:
        return pytest.skip("the rules leave the output of this case open")


def different_values(shown: Mapping[str, Any], wanted: Mapping[Node, Any]) -> list[tuple[str, Any, Any]]:
    """Return the parts that have a value in both and not the same one; the text of a part is parsed to find it."""
    known = [(text, value, wanted[parse(text)]) for text, value in shown.items() if parse(text) in wanted]
    return [(text, value, right) for text, value, right in known if not is_same(value, right)]


def is_same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return bool(left == right)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_anomaly_of_the_last_batch_is_explained(seed: int) -> None:
    case, naive, anomalies = last_batch(seed)
    engine, middle = create(case), len(case.batches[0])
    feed(engine, case, range(middle))
    feed(engine, case, range(middle, len(case.rows)))
    for anomaly in anomalies:
        found, reason = engine.explain(anomaly.offset, anomaly.ordinal), naive.reasons[anomaly[:2]]
        assert (found.time, found.key, found.metric_index) == anomaly[2:5]
        window = (found.window_start, found.window_end, found.window_row_count)
        assert window == (reason.window or (None, None, None))
        assert [value for text, value in found.values.items() if parse(text) == parse(found.metric)] == [True]
        assert different_values(found.values, reason.values) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_details_are_what_the_naive_engine_says_and_do_not_show_the_cuts(seed: int) -> None:
    case, naive, _ = last_batch(seed)
    details, again = all_details(case, case.batches), all_details(case, [[row] for row in case.rows])
    assert details == again
    assert list(details) == sorted(naive.reasons)
    for place, detail in details.items():
        told, reason = json.loads(detail or "{}"), naive.reasons[place]
        assert different_values(told.get("values", {}), reason.values) == []
        window = told.get("window")
        assert (window and (window["start"], window["end"], window["rows"])) == reason.window


def all_details(case: EngineCase, batches: Sequence[Sequence[Any]]) -> dict[tuple[int, int], str | None]:
    engine = AnomalyDetectionEngine("test", schema=case.schema, explain="all", **case.arguments())
    details = {}
    for rows in batches:
        found = engine.append_physical(to_frame(engine.settings.schema, list(rows)))
        packed = zip(found["type"], engine.take_details(), strict=True)
        places = zip(found["offset"], found["ordinal"], strict=True)
        details |= dict(zip(places, [engine.render_detail(*one) for one in packed], strict=True))
    return details
