"""The engine's arguments, statistics, snapshots, explanations, stream tables and reference."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.engine import (
    AnomalyDetectionEngine,
    ArgumentError,
    EngineSnapshotError,
    StreamTable,
    create_anomaly_detection_engine,
    drop_stream_engine,
    subscribe_table,
)
from actors.engine.episodes.episode import LifecycleSettings
from actors.engine.keys.log import KeyedLog
from actors.engine.report.reference import reference
from actors.engine.streaming import get_snapshot_message_id
from actors.engine.vectors.segments import layout_of
from actors.errors import SchemaError, SnapshotError
from actors.model import Schema
from tests.unit.engine.support import SCHEMA, engine, fire, quantities


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "window_required"),
        ({"window_size": 5}, "window_required"),
        ({"window_size": 5, "step": 0}, "bad_argument"),
        ({"window_size": 5, "step": 2, "window_offset": 2}, "bad_argument"),
        ({"window_size": 5, "step": 5, "garbage_size": 0}, "bad_argument"),
        ({"window_size": 5, "step": 5, "nulls": "largest"}, "bad_argument"),
        ({"window_size": 5, "step": 5, "key_columns": ["sym", "SYM"]}, "bad_argument"),
        ({"window_size": 5, "step": 5, "time_column": "qty"}, "bad_argument"),
        ({"window_size": 5, "step": 5, "snapshot_dir": "."}, "bad_argument"),
        ({"window_size": 5, "step": 5, "snapshot_dir": "./none", "snapshot_interval_rows": 5}, "bad_argument"),
        ({"window_size": 5, "step": 5, "anomaly_descriptions": ["a", "b"]}, "bad_argument"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        engine("sum(qty) > 1", **options)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["", "1a", "a-b", "_a"])
def test_a_name_is_letters_digits_and_underscores(name: str) -> None:
    with pytest.raises(ArgumentError, match="must be letters"):
        AnomalyDetectionEngine(name, ["qty > 1"], SCHEMA, "time")


def test_window_arguments_are_ignored_without_an_aggregate() -> None:
    assert engine("qty > 1", window_size=5, step=2).settings.grid is None


def test_descriptions_replace_the_metric_text() -> None:
    frame = engine("qty<4", anomaly_descriptions=["too few"]).append(quantities(1))
    assert frame["metric"].to_list() == ["too few"]


def test_append_shows_times_and_append_physical_integers() -> None:
    rows = quantities(1)
    assert engine("qty < 4").append(rows).schema["time"] == pl.Datetime("ms")
    frame = engine("qty < 4", key_columns=["sym"]).append_physical(
        pl.DataFrame(rows, schema_overrides={"price": pl.Float64})
    )
    assert frame.schema == {
        "time": pl.Int64,
        "sym": pl.String,
        "type": pl.Int32,
        "metric": pl.String,
        "offset": pl.Int64,
        "ordinal": pl.Int32,
    }


def test_an_empty_batch_has_the_output_columns() -> None:
    subject = engine("qty < 4")
    assert subject.append(quantities()[:0]).schema == subject.append(quantities(1)).schema


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SchemaError):
        engine("qty < 4").append([{"time": 1}])


def test_the_statistics_count_rows_keys_and_anomalies() -> None:
    subject = engine("qty < 4", "prev(qty) > 0", key_columns=["sym"])
    subject.append(quantities(1, 2, 9))
    stat = subject.stat()
    assert (stat.row_count, stat.key_count, stat.anomaly_count, stat.next_offset) == (3, 1, 4, 3)


def test_the_fingerprint_tells_metrics_windows_and_schema_apart() -> None:
    same = engine("sum(qty)>1", window_size=4, step=2).fingerprint
    assert same == engine("sum(qty) > 1", window_size=4, step=2).fingerprint
    others = [
        engine("sum(qty) > 2", window_size=4, step=2),
        engine("sum(qty) > 1", window_size=4, step=4),
        engine("sum(qty) > 1", window_size=4, step=2, key_columns=["sym"]),
        engine("sum(qty) > 1", window_size=4, step=2, nulls="unknown"),
    ]
    assert same not in [other.fingerprint for other in others]


@pytest.mark.parametrize("damage", [b"", b"abc", lambda s: s[:-1], lambda s: s[:-3] + b"\0" + s[-2:]])
def test_a_damaged_snapshot_is_refused(damage: Any) -> None:
    subject = engine("sum(qty) > 1", window_size=4, step=2)
    subject.append(quantities(1, 2, 3))
    torn = damage(subject.snapshot()) if callable(damage) else damage
    with pytest.raises(SnapshotError):
        subject.restore(torn)


def test_a_snapshot_of_other_metrics_is_refused() -> None:
    with pytest.raises(EngineSnapshotError, match="other metrics") as caught:
        engine("qty > 1").restore(engine("qty > 2").snapshot())
    assert caught.value.code == "foreign_snapshot"


def test_snapshot_files_are_written_after_enough_rows(tmp_path: Path) -> None:
    options = {"snapshot_dir": tmp_path, "snapshot_interval_rows": 100}
    subject = engine("prev(qty) == 9", **options)
    for _ in range(39):
        subject.append(quantities(*range(10)))
    assert subject.stat().snapshot_offset == 299
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.old", "test.snapshot"]
    resumed = engine("prev(qty) == 9", **options)
    assert resumed.stat().next_offset == 300
    assert fire(resumed, quantities(5)) == [(0, 0)]


def test_one_large_batch_gives_one_snapshot(tmp_path: Path) -> None:
    subject = engine("prev(qty) == 9", snapshot_dir=tmp_path, snapshot_interval_rows=100)
    subject.append(quantities(*[1] * 500))
    assert subject.stat().snapshot_offset == 499


def test_a_torn_snapshot_file_gives_way_to_the_one_before(tmp_path: Path) -> None:
    options = {"snapshot_dir": tmp_path, "snapshot_interval_rows": 1}
    subject = engine("prev(qty) == 9", **options)
    subject.append(quantities(1))
    subject.append(quantities(2))
    (tmp_path / "test.snapshot").write_bytes(b"torn")
    assert engine("prev(qty) == 9", **options).stat().next_offset == 1
    (tmp_path / "test.old").unlink()
    with pytest.raises(EngineSnapshotError, match="remove the file"):
        engine("prev(qty) == 9", **options)


def test_a_crash_between_the_renames_leaves_the_old_snapshot(tmp_path: Path) -> None:
    options = {"snapshot_dir": tmp_path, "snapshot_interval_rows": 1}
    engine("prev(qty) == 9", **options).append(quantities(1))
    (tmp_path / "test.snapshot").rename(tmp_path / "test.old")
    (tmp_path / "test.tmp").write_bytes(b"unfinished")
    assert engine("prev(qty) == 9", **options).stat().next_offset == 1


def test_a_snapshot_file_of_other_metrics_stops_the_start(tmp_path: Path) -> None:
    options = {"snapshot_dir": tmp_path, "snapshot_interval_rows": 1}
    engine("prev(qty) == 9", **options).append(quantities(1))
    with pytest.raises(EngineSnapshotError, match="other metrics"):
        engine("prev(qty) == 8", **options)


def test_explain_shows_the_parts_and_the_window() -> None:
    subject = engine("avg(qty) > qty * 2", key_columns=["sym"], window_size=2, step=2)
    subject.append(quantities(4, None, 1))
    found = subject.explain(2)
    assert found.values == {"avg(qty) > qty * 2": True, "avg(qty)": 4.0, "qty * 2": 2, "qty": 1}
    assert (found.window_start, found.window_end, found.window_row_count, found.key) == (0, 2, 2, ("A",))
    subject.append([{**quantities(1)[0], "time": 3}])
    assert (subject.explain(3).window_start, subject.explain(3).window_row_count) == (0, 2)


def test_explain_shows_the_window_of_a_window_metric() -> None:
    subject = engine("sum(qty) > 3 and count(qty) == 3", window_size=4, step=2)
    subject.append(quantities(1, 2, 3, None, 9))
    found = subject.explain(4)
    assert (found.time, found.window_start, found.window_end, found.window_row_count) == (4, 0, 4, 4)
    assert found.values["sum(qty)"] == 6
    with pytest.raises(ArgumentError, match="no anomaly 3 of offset 0"):
        subject.explain(0, 3)


@pytest.fixture
def names() -> Iterator[None]:
    yield
    drop_stream_engine("anomalyDetection1")


@pytest.mark.usefixtures("names")
def test_the_documented_example_gives_its_eight_rows() -> None:
    trades = StreamTable(["time", "sym", "qty"], ["TIMESTAMP", "SYMBOL", "INT"])
    output = StreamTable(["time", "sym", "type", "metric"], ["TIMESTAMP", "SYMBOL", "INT", "STRING"])
    made = create_anomaly_detection_engine(
        name="anomalyDetection1",
        metrics="<[sum(qty) > 5, avg(qty) > qty, qty < 4]>",
        dummyTable=trades,
        outputTable=output,
        timeColumn="time",
        keyColumn="sym",
        windowSize=3,
        step=3,
    )
    subscribe_table(table=trades, action_name="anomalyDetectionSub1", offset=0, handler=made)
    trades.append([(2 + i, "AB"[i % 2], 6 - i) for i in range(6)])
    found = [(row[0], row[1], row[2]) for row in output.read(0).rows()]
    rows = [(3, "A", 0), (4, "A", 1), (5, "B", 2), (6, "A", 1), (6, "A", 2), (6, "B", 0), (7, "B", 1), (7, "B", 2)]
    assert found == rows
    assert get_snapshot_message_id(made) == -1


def test_a_subscription_may_start_late_and_number_its_rows() -> None:
    table, seen = StreamTable({"time": "TIMESTAMP", "x": "INT"}), []
    table.append([(1, 1), (2, 2), (3, 3)])
    subscribe_table(table, "a", 1, lambda rows, last: seen.append((rows, last)), False, True)
    subscribe_table(table, "b", -1, lambda rows: seen.append(rows), False)
    table.append([(4, 4)])
    assert seen == [([(2, 2), (3, 3)], 2), ([(4, 4)], 3), [(4, 4)]]
    table.unsubscribe("a")
    with pytest.raises(ArgumentError, match="no subscription"):
        table.unsubscribe("a")
    with pytest.raises(ArgumentError, match="not among"):
        subscribe_table(table, "c", 9, print)


def test_an_output_table_of_another_time_type_is_refused() -> None:
    trades = StreamTable({"time": "TIMESTAMP", "qty": "INT"})
    output = StreamTable({"time": "DATETIME", "type": "INT", "metric": "STRING"})
    with pytest.raises(ArgumentError, match="must be TIMESTAMP"):
        create_anomaly_detection_engine("e", ["qty > 1"], trades, output, "time")


def test_the_reference_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "run python -m actors.engine.report.reference docs/metrics.md"
    )


def test_a_keyed_log_keeps_the_order_of_each_key_while_it_moves_and_packs() -> None:
    log, expected = KeyedLog([np.int64]), {0: [], 1: [], 2: []}
    for step in range(400):
        numbers = np.array([0, 2]) if step % 3 else np.array([1])
        layout = layout_of(numbers, np.full(len(numbers), 2))
        values = np.arange(layout.row_count) + 10 * step
        first = log.append(layout, [values])
        for i, number in enumerate(numbers.tolist()):
            expected[number] = [*expected[number], *values[2 * i : 2 * i + 2].tolist()][-7:]
            stop = int(first[i]) + 2
            kept = log.columns[0][log.starts[number] : stop].tolist()
            assert kept[-7:] == expected[number]
        log.keep_last(numbers, 7)
    assert log.state()["lengths"].tolist() == [7, 7, 7]


def test_a_keyed_log_of_many_keys_keeps_them_apart_when_it_packs() -> None:
    generator, log = np.random.default_rng(3), KeyedLog([np.int64])
    expected: dict[int, list[int]] = {number: [] for number in range(50)}
    for step in range(300):
        numbers = np.unique(generator.integers(0, 50, 20))
        layout = layout_of(numbers, generator.integers(1, 5, len(numbers)))
        values = np.arange(layout.row_count) + 1000 * step
        log.append(layout, [values])
        for i, number in enumerate(numbers.tolist()):
            start = layout.starts[i]
            expected[number] = [*expected[number], *values[start : start + layout.lengths[i]].tolist()][-9:]
        log.keep_last(numbers, 9)
    assert log.state()["column0"].tolist() == [value for number in range(50) for value in expected[number]]


def test_a_schema_may_be_given_ready_made() -> None:
    assert engine("qty > 1", schema=Schema.from_mapping(SCHEMA)).settings.schema.names == tuple(SCHEMA)


def test_episodes_of_rows_that_leave_the_reorder_buffer_together_are_told_apart() -> None:
    rule = LifecycleSettings(hold=0, keep_firing=0, clear="qty < 3")
    schema = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}
    engine = AnomalyDetectionEngine("e", ["qty > 5"], schema, "time", ["sym"], max_lateness=10, lifecycles=[rule])
    engine.append([(5, "A", 9), (5, "A", 1), (5, "A", 8), (5, "A", 1), (6, "A", 4), (100, "A", 1)])
    found = [episode for episode in engine.take_episodes().changed.values() if episode is not None]
    assert [(one.offset, one.start, one.peak) for one in found] == [(5, 5, 9), (5, 5, 8)]
