"""Deadlines follow the speed of the machine."""

from cluster.local.head import start_environment
from cluster.local.speed import SLOWNESS_MAX, slowness


def test_the_factor_is_measured_once_and_within_bounds() -> None:
    assert 1.0 <= slowness() <= SLOWNESS_MAX
    assert slowness() is slowness()


def test_rays_own_times_to_start_grow_with_the_factor() -> None:
    usual, slow = start_environment(1.0), start_environment(4.0)
    assert {name: int(slow[name]) // int(usual[name]) for name in usual} == dict.fromkeys(usual, 4)
