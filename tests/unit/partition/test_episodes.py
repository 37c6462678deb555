"""Episodes of a partition: kept, told to sinks if that is asked for, and the same whatever happens in between."""

import json
from pathlib import Path
from typing import Any

from actors.partition.episode_table import LATE_ORDINALS, EpisodeFilter
from actors.partition.partition import Partition
from config import JobSettings
from tests.support.partition_jobs import SINKS, TWO_SINKS, make_batch, make_partition_job, read_table

METRIC = {"when": "qty > 8", "for": 2, "keep_firing": 10, "clear": "qty < 5"}
JOB = make_partition_job(metrics=[METRIC], window=None, episodes={"deliver": True}, **SINKS)
ROWS = [(at, "A", qty, "ann") for at, qty in ((1000, 9), (1001, 10), (1003, 9), (1004, 7), (1005, 2), (1016, 9))]
"""The episode of 1000 fires at 1003 and is clear at 1005, but keeps firing until 1013; another begins at 1016."""


def opened(directory: Path, job: JobSettings = JOB, epoch: int = 1) -> Partition:
    partition = Partition.open(job, 0, directory)
    partition.begin(epoch, {0: 0}, 0)
    return partition


def episodes(partition: Partition, **wanted: Any) -> list[tuple[Any, ...]]:
    found = partition.queries.episodes(EpisodeFilter(**wanted), 100)
    return [(one.start, str(one.state), one.fired_at, one.end, one.count, one.peak) for one in found]


def test_an_episode_goes_from_pending_over_firing_to_resolved(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        shown = []
        for at, row in enumerate(ROWS):
            partition.apply(1, make_batch(JOB, at, [row]), 0)
            partition.flush(1, 0)
            shown.append(episodes(partition))
    assert shown[1] == [(1000, "pending", None, None, 2, 10)]
    assert shown[2] == shown[4] == [(1000, "firing", 1003, None, 3, 10)]
    assert shown[5] == [(1000, "resolved", 1003, 1013, 3, 10), (1016, "pending", None, None, 1, 9)]


def test_a_query_may_want_some_only(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS), 0)
        partition.flush(1, 0)
        assert [one[0] for one in episodes(partition, state="pending")] == [1016]
        assert episodes(partition, key=("B",)) == episodes(partition, type=1) == []
        newest = partition.queries.episodes(EpisodeFilter(), 1, newest_first=True)
        assert [one.start for one in newest] == [1016]


def test_a_pending_episode_that_comes_to_nothing_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:1]), 0)
        partition.flush(1, 0)
        partition.apply(1, make_batch(JOB, 1, [(1001, "A", 7, "ann")]), 0)
        partition.flush(1, 0)
        assert episodes(partition) == []


def test_sinks_are_told_of_episodes_between_the_anomalies(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS), 0)
        partition.flush(1, 0)
        waiting = partition.outbox(0, 100)
        places = [(one.id.offset, one.id.ordinal - LATE_ORDINALS if one.id.ordinal else 0) for one in waiting]
        assert places == [(0, 0), (1, 0), (2, 0), (2, 0), (5, 0), (5, 0)]
        told = [json.loads(str(waiting[place].detail))["episode"] for place in (3, 5)]
        assert [(one["state"], one["end"]) for one in told] == [("firing", None), ("resolved", 1013)]
        partition.acknowledge(0, waiting[:4])
        assert partition.outbox(0, 100) == waiting[4:]
        assert list(partition.stat().outbox_counts.values()) == [2]


def test_what_goes_on_can_be_told_again(tmp_path: Path) -> None:
    """Names of keys may be words for states."""
    rows = [(at, sym, qty, "ann") for at in (1000, 1003) for sym, qty in (("resolved", 9), ("firing", 9), ("B", 1))]
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, [*rows, (1004, "firing", 2, "ann"), (1020, "firing", 2, "ann")]), 0)
        partition.flush(1, 0)
        (found,) = partition.open_notices()
        assert (found.key, found.time, found.id.offset) == (("resolved",), 1003, 0)
        told = json.loads(str(found.detail))
        assert (told["episode"]["state"], told["values"]) == ("firing", {"qty": 9})


def test_an_episode_is_told_to_every_sink(tmp_path: Path) -> None:
    job = make_partition_job(metrics=[METRIC], window=None, episodes={"deliver": True}, **TWO_SINKS)
    with Partition.open(job, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(job, 0, ROWS), 0)
        partition.flush(1, 0)
        waiting = partition.outbox(0, 100)
        partition.acknowledge(0, waiting)
        partition.acknowledge(1, partition.outbox(1, 4))
        assert (partition.outbox(0, 100), partition.outbox(1, 100)) == ([], waiting[4:])
        assert len(read_table(partition, "notices")) == 1
        partition.acknowledge(1, partition.outbox(1, 100))
        assert read_table(partition, "notices") == []


