"""A cluster of this machine ends with those who started it, and takes nothing else with it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.client.nodes import Nodes
from cluster.errors import NotRunningError
from cluster.local.cluster import stop_cluster
from cluster.local.home import Home
from cluster.local.processes import processes_of
from cluster.local.speed import slowness
from tests.cluster.test_sockets import owner_of

SCRIPT = """
import sys, time
from pathlib import Path
from cluster.local.home import Home
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
home = Home(Path(sys.argv[1]))
prepare_environment(home)
with local_cluster(home, ClusterOptions(member_count=1)) as record:
    print(record.supervisor_pid, flush=True)
    time.sleep(600)
"""


def test_a_cluster_has_no_agents_and_ends_when_its_starter_is_killed(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    starter = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    starter.stdout.readline()
    record = Home(tmp_path).read_record()
    family = list(processes_of(record.supervisor_pid, record.supervisor_started, record.mark))
    names = {owner_of(process) for process in family}
    assert {"gcs_server", "raylet", "cat"} <= names
    assert not any("Agent" in name for name in names)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    eventually(lambda: not any(is_alive(process) for process in family), 60)


def tocsin(directory: Path, *words: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a command on a home."""
    command = [sys.executable, "-m", "cluster", "--home", str(directory), *words]
    variables = {**os.environ, **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)


def said(command: "subprocess.Popen[str]") -> tuple[int, str]:
    """Return the exit code and what a command has said."""
    output, errors = command.communicate(timeout=200 * slowness())
    return command.returncode, output + errors


def test_two_starts_at_once_give_one_cluster_that_ends_wholly_after_its_supervisor_was_killed(tmp_path: Path) -> None:
    both = [tocsin(tmp_path, "up", "--members", "1") for _ in range(2)]
    codes = sorted(said(one) for one in both)
    assert [code for code, _ in codes] == [0, 2]
    assert "`tocsin down` ends it" in codes[1][1]
    record = Home(tmp_path).read_record()
    family = list(processes_of(record.supervisor_pid, record.supervisor_started, record.mark))
    assert len(family) > 3
    psutil.Process(record.supervisor_pid).kill()
    assert said(tocsin(tmp_path, "status"))[0] == 0, "nodes do not need their supervisor to go on"
    assert said(tocsin(tmp_path, "down"))[0] == 0
    assert [process for process in family if is_alive(process)] == []
    assert not Path(record.mark).exists()


def test_a_start_that_is_killed_leaves_nothing(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    starting = tocsin(tmp_path, "up", "--members", "1")
    head = eventually(lambda: psutil.Process(starting.pid).children())[0]
    family = eventually(lambda: len(found := [head, *head.children(recursive=True)]) > 2 and found)
    starting.kill()
    starting.communicate()
    eventually(lambda: not any(is_alive(process) for process in family))
    with pytest.raises(NotRunningError, match="`tocsin up`"):
        Nodes(Home(tmp_path)).state()


def test_a_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    with socket.create_server(("127.0.0.3", 0)) as taken:
        raft_port = taken.getsockname()[1]
        failed = tocsin(tmp_path / "h", "up", "--node-address", f"127.0.0.3:{raft_port - 1}", TMPDIR=str(temporary))
        code, text = said(failed)
    assert (code, f"127.0.0.3:{raft_port}, the address of node-1, is in use" in text) == (2, True), text
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "h" / "cluster.json").exists()
    assert not stop_cluster(Home(tmp_path / "h"))


def test_everything_in_a_home_is_its_owners_alone(home: Home) -> None:
    assert [path for path in home.directory.rglob("*") if path.lstat().st_mode & 0o077] == []


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that only waits for its parent does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    code, text = said(tocsin(tmp_path, "up", "--node-address", "192.0.2.1"))
    assert (code, "192.0.2.1 is no address of this machine" in text) == (2, True), text
