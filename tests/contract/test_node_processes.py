"""Processes of a node are started again when they end, and end with who started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cluster.local.home import Home
from cluster.local.ports import free_ports
from cluster.local.speed import slowness
from cluster.node import child as module
from cluster.node.child import LeaderChild
from cluster.node.ray_keeper import RayKeeper, RayRecord
from cluster.node.settings import NodeSettings
from cluster.node.status import ChildStatus, RayPhase
from cluster.node.supervise import STAY_LINE


def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + timeout_s * slowness()
    while not condition():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.02)


def test_a_supervisor_ends_when_its_node_cannot_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cluster.node.supervise", str(tmp_path)]
    supervisor = subprocess.run(command, input=STAY_LINE, text=True, timeout=60 * slowness(), check=True)
    assert supervisor.returncode == 0
    said = (tmp_path / "node.log").read_text()
    assert "the node cannot run" in said
    assert "node.json cannot be read" in said
    assert "Traceback" not in said


SHORT_SILENCE = "import cluster.node.supervise as module; module.SILENCE_S_MAX = 2.0; module.main()"


@pytest.mark.slow
def test_a_node_process_beats_and_is_replaced_when_it_is_stopped(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.ensure_secrets(2)
    own, raft = free_ports(2, "127.0.0.2")
    directory = home.member_directory(2, "node-1")
    members = {"node-1": f"127.0.0.2:{raft}"}
    node = replace(settings(home.directory), address=f"127.0.0.2:{own}", raft_address=members["node-1"])
    replace(node, members=members, carries_ray=False).write(directory)
    command = [sys.executable, "-c", SHORT_SILENCE, str(directory)]
    supervisor = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def pid() -> int:
        found = psutil.Process(supervisor.pid).children()
        return found[0].pid if found and found[0].status() != psutil.STATUS_ZOMBIE else 0

    try:
        # From its first look at the group, which begins a leader's process, several times as long as it may be silent.
        eventually((directory / "leader.log").exists)
        first, began_s = pid(), time.monotonic()
        eventually(lambda: time.monotonic() - began_s > 6.0)
        assert pid() == first
        os.kill(first, signal.SIGSTOP)
        eventually(lambda: pid() not in (0, first))
        assert not psutil.pid_exists(first)
        eventually(lambda: node_log(directory).count("became leader") == 2)
    finally:
        supervisor.terminate()
        supervisor.wait(60 * slowness())


def node_log(directory: Path) -> str:
    """Return what a node has said."""
    path = directory / "node.log"
    return path.read_text() if path.exists() else ""


def test_a_supervisor_ends_with_its_starter(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cluster.node.supervise"]
    supervisor = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert supervisor.stdin is not None
    supervisor.stdin.close()
    assert supervisor.wait(20 * slowness()) == 0


def test_a_leaders_process_that_ends_is_started_again_after_a_pause(tmp_path: Path) -> None:
    # Its directory has no settings, so that it ends at once.
    child = LeaderChild(tmp_path)
    assert not child.follow("127.0.0.1:1")
    first = child.status.pid
    assert psutil.pid_exists(first)
    eventually(lambda: not child.follow("127.0.0.1:1") and child.status.pid not in (0, first))
    child.end()
    assert child.status == ChildStatus()


def test_a_leaders_process_that_falls_silent_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S_MAX", 0.3)
    child = LeaderChild(tmp_path)
    child.follow("127.0.0.1:1")
    pid = child.status.pid
    os.kill(pid, 19)
    child.heard(pid, "127.0.0.1:7")
    assert child.is_ready
    child.heard(pid + 1, "of another process")
    assert child.status == ChildStatus(pid=pid, address="127.0.0.1:7")
    eventually(lambda: child.follow("127.0.0.1:1"))
    assert not psutil.pid_exists(pid)
    child.end()


def test_a_leaders_process_ends_when_its_ray_is_over(tmp_path: Path) -> None:
    child = LeaderChild(tmp_path)
    child.follow("127.0.0.1:1")
    pid = child.status.pid
    os.kill(pid, 19)
    child.follow("")
    assert child.status == ChildStatus()
    assert not psutil.pid_exists(pid)


def test_a_leaders_process_that_was_stopped_does_not_outlive_its_node_for_long(tmp_path: Path) -> None:
    of_former_node = LeaderChild(tmp_path)
    of_former_node.follow("127.0.0.1:1")
    pid = of_former_node.status.pid
    os.kill(pid, signal.SIGSTOP)
    began_s = time.monotonic()
    LeaderChild(tmp_path)
    # Nobody has waited for it yet, and the next node does not either.
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert time.monotonic() - began_s < module.END_S
    of_former_node.end()


def test_a_leaders_process_stands_by_until_there_is_a_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S_MAX", 0.0)
    monkeypatch.setattr(module, "READY_TIMEOUT_S", 0.0)
    child = LeaderChild(tmp_path)
    child.follow("")
    pid = child.status.pid
    os.kill(pid, 19)
    for address in ("", "127.0.0.1:1"):
        child.follow(address)
        assert child.status.pid == pid
    child.follow(None)
    assert not psutil.pid_exists(pid)


def settings(directory: Path) -> NodeSettings:
    """Return what a node is told that carries Ray."""
    return NodeSettings(
        name="node-1",
        group_id=2,
        home=str(directory),
        address="127.0.0.2:1",
        raft_address="127.0.0.2:2",
        members={"node-1": "127.0.0.2:2"},
        carries_ray=True,
        mark=str(directory / "mark"),
    )


def test_ray_that_runs_is_taken_over_and_its_end_is_noticed(tmp_path: Path) -> None:
    stand_in = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    started = psutil.Process(stand_in.pid).create_time()
    record = RayRecord(
        generation=3,
        address="127.0.0.2:9",
        starter_pid=stand_in.pid,
        started=started,
        directory=str(tmp_path / "ray"),
        pids={"gcs_server": stand_in.pid},
    )
    record.write(tmp_path)
    keeper = RayKeeper(settings(tmp_path), tmp_path)
    keeper.follow(3, None)
    assert (keeper.status.phase, keeper.status.generation) == (RayPhase.RUNNING, 3)
    stand_in.kill()
    stand_in.wait()
    keeper.follow(3, None)
    assert (keeper.status.phase, keeper.status.problem) == (RayPhase.FAILED, "gcs_server of Ray has ended")
    keeper.end()
    assert RayRecord.read(tmp_path) is None


def test_a_node_process_imports_neither_ray_nor_what_jobs_need() -> None:
    heavy = ("ray", "polars", "numpy", "pydantic", "matplotlib", "actors.engine", "config")
    code = f"import sys, cluster.node.node; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