def test_episodes_are_told_once_after_a_crash(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:4]), 0)
        partition.flush(1, 0)
        partition.apply(1, make_batch(JOB, 4, ROWS[4:]), 0)
    with opened(tmp_path, epoch=2) as partition:
        partition.acknowledge(0, partition.outbox(0, 100))
        partition.apply(2, make_batch(JOB, 0, ROWS), 0)
        partition.flush(2, 0)
        assert [one.id.offset for one in partition.outbox(0, 100)] == [5, 5]
        assert len(episodes(partition)) == 2


def test_episodes_of_a_replay_survive_a_crash_of_the_shard_that_took_it_over(tmp_path: Path) -> None:
    with opened(tmp_path / "first") as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS), 0)
        partition.flush(1, 0)
    with opened(tmp_path / "first", epoch=2) as partition:
        partition.apply(2, make_batch(JOB, 0, ROWS[:1]), 0)
        snapshot = partition.snapshot()
    with Partition.open(JOB, 0, tmp_path / "second") as partition:
        partition.restore(snapshot, 0)
    with opened(tmp_path / "second", epoch=3) as partition:
        partition.apply(3, make_batch(JOB, 1, ROWS[1:]), 0)
        partition.flush(3, 0)
        assert [one[:2] for one in episodes(partition)] == [(1000, "resolved"), (1016, "pending")]


def test_a_snapshot_brings_open_episodes_to_an_empty_shard(tmp_path: Path) -> None:
    with opened(tmp_path / "first") as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:3]), 0)
        partition.flush(1, 0)
        snapshot = partition.snapshot()
    with Partition.open(JOB, 0, tmp_path / "second") as partition:
        partition.restore(snapshot, 0)
        partition.begin(2, {0: 3}, 0)
        assert episodes(partition) == [(1000, "firing", 1003, None, 3, 10)]
        partition.apply(2, make_batch(JOB, 3, ROWS[3:]), 0)
        partition.flush(2, 0)
        assert [one[1] for one in episodes(partition)] == ["resolved", "pending"]


def test_a_sink_that_asks_for_episodes_may_come_to_a_job_and_go(tmp_path: Path) -> None:
    metrics = ["qty > 6", {"when": "qty > 8", "keep_firing": 5}]
    sink = {"type": "ndjson", "path": "out"}
    sinks = [[sink], [{**sink, "only": "both"}]] * 2
    for number, given in enumerate(sinks):
        job = make_partition_job(metrics=metrics, window=None, sinks=given)
        with opened(tmp_path, job) as partition:
            partition.apply(1, make_batch(job, number, [(1000 + number, "A", 9, "ann")]), 0)
            partition.flush(1, 0, with_snapshot=True)
            partition.validate()
            counts = {one.type: one.count for one in partition.queries.episodes(EpisodeFilter(state="firing"), 9)}
        # The first metric is followed from where somebody first asks for its episodes, and while somebody does.
        assert counts == {1: number + 1} | ({} if not number else {0: 1 if number < 3 else counts[0]})


def test_what_a_detector_finds_has_episodes_that_end_at_the_next_row_without_it(tmp_path: Path) -> None:
    detectors = [
        {"type": "value_range", "watch": ["qty"], "learn": {"rows": 2}, "keep_firing": 5},
        {"type": "value_range", "name": "other", "watch": ["qty"], "learn": {"rows": 2}, "for": 3},
    ]
    job = make_partition_job(
        metrics=["qty > 100"], window=None, detectors=detectors, episodes={"deliver": True}, **SINKS
    )
    rows = [
        (at, "A", qty, "ann") for at, qty in ((1, 5), (2, 6), (3, 5), (10, 50), (12, 5), (14, 50), (16, 5), (30, 5))
    ]
    rows += [(40, "A", 50, "ann"), (41, "A", 51, "ann"), (43, "A", 52, "ann"), (44, "A", 5, "ann")]
    with opened(tmp_path, job) as partition:
        for number, row in enumerate(rows):
            partition.apply(1, make_batch(job, number, [row]), 0)
            partition.flush(1, 0)
        partition.validate()
        assert episodes(partition, type=1) == [(10, "resolved", 10, 19, 2, None), (40, "firing", 40, None, 3, None)]
        assert episodes(partition, type=2) == [(40, "resolved", 43, 44, 3, None)]
        told = [(one.id.offset, one.type) for one in partition.outbox(0, 99) if one.id.ordinal >= LATE_ORDINALS]
        assert told == [(3, 1), (7, 1), (8, 1), (10, 2), (11, 2)]
