"""A process of Ray that is stopped by a signal is said at once, and counts as failed after a while."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.node import gcs_look, ray_keeper
from cluster.node.ray_keeper import RayKeeper, RayRecord
from cluster.node.settings import NodeSettings
from cluster.node.status import RayPhase

SETTINGS = NodeSettings(
    name="node-1", group_id=2, home="", address="a:1", raft_address="a:2", members={}, carries_ray=True
)


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """Return a process that stands for one of Ray."""
    found = subprocess.Popen(["sleep", "60"])
    yield found
    found.kill()
    found.wait()


@pytest.fixture
def keeper(tmp_path: Path, process: "subprocess.Popen[bytes]") -> RayKeeper:
    """Return the keeper of a part of Ray whose process is that one."""
    started, pids = time.time() - 1, {"raylet": process.pid}
    RayRecord(generation=1, address="a:3", starter_pid=process.pid, started=started, directory="", pids=pids).write(
        tmp_path
    )
    return RayKeeper(SETTINGS, tmp_path)


def until(is_reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not is_reached():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def look(keeper: RayKeeper) -> tuple[RayPhase, str]:
    keeper.follow(1, "a:3")
    return keeper.status.phase, keeper.status.problem


def test_a_stopped_process_is_said_and_is_fine_again_when_it_goes_on(
    keeper: RayKeeper, process: "subprocess.Popen[bytes]"
) -> None:
    assert look(keeper) == (RayPhase.RUNNING, "")
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: look(keeper) == (RayPhase.RUNNING, "raylet of Ray is stopped and does nothing"))
    os.kill(process.pid, signal.SIGCONT)
    until(lambda: look(keeper) == (RayPhase.RUNNING, ""))


def test_a_process_that_stays_stopped_counts_as_failed(
    keeper: RayKeeper, process: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_keeper, "HUNG_S", 0.1)
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: look(keeper) == (RayPhase.FAILED, "raylet of Ray is stopped and does nothing"))


def test_a_process_that_is_found_stopped_at_the_start_counts_as_failed_at_once(
    keeper: RayKeeper, process: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: look(keeper)[1] != "")
    assert keeper.status.phase is RayPhase.RUNNING
    after_a_restart = RayKeeper(SETTINGS, tmp_path)
    found = after_a_restart.status
    assert (found.phase, found.problem) == (RayPhase.FAILED, "raylet of Ray is stopped and does nothing")


def test_a_process_that_has_ended_counts_as_failed_at_once(
    keeper: RayKeeper, process: "subprocess.Popen[bytes]"
) -> None:
    process.kill()
    until(lambda: look(keeper) == (RayPhase.FAILED, "raylet of Ray has ended"))


def test_a_control_store_that_does_not_answer_is_said_and_counts_as_failed(
    keeper: RayKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_look, "LOOK_S", 0.01)
    monkeypatch.setattr(gcs_look, "answers", lambda address, **_: False)
    phases = []

    def is_failed() -> bool:
        keeper.follow(1, None)
        phases.append((keeper.status.phase, keeper.status.problem))
        return keeper.status.phase is RayPhase.FAILED

    until(is_failed)
    assert phases[0] == (RayPhase.RUNNING, "")
    assert phases[-1] == (RayPhase.FAILED, "gcs_server of Ray does not answer at a:3")


def test_while_ray_is_started_anew_it_is_said_why(
    keeper: RayKeeper, process: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = threading.Event()
    monkeypatch.setattr(RayKeeper, "_start", lambda *_: starts.wait())
    process.kill()
    until(lambda: look(keeper) == (RayPhase.FAILED, "raylet of Ray has ended"))
    keeper.follow(2, "a:9")
    found = keeper.status
    starts.set()
    assert (found.phase, found.problem) == (RayPhase.STARTING, "raylet of Ray has ended: Ray is being started anew")


def test_a_head_of_which_nothing_is_left_is_no_second_one_of_its_generation(tmp_path: Path) -> None:
    keeper = RayKeeper(SETTINGS, tmp_path)
    keeper.miss(1)
    keeper.follow(1, None)
    assert (keeper.status.phase, keeper.status.generation) == (RayPhase.FAILED, 1)


def test_a_head_that_still_runs_is_not_missed(keeper: RayKeeper) -> None:
    keeper.miss(1)
    assert look(keeper) == (RayPhase.RUNNING, "")


def test_a_start_that_waits_for_a_head_that_is_gone_ends_with_its_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RayKeeper, "_start", lambda *_: threading.Event().wait(20))
    keeper = RayKeeper(SETTINGS, tmp_path)
    keeper._starter = starter = subprocess.Popen(["sleep", "60"], start_new_session=True)
    keeper.follow(1, "a:3")
    keeper.follow(1, "a:3")
    assert starter.poll() is None
    keeper.follow(2, "a:4")
    assert starter.wait(20) == -signal.SIGKILL
