"""What the engine counts and sets aside is what the naive engine says; what it stores does not depend on the cuts."""

from dataclasses import replace

import polars as pl
import pytest

from actors.engine import EngineSnapshotError
from tests.support.choices import SeededChoices
from tests.support.engine_case import EngineCase, create, create_naive, cuts_of, feed
from tests.support.naive_engine import Anomaly, Fragile, NaiveEngine
from tests.support.strategies_engine import engine_case

SEEDS = range(700, 730)


def naive_run(case: EngineCase) -> tuple[NaiveEngine, list[Anomaly]]:
    naive = create_naive(case)
    try:
        return naive, naive.append(case.rows)
    except Fragile:
        return pytest.skip("the rules leave the output of this case open")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_engine_counts_what_the_naive_one_counts(seed: int) -> None:
    case = engine_case(SeededChoices(seed))
    naive, anomalies = naive_run(case)
    engine = create(case)
    for cut in cuts_of(case):
        feed(engine, case, cut)
    stat = engine.stat()
    assert (stat.row_count, stat.anomaly_count, stat.next_offset) == (len(case.rows), len(anomalies), len(case.rows))
    assert (stat.late_row_count, stat.timeless_row_count) == (len(naive.late_offsets), len(naive.untimed_offsets))
    discarded = engine.take_late().sort("offset")
    assert discarded.filter(pl.col("late_by") > 0)["offset"].to_list() == naive.late_offsets
    assert discarded.filter(pl.col("late_by").is_null())["offset"].to_list() == naive.untimed_offsets


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_rows_give_equal_snapshots(seed: int) -> None:
    case = engine_case(SeededChoices(seed))
    naive_run(case)
    snapshots = set()
    for cuts in (cuts_of(case), [list(range(len(case.rows)))], [[offset] for offset in range(len(case.rows))]):
        engine = create(case)
        for cut in cuts:
            feed(engine, case, cut)
        snapshots.add(engine.snapshot())
    assert len(snapshots) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_snapshot_restored_is_the_same_snapshot(seed: int) -> None:
    case = engine_case(SeededChoices(seed))
    naive_run(case)
    engine, other = create(case), create(case)
    feed(engine, case, range(len(case.rows)))
    other.restore(engine.snapshot())
    assert other.snapshot() == engine.snapshot()
    # Comparisons with NULL are counted by a process, not by a state.
    of_process = {"snapshot_offset": -1, "null_comparison_counts": ()}
    assert replace(other.stat(), **of_process) == replace(engine.stat(), **of_process)


@pytest.mark.parametrize("seed", range(760, 770))
def test_a_snapshot_that_was_torn_or_changed_is_refused(seed: int) -> None:
    choices = SeededChoices(seed)
    case = engine_case(choices)
    engine = create(case)
    feed(engine, case, range(len(case.rows)))
    snapshot = engine.snapshot()
    for _ in range(20):
        place = choices.integer(0, len(snapshot) - 1)
        changed = bytes([snapshot[place] ^ (1 << choices.integer(0, 7))])
        for spoilt in (snapshot[:place], snapshot[:place] + changed + snapshot[place + 1 :], snapshot + b"\x00"):
            with pytest.raises(EngineSnapshotError):
                create(case).restore(spoilt)


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": ["sum(qty) > 4"]},
        {"metrics": ["sum(qty) > 3", "qty > 3"]},
        {"window_size": 20},
        {"window_size": 20, "step": 20},
        {"round_time": False, "window_size": 120_000, "step": 120_000},
        {"key_columns": ("sym",)},
        {"nulls": "unknown"},
        {"schema": {"time": "TIMESTAMP", "qty": "DOUBLE", "sym": "SYMBOL"}},
        {"schema": {"time": "DATETIME", "qty": "INT", "sym": "SYMBOL"}},
    ],
)
def test_a_snapshot_of_other_settings_is_refused(change: dict[str, object]) -> None:
    schema = {"time": "TIMESTAMP", "qty": "INT", "sym": "SYMBOL"}
    case = EngineCase(schema=schema, metrics=["sum(qty) > 3"], time_column="time", window_size=10, step=10)
    with pytest.raises(EngineSnapshotError):
        create(replace(case, **change)).restore(create(case).snapshot())  # type: ignore[arg-type]
