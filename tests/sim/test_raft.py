"""The Raft group under a network and disks that fail, for many seeds: nothing is lost, and no election is in vain."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raft.consensus import use_clock
from tests.sim.raft_world import CALM, Weather, World

WEATHERS = {
    "calm": CALM,
    "network": Weather(drop=0.1, duplicate=0.2, delay_s_max=0.3, cut=0.01, depose=0.02, crash=0),
    "crashes": Weather(drop=0.01, crash=0.01, cut=0),
    "everything": Weather(drop=0.05, duplicate=0.1, delay_s_max=0.25),
    "hand-overs": Weather(drop=0.02, late=0.05, depose=0, crash=0.001, hand_over=0.05),
    "lost disks": Weather(crash=0.005, lose=0.5),
    "mixed versions": Weather(drop=0.05, depose=0.01, crash=0.002, older=0.5),
}


def live_through(seed: int, weather: Weather, directory: Path, *, member_count: int = 3, duration_s: float = 8) -> None:
    """Let a group live in a weather, recover, and check it."""
    world = World(seed, directory, weather, member_count=member_count)
    with use_clock(world.clock):
        try:
            world.run(duration_s)
            world.heal_and_check()
        finally:
            world.close()


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("weather", WEATHERS)
def test_nothing_acknowledged_is_lost(weather: str, seed: int, tmp_path: Path) -> None:
    live_through(seed, WEATHERS[weather], tmp_path)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_acknowledged_is_lost_by_five(seed: int, tmp_path: Path) -> None:
    live_through(seed, WEATHERS["network"], tmp_path, member_count=5)


@contextlib.contextmanager
def calm_group(seed: int, directory: Path, member_count: int) -> Iterator[World]:
    """A group that has a leader and to which nothing happens but what the test does."""
    world = World(seed, directory, replace(CALM, join=0), member_count=member_count)
    with use_clock(world.clock):
        try:
            world.leading()
            yield world
        finally:
            world.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_follower_that_was_cut_off_or_suspended_costs_no_election(seed: int, tmp_path: Path) -> None:
    with calm_group(seed, tmp_path, 3 + seed % 2 * 2) as world:
        leader = world.leading()
        terms = world.terms()
        for _ in range(4):
            victim = world.random.choice([host for host in world.hosts.values() if host is not leader])
            pairs = [(victim.name, name) for name in world.hosts if name != victim.name]
            match world.random.choice(("silenced", "cut off", "cut off from the leader", "suspended")):
                case "silenced":
                    world.silence(victim)
                case "cut off":
                    world.isolate(victim)
                case "cut off from the leader":
                    world.toggle(victim.name, leader.name)
                case "suspended":
                    victim.paused_until_s = world.now_s + world.random.uniform(0.3, 5)
            world.run(world.random.uniform(0.3, 5))
            for pair in pairs:
                if not world.is_joined(*pair):
                    world.toggle(*pair)
            victim.paused_until_s = 0.0
            world.run(1.5)
            assert (world.leading(), world.terms()) == (leader, terms)
        world.heal_and_check()


@pytest.mark.parametrize("seed", range(8))
def test_a_leader_that_was_cut_off_costs_the_one_election_in_which_it_is_replaced(seed: int, tmp_path: Path) -> None:
    with calm_group(seed, tmp_path, 5) as world:
        former, [term, *_] = world.leading(), world.terms()
        (world.silence if seed % 2 else world.isolate)(former)
        world.run(world.random.uniform(2.5, 5))
        assert not former.consensus.leads
        elected = max(world.terms())
        assert elected > term
        for name in world.hosts.keys() - {former.name}:
            world.toggle(former.name, name)
        world.run(2)
        assert (world.leading().consensus.raftCurrentTerm, set(world.terms())) == (elected, {elected})
        world.heal_and_check()


@pytest.mark.parametrize("seed", range(5))
def test_a_leadership_that_is_handed_over_waits_for_no_silence(seed: int, tmp_path: Path) -> None:
    with calm_group(seed, tmp_path, 3) as world:
        former, [term, *_] = world.leading(), world.terms()
        former.consensus.hand_over(1.0)
        # Shorter than any election timeout.
        world.run(0.45)
        assert (world.leading() is former, world.terms()) == (False, [term + 1] * 3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1400))
@pytest.mark.parametrize("weather", WEATHERS)
def test_nothing_acknowledged_is_lost_in_a_long_time(weather: str, seed: int, tmp_path: Path) -> None:
    member_count = 3 if seed % 2 else 5
    live_through(seed, WEATHERS[weather], tmp_path, member_count=member_count, duration_s=25)
