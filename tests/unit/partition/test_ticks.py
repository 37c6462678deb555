"""Time passes at ticks: keys fall silent, episodes end, and all of it once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.partition.anomalies import AnomalyFilter
from actors.partition.episode_table import LATE_ORDINALS, EpisodeFilter
from actors.partition.partition import Partition, RoutedBatch
from config import ConfigError, JobSettings
from config.library_checks import library_faults
from tests.support.partition_jobs import LEARNING, SINKS, make_batch, make_partition_job

JOB = make_partition_job(metrics=["qty > 8"], window=None, ticks=10, absent=25, partitions=3, **SINKS)
ROWS = [(1000, "A", 1, "ann"), (1001, "B", 1, "bob")]


def opened(directory: Path, job: JobSettings = JOB, number: int = 0, epoch: int = 1) -> Partition:
    partition = Partition.open(job, number, directory)
    partition.begin(epoch, {0: 0}, 0)
    return partition


def ticking(
    job: JobSettings, start: int, end: int, ticks: dict[int, int], rows: list[Any] | None = None
) -> RoutedBatch:
    return replace(make_batch(job, start, rows or [], end=end), ticks=tuple(ticks.items()))


def silent(partition: Partition) -> list[tuple[Any, ...]]:
    found = [one for one in partition.queries.anomalies(AnomalyFilter(), 100) if "absent" in one.metric]
    return [(one.key[0], one.time, one.type, one.id.offset, one.id.ordinal - LATE_ORDINALS) for one in found]


def test_a_key_that_falls_silent_is_reported_once_until_it_comes_back(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, ticking(JOB, 0, 2, {0: 1000}, ROWS), 0)
        partition.apply(1, ticking(JOB, 2, 9, {4: 1020, 6: 1030, 8: 1040}), 0)
        partition.apply(1, ticking(JOB, 9, 10, {9: 1050}, [(1055, "A", 1, "ann")]), 0)
        partition.apply(1, ticking(JOB, 10, 12, {11: 1090}), 0)
        partition.flush(1, 0)
        assert silent(partition) == [("A", 1025, 1, 6, 0), ("B", 1026, 1, 6, 3), ("A", 1080, 1, 11, 0)]


def test_partitions_number_what_they_report_apart(tmp_path: Path) -> None:
    for number in range(2):
        with opened(tmp_path / str(number), number=number) as partition:
            partition.apply(1, ticking(JOB, 0, 3, {2: 1100}, ROWS), 0)
            partition.flush(1, 0)
            assert [one[-1] for one in silent(partition)] == [number, number + 3]


def test_a_replay_reports_nothing_again(tmp_path: Path) -> None:
    batches = [ticking(JOB, 0, 2, {0: 1000}, ROWS), ticking(JOB, 2, 9, {8: 1040}), ticking(JOB, 9, 10, {9: 1050})]
    with opened(tmp_path) as partition:
        for batch in batches[:2]:
            partition.apply(1, batch, 0)
        partition.flush(1, 0)
        partition.apply(1, batches[2], 0)
    with opened(tmp_path, epoch=2) as partition:
        partition.acknowledge(0, partition.outbox(0, 10))
        for batch in batches:
            partition.apply(2, batch, 0)
        partition.flush(2, 0)
        assert len(silent(partition)) == 2
        assert partition.outbox(0, 10) == []


def test_an_episode_ends_at_a_tick(tmp_path: Path) -> None:
    metric = {"when": "qty > 8", "keep_firing": 20}
    job = make_partition_job(metrics=[metric], window=None, ticks=10)
    with opened(tmp_path, job) as partition:
        rows = [(1000, "A", 9, "ann"), (1001, "A", 1, "ann")]
        partition.apply(1, ticking(job, 0, 5, {0: 1000, 3: 1010, 4: 1030}, rows), 0)
        partition.flush(1, 0)
        assert [(one.start, one.end) for one in partition.queries.episodes(EpisodeFilter(), 9)] == [(1000, 1020)]


CLOSING = make_partition_job(
    metrics=["sum(qty) > 8"], ticks=10, absent=25, partitions=3, engine={"ticks_close_windows": True}, **SINKS
)


def test_a_tick_closes_windows_before_keys_fall_silent(tmp_path: Path) -> None:
    with opened(tmp_path, CLOSING, 2) as partition:
        partition.apply(1, ticking(CLOSING, 0, 4, {3: 1040}, [(1001, "B", 9, "ann"), (1002, "A", 9, "ann")]), 0)
        partition.flush(1, 0)
        found = partition.queries.anomalies(AnomalyFilter(), 9)
        assert [(one.key, one.time, one.id.ordinal - LATE_ORDINALS) for one in found] == [
            (("A",), 1010, 2), (("A",), 1020, 5), (("B",), 1010, 8), (("B",), 1020, 11),
            (("A",), 1027, 14), (("B",), 1026, 17),
        ]  # fmt: skip
        assert found[0].detail == '{"values": {"sum(qty)": 9}, "window": {"start": 990, "end": 1010, "rows": 1}}'


def test_windows_that_a_tick_has_closed_stay_closed_in_a_replay(tmp_path: Path) -> None:
    rows = [(1001, "A", 9, "ann"), (1015, "A", 9, "ann")]
    batches = [
        ticking(CLOSING, 0, 1, {0: 1000}, rows[:1]),
        ticking(CLOSING, 1, 3, {2: 1010}),
        make_batch(CLOSING, 3, rows[1:]),
    ]
    with opened(tmp_path, CLOSING) as partition:
        for batch in batches[:2]:
            partition.apply(1, batch, 0)
        partition.flush(1, 0)
    with opened(tmp_path, CLOSING, epoch=2) as partition:
        for batch in batches:
            partition.apply(2, batch, 0)
        partition.flush(2, 0)
        assert [(one.time, one.id.offset) for one in partition.queries.anomalies(AnomalyFilter(), 9)] == [(1010, 2)]


def test_episodes_that_begin_at_one_tick_are_kept_apart(tmp_path: Path) -> None:
    metric = {"when": "sum(qty) > 8", "keep_firing": 5}
    job = make_partition_job(metrics=[metric], ticks=10, engine={"ticks_close_windows": True})
    with opened(tmp_path, job) as partition:
        first = ticking(job, 0, 3, {2: 1010}, [(1001, "B", 9, "ann"), (1002, "A", 9, "ann")])
        partition.apply(1, first, 0)
        partition.flush(1, 0)
        found = partition.queries.episodes(EpisodeFilter(), 9)
        assert [(one.key, one.offset, one.start) for one in found] == [(("A",), 2, 1010), (("B",), 2, 1010)]
    with opened(tmp_path, job, epoch=2) as partition:
        partition.apply(2, first, 0)
        partition.apply(2, ticking(job, 3, 6, {5: 1060}), 0)
        partition.flush(2, 0)
        assert [one.count for one in partition.queries.episodes(EpisodeFilter(), 9)] == [2, 2]


def test_absent_keys_follow_the_detectors_in_type_and_need_no_metric(tmp_path: Path) -> None:
    job = make_partition_job(metrics=[], window=None, ticks=10, absent=25, **LEARNING)
    with opened(tmp_path, job) as partition:
        partition.apply(1, ticking(job, 0, 3, {2: 1100}, ROWS), 0)
        partition.flush(1, 0)
        assert [one[2] for one in silent(partition)] == [2, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"absent": "5m"}, "absent: needs `ticks`"),
        ({"engine": {"ticks_close_windows": True}}, "ticks_close_windows: needs `ticks`"),
        ({"engine": {"idle_key_ttl": "1h"}}, "idle_key_ttl: needs `ticks`"),
        ({"ticks": "1us"}, "ticks: .*whole number of units"),
        ({"ticks": 5, "schema": {"time": "TIME", "sym": "SYMBOL", "qty": "INT", "user": "STRING"}}, "starts again"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_partition_job(**settings)


@pytest.mark.parametrize(
    ("metric", "name", "value", "text"),
    [
        ("qty > 1", "ticks_close_windows", True, "no metric has an aggregate"),
        ("sum(qty) > 1", "idle_key_ttl", 40, "needs ticks_close_windows"),
    ],
)
def test_settings_that_do_not_fit_the_metrics_are_refused(metric: str, name: str, value: Any, text: str) -> None:
    (found,) = library_faults(make_partition_job(metrics=[metric], ticks=5, engine={name: value}))
    assert (found.path, text in found.text) == (("engine", name), True)
