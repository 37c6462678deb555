"""Partitions, hosts and leaders under everything that goes wrong: nothing is lost, nothing is counted twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.shard import Shard
from tests.sim.partition_world import World
from tests.support.list_source import ListSource
from tests.support.partition_jobs import (
    EVENTS,
    LEARNING,
    SINKS,
    Outcome,
    make_partition_job,
    make_records,
    skip_sync,
    undisturbed,
)

JOBS: dict[str, dict[str, Any]] = {
    "metrics": {},
    "sinks": SINKS,
    "detectors": LEARNING | SINKS,
    "events": EVENTS,
    "no metrics": {"metrics": [], "window": None} | LEARNING,
    "everything": LEARNING | EVENTS | SINKS | {"partitions": 3},
}

SEED_COUNTS = {"metrics": 20, "sinks": 25, "detectors": 15, "events": 15, "no metrics": 10, "everything": 20}
"""Seeds of each job in the default run."""

DATA_COUNT = 3
"""Sets of records; many seeds share one, so that its undisturbed run is made once."""


@pytest.fixture(scope="module")
def undisturbed_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], Outcome]:
    known: dict[tuple[str, int, int], Outcome] = {}

    def find(name: str, data: int, record_count: int) -> Outcome:
        key = (name, data, record_count)
        if key not in known:
            job = make_partition_job(**JOBS[name])
            source = ListSource(job.row_schema, make_records(data, 2, record_count))
            known[key] = undisturbed(job, source, tmp_path_factory.mktemp("undisturbed"))
        return known[key]

    return find


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_sync(monkeypatch)


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []
    real = Shard.write

    def make(seed: int, name: str, record_count: int, **settings: Any) -> World:
        job = make_partition_job(**JOBS[name])
        source = ListSource(job.row_schema, make_records(seed % DATA_COUNT, 2, record_count))
        worlds.append(World(seed=seed, job=job, source=source, directory=tmp_path, **settings))
        monkeypatch.setattr(Shard, "write", lambda shard, action: worlds[0].write(real, shard, action))
        return worlds[0]

    yield make
    for world in worlds:
        print("\n".join(world.diary[-60:]))  # noqa: T201  # shown for a seed that fails


def check_nothing_is_lost(world: World, expected: Outcome) -> None:
    world.run()
    found = world.outcome()
    assert found.anomalies == expected.anomalies
    assert found.dead_letters == expected.dead_letters
    assert found.events == expected.events
    assert found.sent == expected.sent
    assert found == expected


@pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name, count in SEED_COUNTS.items() for seed in range(count)]
)
def test_nothing_is_lost_or_doubled(
    name: str, seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    expected = undisturbed_runs(name, seed % DATA_COUNT, 40)
    check_nothing_is_lost(make_world(seed, name, 40), expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1300))
@pytest.mark.parametrize("name", JOBS)
def test_nothing_is_lost_or_doubled_in_longer_runs(
    name: str, seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    expected = undisturbed_runs(name, seed % DATA_COUNT, 100)
    check_nothing_is_lost(make_world(seed, name, 100, fault_count=40), expected)


@pytest.mark.parametrize("seed", range(10))
def test_a_lost_shard_is_rebuilt_from_the_source(
    seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    expected = undisturbed_runs("events", seed % DATA_COUNT, 40)
    check_nothing_is_lost(make_world(seed, "events", 40, may_lose_shards=True), expected)
