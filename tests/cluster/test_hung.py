"""What is stopped by a signal, and so neither dies nor answers, is noticed and replaced; nothing is lost or doubled."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.client.client import Client
from cluster.local.home import Home
from cluster.local.processes import processes_of
from cluster.local.speed import slowness
from cluster.node.ray_keeper import RayRecord
from cluster.node.status import RayPhase
from cluster.show.status import cluster_status
from config.load import parse_job
from tests.cluster.test_failover import Entries, finish, is_pumping, start

log = logging.getLogger(__name__)

Eventually = Callable[..., Any]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process, and let it go on afterwards if it is still there."""
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


def has_ended(pid: int) -> bool:
    """Whether a process has ended; whoever inherits one may take its time to take notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_stopped_host_is_replaced(client: Client, trades: Path, expected: Entries, eventually: Eventually) -> None:
    start(client, "hung-host", trades, eventually, batch_rows=250)
    pid = client.host_pid("hung-host", "host-0")
    with stopped(pid):
        _, silent = client.look_at_hosts("hung-host")
        assert [line.partition(":")[0] for line in silent] == ["host-0 of job 'hung-host' does not answer"]
        eventually(lambda: has_ended(pid))
        assert finish(client, "hung-host") == expected


def test_a_stopped_leader_process_is_replaced(
    client: Client, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    start(client, "hung-leader", trades, eventually, batch_rows=250)
    epoch = client.state().epoch
    leading = next(found for _, found in client._nodes.statuses() if found is not None and found.led_epoch is not None)
    with stopped(leading.child.pid):
        eventually(lambda: has_ended(leading.child.pid))
        eventually(lambda: is_pumping(client, "hung-leader", epoch + 1))
        assert finish(client, "hung-leader") == expected


@pytest.mark.slow
def test_a_stopped_node_process_is_replaced(
    client: Client, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    start(client, "hung-node", trades, eventually, batch_rows=250)
    epoch = client.state().epoch
    leading = next(found for _, found in client.statuses() if found is not None and found.led_epoch is not None)

    def successor() -> int:
        found = dict(client.statuses())[leading.name]
        return 0 if found is None else found.pid

    with stopped(leading.pid), stopped(leading.child.pid):
        eventually(lambda: is_pumping(client, "hung-node", epoch + 1) or client.job("hung-node").status != "running")
        eventually(lambda: successor() not in (0, leading.pid))
        assert has_ended(leading.pid)
        assert has_ended(leading.child.pid)
        assert finish(client, "hung-node") == expected


def sampler_pids(client: Client, home: Home) -> list[int]:
    """Return the processes that fill stream tables, by what Ray calls them in the session of its starter."""
    head = client.state().head
    assert head is not None
    record = RayRecord.read(home.member_directory(client.group_id, head.node))
    assert record is not None
    found = processes_of(record.starter_pid, record.started, record.directory)
    return [process.pid for process in found if "StreamHost" in process.name() + "".join(process.cmdline())]


@pytest.mark.slow
@pytest.mark.parametrize("with_node", [False, True], ids=["alone", "with its node"])
def test_what_fills_a_stream_table_is_replaced_when_it_is_stopped(
    client: Client, home: Home, eventually: Eventually, with_node: bool
) -> None:
    name = f"hung-sampler-{int(with_node)}"
    job = f"job: {name}\nsource: {{type: host_metrics, period_ms: 200}}\nmetrics: [value > 1e300]\n"
    client.submit(parse_job(job, home.directory))

    def row_count() -> int:
        runner = client.runner_status(name)
        return 0 if runner is None or runner.pump is None else runner.pump.row_count

    eventually(row_count)
    (pid,) = sampler_pids(client, home)
    head = client.state().head
    assert head is not None
    node = dict(client.statuses())[head.node]
    assert node is not None
    # The node that would kill it hangs, too: Ray does, or the node that is started in its place.
    with stopped(node.pid) if with_node else nullcontext(), stopped(pid):
        eventually(lambda: has_ended(pid), 60)
        before = row_count()
        eventually(lambda: row_count() > before + 100, 60)
        assert len(sampler_pids(client, home)) == 1
    client.stop(name)


def test_commands_answer_and_say_which_node_is_stopped(client: Client, home: Home) -> None:
    follower = next(found for _, found in client.statuses() if found is not None and found.led_epoch is None)
    with stopped(follower.pid):
        for command in ("status", "nodes"):
            words = [sys.executable, "-m", "cluster", "--home", str(home.directory), command]
            started_s = time.monotonic()
            said = subprocess.run(words, capture_output=True, text=True).stdout
            assert time.monotonic() - started_s < 2.5 * slowness()
            assert "does not answer" in said
            assert follower.name in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["gcs_server", "raylet"])
def test_ray_that_is_stopped_or_killed_is_said_and_started_again(
    client: Client, home: Home, trades: Path, expected: Entries, eventually: Eventually, kind: str, number: int
) -> None:
    name = f"{kind.partition('_')[0]}-{number}"
    start(client, name, trades, eventually, batch_rows=250)
    head = client.state().head
    assert head is not None
    record = RayRecord.read(home.member_directory(client.group_id, head.node))
    assert record is not None
    os.kill(record.pids[kind], number)
    stopped_s = time.monotonic()
    took_s = [0.0]

    def problems() -> tuple[str, ...]:
        asked_s = time.monotonic()
        found = cluster_status(client, name).problems
        took_s.append(time.monotonic() - asked_s)
        return found

    eventually(lambda: any(kind in problem for problem in problems()), 5)
    noticed_s = time.monotonic() - stopped_s
    eventually(lambda: problems() is not None and has_next_head(client, head.generation))
    # Whatever hangs, who asks has an answer.
    assert max(took_s) < 2.5 * slowness()
    started_s = time.monotonic() - stopped_s
    epoch = client.state().epoch
    eventually(lambda: is_pumping(client, name, epoch) or client.job(name).status != "running")
    log.info(
        "%s: said after %.1f s (a status took %.1f at most), Ray after %.1f, rows after %.1f",
        name,
        noticed_s,
        max(took_s),
        started_s,
        time.monotonic() - stopped_s,
    )
    assert finish(client, name) == expected


def has_next_head(client: Client, generation: int) -> bool:
    """Return whether a later head of Ray runs."""
    return any(
        found is not None and found.ray.phase is RayPhase.RUNNING and found.ray.generation > generation
        for _, found in client.statuses()
    )
