"""A Ray of others as a node sees it: stand-ins for its raylet, which is known by its command line, and its store."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from cluster.errors import ClusterError
from cluster.local.cluster import ClusterOptions, start_cluster
from cluster.local.home import Home
from cluster.local.speed import slowness
from cluster.node import gcs_look, ray_guest
from cluster.node.ray_guest import RayGuest, find_raylet, usable_raylet
from cluster.node.settings import NodeSettings
from cluster.node.status import RayPhase
from tests.support.raft_process import free_addresses


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than on a real machine."""
    monkeypatch.setattr(gcs_look, "LOOK_S", 0.02)
    monkeypatch.setattr(ray_guest, "FIND_S", 0.0)


@contextlib.contextmanager
def raylet(directory: Path, address: str, version: str = "") -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process that looks like a raylet of a Ray with that control store."""
    package = directory / "ray"
    package.mkdir(exist_ok=True)
    if version:
        (package / "_version.py").write_text(f'commit = "c"\nversion = "{version}"\n')
    words = [f"{package}/core/src/ray/raylet/raylet", "-c", "read line", f"--gcs-address={address}"]
    process = subprocess.Popen(
        [*words, "--node_ip_address=127.0.0.1", "--node_id=abc"], executable="/bin/sh", stdin=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


@contextlib.contextmanager
def control_store(address: str) -> Iterator[None]:
    """Answer as Ray's control store does."""
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_insecure_port(address)
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


@pytest.fixture
def address() -> str:
    return free_addresses(1)["m0"]


@pytest.fixture
def guest(address: str) -> Iterator[RayGuest]:
    """Return what watches the Ray at an address."""
    node = NodeSettings(
        name="node-1",
        group_id=2,
        home="/home",
        address="127.0.0.2:1",
        raft_address="127.0.0.2:2",
        members={},
        carries_ray=True,
        ray_address=address,
        allowed_paths="/data",
    )
    watching = RayGuest(node, {})
    yield watching
    watching.end()


def until(guest: RayGuest, phase: RayPhase, generation: int = 1) -> str:
    """Watch until a phase is reached, and return what is wrong then."""
    deadline_s = time.monotonic() + 20 * slowness()
    while True:
        guest.follow(generation, None)
        if guest.status.phase is phase:
            return guest.status.problem
        assert time.monotonic() < deadline_s, guest.status
        time.sleep(0.01)


def test_it_runs_when_raylet_and_control_store_are_there(guest: RayGuest, address: str, tmp_path: Path) -> None:
    assert "no raylet of the Ray at" in until(guest, RayPhase.STARTING)
    with raylet(tmp_path, address):
        assert "does not answer" in until(guest, RayPhase.STARTING)
        with control_store(address):
            assert until(guest, RayPhase.RUNNING) == ""
            place = guest.status.place
            assert place is not None
            assert (guest.status.address, place.node_id) == (address, "abc")
            assert place.variables["TOCSIN_ALLOWED_PATHS"] == "/data"


def test_a_control_store_that_is_gone_counts_as_failed_until_the_next_generation(
    guest: RayGuest, address: str, tmp_path: Path
) -> None:
    with raylet(tmp_path, address):
        with control_store(address):
            until(guest, RayPhase.RUNNING)
        assert "which others run, does not answer" in until(guest, RayPhase.FAILED)
        guest.follow(2, None)
        assert guest.status.phase is RayPhase.STARTING
        with control_store(address):
            assert until(guest, RayPhase.RUNNING, generation=2) == ""


def test_a_raylet_that_has_ended_counts_as_failed_until_there_is_another(
    guest: RayGuest, address: str, tmp_path: Path
) -> None:
    with control_store(address):
        with raylet(tmp_path, address):
            until(guest, RayPhase.RUNNING)
        assert "no raylet" in until(guest, RayPhase.FAILED)
        with raylet(tmp_path, address):
            assert until(guest, RayPhase.RUNNING) == ""


def test_an_address_of_loopback_stands_for_that_of_the_machine(tmp_path: Path) -> None:
    with raylet(tmp_path, "10.9.8.7:4567"):
        assert [find_raylet(one) is not None for one in ("127.0.0.1:4567", "10.9.8.7:4567", "10.9.8.6:4567")] == [
            True,
            True,
            False,
        ]


def test_another_version_of_ray_is_refused_and_said(guest: RayGuest, address: str, tmp_path: Path) -> None:
    with raylet(tmp_path, address, version="1.2.3"), control_store(address):
        with pytest.raises(ClusterError, match=r"is version 1\.2\.3, that of Tocsin .*; install the same one"):
            usable_raylet(address)
        assert "is version 1.2.3" in until(guest, RayPhase.STARTING)


def test_a_ray_of_another_user_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getuid()
    with raylet(tmp_path, address):
        monkeypatch.setattr(os, "getuid", lambda: own + 1)
        with pytest.raises(ClusterError, match=f"as user {own}, Tocsin as {own + 1}.*run both as the same user"):
            usable_raylet(address)


def test_only_workers_of_that_raylet_are_killed(guest: RayGuest, address: str, tmp_path: Path) -> None:
    with raylet(tmp_path, address) as process, control_store(address):
        until(guest, RayPhase.RUNNING)
        assert not guest.end_worker(process.pid)
        assert not guest.end_worker(os.getpid())
        assert process.poll() is None


REFUSED: list[tuple[Callable[[], ClusterOptions], str]] = [
    (lambda: ClusterOptions(ray_address="nowhere"), "--ray-address: 'nowhere' is no address; write host:port"),
    (lambda: ClusterOptions(ray_address="127.0.0.1:1"), "no raylet of the Ray at 127.0.0.1:1 runs on this machine"),
    (lambda: ClusterOptions(ray_address="127.0.0.1:1", cpu_count=1), "leave out --cpus and --dashboard"),
    (lambda: ClusterOptions(ray_address="127.0.0.1:1", node_address=("10.0.0.1", 1)), "leave out --node-address"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_what_cannot_be_is_refused_before_anything_starts(
    options: Callable[[], ClusterOptions], words: str, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(ClusterError, match=words):
        start_cluster(home, options())
    assert not home.directory.exists()
