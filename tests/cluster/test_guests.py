"""A Ray of others on three machines, each a network namespace: a cluster comes onto it, loses one, and leaves it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.local.speed import slowness
from tests.support.company import Entries
from tests.support.namespaces import Machine, Machines, can_make
from tests.support.trades import JOB, parquet

pytestmark = [
    pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2"),
    pytest.mark.timeout(1500),
    pytest.mark.slow,
]

PORT = 6379
START_COUNT = 10
"""Ray gives its own processes 30 s to start, which a busy machine does not always keep."""

_TABLE = """
import sys
from cluster.client.client import Client
client = Client.find()
client.wait_finished(sys.argv[1], 400)
for key, value in client.anomaly_entries(sys.argv[1]):
    print(key.hex(), value.hex())
"""


class OthersMachine:
    """A machine of a Ray that a stranger to Tocsin has started."""

    def __init__(self, machine: Machine, head: Machine) -> None:
        self.machine = machine
        self._head = head
        self._directories: list[str] = []
        user = machine.directory / "user"
        user.mkdir()
        # Tocsin is installed there; nothing else of ours is, and each machine has a user's directory of its own.
        ours = ("RAY_", "TOCSIN_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment |= {"HOME": str(user), "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
        # As docs/operations.md asks of its owner: at the niceness of Ray's own a busy machine starves hosts.
        self.environment["RAY_worker_niceness"] = "0"

    def start(self) -> None:
        """Run `ray start`, until that comes to something."""
        ray = str(Path(sys.executable).with_name("ray"))
        address = self.machine.address
        is_head = self.machine is self._head
        role = ["--head", f"--port={PORT}", "--include-dashboard=false"]
        words = role if is_head else [f"--address={self._head.address}:{PORT}"]
        for _ in range(START_COUNT):
            self._directories.append(tempfile.mkdtemp(prefix="others-"))
            more = (f"--node-ip-address={address}", "--num-cpus=1", f"--temp-dir={self._directories[-1]}")
            command = self.machine.command(ray, "start", *words, *more, "--object-store-memory=80000000")
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            for pid in self.raylets():
                os.kill(pid, 9)
        raise AssertionError(done.stdout + done.stderr)

    def raylets(self) -> list[int]:
        """Return the processes of Ray itself there."""
        return [pid for pid in self.machine.pids() if b"/ray/" in _command(pid) or b"ray::" in _command(pid)]

    def power_off(self) -> None:
        """Kill everything there."""
        self.machine.power_off()

    def close(self) -> None:
        """Remove what Ray has written."""
        for directory in self._directories:
            shutil.rmtree(directory, ignore_errors=True)


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def ours(machine: Machine) -> list[bytes]:
    """Return the command lines of what Tocsin has running on a machine."""
    words = (b"cluster.node", b"PartitionHost", b"HostPool", b"GuestKeeper")
    return [line for line in map(_command, machine.pids()) if any(word in line for word in words)]


@pytest.fixture
def others(tmp_path: Path) -> Iterator[tuple[list[OthersMachine], Machine]]:
    """Return three machines of a Ray that is up, and a fourth that is none of them."""
    with Machines(tmp_path / "machines", 4) as made:
        rays = [OthersMachine(machine, made[0]) for machine in made[:3]]
        try:
            for one in rays:
                one.start()
            yield rays, made[3]
        finally:
            for one in rays:
                one.close()


def tocsin(on: OthersMachine, home: Path, *words: str, code: int | None = 0) -> str:
    """Return what a command says on a machine of that Ray."""
    command = on.machine.command(sys.executable, "-m", "cluster", "--home", str(home), *words)
    done = subprocess.run(
        command, env=on.environment, capture_output=True, text=True, timeout=300 * slowness(), check=False
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


class Outsider:
    """A machine that has nothing but addresses of nodes and the password."""

    def __init__(self, machine: Machine, addresses: str, password: Path) -> None:
        self._machine = machine
        kept = machine.directory / "password"
        shutil.copy(password, kept)
        self._environment = {
            **os.environ,
            "HOME": str(machine.directory),
            "TOCSIN_ADDRESS": addresses,
            "TOCSIN_PASSWORD_FILE": str(kept),
        }

    def run(self, *words: str, code: int | None = 0) -> str:
        """Return what a program of Python says there."""
        command = self._machine.command(sys.executable, *words)
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=600, check=False)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ask(self, *words: str, code: int | None = 0) -> str:
        """Return what a command says."""
        return self.run("-m", "cluster", *words, code=code)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return what `tocsin nodes` says, by name."""
        lines = self.ask("nodes", "--json", code=None).splitlines()
        return {row["node"]: row for row in map(json.loads, filter(lambda line: line[:1] == "{", lines))}

    def rays(self) -> set[str]:
        """Return what Ray does on the nodes."""
        return {row["ray"] for row in self.nodes().values()}

    def table(self, job: str) -> Entries:
        """Wait for the end of a job and return its anomaly table."""
        rows = (line.split() for line in self.run("-c", _TABLE, job).splitlines())
        return [(bytes.fromhex(key), bytes.fromhex(value)) for key, value in rows]


