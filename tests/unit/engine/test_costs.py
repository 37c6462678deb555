"""What metrics keep and cost, told before rows come and measured afterwards."""

import gc
import tracemalloc

import numpy as np
import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.functions.catalogue import FUNCTIONS
from actors.engine.functions.definition import REQUIRED, Function, Kind
from actors.engine.report.costs import MetricCost

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "price": "DOUBLE", "qty": "INT"}


def engine(*metrics: str, size: int | None = 1000, step: int | None = 1000) -> AnomalyDetectionEngine:
    """Return an engine over trades."""
    return AnomalyDetectionEngine("costs", metrics, SCHEMA, "time", ["sym"], size, step)


def kept(cost: MetricCost) -> list[tuple[str, int, int, int | None]]:
    """Return name, bytes of a key, bytes of an entry and number of entries of all states of a metric."""
    return [(str(s.kept), s.kept.key_size_bytes, s.kept.entry_size_bytes, s.kept.entry_count_max) for s in cost.states]


def orders(cost: MetricCost) -> list[tuple[str, str]]:
    """Return how much work there is and how often."""
    return [(work.order, work.per) for work in cost.work]


def batch(number: int, key_count: int) -> pl.DataFrame:
    """Return ten rows of each key, one every 10 ms."""
    count, rng = 10 * key_count, np.random.default_rng(number)
    times = 1_600_000_000_000 + np.repeat(np.arange(10 * number, 10 * number + 10), key_count) * 10
    keys = [f"key-{key:06}" for key in range(key_count)] * 10
    return pl.DataFrame({"time": times, "sym": keys, "price": rng.random(count), "qty": rng.integers(0, 9, count)})


def fed(subject: AnomalyDetectionEngine, key_count: int, batch_count: int) -> int:
    """Feed an engine and return the bytes that were allocated meanwhile and stay."""
    # What is made once in a process, such as modules that are imported late, belongs to no engine.
    engine(*(metric.text for metric in subject.metrics)).append_physical(batch(0, key_count))
    tracemalloc.start()
    for number in range(batch_count):
        subject.append_physical(batch(number, key_count))
    # What is kept to explain the latest batch should be no more than a row.
    subject.append_physical(batch(batch_count, 1)[:1])
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held


def call_of(function: Function) -> str:
    """Return a call of a function with arguments that it takes."""
    if function.name == "earlier":
        return "earlier(sum(price), 1)"
    values = {"number": "price", "any": "price", "text": "sym", "time": "time"}
    constants = {"integer": "20", "constant": "1", "real": "1", "truth": "true"}
    needed = [parameter for parameter in function.parameters if parameter.default is REQUIRED]
    given = [values[parameter.accepts] for parameter in needed if not parameter.is_constant]
    given += [f"{parameter.name}={constants[parameter.accepts]}" for parameter in needed if parameter.is_constant]
    given += ["alpha=0.5"] if function.name.startswith("ewm") else []
    return f"{function.name}({', '.join(given)})"


def test_a_metric_of_a_row_keeps_nothing() -> None:
    (cost,) = engine("qty < 4").costs().metrics
    assert kept(cost) == []
    assert orders(cost) == [("O(1)", "row")]


def test_aggregates_of_one_argument_share_their_partial_aggregates() -> None:
    total, average = engine("sum(qty) > 5", "avg(qty) > qty").costs().metrics
    assert kept(total) == [("open pane: sum of qty", 8, 0, None), ("open pane: number of values of qty", 8, 0, None)]
    assert [state.metrics for state in average.states] == [(0, 1), (0, 1), (1,)]
    assert kept(average)[-1] == ("latest value: avg(qty)", 9, 0, None)


def test_sliding_windows_keep_the_panes_that_closed_and_join_them() -> None:
    (cost,) = engine("max(price) > 5", size=6000).costs().metrics
    assert ("closed panes: largest value of price", 0, 8, 5) in kept(cost)
    assert orders(cost) == [("O(1)", "row"), ("O(panes)", "closing")]


def test_a_percentile_keeps_the_rows_of_its_window() -> None:
    (cost,) = engine("percentile(price, 90) > 5").costs().metrics
    assert kept(cost) == [("rows of the window: price", 32, 9, None)]
    assert orders(cost)[-1] == ("O(rows of the window)", "closing")


def test_order_sensitive_functions_keep_what_they_look_back_at() -> None:
    moving, before = engine("mavg(price, 20) > 5", "qty < prev(qty)").costs().metrics
    assert kept(moving) == [("look-back rows: mavg(price, 20)", 32, 9, 19)]
    assert orders(moving) == [("O(20 rows)", "row")]
    assert kept(before) == [("the value of the row before: prev(qty)", 9, 0, None)]


def test_what_stands_inside_an_aggregate_is_part_of_its_rows() -> None:
    (cost,) = engine("sum(deltas(qty)) > 5").costs().metrics
    assert kept(cost) == [("rows of the window: qty", 32, 9, None)]


def test_every_function_says_what_it_keeps() -> None:
    for function in (f for f in FUNCTIONS if f.kind is not Kind.SCALAR):
        (cost,) = engine(f"isNull({call_of(function)})", size=3000).costs().metrics
        assert cost.states or function.name == "size"
        assert all(work.why for work in cost.work)


@pytest.mark.parametrize(
    ("metrics", "size", "factor"),
    [
        (("sum(qty) > 100", "sum(price) > 100", "avg(qty) > 100"), 1000, 2),
        (("percentile(price, 90) > 100",), 2000, 8),
        (("nunique(qty) > 100",), 1000, 8),
    ],
    ids=["tumbling sums", "sliding percentile", "nunique"],
)
def test_the_bytes_of_a_key_are_those_that_memory_shows(metrics: tuple[str, ...], size: int, factor: float) -> None:
    subject = engine(*metrics, size=size)
    key_count, rows_of_a_window = 300, size // 10
    allocated = fed(subject, key_count, 40) / key_count
    costs, memory = subject.costs(), subject.memory()
    told = costs.key_size_bytes + costs.row_size_bytes * rows_of_a_window
    assert told / 1.5 < allocated < factor * told
    assert memory.key_count == key_count
    assert 0.75 * allocated < memory.key_size_bytes < 1.25 * allocated


def test_late_rows_are_counted_apart() -> None:
    subject = engine("sum(qty) > 100")
    subject.append([(5000, "a", 1.0, 1), (10, "a", 1.0, 1)])
    assert subject.memory().late_size_bytes > 0
    subject.take_late()
    assert subject.memory().late_size_bytes == 0


def test_rows_that_wait_for_late_ones_are_counted() -> None:
    subject = AnomalyDetectionEngine("costs", ["qty > 5"], SCHEMA, "time", ["sym"], max_lateness=1000)
    assert subject.costs().row_size_bytes == 8 + 8 + 28 + 8 + 8
    empty = subject.memory().state_size_bytes
    subject.append([(time, "a", 1.0, 1) for time in range(1000)])
    assert subject.memory().state_size_bytes > empty + 1000 * 24
