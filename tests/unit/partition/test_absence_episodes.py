"""Episodes and absence: an absent key has no data, and its absence is an episode that ends when the key is back."""

import json
from pathlib import Path
from typing import Any

import msgpack

from actors.engine.episodes.absence import AbsenceWatch
from actors.partition.episode_table import EpisodeFilter
from actors.partition.partition import Partition
from config import JobSettings
from tests.support.partition_jobs import SINKS, make_batch, make_partition_job
from tests.unit.partition.test_ticks import opened, ticking

METRIC = {"when": "qty > 8", "keep_firing": 3, "clear": "qty < 3"}
JOB = make_partition_job(
    metrics=[METRIC], window=None, ticks=10, absent=25, episodes={"deliver": True}, partitions=1, **SINKS
)
FIRING = ticking(JOB, 0, 2, {0: 1000}, [(1000, "A", 9, "ann"), (1001, "B", 1, "bob")])
SILENT = ticking(JOB, 2, 4, {3: 1040})


def found(partition: Partition, **wanted: Any) -> list[tuple[Any, ...]]:
    partition.flush(1, 0)
    episodes = partition.queries.episodes(EpisodeFilter(**wanted), 100)
    return [(one.type, one.key[0], str(one.state), one.since, one.end) for one in episodes]


def told(partition: Partition) -> list[tuple[Any, ...]]:
    partition.flush(1, 0)
    notices = [one for one in partition.outbox(0, 99) if '"episode"' in (one.detail or "")]
    return [(one.id.offset, one.time, json.loads(one.detail or "")["episode"]["state"]) for one in notices]


def test_the_episode_of_an_absent_key_has_no_data_and_its_absence_is_one_itself(tmp_path: Path) -> None:
    with opened(tmp_path, JOB) as partition:
        partition.apply(1, FIRING, 0)
        partition.apply(1, SILENT, 0)
        assert found(partition) == [
            (0, "A", "no data", 1025, None),
            (1, "A", "firing", 1025, None),
            (1, "B", "firing", 1026, None),
        ]
        partition.apply(1, ticking(JOB, 4, 5, {4: 1200}), 0)
        assert found(partition, type=0) == [(0, "A", "no data", 1025, None)]


def test_a_key_that_is_back_says_what_its_episode_is(tmp_path: Path) -> None:
    for number, (qty, state, end) in enumerate([(9, "firing", None), (5, "firing", None), (1, "resolved", 1050)]):
        with opened(tmp_path / str(number), JOB) as partition:
            for batch in (FIRING, SILENT, make_batch(JOB, 4, [(1050, "A", qty, "ann"), (1051, "A", 5, "ann")])):
                partition.apply(1, batch, 0)
            assert found(partition, key=("A",)) == [(0, "A", state, 1050, end), (1, "A", "resolved", 1050, 1050)]
            assert told(partition) == [
                (0, 1000, "firing"), (3, 1025, "no data"), (3, 1025, "firing"), (3, 1026, "firing"),
                (4, 1050, state), (4, 1050, "resolved"),
            ]  # fmt: skip


def test_the_key_is_back_at_the_first_row_that_is_not_as_old_as_its_absence(tmp_path: Path) -> None:
    rows = [(1014, "A", 9, "ann"), (1016, "A", 9, "ann"), (1060, "A", 9, "ann")]
    with opened(tmp_path, JOB) as partition:
        for batch in (FIRING, SILENT, make_batch(JOB, 4, rows)):
            partition.apply(1, batch, 0)
        assert found(partition, key=("A",), type=1) == [(1, "A", "resolved", 1025, 1025)]
        assert told(partition)[-1] == (5, 1025, "resolved")


def test_a_pending_episode_of_an_absent_key_comes_to_nothing(tmp_path: Path) -> None:
    job = make_partition_job(metrics=[{"when": "qty > 8", "for": 60}], window=None, ticks=10, absent=25)
    rows = [(1000 + step, "A", 9, "ann") for step in (0, 20, 50, 70, 90, 110)]
    for number, batches in enumerate(([rows], [rows[:3], rows[3:]], [[row] for row in rows])):
        with opened(tmp_path / str(number), job) as partition:
            start = 0
            for part in batches:
                partition.apply(1, make_batch(job, start, part), 0)
                start += len(part)
            # Between 1020 and 1050 the key was away for longer than it may, so that it was true from 1050 on.
            partition.flush(1, 0)
            episodes = partition.queries.episodes(EpisodeFilter(), 9)
            assert [(one.start, one.fired_at) for one in episodes] == [(1050, 1110)]


def test_a_restart_and_a_replay_know_who_is_absent(tmp_path: Path) -> None:
    back = make_batch(JOB, 4, [(1050, "A", 9, "ann")])
    with opened(tmp_path, JOB) as partition:
        partition.apply(1, FIRING, 0)
        partition.apply(1, SILENT, 0)
        partition.flush(1, 0)
        snapshot = partition.snapshot()
    with opened(tmp_path, JOB, epoch=2) as partition:
        partition.validate()
        for batch in (FIRING, SILENT, back):
            partition.apply(2, batch, 0)
        partition.flush(2, 0)
        states = [str(one.state) for one in partition.queries.episodes(EpisodeFilter(), 9)]
        assert states == ["firing", "resolved", "firing"]
    with opened(tmp_path / "copy", JOB) as partition:
        partition.restore(snapshot, 0)
        partition.apply(1, back, 0)
        assert [one[2] for one in found(partition)] == states


def test_an_absence_that_is_forgotten_has_not_been_resolved(tmp_path: Path) -> None:
    job = JobSettings.model_validate(
        JOB.model_dump(by_alias=True) | {"engine": JOB.engine.model_copy(update={"idle_key_ttl": 100})}
    )
    with opened(tmp_path, job) as partition:
        for batch in (FIRING, SILENT, ticking(job, 4, 5, {4: 1110})):
            partition.apply(1, batch, 0)
        assert found(partition, key=("A",)) == [(0, "A", "no data", 1110, 1110), (1, "A", "no data", 1110, 1110)]


def test_what_a_version_before_has_kept_of_absence_is_read() -> None:
    watch = AbsenceWatch("time", ["sym"], 25)
    watch.restore(msgpack.packb([[[0, 1000]], [[0, [[["A"], 990]]]]]))
    assert watch.absent(0) == {}
    assert [one.key for one in watch.tick(0, 1020)] == [("A",)]
    again = AbsenceWatch("time", ["sym"], 25)
    again.restore(watch.snapshot())
    assert again.absent(0) == {("A",): (990, None)}
