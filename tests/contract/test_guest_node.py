"""What a keeper has done on its machine, with a stand-in for the raylet there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from cluster.deployment import guest_keeper
from cluster.deployment.guest_keeper import GuestKeeper
from cluster.errors import ClusterError
from cluster.local.home import ClusterRecord
from cluster.local.speed import slowness
from cluster.node.guest_node import GuestRequest, begin, end, look, resume
from cluster.node.guest_plan import GuestPlan
from cluster.node.settings import NodeSettings
from tests.contract.test_ray_guest import raylet
from tests.support.raft_process import free_addresses

HOST = "127.0.0.1"


@pytest.fixture
def address() -> str:
    return free_addresses(1)["m0"]


@pytest.fixture
def request_here(tmp_path: Path, address: str) -> Iterator[GuestRequest]:
    """Return a look at a machine that has a raylet."""
    plan = GuestPlan(group_id=2, space="tocsin-abc", base=str(tmp_path / "base"), python="", port=7100, count=3)
    with raylet(tmp_path, address):
        yield GuestRequest(do="look", plan=plan, host=HOST, node_id="abc")


def test_a_machine_says_what_it_has_and_which_ray_it_belongs_to(request_here: GuestRequest, address: str) -> None:
    said = look(request_here)
    assert (said["name"], said["ray_address"], said["supervisor_pid"]) == ("", address, 0)
    assert said["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    known = NodeSettings(
        name="node-4",
        group_id=2,
        home=str(request_here.home.directory),
        address=f"{HOST}:7100",
        raft_address=f"{HOST}:7101",
        members={},
        carries_ray=True,
    )
    known.write(request_here.home.member_directory(2, "node-4"))
    assert look(request_here)["name"] == "node-4"


def test_a_home_is_that_of_the_machine_and_of_the_password(request_here: GuestRequest) -> None:
    assert str(request_here.home.directory).endswith("/base/tocsin-abc/127.0.0.1")
    other = replace(request_here, host="fd00::1")
    assert str(other.home.directory).endswith("/base/tocsin-abc/fd00--1")
    assert (other.address, other.raft_address) == ("[fd00::1]:7100", "[fd00::1]:7101")


def test_a_raylet_that_is_not_seen_is_said(request_here: GuestRequest) -> None:
    with pytest.raises(ClusterError, match=r"the raylet of 127\.0\.0\.1 is none of the processes"):
        begin(replace(request_here, node_id="def"))


def test_what_was_ended_does_not_come_back_and_what_was_never_there_is_not_started(request_here: GuestRequest) -> None:
    assert resume(request_here) == {"supervisor_pid": 0}
    assert end(request_here) == {"ended": False}


def test_a_node_that_should_run_and_does_not_is_begun_again(
    request_here: GuestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = request_here.home
    home.prepare()
    gone = ClusterRecord(
        supervisor_pid=os.getpid(),
        supervisor_started=1.0,
        mark="/none",
        dashboard_address=None,
        group_id=2,
        node_addresses={"node-1": "a:1"},
    )
    home.write_record(gone)
    begun: list[tuple[GuestRequest, bool]] = []
    monkeypatch.setattr("cluster.node.guest_node.begin", lambda one, waits: begun.append((one, waits)) or {})
    resume(request_here)
    assert begun == [(request_here, False)]


PYTHON = """#!{python}
import json, sys
request = json.loads(sys.stdin.read())
with open({heard!r}, "a") as file:
    file.write(json.dumps(request) + "\\n")
print("a line of a library")
print(json.dumps({{"supervisor_pid": {pid}, "do": request["do"]}}))
"""


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[GuestKeeper, Path]]:
    """Return what makes a keeper whose Python says that a supervisor runs, and the file of what it heard."""
    monkeypatch.setattr(guest_keeper, "LOOK_S", 0.02)

    def make(pid: int) -> tuple[GuestKeeper, Path]:
        program, heard = tmp_path / "python", tmp_path / "heard"
        program.write_text(PYTHON.format(python=sys.executable, heard=str(heard), pid=pid))
        program.chmod(0o700)
        return GuestKeeper(str(program), json.dumps({"host": HOST})), heard

    return make


def requests(heard: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in heard.read_text().splitlines()] if heard.exists() else []


def wait_for(heard: Path, wanted: list[str]) -> None:
    """Wait until these were the first requests."""
    deadline_s = time.monotonic() + 20 * slowness()
    while [one["do"] for one in requests(heard)][: len(wanted)] != wanted:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_keeper_hands_requests_on(
    keeper: Callable[[int], tuple[GuestKeeper, Path]],
) -> None:
    made, heard = keeper(0)
    assert json.loads(made.ask(json.dumps({"do": "begin", "password": "p"})))["do"] == "begin"
    assert requests(heard) == [{"host": HOST, "do": "begin", "password": "p"}]


def test_a_keeper_that_ray_has_started_again_takes_up_what_should_run(
    keeper: Callable[[int], tuple[GuestKeeper, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_keeper, "_was_restarted", lambda: True)
    _, heard = keeper(0)
    wait_for(heard, ["resume"])


def test_a_keeper_starts_a_node_again_whose_supervisor_has_ended(
    keeper: Callable[[int], tuple[GuestKeeper, Path]],
) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        ended.wait()
    made, heard = keeper(ended.pid)
    made.ask(json.dumps({"do": "begin"}))
    wait_for(heard, ["begin", "resume"])


def test_a_python_without_tocsin_is_said(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'No module named cluster' >&2\nexit 1\n")
    program.chmod(0o700)
    said = json.loads(GuestKeeper(str(program), "{}").ask(json.dumps({"do": "look"})))
    assert said["error"] == f"Tocsin does not run with {program}: No module named cluster"
    missing = json.loads(GuestKeeper(str(tmp_path / "none"), "{}").ask(json.dumps({"do": "look"})))
    assert "none cannot be run" in missing["error"]


def test_what_tells_a_worker_of_ray_who_it_is_goes_no_further() -> None:
    kept = {"HOME", "RAY_AUTH_TOKEN_PATH", "RAY_TLS_CA_CERT", "RAY_worker_niceness", "PYTHONPATH"}
    dropped = {"RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_NODE_ID", "TOCSIN_HOME"}
    assert {name for name in kept | dropped if guest_keeper._is_kept(name)} == kept


def test_a_request_travels_as_json(request_here: GuestRequest) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cluster.node.guest_node"],
        input=json.dumps(asdict(request_here)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["name"] == ""
