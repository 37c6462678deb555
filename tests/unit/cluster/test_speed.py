"""Deadlines follow the speed of the machine."""

import time

import pytest

from cluster.local import speed
from cluster.local.speed import SLOWNESS_MAX, slowness
from cluster.node.ray_environment import start_environment


def test_the_factor_is_measured_once_and_within_bounds() -> None:
    assert 1.0 <= slowness() <= SLOWNESS_MAX
    assert slowness() is slowness()


def test_rays_own_times_to_start_grow_with_the_factor() -> None:
    usual, slow = start_environment(1.0), start_environment(4.0)
    assert {name: int(slow[name]) // int(usual[name]) for name in usual} == dict.fromkeys(usual, 4)


def test_a_time_passes_later_on_a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "slowness", lambda: 4.0)
    now_s = time.monotonic()
    assert [speed.has_passed(now_s - waited_s, 10) for waited_s in (5, 39, 41)] == [False, False, True]


def test_the_speed_is_not_measured_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(speed, "slowness")
    assert not speed.has_passed(time.monotonic(), 10)
