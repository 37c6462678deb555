"""Three machines, each a network namespace with its own address and directory: any may die, and nobody gets in."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.local.speed import slowness
from tests.support.namespaces import Machine, Machines, can_make
from tests.support.trades import JOB

pytestmark = [
    pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2"),
    pytest.mark.timeout(900),
]

Entries = list[tuple[bytes, bytes]]

TABLE = """
import sys, time
from pathlib import Path
from cluster.client.client import Client
from cluster.local.home import Home
client = Client(Home(Path(sys.argv[1])))
client.wait_finished(sys.argv[2], 400)
for key, value in client.anomaly_entries(sys.argv[2]):
    print(key.hex(), value.hex())
"""


def start(machine: Machine, *words: str) -> "subprocess.Popen[str]":
    """Start a command of Tocsin on a machine."""
    command = machine.command(sys.executable, "-m", "cluster", "--home", str(machine.directory / "home"), *words)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def said(machine: Machine, *words: str, code: int = 0) -> str:
    """Return what a command says, which ends with that code."""
    process = start(machine, *words)
    output, _ = process.communicate(timeout=200 * slowness())
    assert process.returncode == code, output
    return output


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """Return three machines that are one cluster; the first carries Ray's head."""
    with Machines(tmp_path_factory.mktemp("machines"), 3) as made:
        first, *others = made
        said(first, "up", "--node-address", first.address)
        for machine in others:
            password = machine.directory / "password"
            shutil.copy(first.directory / "home" / "password", password)
            password.chmod(0o600)
            arguments = ("--node-address", machine.address, "--password-file", str(password))
            said(machine, "join", f"{first.address}:7100", *arguments)
        yield made


def nodes(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return what `tocsin nodes` says, by name."""
    process = start(machine, "nodes", "--json")
    output, _ = process.communicate(timeout=200 * slowness())
    return {row["node"]: row for row in map(json.loads, filter(lambda line: line[:1] == "{", output.splitlines()))}


def submit(machine: Machine, name: str, trades: Path) -> None:
    """Submit the trades job, spread over three hosts."""
    job = machine.directory / f"{name}.yaml"
    job.write_text(JOB.format(name=name, path=trades, hosts=3, batch_rows=2000))
    said(machine, "submit", str(job))


def table(machine: Machine, name: str) -> Entries:
    """Wait for the end of a job and return its anomaly table."""
    command = machine.command(sys.executable, "-c", TABLE, str(machine.directory / "home"), name)
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500).stdout
    return [(bytes.fromhex(key), bytes.fromhex(value)) for key, value in map(str.split, output.splitlines())]


def test_strangers_of_another_machine_get_in_nowhere(machines: list[Machine]) -> None:
    first, second, _ = machines
    rows = nodes(first)
    assert {row["role"] for row in rows.values()} == {"leader", "follower"}
    hostile = """
import socket, sys
for port in map(int, sys.argv[2:]):
    for sent in (b"\\0\\0\\0\\1\\5", b"GET / HTTP/1.1\\r\\n\\r\\n", b"\\x16\\x03\\x01" + b"\\xff" * 300, b""):
        with socket.create_connection((sys.argv[1], port), timeout=5) as stranger:
            stranger.sendall(sent)
            stranger.shutdown(socket.SHUT_WR)
            try:
                heard = b"".join(iter(lambda: stranger.recv(1000), b""))
            except ConnectionError:
                heard = b""
            assert len(heard) < 20 and b"HTTP" not in heard, heard
"""
    subprocess.run(second.command(sys.executable, "-c", hostile, first.address, "7100", "7101"), check=True)
    after = nodes(first)
    assert {name: row["role"] for name, row in after.items()} == {name: row["role"] for name, row in rows.items()}


def test_the_machine_with_the_head_of_ray_dies_and_the_job_goes_on(
    machines: list[Machine], long_trades: Path, long_expected: Entries, eventually: Callable[..., Any]
) -> None:
    by_node = dict(zip(("node-1", "node-2", "node-3"), machines, strict=True))
    head = next(name for name, row in nodes(machines[0]).items() if row["ray"].startswith("head"))
    survivor = next(machine for name, machine in by_node.items() if name != head)
    submit(survivor, "headless", long_trades)
    eventually(lambda: '"job": "headless"' in said(survivor, "jobs", "--json"))
    time.sleep(1.0)
    by_node[head].power_off()
    killed_s = time.monotonic()
    assert table(survivor, "headless") == long_expected
    assert time.monotonic() - killed_s < 200 * slowness()
    rows = nodes(survivor)
    assert not rows[head]["answers"]
    assert [name for name, row in rows.items() if row["ray"].startswith("head")] != [head]
    # It comes back with what it had, as one of the others.
    back = by_node[head]
    (back.directory / "home" / "cluster.json").unlink()
    process = subprocess.Popen(
        back.command(sys.executable, "-m", "cluster", "--home", str(back.directory / "home"), "node"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: nodes(survivor)[head]["ray"] == "running", 120)
    process.terminate()
    process.wait(60 * slowness())
