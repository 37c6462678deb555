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
from tests.support.bad_cable import bad_cable
from tests.support.namespaces import Machine, Machines, can_make
from tests.support.trades import JOB

pytestmark = [
    pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2"),
    pytest.mark.timeout(900),
]

Entries = list[tuple[bytes, bytes]]

STORED = 'events: {store: true, type: [trades, "{sym}"], payload: [qty]}\n'
"""What a job has to say to store every row."""

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


def join(first: Machine, machine: Machine) -> None:
    """Have a machine join the cluster of the first one."""
    password = machine.directory / "password"
    shutil.copy(first.directory / "home" / "password", password)
    password.chmod(0o600)
    arguments = (
        "--node-address",
        machine.address,
        "--password-file",
        str(password),
        "--allow-path",
        str(machine.directory.parent.parent),
    )
    said(machine, "join", f"{first.address}:7100", *arguments)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """Return three machines that are one cluster; the first carries Ray's head."""
    with Machines(tmp_path_factory.mktemp("machines"), 3) as made:
        first, *others = made
        said(first, "up", "--node-address", first.address, "--allow-path", str(first.directory.parent.parent))
        for machine in others:
            join(first, machine)
        yield made


def nodes(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return what `tocsin nodes` says, by name."""
    process = start(machine, "nodes", "--json")
    output, _ = process.communicate(timeout=200 * slowness())
    return {row["node"]: row for row in map(json.loads, filter(lambda line: line[:1] == "{", output.splitlines()))}


def submit(
    machine: Machine, name: str, trades: Path, *, hosts: int = 3, batch_rows: int = 2000, more: str = ""
) -> None:
    """Submit the trades job; small batches take it longer."""
    job = machine.directory / f"{name}.yaml"
    job.write_text(JOB.format(name=name, path=trades, hosts=hosts, batch_rows=batch_rows) + more)
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


# What takes minutes, and runs only when asked for: each test leaves a cluster of healthy machines to the next one.


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """Return four machines of which the first three are one cluster."""
    with Machines(tmp_path_factory.mktemp("company"), 4) as made:
        first, *others = made
        said(first, "up", "--node-address", first.address, "--allow-path", str(first.directory.parent.parent))
        for machine in others[:2]:
            join(first, machine)
        yield made


def bystander(company: list[Machine]) -> tuple[str, Machine, Machine]:
    """Return a node that neither leads nor carries Ray's head, its machine, and the machine of another."""
    rows = nodes(company[0])
    name = next(name for name, row in rows.items() if row["role"] == "follower" and row["ray"] == "running")
    by_address = {machine.address: machine for machine in company}
    machines = {known: by_address[row["address"].rpartition(":")[0]] for known, row in rows.items()}
    return name, machines[name], next(machine for known, machine in machines.items() if known != name)


def copies(machine: Machine, job: str) -> set[int]:
    """Return the partitions of which a machine has a current copy, or had one."""
    return {int(path.name[:4]) for path in (machine.directory / "home/jobs" / job / "partitions").glob("[0-9]*")}


def hosts(machine: Machine) -> list[int]:
    """Return the processes of hosts on a machine."""
    return [pid for pid in machine.pids() if b"PartitionHost" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def events(machine: Machine, job: str) -> list[str]:
    """Return all stored events of a job, in one order."""
    rows = map(json.loads, said(machine, "query", "events", job, "--json", "--limit", "0").splitlines())
    return sorted(json.dumps({key: value for key, value in row.items() if key != "id"}) for row in rows)


@pytest.mark.slow
def test_a_machine_with_a_slow_and_bad_network_delays_and_nothing_else(
    company: list[Machine], long_trades: Path, long_expected: Entries
) -> None:
    _, victim, other = bystander(company)
    leader = [name for name, row in nodes(other).items() if row["role"] == "leader"]
    with bad_cable(victim, 0.2, 0.05):
        submit(other, "slow", long_trades)
        assert table(other, "slow") == long_expected
        assert [name for name, row in nodes(other).items() if row["role"] == "leader"] == leader


@pytest.mark.slow
def test_a_machine_that_was_cut_off_comes_back_without_what_is_elsewhere_now(
    company: list[Machine], long_trades: Path, long_expected: Entries, eventually: Callable[..., Any]
) -> None:
    name, victim, other = bystander(company)
    submit(other, "cut", long_trades, batch_rows=400)
    eventually(lambda: copies(victim, "cut"))
    had = copies(victim, "cut")
    victim.cut_off()
    try:
        # The others go on without it, and it does nothing for them.
        assert table(other, "cut") == long_expected
        assert "did not accept the command" in said(victim, "stop", "cut", code=2)
    finally:
        victim.connect()
    eventually(lambda: (nodes(other)[name]["ray"], nodes(other)[name]["role"]) == ("running", "follower"), 120)
    eventually(lambda: not copies(victim, "cut"))
    # The hosts of before it was cut off belong to nobody.
    eventually(lambda: not hosts(victim))
    assert had
    submit(other, "healed", long_trades)
    assert table(other, "healed") == long_expected


@pytest.mark.slow
def test_a_fourth_machine_joins_under_load_gets_partitions_and_leaves_with_nothing_lost(
    company: list[Machine], trades: Path, expected: Entries, eventually: Callable[..., Any]
) -> None:
    first, fourth = company[0], company[3]
    submit(first, "long", trades, batch_rows=150, more=STORED)
    join(first, fourth)
    said(first, "scale", "long", "--hosts", "4")
    eventually(lambda: copies(fourth, "long"), 120)
    submit(first, "calm", trades, hosts=4, more=STORED)
    assert table(first, "calm") == expected
    assert table(first, "long") == expected
    stored = events(first, "calm")
    assert events(first, "long") == stored != []
    submit(first, "busy", trades, batch_rows=100, hosts=4, more=STORED)
    eventually(lambda: copies(fourth, "busy"), 120)
    # It leaves under load, with partitions of a job that runs and of two that have finished.
    said(fourth, "leave")
    assert len(nodes(first)) == 3
    assert not fourth.pids()
    assert table(first, "busy") == expected
    for job in ("long", "calm", "busy"):
        assert not copies(fourth, job)
        assert events(first, job) == stored
        assert sum(len(copies(machine, job)) for machine in company) == 4


@pytest.mark.slow
def test_a_member_that_lost_its_directory_waits_until_it_is_admitted(
    company: list[Machine], eventually: Callable[..., Any]
) -> None:
    name, victim, other = bystander(company)
    shutil.rmtree(victim.directory / "home" / "group-2" / name / "raft")

    def rows() -> list[tuple[bool, str]]:
        process = start(other, "member", "list", "--json")
        output, _ = process.communicate(timeout=200 * slowness())
        lines = [json.loads(line) for line in output.splitlines() if line[:1] == "{"]
        return [(row["votes"], row["role"]) for row in lines if row["member"] == name]

    eventually(lambda: rows() == [(True, "-"), (False, "forming")])
    said(other, "member", "admit", name)
    eventually(lambda: rows() == [(True, "follower")])


@pytest.mark.slow
def test_a_machine_dies_for_good_and_another_one_rebuilds_what_it_had(
    company: list[Machine], long_trades: Path, long_expected: Entries, eventually: Callable[..., Any]
) -> None:
    name, victim, other = bystander(company)
    submit(other, "dead", long_trades, batch_rows=400)
    eventually(lambda: copies(victim, "dead"))
    victim.power_off()
    assert table(other, "dead") == long_expected
    assert not nodes(other)[name]["answers"]
    # Its home says that something runs, under numbers that mean nothing any more.
    said(victim, "up", "--node-address", victim.address)
    eventually(lambda: nodes(other)[name]["ray"] == "running", 120)
    eventually(lambda: not copies(victim, "dead"))
