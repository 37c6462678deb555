"""The supervisor gives up a node that never ran, and no other; one that hangs is killed before it is replaced."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.node import supervise as module
from cluster.node.beat import BEAT_S, BEAT_VARIABLE, Beat
from cluster.node.supervise import CANNOT_RUN, LOOK_S, RESTART_S_MAX, SILENCE_S_MAX, START_S_MAX, Supervised


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a node whose process says at each look that it cannot run; `clock` holds the time."""
    clock = SimpleNamespace(now_s=100.0, start_count=0)

    def start(*_: object, **__: object) -> Any:
        clock.start_count += 1
        return SimpleNamespace(poll=lambda: CANNOT_RUN)

    monkeypatch.setattr("time.monotonic", lambda: clock.now_s)
    monkeypatch.setattr("subprocess.Popen", start)
    supervised: Any = Supervised(tmp_path)
    supervised.clock = clock
    return supervised


def test_a_node_that_cannot_run_at_its_start_is_given_up(node: Any) -> None:
    assert node.look()
    assert not node.look()


def test_a_node_that_has_run_is_started_again_however_often_it_cannot_run(node: Any) -> None:
    node.look()
    node.clock.now_s += RESTART_S_MAX + 1
    for _ in range(5):
        assert node.look()
        node.clock.now_s += RESTART_S_MAX
        assert node.look()
    assert node.clock.start_count == 6


def test_a_node_for_whose_log_there_is_no_room_is_started_later(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("subprocess.Popen", start)
        assert node.look()
    assert node.look()
    node.clock.now_s += RESTART_S_MAX
    node.look()
    assert node.clock.start_count == 1


class Running:
    """A process that runs until it is killed, and the node's end of its pipe."""

    def __init__(self, _: object, **options: Any) -> None:
        self.pid = os.getpid()
        self.kills = 0
        self.is_told = False
        beating = os.dup(options["pass_fds"][0])
        self.environment = {**options["env"], BEAT_VARIABLE: str(beating)}
        self.beat = Beat(self.environment)
        self.beating = beating

    def poll(self) -> int | None:
        return -signal.SIGKILL if self.kills else None

    def kill(self) -> None:
        self.kills += 1

    def terminate(self) -> None:
        self.is_told = True


class World:
    """A supervisor whose node runs, and the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.now_s = 1000.0
        self.started: list[Running] = []
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)
        monkeypatch.setattr("subprocess.Popen", self._start)
        self.node = Supervised(directory)
        self.node.look()

    def _start(self, *arguments: Any, **options: Any) -> Running:
        self.started.append(Running(*arguments, **options))
        return self.started[-1]

    def pass_time(self, seconds: float, *, beats: bool = False) -> None:
        for _ in range(round(seconds / LOOK_S)):
            self.now_s += LOOK_S
            if beats:
                self.started[-1].beat.give()
            self.node.look()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    monkeypatch.setattr(module, "slowness_now", lambda: 3.0)
    world = World(monkeypatch, tmp_path)
    yield world
    for process in world.started:
        os.close(process.beating)
    world.node._listen_no_more()


def test_a_node_that_beats_is_left_alone(world: World) -> None:
    world.pass_time(10 * SILENCE_S_MAX, beats=True)
    assert [process.kills for process in world.started] == [0]


def test_a_stopped_node_is_killed_once_and_then_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_stopped", lambda _: True)
    world.pass_time(2 * BEAT_S, beats=True)
    world.pass_time(SILENCE_S_MAX - 1)
    assert [process.kills for process in world.started] == [0]
    world.pass_time(2)
    assert [process.kills for process in world.started] == [1, 0]


def test_a_node_that_only_says_nothing_is_killed_after_a_time_in_proportion_to_the_speed(world: World) -> None:
    world.pass_time(2 * BEAT_S, beats=True)
    world.pass_time(3 * SILENCE_S_MAX - 2)
    assert [process.kills for process in world.started] == [0]
    world.pass_time(3)
    assert [process.kills for process in world.started] == [1, 0]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_only_a_stopped_node_is_killed_at_once_when_all_shall_end(
    is_stopped: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_is_stopped", lambda _: is_stopped)
    world.node.end()
    assert (world.started[0].kills, world.started[0].is_told) == (int(is_stopped), not is_stopped)


def test_a_node_that_is_stopped_while_it_starts_is_replaced_as_soon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_is_stopped", lambda _: True)
    world.pass_time(SILENCE_S_MAX - 1)
    assert [process.kills for process in world.started] == [0]
    world.pass_time(2)
    assert world.started[0].kills == 1


def test_a_node_that_starts_has_time(world: World) -> None:
    world.pass_time(3 * START_S_MAX - 2)
    assert [process.kills for process in world.started] == [0]


def test_a_supervisor_that_was_stopped_itself_does_not_take_that_for_silence(world: World) -> None:
    world.pass_time(2 * BEAT_S, beats=True)
    world.now_s += 100 * SILENCE_S_MAX
    world.node.look()
    world.pass_time(SILENCE_S_MAX, beats=True)
    assert [process.kills for process in world.started] == [0]
