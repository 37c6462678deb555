"""Splits fall silent while everything else goes wrong: what that raises is what a run from the beginning raises."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.shard import Shard
from actors.source.time_marks import MarkedSource
from tests.sim.partition_faults import FaultyWorld
from tests.sim.partition_world import World
from tests.support.idle_source import RULES, IdleSource
from tests.support.list_source import ListSource
from tests.support.partition_jobs import (
    EPISODES,
    EVENTS,
    OWN_SPLITS,
    SINKS,
    make_partition_job,
    make_records,
    skip_sync,
    undisturbed,
)

IDLE: dict[str, Any] = {
    "idle_after": "1s",
    "source": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "nothing", "format": "json"},
    "ticks": 5,
    "absent": 12,
}

JOBS: dict[str, dict[str, Any]] = {
    "routed": EPISODES | EVENTS | SINKS | {"partitions": 3} | IDLE,
    "closing": EVENTS | SINKS | {"partitions": 3, "engine": {"ticks_close_windows": True, "idle_key_ttl": 21}} | IDLE,
    "waiting rows": EPISODES | SINKS | {"engine": {"ticks_close_windows": True, "max_lateness": 8}} | IDLE,
    "own splits": EPISODES | EVENTS | SINKS | OWN_SPLITS | IDLE,
}


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., World]]:
    skip_sync(monkeypatch)
    worlds: list[World] = []
    real = Shard.write

    def make(seed: int, name: str, record_count: int, fault_count: int) -> World:
        job = make_partition_job(**JOBS[name])
        records = make_records(seed % 4, 2, record_count, are_keys_shared=job.partition_by == "split")
        source = ListSource(job.row_schema, records)
        world = FaultyWorld(seed=seed, job=job, source=source, directory=tmp_path / "world", fault_count=fault_count)
        world.shaky = IdleSource(source, world.rng, lambda: world.now_us)
        world.shaky.ends = {split.number: world.rng.randint(1, record_count) for split in source.splits()}
        worlds.append(world)
        monkeypatch.setattr(Shard, "write", lambda shard, action: world.disk.write(real, shard, action))
        return world

    yield make
    for world in worlds:
        print("\n".join(world.diary[-60:]))  # noqa: T201  # shown for a seed that fails


def check(world: World, directory: Path) -> int:
    """Run a world and check what it leaves behind; return how many time marks there were."""
    world.run()
    shaky = world.shaky
    assert isinstance(shaky, IdleSource)
    expected = undisturbed(world.job, MarkedSource(world.source, RULES, shaky.marks, None), directory)
    found = world.outcome()
    assert found.anomalies == expected.anomalies
    assert found == expected
    return sum(len(times) for split in (0, 1) for _, times in shaky.marks.between(split, -1, 1000))


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in JOBS for seed in range(3)])
def test_silence_raises_the_same_whatever_dies(
    name: str, seed: int, make_world: Callable[..., World], tmp_path: Path
) -> None:
    check(make_world(seed, name, 16, 9), tmp_path / "undisturbed")


def test_splits_of_such_worlds_do_get_time_marks(make_world: Callable[..., World], tmp_path: Path) -> None:
    assert check(make_world(1, "routed", 16, 9), tmp_path / "undisturbed") > 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1300))
@pytest.mark.parametrize("name", JOBS)
def test_silence_raises_the_same_in_longer_runs(
    name: str, seed: int, make_world: Callable[..., World], tmp_path: Path
) -> None:
    check(make_world(seed, name, 40, 18), tmp_path / "undisturbed")