def begin(rays: list[OthersMachine], home: Path, allowed: Path) -> None:
    """Have a cluster on these machines, each with a home of its own below the directory of the user there."""
    address = f"{rays[0].machine.address}:{PORT}"
    said = tocsin(rays[0], home, "up", "--ray-address", address, "--allow-path", str(allowed))
    for number, one in enumerate(rays, 1):
        assert f"node-{number} at {one.machine.address}:7100" in said
        assert list((one.machine.directory / "user/.tocsin-ray").glob("tocsin-*/*/group-2/node-*/node.json"))


def restart_ray(rays: list[OthersMachine], is_missed: Callable[[], object]) -> None:
    """Kill all of Ray, and start it again when that has been noticed."""
    for one in rays:
        for pid in one.raylets():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
    is_missed()
    for one in rays:
        one.start()


def alive_count(on: OthersMachine) -> int:
    """Return how many machines Ray has."""
    # By its address: `auto` looks among all processes of the machine that the namespaces share.
    init = f"ray.init('{on.machine.address}:{PORT}', _node_ip_address='{on.machine.address}', log_to_driver=False)"
    program = f"import ray; {init}; print(sum(n['Alive'] for n in ray.nodes()))"
    command = on.machine.command(sys.executable, "-c", program)
    done = subprocess.run(command, env=on.environment, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def test_a_machine_of_that_ray_dies_and_all_of_it_is_restarted_and_nothing_is_lost(
    others: tuple[list[OthersMachine], Machine],
    trades: Path,
    expected: Entries,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    rays, outside = others
    first, second, third = rays
    home = first.machine.directory / "front"
    begin(rays, home, tmp_path.parent.parent)
    addresses = f"{first.machine.address},{second.machine.address}"
    outsider = Outsider(outside, addresses, home / "password")
    assert outsider.rays() == {"running"}
    job = outside.directory / "job.yaml"
    job.write_text(JOB.format(name="guest", source=parquet(trades), hosts=3, batch_rows=200))
    outsider.ask("submit", str(job))
    assert not (outside.directory / ".tocsin").exists()
    eventually(lambda: all(b"PartitionHost" in b"".join(ours(one.machine)) for one in rays), 120)

    # A machine dies that has not Ray's own head, and with it a host and a member.
    third.power_off()
    assert outsider.table("guest") == expected
    assert [name for name, row in outsider.nodes().items() if not row["answers"]] == ["node-3"]
    # Its owner starts Ray there again, and the node comes by itself.
    third.start()
    eventually(lambda: outsider.nodes()["node-3"]["ray"] == "running", 240)

    # The owner restarts all of Ray; the group goes on by itself, with what it had.
    restart_ray(rays, lambda: eventually(lambda: "which others run" in outsider.ask("status", code=None)))
    eventually(lambda: outsider.rays() == {"running"}, 240)
    assert outsider.table("guest") == expected

    assert "down" in tocsin(first, home, "down")
    for one in rays:
        eventually(lambda one=one: not ours(one.machine))
    assert alive_count(first) == 3
