"""Commands of Tocsin on machines of their own, and what a job leaves behind there."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cluster.local.speed import slowness
from tests.support.namespaces import Machine
from tests.support.trades import JOB, parquet

Entries = list[tuple[bytes, bytes]]

Left = tuple[Entries, list[str], dict[str, bytes]]
"""What a job leaves behind: its anomaly table, its stored events in one order, and the files of its sink."""

_KEEPS = """
events: {{store: true, type: [trades, "{{sym}}"], payload: [qty]}}
sinks: [{{type: ndjson, path: {path}}}]
"""

_TABLE = """
import sys, time
from pathlib import Path
from cluster.client.client import Client
from cluster.local.home import Home
client = Client(Home(Path(sys.argv[1])))
client.wait_finished(sys.argv[2], float(sys.argv[3]))
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


def begin(first: Machine) -> None:
    """Start the first machine of a cluster, or any that was in one."""
    said(first, "up", "--node-address", first.address, "--allow-path", str(first.directory.parent.parent))


def join(first: Machine, machine: Machine, allowed: Path | None = None) -> None:
    """Have a machine join the cluster of the first one; jobs may touch a folder there, or all of the tests."""
    password = machine.directory / "password"
    shutil.copy(first.directory / "home" / "password", password)
    password.chmod(0o600)
    arguments = (
        "--node-address",
        machine.address,
        "--password-file",
        str(password),
        "--allow-path",
        str(allowed or machine.directory.parent.parent),
    )
    said(machine, "join", f"{first.address}:7100", *arguments)


def found(first: Machine, others: Sequence[Machine]) -> None:
    """Start a cluster of several machines, all others at once."""
    begin(first)
    with ThreadPoolExecutor(len(others)) as threads:
        list(threads.map(lambda machine: join(first, machine), others))


def nodes(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return what `tocsin nodes` says, by name."""
    process = start(machine, "nodes", "--json")
    output, _ = process.communicate(timeout=200 * slowness())
    return {row["node"]: row for row in map(json.loads, filter(lambda line: line[:1] == "{", output.splitlines()))}


def machine_of(company: list[Machine], name: str) -> Machine:
    """Return the machine of a node."""
    address = nodes(company[0])[name]["address"].rpartition(":")[0]
    return next(machine for machine in company if machine.address == address)


def bystander(company: list[Machine]) -> tuple[str, Machine, Machine]:
    """Return a node that neither leads nor carries Ray's head, its machine, and the machine of another."""
    return _chosen(company, lambda row: row["role"] == "follower" and row["ray"] == "running")


def head_of_ray(company: list[Machine]) -> tuple[str, Machine, Machine]:
    """Return the node that carries Ray's head, its machine, and the machine of another."""
    return _chosen(company, lambda row: row["ray"] == "head, running")


def _chosen(company: list[Machine], is_meant: Callable[[dict[str, Any]], bool]) -> tuple[str, Machine, Machine]:
    rows = nodes(company[0])
    name = next(name for name, row in rows.items() if is_meant(row))
    by_address = {machine.address: machine for machine in company}
    machines = {known: by_address[row["address"].rpartition(":")[0]] for known, row in rows.items()}
    return name, machines[name], next(machine for known, machine in machines.items() if known != name)


def job_status(machine: Machine, name: str) -> str:
    """Return what a machine says of a job's status."""
    jobs = [json.loads(line) for line in said(machine, "jobs", "--json").splitlines()]
    return next(str(job["status"]) for job in jobs if job["job"] == name)


def submit(
    machine: Machine,
    name: str,
    source: Path | str,
    *,
    hosts: int = 3,
    batch_rows: int = 2000,
    keeps: bool = False,
    more: str = "",
) -> None:
    """Submit the trades job with more settings; one that keeps stores all, and in a sink. A path is a Parquet file."""
    job = machine.directory / f"{name}.yaml"
    kept = _KEEPS.format(path=_sink(machine, name)) if keeps else ""
    read = parquet(source) if isinstance(source, Path) else source
    job.write_text(JOB.format(name=name, source=read, hosts=hosts, batch_rows=batch_rows) + kept + more)
    said(machine, "submit", str(job))


def table(machine: Machine, name: str) -> Entries:
    """Wait for the end of a job and return its anomaly table."""
    timeout_s = 400 * slowness()
    words = (str(machine.directory / "home"), name, str(timeout_s))
    command = machine.command(sys.executable, "-c", _TABLE, *words)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s + 100 * slowness())
    assert ended.returncode == 0, ended.stderr
    output = ended.stdout
    return [(bytes.fromhex(key), bytes.fromhex(value)) for key, value in map(str.split, output.splitlines())]


def events(machine: Machine, job: str) -> list[str]:
    """Return all stored events of a job, in one order."""
    found = map(json.loads, said(machine, "query", "events", job, "--json", "--limit", "0").splitlines())
    rows = ({**row, "id": "", "type": row["type"].removeprefix(f"{job}/")} for row in found)
    return sorted(map(json.dumps, rows))


def _sink(machine: Machine, job: str) -> Path:
    """Return the folder of a job's sink, which all machines share."""
    return machine.directory.parent / "sinks" / job


def left_behind(machine: Machine, job: str) -> Left:
    """Wait for the end of a job that keeps; return its anomaly table, stored events, and the files of its sink."""
    entries = table(machine, job)
    return entries, events(machine, job), delivered(machine, job)


def delivered(machine: Machine, job: str) -> dict[str, bytes]:
    """Return the files of the sink of a job that keeps, by name; each partition has one, once it has delivered."""
    return {path.name: path.read_bytes() for path in _sink(machine, job).glob("*")}


def copies(machine: Machine, job: str) -> set[int]:
    """Return the partitions of which a machine has a current copy, or had one."""
    return {int(path.name[:4]) for path in (machine.directory / "home/jobs" / job / "partitions").glob("[0-9]*")}


def hosts(machine: Machine) -> list[int]:
    """Return the processes of hosts on a machine."""
    kinds = (b"PartitionHost", b"HostPool")
    return [pid for pid in machine.pids() if any(kind in Path(f"/proc/{pid}/cmdline").read_bytes() for kind in kinds)]
