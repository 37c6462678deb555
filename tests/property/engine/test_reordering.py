"""Rows that wait give what sorted rows give, however they are cut and whenever the engine is restored."""

import random
from itertools import groupby, pairwise
from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine
from actors.given_rows import to_frame
from actors.model import Schema
from tests.support.naive_engine import NaiveEngine
from tests.support.naive_reorder import naive_order

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "flag": "BOOL", "price": "DOUBLE"}
METRICS = (["qty > prev(qty)"], ["sum(qty) > 9", "avg(qty) < qty"], ["qty > 5", "max(qty) > 7 and flag"])


def make_rows(rng: random.Random) -> list[tuple[Any, ...]]:
    time, rows = 1000, []
    for _ in range(rng.randint(3, 50)):
        time += rng.choice((0, 0, 1, 2, 6, 15))
        shown = None if rng.random() < 0.03 else time - rng.choice((0, 0, 0, 1, 2, 4, 9, 30))
        values = (rng.choice((None, *range(10))), rng.choice((None, True, False)), rng.choice((None, 0.5, 2.0)))
        rows.append((shown, rng.choice(("A", "B", None)), *values))
    return rows


def check(seed: int) -> None:
    rng = random.Random(seed)
    rows, lateness = make_rows(rng), rng.choice((1, 2, 5, 20))
    arguments: dict[str, Any] = {
        "metrics": rng.choice(METRICS), "time_column": "time", "key_columns": ("sym",), "window_size": 10, "step": 5,
    }  # fmt: skip
    order = naive_order(rows, 1, lateness)
    naive = NaiveEngine(schema=SCHEMA, **arguments)
    wanted = []
    for number, (row, offset) in enumerate(order):
        found = naive.append([row], [number])
        wanted += [(offset, one.time, one.key, one.metric_index) for one in found]
    count, schema = len(rows), Schema.from_mapping(SCHEMA)
    for cuts in ([0, count], sorted({0, count, *(rng.randint(0, count) for _ in range(5))}), range(count + 1)):
        engine = AnomalyDetectionEngine("test", schema=SCHEMA, max_lateness=lateness, **arguments)
        found = []
        for start, end in pairwise(cuts):
            out = engine.append_physical(to_frame(schema, rows[start:end]), range(start, end))
            engine.validate()
            found += out.select("offset", "ordinal", "time", "sym", "type").rows()
            engine.restore(engine.snapshot())
        assert [(offset, time, (sym,), kind) for offset, _, time, sym, kind in found] == wanted
        assert [one[1] for one in found] == [
            n for _, same in groupby(found, lambda one: one[0]) for n, _ in enumerate(same)
        ]
        assert engine.stat().late_row_count == len(naive.late_offsets)
        assert engine.stat().next_offset == count


@pytest.mark.parametrize("seed", range(15))
def test_rows_that_wait_give_what_sorted_rows_give(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_rows_that_wait_give_what_sorted_rows_give_in_many_cases(seed: int) -> None:
    check(seed)


def test_rows_of_several_splits_wait_apart() -> None:
    engine = AnomalyDetectionEngine("test", ["qty > 0"], SCHEMA, "time", max_lateness=5)
    engine.follow_split(0)
    assert engine.append([(10, "A", 1, None, None)]).height == 0
    engine.follow_split(1)
    assert engine.append([(100, "A", 2, None, None)], [0]).height == 0
    engine.restore(engine.snapshot())
    engine.follow_split(0)
    assert engine.append([(15, "A", 3, None, None)], [1])["offset"].to_list() == [1]


def test_equal_rows_give_equal_snapshots_while_rows_wait() -> None:
    rows = make_rows(random.Random(5))
    snapshots = set()
    for size in (1, 7, len(rows)):
        engine = AnomalyDetectionEngine("test", ["qty > 0"], SCHEMA, "time", ["sym"], max_lateness=9)
        for start in range(0, len(rows), size):
            engine.append(rows[start : start + size])
        snapshots.add(engine.snapshot())
    assert len(snapshots) == 1
