"""Many jobs that share hosts on three machines, each with second copies: a process of them dies, then a machine."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.partition.anomaly_table import decode_entry
from cluster.client.client import Client
from cluster.deployment.host_pool import THREAD_COUNT
from cluster.local.home import Home
from raft.group import Job
from tests.support.company import Entries, found, hosts, machine_of, said
from tests.support.namespaces import Machine, Machines, can_make, ip
from tests.support.trades import JOB, parquet

pytestmark = [
    pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

JOB_COUNT = THREAD_COUNT + 4
"""More than a process has threads for; on two machines each job has a host on both."""

FEW = 12_000
"""Rows of the file that most jobs read."""

LONG_EVERY = 4
"""Of so many jobs one reads many more rows, some at a time: it runs while the others rest."""


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    """Return three machines that are one cluster, and can be spoken to from here."""
    with Machines(tmp_path, 3) as made:
        ip("addr", "add", f"10.99.{os.getpid() % 250}.250/24", "dev", made[0].bridge)
        found(made[0], made[1:])
        yield made


@pytest.fixture
def few(trades: Path, tmp_path: Path) -> Path:
    path = tmp_path / "few.parquet"
    pl.read_parquet(trades).head(FEW).write_parquet(path)
    return path


def is_ready(job: Job) -> bool:
    """Whether each partition has a second copy that is as far."""
    return len(job.standbys) == job.partition_count and all(one.is_ready for one in job.standbys.values())


def test_many_jobs_share_hosts_of_several_machines_and_their_copies_take_over(
    machines: list[Machine], few: Path, trades: Path, expected: Entries, eventually: Callable[..., Any]
) -> None:
    first = machines[0]
    client = Client(Home(first.directory / "home"))
    names = [f"small-{number}" for number in range(JOB_COUNT)]
    files, long = [], set(names[LONG_EVERY - 1 :: LONG_EVERY])
    for name in names:
        file = first.directory / f"{name}.yaml"
        source, batch_rows = (parquet(trades), 20) if name in long else (parquet(few), 60)
        file.write_text(JOB.format(name=name, source=source, hosts="shared", batch_rows=batch_rows) + "standby: 1\n")
        files.append(file)
    for file in files:
        said(first, "submit", str(file))
    eventually(lambda: sum(is_ready(client.job(name)) for name in names) > JOB_COUNT // 2, 240)
    assert max(len(hosts(machine)) for machine in machines) == 1, "jobs share one process on each machine"
    nodes_with_hosts = {node for name in names for node in client.job(name).host_nodes.values()}
    assert len(nodes_with_hosts) == len(machines)
    head = client.state().head
    assert head is not None
    gone = next(node for node in sorted({client.job(name).node_of(0) for name in long}) if node != head.node)
    machine = machine_of(machines, gone)
    os.kill(hosts(machine)[0], 9)
    eventually(lambda: any(client.job(name).generations[0] > 1 for name in names), 120)
    # Those that end meanwhile, without a copy that is ready, get theirs while they rest.
    eventually(lambda: all(map(is_ready, client.state().jobs.values())), 240)
    machine.power_off()
    for name in names:
        assert client.wait_finished(name, 600).failed is None
    wanted = [entry for entry in expected if decode_entry(*entry).id.offset < FEW]
    for name in names:
        assert client.anomaly_entries(name) == (expected if name in long else wanted), name
    jobs = [client.job(name) for name in names]
    owned = Counter(job.node_of(number) for job in jobs for number in range(job.partition_count))
    assert gone not in owned
    # Copies of jobs that rest wait for the machine where it may come back, others are elsewhere now.
    assert all(len(job.standbys) == job.partition_count for job in jobs)
