"""Episodes are those of the naive tracker, however rows are cut into batches and whenever the engine is restored."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import Episode, LifecycleSettings
from tests.support.engine_case import EngineCase
from tests.support.naive_episodes import Rule, naive_episodes, shown

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}
METRICS = ("qty > 5", "sum(qty) > 14", "avg(qty) < qty", "qty > prev(qty)")
CLEARS = (None, "qty < 3", "sum(qty) < 8", "avg(qty) > 4 * qty", "prev(qty) > qty")


def make_case(seed: int) -> tuple[EngineCase, Rule]:
    rng = random.Random(seed)
    time, rows = 1000, []
    for _ in range(rng.randint(5, 60)):
        time += rng.choice((0, 0, 1, 1, 2, 5, 11, 40))
        shown_time = time - rng.choice((0, 0, 0, 0, 0, 3))
        rows.append((shown_time, rng.choice("AAB"), rng.choice((None, *range(10)))))
    rule = Rule(
        metric=rng.choice(METRICS),
        hold=rng.choice((0, 0, 1, 4, 15)),
        keep_firing=rng.choice((0, 0, 2, 9, 30)),
        clear=rng.choice(CLEARS),
        absent_after=rng.choice((0, 3, 7, 20)),
    )
    case = EngineCase(
        schema=SCHEMA, metrics=[rule.metric, "sum(qty) > 1000"], time_column="time", key_columns=("sym",),
        window_size=rng.choice((5, 10)), step=5, batches=[rows],
    )  # fmt: skip
    return case, rule


def run(case: EngineCase, rule: Rule, cuts: Sequence[int]) -> tuple[list[tuple[Any, ...]], list[Any], bytes]:
    """Return episodes, notices and the last snapshot of a run with a fresh engine for every batch."""
    settings = LifecycleSettings(hold=rule.hold, keep_firing=rule.keep_firing, clear=rule.clear)

    def fresh() -> AnomalyDetectionEngine:
        rules: dict[str, Any] = {"lifecycles": [settings, None], "absent_after": rule.absent_after}
        return AnomalyDetectionEngine("test", schema=SCHEMA, **rules, **case.arguments())

    engine, known, notices = fresh(), {}, []
    is_renewed = len(cuts) < 10
    for start, end in pairwise(cuts):
        engine.append(case.rows[start:end])
        engine.validate()
        changes = engine.take_episodes()
        known |= changes.changed
        notices += [(notice.offset, notice.episode) for notice in changes.notices]
        snapshot = engine.snapshot()
        engine = fresh() if is_renewed else engine
        engine.restore(snapshot)
    episodes = [episode for episode in known.values() if episode is not None]
    assert [one for one in sorted(episodes, key=lambda one: one.id) if one.end is None] == sorted(
        engine.open_episodes(), key=lambda one: one.id
    )
    return [plain(one) for one in sorted(episodes, key=lambda one: one.id)], notices, snapshot


def plain(one: Episode) -> tuple[Any, ...]:
    return (one.offset, one.start, one.key, one.fired_at, one.end, one.last_true, one.count)


def check(seed: int) -> None:
    case, rule = make_case(seed)
    count = len(case.rows)
    rng = random.Random(seed)
    some = sorted({0, count, *(rng.randint(0, count) for _ in range(4))})
    results = [run(case, rule, cuts) for cuts in (some, [0, count], list(range(count + 1)))]
    assert results[0] == results[1] == results[2]
    episodes, notices = naive_episodes(case, rule)
    assert results[0][0] == shown(episodes)
    found = [(offset, episode.start, str(episode.state)) for offset, episode in results[0][1]]
    assert found == notices


@pytest.mark.parametrize("seed", range(12))
def test_episodes_are_those_of_the_naive_tracker(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 4000))
def test_episodes_are_those_of_the_naive_tracker_in_many_cases(seed: int) -> None:
    check(seed)
