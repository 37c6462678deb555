"""Two machines and a job with a standby: a host dies, then a machine, and nothing is missing or read again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.client.client import Client
from cluster.local.home import Home
from raft.group import Job
from tests.support.company import Entries, join, said, submit, table
from tests.support.namespaces import Machine, Machines, can_make, ip

pytestmark = [
    pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    """Return three machines that are one cluster, and can be spoken to from here."""
    with Machines(tmp_path, 3) as made:
        first, *others = made
        ip("addr", "add", f"10.99.{os.getpid() % 250}.250/24", "dev", first.bridge)
        said(first, "up", "--node-address", first.address, "--allow-path", str(tmp_path.parent.parent))
        for machine in others:
            join(first, machine)
        yield made


def is_ready(job: Job) -> bool:
    """Whether each partition has a second copy that is as far."""
    return len(job.standbys) == job.partition_count and all(one.is_ready for one in job.standbys.values())


def test_a_standby_takes_over_from_a_host_and_from_a_machine(
    machines: list[Machine], long_trades: Path, long_expected: Entries, eventually: Callable[..., Any]
) -> None:
    first = machines[0]
    client = Client(Home(first.directory / "home"))
    submit(first, "doubled", long_trades, hosts=2, batch_rows=80, more="standby: 1\n")
    job = eventually(lambda: next((job for job in [client.job("doubled")] if is_ready(job)), None))
    host, owned = job.owners[0], set(job.owners)
    assert all(job.host_nodes[one.host] != job.node_of(number) for number, one in job.standbys.items())
    client.kill_host("doubled", host)
    eventually(lambda: client.job("doubled").generations[0] > job.generations[0], 20)
    # The host comes back, has the second copies, and then partitions again.
    job = eventually(lambda: next((job for job in [client.job("doubled")] if is_ready(job)), None))
    assert str(job.status) == "running", "the job was too short"
    assert set(job.owners) <= owned
    head = client.state().head
    assert head is not None
    gone = next(node for node in set(job.host_nodes.values()) if node != head.node)
    machines[int(gone.rpartition("-")[2]) - 1].power_off()
    assert table(first, "doubled") == long_expected
    eventually(lambda: all(client.job("doubled").node_of(number) != gone for number in range(job.partition_count)))
    gaps = [stat.gaps for stat in client.partition_stats("doubled")]
    assert not any(gaps)


def test_a_machine_that_leaves_gives_partitions_of_a_finished_job_to_their_copies(
    machines: list[Machine], trades: Path, expected: Entries, eventually: Callable[..., Any]
) -> None:
    first = machines[0]
    client = Client(Home(first.directory / "home"))
    submit(first, "rested", trades, hosts=2, batch_rows=400, more="standby: 1\n")
    assert table(first, "rested") == expected
    job = client.job("rested")
    assert is_ready(job)
    head = client.state().head
    assert head is not None
    gone = next(node for node in sorted(set(map(job.node_of, range(job.partition_count)))) if node != head.node)
    moved = [number for number in range(job.partition_count) if job.node_of(number) == gone]
    said(machines[int(gone.rpartition("-")[2]) - 1], "leave")
    now = client.job("rested")
    for number in moved:
        assert (now.owners[number], now.generations[number]) == (
            job.standbys[number].host,
            job.standbys[number].generation,
        )
    assert table(first, "rested") == expected
