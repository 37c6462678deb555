"""Leaders and hosts die between any two steps, and each transition of an episode is said once under one id."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SinkError
from actors.shard import Shard
from actors.sink.notifications import DIGEST, REPEAT
from actors.sink.protocol import Notification, SinkRecord
from cluster.local.embedded import EmbeddedJob
from config import JobSettings
from tests.sim.node_faults import FaultyNodes
from tests.sim.partition_faults import FaultyWorld
from tests.support.list_source import ListSource
from tests.support.partition_jobs import EPISODES, feed_sinks, make_partition_job, make_records, skip_sync

FOLLOWS: dict[str, Any] = {"sinks": [{"type": "webhook", "url": "http://127.0.0.1:1/hook", "only": "episodes"}]}
JOBS: dict[str, dict[str, Any]] = {
    "each": EPISODES | FOLLOWS | {"notifications": {}},
    "groups": EPISODES | FOLLOWS | {"notifications": {"group_by": ["metric"], "group_wait": "50ms", "items_max": 5}},
    "rate": EPISODES | FOLLOWS | {"notifications": {"group_by": ["sym"], "rate": {"max": 3, "per": "1s"}}},
}
SEED_COUNT = 4


class NotifiedSink:
    """A receiver that knows ids; it fails when it is made to, also after it has taken something."""

    mark_count = 3
    failing_count = 0

    def __init__(self) -> None:
        self.kept: dict[str, Notification] = {}
        self.taken: dict[int, list[SinkRecord]] = {}
        self.sent_again_count = 0

    def concerns(self, one: SinkRecord) -> bool:
        return one.is_episode

    def notify(self, notification: Notification) -> None:
        if self.failing_count and (self.failing_count % 2 or notification.id in self.kept):
            self.failing_count -= 1
            raise SinkError("the receiver does not answer")
        known = self.kept.setdefault(notification.id, notification)
        self.sent_again_count += known is not notification
        assert set(notification.records) <= set(known.records), "one id says one thing"
        if self.failing_count:
            self.failing_count -= 1
            raise SinkError("the answer is lost")

    def write(self, anomalies: Any) -> None:
        raise AssertionError("this sink follows the policy")

    def close(self) -> None:
        pass


def told(sink: NotifiedSink) -> Counter[Any]:
    """Return how often each transition was said, with a receiver that knows ids."""
    kept = [one for one in sink.kept.values() if one.kind != REPEAT]
    return Counter((record.partition, record.id, record.detail) for one in kept for record in one.records)


def counted(sink: NotifiedSink) -> int:
    """Return of how many transitions digests have told."""
    kept = [one for one in sink.kept.values() if one.kind == DIGEST]
    return sum(began + ended for one in kept for _, began, ended in one.counts)


def run_undisturbed(job: JobSettings, source: ListSource, directory: Path) -> NotifiedSink:
    sink = NotifiedSink()
    running = EmbeddedJob(job, source, directory, lambda: 0)
    feed_sinks(running.host, [sink])
    running.run()
    running.close()
    return sink


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., FaultyWorld]]:
    skip_sync(monkeypatch)
    worlds: list[FaultyWorld] = []
    real = Shard.write

    def make(seed: int, job: JobSettings, source: ListSource) -> FaultyWorld:
        worlds.append(FaultyWorld(seed=seed, job=job, source=source, directory=tmp_path / "shards", fault_count=14))
        worlds[0].sinks = [NotifiedSink()]  # type: ignore[list-item]  # it is no sink of anomalies
        monkeypatch.setattr(Shard, "write", lambda shard, action: worlds[0].disk.write(real, shard, action))
        return worlds[0]

    yield make
    for world in worlds:
        print("\n".join(world.diary[-60:]))  # noqa: T201  # shown for a seed that fails


@pytest.mark.parametrize("seed", range(SEED_COUNT))
@pytest.mark.parametrize("name", JOBS)
def test_each_transition_is_said_once(
    name: str, seed: int, make_world: Callable[..., FaultyWorld], tmp_path: Path
) -> None:
    job = make_partition_job(**JOBS[name])
    records = make_records(seed % 3, 2, 40)
    expected = told(run_undisturbed(make_partition_job(**JOBS["each"]), ListSource(job.row_schema, records), tmp_path))
    assert len(expected) > 20
    world = make_world(seed, job, ListSource(job.row_schema, records))
    world.run()
    (sink,) = world.sinks
    found = told(sink)  # type: ignore[arg-type]
    if name == "rate":
        assert found.keys() <= expected.keys()
        assert set(found.values()) == {1}
        assert len(found) + counted(sink) == len(expected)  # type: ignore[arg-type]
    else:
        assert found == expected


FAULTS_OF_NODES = {
    0: ("pauses", "drains", "joins", "scales"),
    1: ("loses an owner", "loses owner and leader", "loses a standby", "pauses", "scales"),
}
"""By the number of second copies: what goes wrong and makes no shard anew, which would tell everything again."""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("standby", FAULTS_OF_NODES)
def test_each_transition_is_said_once_on_several_nodes(
    standby: int, seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    skip_sync(monkeypatch)
    job = make_partition_job(**JOBS["groups"] | {"partitions": 3, "standby": standby})
    records = make_records(seed % 3, 2, 30)
    plain = make_partition_job(**JOBS["each"] | {"partitions": 3})
    expected = told(run_undisturbed(plain, ListSource(job.row_schema, records), tmp_path / "alone"))
    real, source, kinds = Shard.write, ListSource(job.row_schema, records), FAULTS_OF_NODES[standby]
    world = FaultyNodes(
        seed=seed, job=job, source=source, directory=tmp_path / "world", fault_count=8, node_count=3, kinds=kinds
    )
    world.sinks = [NotifiedSink()]  # type: ignore[list-item]  # it is no sink of anomalies
    monkeypatch.setattr(Shard, "write", lambda shard, action: world.disk.write(real, shard, action))
    if standby:
        world.settle()
    world.run()
    print("\n".join(world.diary[-60:]))  # noqa: T201  # shown for a seed that fails
    assert told(world.sinks[0]) == expected  # type: ignore[arg-type]
