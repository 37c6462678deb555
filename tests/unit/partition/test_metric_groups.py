"""Metrics with windows and keys of their own, as one job and as jobs of one metric each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.errors import SnapshotError
from actors.given_rows import to_frame
from actors.partition.assembly import build_engine
from actors.partition.metric_groups import MetricGroups
from actors.sink.lines import anomaly_records
from cluster.local.embedded import EmbeddedJob
from config import JobSettings, make_job
from tests.support.list_source import ListSource

METRICS: list[dict[str, Any]] = [
    {"when": "sum(used) > 100"},
    {"when": "avg(used) > 50", "key": ["host"], "window": {"size": 20}, "for": 20},
    {"when": "used > 95 and used > prev(used)", "key": "host"},
    {"when": "count(used) > 1", "key": ["disk", "host"], "window": {"size": 40, "step": 20}},
    {"when": "max(used) > used", "key": []},
    {"when": "used < 5"},
]

START = 1_700_000_000_000
ROWS = [(START + 7 * at, "ab"[at * 5 % 7 % 2], "xyz"[at % 3], float(at * 37 % 101)) for at in range(60)]


def disks(metrics: Sequence[dict[str, Any]] = METRICS, **given: Any) -> JobSettings:
    plain: dict[str, Any] = {
        "job": "disks",
        "schema": {"time": "TIMESTAMP", "host": "SYMBOL", "disk": "SYMBOL", "used": "DOUBLE"},
        "time": "time",
        "key": ["host", "disk"],
        "metrics": list(metrics),
        "window": {"size": 30, "step": 10},
        "source": {"rows": []},
        "partitions": 1,
    }
    return make_job(plain | given)


def found_by(engine: MetricGroups | Any, job: JobSettings, cuts: Sequence[int]) -> list[tuple[Any, ...]]:
    frame, found = to_frame(job.row_schema, ROWS), []
    for start, stop in zip([0, *cuts], [*cuts, len(ROWS)], strict=True):
        raised = engine.append_physical(frame[start:stop], np.arange(start, stop))
        packed = engine.take_details()
        for row, detail in zip(raised.iter_rows(), packed, strict=True):
            found.append((*row, engine.render_detail(row[3], detail)))
    return found


def test_each_metric_finds_what_it_finds_in_a_job_of_its_own() -> None:
    job = disks()
    found = found_by(build_engine(job), job, [])
    assert {row[3] for row in found} == set(range(len(METRICS)))
    for index, metric in enumerate(METRICS):
        alone = disks([metric])
        expected = [(*row[:3], *row[4:6], row[7]) for row in found_by(build_engine(alone), alone, [])]
        assert [(*row[:3], *row[4:6], row[7]) for row in found if row[3] == index] == expected


def test_anomalies_of_one_row_are_in_the_order_of_groups_and_have_no_values_of_other_columns() -> None:
    job = disks()
    found = found_by(build_engine(job), job, [])
    offsets = [row[5] for row in found]
    assert offsets == sorted(offsets)
    assert [row[6] for row in found] == [sum(other == at for other in offsets[:n]) for n, at in enumerate(offsets)]
    assert all((row[1] is None) == (row[3] == 4) for row in found)
    assert all((row[2] is None) == (row[3] in (1, 2, 4)) for row in found)


@settings(max_examples=15)
@given(st.lists(st.integers(0, len(ROWS)), max_size=5).map(sorted), st.integers(0, len(ROWS)))
def test_cuts_and_snapshots_change_nothing(cuts: list[int], stop: int) -> None:
    job = disks()
    whole = build_engine(job)
    expected = found_by(whole, job, [])
    cut = build_engine(job)
    assert found_by(cut, job, cuts) == expected
    assert cut.snapshot() == whole.snapshot()
    begun, resumed = build_engine(job), build_engine(job)
    frame = to_frame(job.row_schema, ROWS)
    first = begun.append_physical(frame[:stop], np.arange(stop))
    resumed.restore(begun.snapshot())
    second = resumed.append_physical(frame[stop:], np.arange(stop, len(ROWS)))
    assert pl.concat([first, second]).rows() == [row[:-1] for row in expected]
    assert resumed.snapshot() == whole.snapshot()


def test_a_snapshot_of_other_groups_is_refused_and_changes_nothing() -> None:
    job, other = disks(), disks(METRICS[:3])
    engine = build_engine(job)
    found_by(engine, job, [])
    before = engine.snapshot()
    for snapshot in (build_engine(other).snapshot(), b"torn", build_engine(disks(METRICS[:1])).snapshot()):
        with pytest.raises(SnapshotError):
            engine.restore(snapshot)
    assert engine.snapshot() == before


def test_one_window_and_one_key_need_one_engine() -> None:
    same = disks(
        [{"when": "sum(used) > 1", "window": {"size": "30ms", "step": 10}, "key": ["HOST", "disk"]}, METRICS[0]]
    )
    assert isinstance(build_engine(same), AnomalyDetectionEngine)
    plain = build_engine(disks([{"when": "sum(used) > 1"}, METRICS[0]]))
    assert build_engine(same).fingerprint == plain.fingerprint


def test_the_anomalies_of_a_job_do_not_depend_on_its_partitions(tmp_path: Path) -> None:
    routed = [metric for metric in METRICS if metric.get("key") != []]
    found = []
    for count in (1, 3):
        job = disks(routed, partitions=count)
        running = EmbeddedJob(job, ListSource(job.row_schema, [list(ROWS)]), tmp_path / str(count), lambda: 0)
        running.run()
        found.append(sorted(running.anomalies(1000), key=lambda one: one.id))
        running.close()
    assert [one.id for one in found[0]] == [one.id for one in found[1]]
    records = anomaly_records(disks(routed), found[1])
    assert {(record["type"], tuple(record["key"])) for record in records} == {
        (0, ("host", "disk")),
        (1, ("host",)),
        (2, ("host",)),
        (3, ("disk", "host")),
        (4, ("host", "disk")),
    }
