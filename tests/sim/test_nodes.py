"""Several nodes under everything that goes wrong with them: nothing is lost, nothing is counted twice."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.shard import Shard
from tests.sim.node_faults import FaultyNodes
from tests.support.list_source import ListSource
from tests.support.partition_jobs import (
    EPISODES,
    EVENTS,
    LEARNING,
    OWN_SPLITS,
    SINKS,
    TWO_SINKS,
    Outcome,
    make_partition_job,
    make_records,
    skip_sync,
    undisturbed,
)

JOBS: dict[str, dict[str, Any]] = {
    "sinks": TWO_SINKS,
    "everything": LEARNING | EVENTS | SINKS | {"partitions": 3},
    "own splits": EVENTS | SINKS | OWN_SPLITS,
    "standby": LEARNING | EVENTS | EPISODES | TWO_SINKS | {"partitions": 3, "standby": 1},
    "own splits, standby": LEARNING | EVENTS | EPISODES | TWO_SINKS | OWN_SPLITS | {"standby": 1},
}

TIED = EVENTS | SINKS | OWN_SPLITS | {"source": OWN_SPLITS["source"] | {"on": "a"}}
"""A job whose source is on one node alone."""

EACH_ON_ITS_NODE = EVENTS | SINKS | OWN_SPLITS | {"source": {"type": "stream", "name": "rows", "on": ["a", "b"]}}
"""A job with a split on each of two nodes."""

JOBS_ON_NODES = JOBS | {"tied": TIED, "each on its node": EACH_ON_ITS_NODE}

DATA_COUNT = 2

RECORD_COUNT = 25

KINDS = {
    "dies for good": "NodeLost",
    "dies and comes back": "NodeLost",
    "pauses": "a spare",
    "drains": "a copy",
    "scales": "a copy",
    "removes a shard": "LeaderElected",
}
"""Kinds of faults of nodes, and what has to happen for them in some run."""


@pytest.fixture(scope="module")
def undisturbed_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Outcome]:
    known: dict[tuple[str, int], Outcome] = {}

    def find(name: str, data: int) -> Outcome:
        if (name, data) not in known:
            job = make_partition_job(**JOBS_ON_NODES[name])
            source = ListSource(job.row_schema, make_records(data, 2, RECORD_COUNT))
            known[name, data] = undisturbed(job, source, tmp_path_factory.mktemp("undisturbed"))
        return known[name, data]

    return find


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., FaultyNodes]]:
    skip_sync(monkeypatch)
    worlds: list[FaultyNodes] = []
    real = Shard.write

    def make(seed: int, name: str, **settings: Any) -> FaultyNodes:
        job = make_partition_job(**JOBS_ON_NODES[name])
        source = ListSource(job.row_schema, make_records(seed % DATA_COUNT, 2, RECORD_COUNT))
        place = tmp_path / f"world-{len(worlds)}"
        worlds.append(FaultyNodes(seed=seed, job=job, source=source, directory=place, **settings))
        monkeypatch.setattr(Shard, "write", lambda shard, action: worlds[-1].disk.write(real, shard, action))
        return worlds[-1]

    yield make
    for world in worlds[-1:]:
        print("\n".join(world.diary[-60:]))  # noqa: T201  # shown for a seed that fails


def check(world: FaultyNodes, expected: Outcome) -> None:
    world.run()
    found = world.outcome()
    assert found.anomalies == expected.anomalies
    assert found.events == expected.events
    assert found.sent == expected.sent
    assert found == expected
    if world.job.standby:
        assert world.standby_outcome() == expected


@pytest.mark.parametrize(
    ("name", "seed"),
    [(name, seed) for name in JOBS for seed in range(3 if "standby" in name else 8)],
)
def test_nothing_is_lost_or_doubled_on_nodes(
    name: str, seed: int, make_world: Callable[..., FaultyNodes], undisturbed_runs: Callable[[str, int], Outcome]
) -> None:
    check(make_world(seed, name, fault_count=10), undisturbed_runs(name, seed % DATA_COUNT))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_or_doubled_when_a_node(
    kind: str,
    make_world: Callable[..., FaultyNodes],
    undisturbed_runs: Callable[[str, int], Outcome],
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(3):
        world = make_world(seed, "everything", fault_count=8, node_count=3, kinds=(kind,))
        check(world, undisturbed_runs("everything", seed % DATA_COUNT))
        happened += world.happened
    assert happened[KINDS[kind]] > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_source_on_one_node_is_read_there_alone_and_nothing_is_lost(
    seed: int, make_world: Callable[..., FaultyNodes], undisturbed_runs: Callable[[str, int], Outcome]
) -> None:
    world = make_world(
        seed, "tied", fault_count=10, node_count=3, kinds=("dies and comes back", "pauses", "scales", "removes a shard")
    )
    check(world, undisturbed_runs("tied", seed % DATA_COUNT))
    assert world.placed_on == {"a"}
    assert not world.happened["NodeLost"]


@pytest.mark.parametrize("seed", range(6))
def test_splits_on_nodes_of_their_own_wait_for_these_and_for_no_others(
    seed: int, make_world: Callable[..., FaultyNodes], undisturbed_runs: Callable[[str, int], Outcome]
) -> None:
    kinds = ("dies and comes back", "pauses", "scales", "removes a shard", "drains", "joins")
    world = make_world(seed, "each on its node", fault_count=12, node_count=2, kinds=kinds)
    check(world, undisturbed_runs("each on its node", seed % DATA_COUNT))
    assert [world.sim_job.node_of(number) for number in range(2)] == ["a", "b"]
    assert world.placed_on == {"a", "b"}
    assert not world.happened["NodeLost"]


STANDBY_KINDS = {
    "loses an owner": "StandbyPromoted",
    "loses a standby": "a whole standby",
    "loses both": "a whole standby",
    "loses owner and leader": "StandbyPromoted",
    "removes a shard": "StandbyPromoted",
    "removes a standby": "a whole standby",
    "dies for good": "StandbyPromoted",
    "pauses": "StandbyPromoted",
    "drains": "StandbyPromoted",
    "scales": "StandbyPromoted",
}
"""Kinds of faults of jobs with standbys, and what has to happen for them in some run."""


@pytest.mark.parametrize("name", ["standby", "own splits, standby"])
@pytest.mark.parametrize("is_node", [False, True])
def test_a_standby_takes_over_before_a_node_is_lost_and_nothing_is_copied(
    is_node: bool, name: str, make_world: Callable[..., FaultyNodes], undisturbed_runs: Callable[[str, int], Outcome]
) -> None:
    world = make_world(0, name, fault_count=0, node_count=2)
    world.shaky.ends = {split.number: 12 for split in world.source.splits()}
    for _ in range(3000):
        standbys = world.sim_job.standbys
        if len(standbys) == world.job.partitions and all(one.is_ready for one in standbys.values()):
            break
        world.step()
    owner, node = world.sim_job.owners[0], world.sim_job.node_of(0)
    assert world.sim_job.standbys[0].is_ready
    world.shaky.ends = {}
    if is_node:
        world.down.add(node)
        world.dead.add(node)
    while not is_node and not world.happened["StandbyPromoted"]:
        world.end(world.hosts[f"{owner}@{node}"])
        world.step()
    check(world, undisturbed_runs(name, 0))
    assert world.happened["StandbyPromoted"] > 0
    assert not world.happened["a copy"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", STANDBY_KINDS)
@pytest.mark.parametrize("name", ["standby", "own splits, standby"])
def test_nothing_is_lost_or_doubled_with_standbys_when_a_world(
    name: str,
    kind: str,
    make_world: Callable[..., FaultyNodes],
    undisturbed_runs: Callable[[str, int], Outcome],
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(8):
        world = make_world(seed, name, fault_count=8, node_count=3, kinds=(kind,))
        world.settle()
        check(world, undisturbed_runs(name, seed % DATA_COUNT))
        happened += world.happened
    assert happened[STANDBY_KINDS[kind]] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1400))
@pytest.mark.parametrize("name", JOBS)
def test_nothing_is_lost_or_doubled_on_nodes_in_longer_runs(
    name: str, seed: int, make_world: Callable[..., FaultyNodes], undisturbed_runs: Callable[[str, int], Outcome]
) -> None:
    check(make_world(seed, name, fault_count=25), undisturbed_runs(name, seed % DATA_COUNT))
