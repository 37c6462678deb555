"""Partitions, hosts and leaders under everything that goes wrong: nothing is lost, nothing is counted twice."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.engine.episodes.episode import EpisodeState
from actors.frames import empty_frame
from actors.host import PartitionHost
from actors.partition.acceptances import Acceptance
from actors.partition.anomaly_table import decode_entry
from actors.partition.episode_table import LATE_ORDINALS
from actors.partition.partition import Partition, RoutedBatch
from actors.routing import Router, partition_of_key
from actors.shard import Shard
from cluster.leader.reading import route
from config import JobSettings
from raft.commands import AcceptancePlaced, ValueAccepted
from tests.sim.partition_faults import FaultyWorld
from tests.sim.partition_world import STEP_COUNT_MAX, World
from tests.support.list_source import ListSource
from tests.support.partition_jobs import (
    ALL_DETECTORS,
    EPISODES,
    EVENTS,
    FINDING_EPISODES,
    GROUPS,
    LEARNING,
    OWN_SPLITS,
    SINKS,
    TWO_SINKS,
    Outcome,
    Record,
    make_partition_job,
    make_records,
    sent,
    skip_sync,
    undisturbed,
)

CLOSING = ["qty > 8", "sum(qty) > 9", "avg(qty) < qty", "deltas(qty) > 4 and max(qty) > 5"]

JOBS: dict[str, dict[str, Any]] = {
    "metrics": {},
    "sinks": TWO_SINKS,
    "detectors": LEARNING | SINKS,
    "events": EVENTS,
    "episodes": EPISODES | TWO_SINKS,
    "ticks": EPISODES | EVENTS | SINKS | LEARNING | {"ticks": 5, "absent": 12, "partitions": 3},
    "closing ticks": EVENTS
    | SINKS
    | {"ticks": 5, "partitions": 3, "metrics": CLOSING, "engine": {"ticks_close_windows": True, "idle_key_ttl": 21}},
    "closing ticks, waiting rows": EPISODES
    | EVENTS
    | SINKS
    | LEARNING
    | {"ticks": 5, "absent": 12, "partitions": 3, "engine": {"ticks_close_windows": True, "max_lateness": 8}},
    "waiting rows": EPISODES | EVENTS | SINKS | LEARNING | {"engine": {"max_lateness": 12}},
    "metric groups": GROUPS
    | EVENTS
    | SINKS
    | LEARNING
    | {"ticks": 5, "absent": 12, "engine": {"ticks_close_windows": True, "max_lateness": 8, "idle_key_ttl": 60}},
    "no metrics": {"metrics": [], "window": None} | LEARNING,
    "all detectors": ALL_DETECTORS,
    "episodes of detectors": FINDING_EPISODES,
    "everything": LEARNING | EVENTS | TWO_SINKS | {"partitions": 3},
    "own splits": LEARNING | EVENTS | TWO_SINKS | OWN_SPLITS,
    "own splits, detectors": ALL_DETECTORS | OWN_SPLITS,
    "own splits, ticks": EPISODES | EVENTS | SINKS | {"ticks": 5, "absent": 12} | OWN_SPLITS,
}


def records_of(job: JobSettings, data: int, record_count: int) -> list[list[Record]]:
    """Return records of two splits; keys are in both where that makes them two series."""
    return make_records(data, 2, record_count, are_keys_shared=job.partition_by == "split")


SEED_COUNTS = {
    "metrics": 10,
    "sinks": 12,
    "detectors": 7,
    "events": 8,
    "episodes": 9,
    "waiting rows": 8,
    "ticks": 9,
    "closing ticks": 8,
    "closing ticks, waiting rows": 8,
    "metric groups": 4,
    "no metrics": 6,
    "all detectors": 7,
    "episodes of detectors": 9,
    "everything": 12,
    "own splits": 12,
    "own splits, detectors": 5,
    "own splits, ticks": 8,
}
"""Seeds of each job in the default run."""

RECORD_COUNT = 14
"""Records of each split in most runs of the default run; every `LONG_EVERY`th has `LONG_RECORD_COUNT`."""

LONG_RECORD_COUNT = 40

LONG_EVERY = 8

DATA_COUNT = 2
"""Sets of records in the default run; many seeds share one, so that its undisturbed run is made once."""

MANY_DATA_COUNT = 6
"""Sets of records of longer runs."""

LONG_SEED_MIN = 1000
"""Seed that those begin with."""


def data_of(seed: int) -> int:
    """Return the number of the set of records of a seed."""
    return seed % (DATA_COUNT if seed < LONG_SEED_MIN else MANY_DATA_COUNT)


@pytest.fixture(scope="module")
def undisturbed_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], Outcome]:
    known: dict[tuple[str, int, int], Outcome] = {}

    def find(name: str, data: int, record_count: int) -> Outcome:
        key = (name, data, record_count)
        if key not in known:
            job = make_partition_job(**JOBS[name])
            source = ListSource(job.row_schema, records_of(job, data, record_count))
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
        source = ListSource(job.row_schema, records_of(job, data_of(seed), record_count))
        worlds.append(FaultyWorld(seed=seed, job=job, source=source, directory=tmp_path, **settings))
        monkeypatch.setattr(Shard, "write", lambda shard, action: worlds[0].disk.write(real, shard, action))
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
    is_long = seed % LONG_EVERY == 0
    count = LONG_RECORD_COUNT if is_long else RECORD_COUNT
    expected = undisturbed_runs(name, data_of(seed), count)
    check_nothing_is_lost(make_world(seed, name, count, fault_count=12 if is_long else 7), expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(LONG_SEED_MIN, LONG_SEED_MIN + 834))
@pytest.mark.parametrize("name", JOBS)
def test_nothing_is_lost_or_doubled_in_longer_runs(
    name: str, seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    expected = undisturbed_runs(name, data_of(seed), 50)
    check_nothing_is_lost(make_world(seed, name, 50, fault_count=20), expected)


ACCEPTED = [
    Acceptance(
        acceptance_id=key,
        key=(key,),
        groups=tuple((number, (key,)) for number in (0, 1, 3)),
        variable="user",
        value="dan",
        positions={0: position, 1: position},
    )
    for key, position in (("A0", 0), ("B0", 15), ("C1", 15), ("D1", 30), ("E1", 1000))
]
"""Values for detectors of new values, events and characters."""


def with_accepted(monkeypatch: pytest.MonkeyPatch, accepted: list[bytes]) -> None:
    """Let undisturbed runs know accepted values from the beginning."""

    def make_host(*given: Any, **named: Any) -> PartitionHost:
        host = PartitionHost(*given, **named)
        host.accept(0, accepted)
        return host

    monkeypatch.setattr("cluster.local.embedded.PartitionHost", make_host)


@pytest.mark.parametrize(("seed", "may_lose_shards"), [(seed, seed % 3 == 2) for seed in range(3)])
def test_accepted_values_hold_from_their_places_on(
    seed: int, may_lose_shards: bool, make_world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(seed, "all detectors", 40, may_lose_shards=may_lose_shards)
    for one in ACCEPTED:
        name, places = one.acceptance_id, tuple(sorted((one.positions or {}).items()))
        world.decide(ValueAccepted(request_id=name, job_id="trades", content=one.to_bytes()))
        world.decide(AcceptancePlaced(epoch=1, job_id="trades", acceptance_id=name, positions=places))
    with_accepted(monkeypatch, [acceptance.to_bytes() for acceptance in ACCEPTED])
    source = ListSource(world.job.row_schema, make_records(data_of(seed), 2, 40))
    expected = undisturbed(world.job, source, tmp_path / "undisturbed")
    applied = [key for table in expected.detectors.values() for key, value in table if not value]
    assert len(applied) > 1
    check_nothing_is_lost(world, expected)


@pytest.mark.parametrize(
    ("name", "seed"), [("all detectors", s) for s in range(5)] + [("own splits, detectors", s) for s in range(3)]
)
def test_a_value_that_is_accepted_on_the_way_holds_from_the_place_that_the_leader_gave_it(
    name: str, seed: int, make_world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tuple(replace(one, acceptance_id="", positions={}).to_bytes() for one in ACCEPTED)
    world = make_world(seed, name, 40, values=values, may_lose_shards=seed % 3 == 2, fault_count=16)
    world.run()
    records = [one for one in world.sim_job.acceptances if one.positions is not None]
    placed = [
        Acceptance.from_bytes(one.content).placed(one.acceptance_id, dict(one.positions or ())) for one in records
    ]
    with_accepted(monkeypatch, [one.to_bytes() for one in placed])
    source = ListSource(world.job.row_schema, records_of(world.job, data_of(seed), 40))
    assert world.outcome() == undisturbed(world.job, source, tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("name", "seed"),
    [("events", seed) for seed in range(3)] + [("sinks", s) for s in range(5)] + [("own splits", s) for s in range(3)],
)
def test_a_lost_shard_is_rebuilt_from_the_source_and_sinks_miss_nothing(
    name: str, seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    expected = undisturbed_runs(name, data_of(seed), 40)
    check_nothing_is_lost(make_world(seed, name, 40, may_lose_shards=True, fault_count=20), expected)


def check_rebuilt(world: World, expected: Outcome) -> None:
    """Check that a shard whose source has lost its beginning misses what its gaps say, and nothing else."""
    world.run()
    found = world.outcome()
    begun = {(number, split): end for number, (split, _, end) in found.gaps}
    assert [start for _, (_, start, _) in found.gaps] == [0] * len(begun)

    def is_kept(entry: tuple[bytes, bytes]) -> bool:
        anomaly = decode_entry(*entry)
        own, split = world.job.partition_by == "split", anomaly.id.split
        routed = anomaly.key[: len(world.job.route_columns)]
        number = split if own else partition_of_key(routed, world.job.partitions)
        return anomaly.id.offset >= begun.get((number, split), 0)

    assert found.anomalies == [entry for entry in expected.anomalies if is_kept(entry)]
    for told, wanted in zip(found.sent, expected.sent, strict=True):
        assert len(set(told)) == len(told)
        assert set(told) <= set(wanted)
        unsent = set(wanted) - set(told)
        assert all(offset < begun.get((number, split), 0) for number, split, offset, *_ in unsent)
    assert (found.detectors, found.watermarks) == (expected.detectors, expected.watermarks)


@pytest.mark.parametrize(
    ("name", "seed"),
    [("everything", seed) for seed in range(5)]
    + [("ticks", seed) for seed in range(2)]
    + [("own splits", seed) for seed in range(4)],
)
def test_a_lost_shard_goes_on_from_its_snapshot_when_the_source_has_lost_its_beginning(
    name: str, seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    expected = undisturbed_runs(name, data_of(seed), 40)
    check_rebuilt(make_world(seed, name, 40, may_lose_beginnings=True, fault_count=16), expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(LONG_SEED_MIN, LONG_SEED_MIN + 100))
@pytest.mark.parametrize("name", JOBS)
def test_a_lost_shard_goes_on_from_its_snapshot_in_longer_runs(
    name: str, seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    expected = undisturbed_runs(name, data_of(seed), 50)
    check_rebuilt(make_world(seed, name, 50, may_lose_beginnings=True, fault_count=24), expected)


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in ("sinks", "episodes") for seed in range(3)])
def test_a_sink_that_fails_for_long_keeps_nothing_from_the_other(
    name: str, seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    world = make_world(seed, name, 40)
    expected = undisturbed_runs(name, data_of(seed), 40)
    down, good = world.sinks
    down.is_down = True
    step_count = 0
    while sent(good) != expected.sent[1]:
        assert (step_count := step_count + 1) < STEP_COUNT_MAX, "the other sink waits"
        world.step()
    assert not down.taken
    down.is_down = False
    check_nothing_is_lost(world, expected)


def test_the_simulated_episodes_reach_every_state(
    undisturbed_runs: Callable[[str, int, int], Outcome],
) -> None:
    pairs = [(name, data) for name in ("episodes", "ticks") for data in range(DATA_COUNT)]
    found = [one.state for name, data in pairs for one in undisturbed_runs(name, data, 40).episodes]
    assert set(found) == set(EpisodeState)


def test_keys_fall_silent_in_the_simulation(undisturbed_runs: Callable[[str, int, int], Outcome]) -> None:
    stored = undisturbed_runs("ticks", 0, 40).anomalies
    found = [decode_entry(key, value) for key, value in stored]
    silent = [one for one in found if one.metric == "absent for 12"]
    assert len({one.key for one in silent}) > 3
    assert {one.id.ordinal - LATE_ORDINALS for one in silent} >= {0, 1, 2}


@pytest.mark.parametrize("name", ["closing ticks", "closing ticks, waiting rows"])
def test_windows_close_at_ticks_in_the_simulation(
    name: str, undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    found = [decode_entry(key, value) for key, value in undisturbed_runs(name, 0, 40).anomalies]
    closed = [one for one in found if one.metric.startswith("sum") and one.id.ordinal >= LATE_ORDINALS]
    assert len({one.key for one in closed}) > 3
    assert {(one.id.ordinal - LATE_ORDINALS) % 3 for one in closed} == {0, 1, 2}
    assert len({one.id for one in found}) == len(found)


def resume(world: World, number: int, snapshot: bytes) -> tuple[dict[int, int], Partition]:
    """Restore a snapshot in an empty directory and give it the rest of the source; return where it began."""
    partition = Partition.open(world.job, number, world.directory / f"restored-{number}")
    partition.restore(snapshot, 0)
    begun = partition.committed
    for split, start in partition.begin(1_000, {0: 0, 1: 0}, 0).items():
        while (batch := world.source.read(split, start, 5)).next_offset > start:
            rows, letters = route(Router(world.job.route_columns, world.job.partitions), split, batch)
            frame, offsets = rows.get(number, (empty_frame(world.job.row_schema), np.empty(0, np.int64)))
            routed = RoutedBatch(
                split=split, start=start, end=batch.next_offset, frame=frame, offsets=offsets,
                dead_letters=letters.get(number, ()),
            )  # fmt: skip
            partition.apply(1_000, routed, 0)
            start = batch.next_offset
    partition.flush(1_000, 0)
    return begun, partition


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_of_any_moment_goes_on_exactly(
    seed: int, make_world: Callable[..., World], undisturbed_runs: Callable[[str, int, int], Outcome]
) -> None:
    world = make_world(seed, "everything", 40)
    world.run()
    expected = undisturbed_runs("everything", data_of(seed), 40)
    taken = dict(world.taken)
    for number, data in taken.items():
        begun, partition = resume(world, number, data)
        with partition:
            later = [
                entry
                for entry in expected.anomalies
                if decode_entry(*entry).id.offset >= begun[decode_entry(*entry).id.split]
                and partition_of_key(decode_entry(*entry).key, world.job.partitions) == number
            ]
            assert partition.queries.anomaly_entries() == later
