"""Hosts read their own splits: killed hosts and leaders lose and double nothing, and rows are read where they are."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from cluster.local.home import Home
from cluster.local.speed import slowness
from config.load import parse_job
from config.settings import JobSettings
from tests.support.company import Entries, found, join, machine_of, nodes, said, start, table
from tests.support.namespaces import Machine, Machines, can_make, ip

if TYPE_CHECKING:
    from cluster.client.client import Client
    from raft.group import Job

SPLIT_COUNT = 3

JOB = """
job: {name}
schema: {{time: TIMESTAMP, file: SYMBOL, sym: SYMBOL, price: DOUBLE, qty: LONG}}
time: time
key: [file, sym]
metrics: [qty < 4, sum(qty) > 9000, avg(qty) > 40 * qty]
window: {{size: 3s, step: 1s}}
source: {{path: "{folder}/*.parquet"{on}}}
partition_by: {by}
partitions: 3
hosts: {hosts}
flush: {{period_ms: 100}}
snapshot_interval_rows: 30000
limits: {{batch_rows_max: {batch_rows}}}
"""


def own_job(name: str, folder: Path, *, on: str = "", hosts: int = 2, batch_rows: int = 100) -> str:
    where = f", on: {on}" if on else ""
    return JOB.format(name=name, folder=folder, on=where, by="split", hosts=hosts, batch_rows=batch_rows)


def settings(text: str) -> JobSettings:
    return parse_job(text, "/")


def split_up(trades: Path, made: Path) -> Path:
    """Return a folder with a file for each split, all of them with rows of all keys."""
    frame = pl.read_parquet(trades)
    for number in range(SPLIT_COUNT):
        frame[number::SPLIT_COUNT].write_parquet(made / f"part-{number}.parquet", row_group_size=10_000)
    return made


def table_alone(folder: Path, directory: Path) -> Entries:
    """Return the anomaly table of one run in this process."""
    from cluster.local.embedded import open_job

    job = settings(own_job("undisturbed", folder, batch_rows=10_000))
    with open_job(job, directory, lambda: time.time_ns() // 1000) as running:
        running.run()
        return running.anomaly_entries()


@pytest.fixture(scope="module")
def folder(trades: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_up(trades, tmp_path_factory.mktemp("splits"))


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Entries:
    return table_alone(folder, tmp_path_factory.mktemp("undisturbed"))


def test_a_host_and_the_leader_are_killed_while_hosts_read(
    client: "Client", folder: Path, undisturbed: Entries, eventually: Callable[..., Any]
) -> None:
    client.submit(settings(own_job("own", folder)))

    def row_count() -> int:
        told = client.runner_status("own")
        return 0 if told is None or told.pump is None else told.pump.row_count

    eventually(row_count)
    client.kill_host("own")
    eventually(lambda: (told := client.runner_status("own")) is not None and told.failure_count)
    epoch = client.state().epoch
    client.kill_leader()
    eventually(lambda: client.state().epoch > epoch)
    assert client.wait_finished("own", 240 * slowness()).failed is None
    assert client.anomaly_entries("own") == undisturbed
    client.remove("own")


@pytest.fixture
def apart(tmp_path: Path, folder: Path) -> Iterator[list[Machine]]:
    """Return three machines that are one cluster; jobs may read the files on the second alone."""
    if not can_make():
        pytest.skip("needs root and `ip` of iproute2")
    with Machines(tmp_path, 3) as made:
        first, second, third = made
        said(first, "up", "--node-address", first.address, "--allow-path", str(first.directory))
        join(first, second, folder)
        join(first, third, third.directory)
        yield made


def submit(machine: Machine, text: str, code: int = 0) -> str:
    job = machine.directory / "job.yaml"
    job.write_text(text)
    return said(machine, "submit", str(job), code=code)


def status(machine: Machine, name: str) -> dict[str, Any]:
    """Return what `tocsin status` says of a job."""
    output, _ = start(machine, "status", name, "--json").communicate(timeout=200 * slowness())
    told: dict[str, Any] = json.loads(output[output.index("{") :])
    return told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rows_are_read_on_the_machine_that_has_them_whoever_leads(
    apart: list[Machine], folder: Path, undisturbed: Entries, eventually: Callable[..., Any]
) -> None:
    first, second, third = apart
    names = {row["address"].rpartition(":")[0]: name for name, row in nodes(first).items()}
    here, there = names[first.address], names[second.address]
    routed = JOB.format(name="routed", folder=folder, on=f", on: {there}", by="key", hosts=1, batch_rows=1000)
    refused = submit(first, routed, code=2)
    assert f"is on {there} alone, and the leader, which routes its rows, is on {here}" in refused
    assert "names the node 'node-9'" in submit(first, own_job("nowhere", folder, on="node-9"), code=2)
    refused = submit(first, own_job("anywhere", folder, hosts=3, batch_rows=1000), code=2)
    assert f"{there} can: say in the source which nodes have it, `on: {there}`" in refused
    refused = submit(first, JOB.format(name="r", folder=folder, on="", by="key", hosts=1, batch_rows=1000), code=2)
    assert f"cannot be read on {here}, which leads and would read it: " in refused
    submit(third, own_job("tied", folder, on=there, batch_rows=8))
    eventually(lambda: ((status(third, "tied")["job"]["runner"] or {}).get("pump") or {}).get("row_count"))
    first.power_off()
    assert "running" in said(third, "jobs")
    assert table(third, "tied") == undisturbed
    assert not list((third.directory / "home/jobs").glob("tied/partitions/0*"))
    # What machines measure of themselves goes on without the one that is off.
    source = "{type: host_metrics, period_ms: 200, on: every}"
    submit(second, f"job: watch\nsource: {source}\npartition_by: split\nmetrics: [value > 1e300]\n")

    def watched() -> set[int]:
        runner = status(third, "watch")["job"]["runner"] or {}
        positions = (runner.get("pump") or {}).get("positions") or {}
        return {int(split) for split, offset in positions.items() if offset}

    eventually(lambda: watched() == {1, 2}, 120)
    assert f"not read, because nodes are away: partition 0 for {here}" in json.dumps(status(third, "watch"))
    streams = [(machine.directory / "home/streams/watch-host-metrics").is_dir() for machine in apart]
    assert streams == [False, True, True]


@pytest.fixture
def together(tmp_path: Path) -> Iterator[list[Machine]]:
    """Return three machines that are one cluster and read the same files; they can be spoken to from here."""
    if not can_make():
        pytest.skip("needs root and `ip` of iproute2")
    with Machines(tmp_path, 3) as made:
        ip("addr", "add", f"{made[0].address.rpartition('.')[0]}.250/24", "dev", made[0].bridge)
        found(made[0], made[1:])
        yield made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_second_copies_read_splits_themselves_and_take_over_from_a_host_and_from_a_machine(
    together: list[Machine], long_trades: Path, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    from cluster.client.client import Client

    for name in ("splits", "alone"):
        (tmp_path / name).mkdir()
    folder = split_up(long_trades, tmp_path / "splits")
    undisturbed = table_alone(folder, tmp_path / "alone")
    first = together[0]
    client = Client(Home(first.directory / "home"))
    # Few rows at a time, so that some are left until a host has been replaced and copies are as far again.
    submit(first, own_job("doubled", folder, batch_rows=4) + "standby: 1\n")

    def when_ready() -> "Job":
        return eventually(lambda: next((job for job in [client.job("doubled")] if has_copies(job)), None), 120)

    job = when_ready()
    assert all(job.host_nodes[one.host] != job.node_of(number) for number, one in job.standbys.items())
    client.kill_host("doubled", job.owners[0])
    eventually(lambda: client.job("doubled").generations[0] > job.generations[0], 20)
    job = when_ready()
    assert str(job.status) == "running", "the job was too short"
    head = client.state().head
    assert head is not None
    gone = next(node for node in set(job.host_nodes.values()) if node != head.node)
    before = job.generations
    machine_of(together, gone).power_off()
    assert table(first, "doubled") == undisturbed
    job = client.job("doubled")
    assert all(job.node_of(number) != gone for number in range(job.partition_count))
    assert job.generations != before
    assert not any(stat.gaps for stat in client.partition_stats("doubled"))


def has_copies(job: "Job") -> bool:
    """Whether each partition has a second copy that is as far."""
    return len(job.standbys) == job.partition_count and all(one.is_ready for one in job.standbys.values())
