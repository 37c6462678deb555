"""The processes of a cluster are found whatever became of their parents, and nobody else's are."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.local.processes import CLUSTER_VARIABLE, end_processes, find_process, processes_of

# A head with a child and a grandchild, and a driver in a session of its own; all say their pids and wait for input.
HEAD = """
import os, subprocess, sys
wait = [sys.executable, "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"]
parent = wait[:2] + ["import subprocess, sys; subprocess.Popen(%r); sys.stdin.read()" % wait]
subprocess.Popen(parent, env={})
subprocess.Popen(wait, start_new_session=True)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[psutil.Process]:
    """Return a head process with three others."""
    started = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, CLUSTER_VARIABLE: str(tmp_path)},
    )
    assert started.stdout is not None
    for _ in range(3):
        assert started.stdout.readline()
    process = psutil.Process(started.pid)
    family = [process, *process.children(recursive=True)]
    yield process
    for one in family:
        if one.is_running():
            one.kill()
    started.communicate()


def test_all_processes_are_found_when_the_head_was_killed(head: psutil.Process, tmp_path: Path) -> None:
    pid, started, family = head.pid, head.create_time(), {one.pid for one in head.children(recursive=True)}
    assert {one.pid for one in processes_of(pid, started, str(tmp_path))} == {pid, *family}
    head.kill()
    head.wait()
    assert len(family) == 3
    assert find_process(pid, started) is None
    assert {one.pid for one in processes_of(pid, started, str(tmp_path))} == family
    end_processes(pid, started, str(tmp_path))
    assert list(processes_of(pid, started, str(tmp_path))) == []


def test_a_process_that_has_been_given_the_pid_is_not_ours(head: psutil.Process) -> None:
    started = head.create_time() - 100
    assert find_process(head.pid, started) is None
    assert list(processes_of(head.pid, started, "/another/place")) == []


def test_pids_of_before_the_machine_was_started_mean_nothing(head: psutil.Process) -> None:
    pid = head.pid
    head.kill()
    head.wait()
    assert list(processes_of(pid, psutil.boot_time() - 1000, "/another/place")) == []


def test_older_processes_are_not_ours() -> None:
    own = psutil.Process()
    found = list(processes_of(os.getsid(0), own.create_time() + 1000, os.environ.get(CLUSTER_VARIABLE, "")))
    assert found == []
