"""What a partition asserts of itself is asserted: state that contradicts itself is found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.host import PartitionHost
from actors.partition.partition import Partition
from actors.partition.parts import Parts
from tests.support.partition_jobs import LEARNING, SINKS, make_batch, make_partition_job

JOB = make_partition_job(**LEARNING, **SINKS, partitions=1)
ROWS = [(1000 + at, "A", 9, "ann") for at in range(6)]


def run(parts: Parts, change: Callable[[Parts], None]) -> None:
    parts.validate()
    change(parts)
    parts.validate()


def engine_ahead(parts: Parts) -> None:
    parts.marks.engine[0] = 99


def commit_nothing(parts: Parts) -> None:
    parts.marks.committed[0] = 2


def repeat_an_anomaly(parts: Parts) -> None:
    parts.anomalies._pending *= 2


def take_too_many(parts: Parts) -> None:
    parts.outbox.note_taken(0, 1000)


def know_another_group(parts: Parts) -> None:
    parts.learning._detectors[0]._groups.changed.add(50)


def learn_more_than_is_known(parts: Parts) -> None:
    parts.learning._detectors[0]._watchers[0]._learned_count[0] = 50  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [engine_ahead, commit_nothing, repeat_an_anomaly, take_too_many, know_another_group, learn_more_than_is_known],
)
def test_a_contradiction_is_found(change: Callable[[Parts], None], tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, ROWS), 0)
        with pytest.raises(AssertionError):
            run(partition._parts, change)


def test_a_host_validates_its_partitions(tmp_path: Path) -> None:
    host = PartitionHost(JOB.to_bytes(), str(tmp_path))
    host.open(1, [0], {0: 0}, {}, 0)
    host.validate()
    host._partitions[0]._parts.marks.epoch = 7
    with pytest.raises(AssertionError, match="partition 0 is ahead of its host"):
        host.validate()
    host.close()
