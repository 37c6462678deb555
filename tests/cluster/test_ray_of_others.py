"""A cluster that uses a Ray which others have started: it comes, works, survives and goes, and that Ray goes on."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.source.open import open_source
from cluster.client.chaos import kill_and_measure
from cluster.client.client import Client
from cluster.local.compare import undisturbed_entries
from cluster.local.home import Home
from cluster.local.ports import free_ports
from cluster.local.speed import slowness
from cluster.node.gcs_look import answers
from cluster.node.ray_guest import find_raylet
from tests.support.trades import trades_job, write_trades

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROW_COUNT = 60_000
"""Rows of the job's file; enough for its leader and Ray to be killed on the way."""


class OthersRay:
    """A Ray with one machine, as a company has it."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_ports(1, '127.0.0.1')[0]}"
        self._directory = tempfile.mkdtemp(prefix="others-")
        self._process: subprocess.Popen[bytes] | None = None
        # The names that its owner gives, and none of ours.
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._environment |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}

    @property
    def environment(self) -> dict[str, str]:
        """What those who use it need in their environment."""
        return self._environment

    def start(self) -> None:
        """Start its head, and wait for it."""
        words = ("--head", "--block", "--node-ip-address=127.0.0.1", "--include-dashboard=false", "--num-cpus=1")
        more = (f"--port={self.address.rpartition(':')[2]}", f"--temp-dir={self._directory}")
        ray = str(Path(sys.executable).with_name("ray"))
        self._process = subprocess.Popen(
            [ray, "start", *words, *more, "--object-store-memory=100000000"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def is_up(self) -> bool:
        """Whether it runs and answers."""
        return find_raylet(self.address) is not None and answers(self.address)

    def workers(self) -> list[str]:
        """Return what its workers do that are actors of ours."""
        raylet = find_raylet(self.address)
        assert raylet is not None
        found = []
        for child in psutil.Process(raylet.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(" ".join(child.cmdline()))
        return [name for name in found if "PartitionHost" in name or "HostPool" in name]

    def end(self) -> None:
        """Kill all of it."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if self._directory in " ".join(process.cmdline()):
                    for child in process.children(recursive=True):
                        child.kill()
                    process.kill()
        if self._process is not None:
            self._process.wait()

    def close(self) -> None:
        """Kill all of it, and remove what it has written."""
        self.end()
        shutil.rmtree(self._directory, ignore_errors=True)


@pytest.fixture
def others(eventually: Callable[..., Any]) -> Iterator[OthersRay]:
    """Return a Ray of others that is up."""
    ray = OthersRay()
    try:
        ray.start()
        eventually(ray.is_up)
        yield ray
    finally:
        ray.close()


def tocsin(home: Home, others: OthersRay, *words: str, codes: tuple[int, ...] = (0,)) -> str:
    """Return what a command says, which ends with one of these codes."""
    command = [sys.executable, "-m", "cluster", "--home", str(home.directory), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env=others.environment, timeout=200 * slowness(), check=False
    )
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_ray_of_others_is_used_and_left_as_it_was(
    others: OthersRay, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    home, path = Home(tmp_path / "home"), tmp_path / "trades.parquet"
    write_trades(path, ROW_COUNT, key_count=200, seed=7)
    job = trades_job("guest", path, batch_rows=150)
    try:
        tocsin(home, others, "up", "--ray-address", others.address, "--members", "3")
        client = Client(home)
        client.submit(job)
        eventually(lambda: (status := client.runner_status("guest")) is not None and status.pump is not None)
        assert others.workers()
        kill_and_measure(client)
        # Its owner loses it and starts it again; that is said, and the job goes on.
        others.end()
        eventually(lambda: "which others run" in tocsin(home, others, "status", codes=(0, 1, 2)))
        others.start()
        eventually(others.is_up)
        assert client.wait_finished("guest", 200 * slowness()).failed is None
        source = open_source(job, path.parent)
        expected = undisturbed_entries(job, source, {0: ROW_COUNT}, lambda: time.time_ns() // 1000)
        assert client.anomaly_entries("guest") == list(expected)
        assert others.workers()
        assert "down" in tocsin(home, others, "down")
        assert others.is_up()
        eventually(lambda: not others.workers())
    finally:
        tocsin(home, others, "down")
