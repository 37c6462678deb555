"""The Raft group under a network and disks that fail, for many seeds: nothing acknowledged is ever lost."""

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


@pytest.mark.parametrize("seed", range(35))
@pytest.mark.parametrize("weather", WEATHERS)
def test_nothing_acknowledged_is_lost(weather: str, seed: int, tmp_path: Path) -> None:
    live_through(seed, WEATHERS[weather], tmp_path)


@pytest.mark.parametrize("seed", range(15))
def test_nothing_acknowledged_is_lost_by_five(seed: int, tmp_path: Path) -> None:
    live_through(seed, WEATHERS["network"], tmp_path, member_count=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1400))
@pytest.mark.parametrize("weather", WEATHERS)
def test_nothing_acknowledged_is_lost_in_a_long_time(weather: str, seed: int, tmp_path: Path) -> None:
    member_count = 3 if seed % 2 else 5
    live_through(seed, WEATHERS[weather], tmp_path, member_count=member_count, duration_s=25)
