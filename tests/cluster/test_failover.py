"""Whoever is killed, and whenever: the output table equals that of an undisturbed run, byte for byte."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import ray

from actors.partition.anomaly_table import decode_entry
from cluster.client.client import Client
from cluster.deployment import deploy
from cluster.leader.member_status import MemberView
from cluster.local.home import Home
from cluster.local.speed import slowness
from cluster.node.security import NAMESPACE
from tests.support.trades import trades_job

FEW_ROW_COUNT = 8_000
"""Rows of each of many small jobs."""

Entries = list[tuple[bytes, bytes]]
Eventually = Callable[..., Any]


def start(client: Client, name: str, trades: Path, eventually: Eventually, **options: int) -> None:
    """Submit the trades job and wait until it pumps."""
    client.submit(trades_job(name, trades, **options))
    eventually(lambda: is_pumping(client, name))


def is_pumping(client: Client, name: str, epoch_min: int = 0) -> bool:
    """Return whether a leader has sent rows, under an epoch not below `epoch_min`."""
    runner = client.runner_status(name)
    return runner is not None and runner.epoch >= epoch_min and runner.first_pumped_us is not None


def phase(client: Client, name: str) -> str:
    """Return what the leader is doing for a job."""
    runner = client.runner_status(name)
    return "" if runner is None else str(runner.phase)


def finish(client: Client, name: str) -> Entries:
    """Wait for the end of the job, whose checkpoints a majority has, end its hosts, and return its anomaly table."""
    summary = client.wait_finished(name, 240 * slowness())
    assert summary.failed is None, summary
    job = client.job(name)
    manifests = [job.newest_manifest(number) for number in range(job.partition_count)]
    assert all(manifest is not None and len(manifest.holders) >= 2 for manifest in manifests), manifests
    entries = client.anomaly_entries(name)
    client.remove(name)
    return entries


def leader_without_head(client: Client, eventually: Eventually) -> int:
    """Have a node lead that does not carry Ray's head, and return its process.

    One that carries it and is silent for long is replaced with its Ray, which takes longer and is tested by itself.
    """
    leader, state = eventually(client.leader), client.state()
    assert state.head is not None
    if leader.member_id == state.head.node:
        client.kill_leader()
        leader = eventually(lambda: leading_since(client, state.epoch + 1))
    return int(leader.status.pid)


def leading_since(client: Client, epoch: int) -> MemberView | None:
    """Return the member that leads, under an epoch not below that."""
    found = client.leader()
    return found if found is not None and found.leader is not None and found.leader.epoch >= epoch else None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_leader_loses_and_doubles_nothing(
    client: Client, trades: Path, expected: Entries, eventually: Eventually, seed: int
) -> None:
    name = f"leader-{seed}"
    start(client, name, trades, eventually)
    time.sleep(random.Random(seed).uniform(0.0, 0.6))
    epoch = client.state().epoch
    client.kill_leader()
    eventually(lambda: client.state().epoch > epoch)
    assert finish(client, name) == expected


def test_a_killed_host_loses_and_doubles_nothing(
    client: Client, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    start(client, "host", trades, eventually)
    time.sleep(random.Random(1).uniform(0.0, 0.6))
    client.kill_host("host")
    assert finish(client, "host") == expected


def test_jobs_whose_shared_process_is_killed_lose_and_double_nothing(
    client: Client, trades: Path, expected: Entries, eventually: Eventually, tmp_path: Path
) -> None:
    few = tmp_path / "few.parquet"
    pl.read_parquet(trades).head(FEW_ROW_COUNT).write_parquet(few)
    wanted = [entry for entry in expected if decode_entry(*entry).id.offset < FEW_ROW_COUNT]
    names = [f"small-{number}" for number in range(4)]
    for name in names:
        client.submit(trades_job(name, few, hosts="shared", batch_rows=200))
    eventually(lambda: all(is_pumping(client, name) for name in names))
    assert len({client.host_pid(name, "shared-0") for name in names}) == 1
    client.kill_host(names[1])
    assert [finish(client, name) == wanted for name in names] == [True] * len(names)


def test_a_host_that_owns_nothing_ends_when_a_leader_takes_over(
    client: Client, home: Home, long_trades: Path, long_expected: Entries, eventually: Eventually
) -> None:
    head = client.state().head
    assert head is not None
    # Before the job is started: it takes seconds, after which the job might be over, whose hosts all linger.
    deploy.connect(head.address, head.address.rpartition(":")[0], NAMESPACE)
    try:
        start(client, "idle", long_trades, eventually)
        deploy.ensure_host(client.group_id, "idle", "host-3", client.job("idle").spec, home, "")
        client.kill_leader()
        eventually(lambda: deploy.find_host(client.group_id, "idle", "host-3", "") is None)
    finally:
        ray.shutdown()
    assert finish(client, "idle") == long_expected


def test_leader_and_host_killed_together_lose_and_double_nothing(
    client: Client, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    start(client, "both", trades, eventually)
    client.kill_host("both", "host-1")
    client.kill_leader()
    assert finish(client, "both") == expected


def test_a_leader_that_wakes_up_is_refused(
    client: Client, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    leader = leader_without_head(client, eventually)
    start(client, "paused", trades, eventually)
    epoch = client.state().epoch
    os.kill(leader, signal.SIGSTOP)
    try:
        eventually(lambda: is_pumping(client, "paused", epoch + 1) or client.job("paused").status != "running")
    finally:
        # On a slow machine its supervisor may have replaced it already.
        with suppress(ProcessLookupError):
            os.kill(leader, signal.SIGCONT)
    assert finish(client, "paused") == expected


def test_a_lost_shard_is_rebuilt_from_the_source(
    client: Client, home: Home, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    start(client, "lost", trades, eventually)
    eventually(lambda: any(sum(stat.committed.values()) > 20_000 for stat in client.partition_stats("lost")))
    client.kill_host("lost", "host-0")
    owned = [number for number, owner in enumerate(client.job("lost").owners) if owner == "host-0"]
    shutil.rmtree(home.partitions_directory("lost") / f"{owned[0]:04d}")
    assert finish(client, "lost") == expected


def test_scaling_out_and_in_under_load_loses_and_doubles_nothing(
    client: Client, long_trades: Path, long_expected: Entries, eventually: Eventually
) -> None:
    start(client, "scaled", long_trades, eventually, hosts=1)
    for host_count in (3, 2):
        client.scale("scaled", host_count)
        eventually(lambda wanted=host_count: len(set(client.job("scaled").owners)) == wanted)
    assert finish(client, "scaled") == long_expected


def test_a_leader_killed_while_partitions_move_leaves_one_owner(
    client: Client, long_trades: Path, long_expected: Entries, eventually: Eventually
) -> None:
    start(client, "moving", long_trades, eventually, hosts=1)
    client.scale("moving", 3)
    client.kill_leader()
    assert finish(client, "moving") == long_expected


def test_a_stopped_job_goes_on_where_it_stood(
    client: Client, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    start(client, "resting", trades, eventually)
    client.stop("resting")
    eventually(lambda: phase(client, "resting") == "stopped")
    before = client.anomaly_entries("resting")
    client.resume("resting")
    after = finish(client, "resting")
    assert after == expected
    assert after[: len(before)] == before
