"""What is stopped by a signal, and so neither dies nor answers, is noticed and replaced; nothing is lost or doubled."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from cluster.client.client import Client
from tests.cluster.test_failover import Entries, finish, is_pumping, start

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


def host_pid(client: Client, name: str, host: str) -> int:
    """Return the process of a host."""
    return int(client._ask_host(name, host, "pid"))


def test_a_stopped_host_is_replaced(client: Client, trades: Path, expected: Entries, eventually: Eventually) -> None:
    start(client, "hung-host", trades, eventually, batch_rows=500)
    pid = host_pid(client, "hung-host", "host-0")
    with stopped(pid):
        eventually(lambda: not psutil.pid_exists(pid))
        assert finish(client, "hung-host") == expected


def test_a_stopped_leader_process_is_replaced(
    client: Client, trades: Path, expected: Entries, eventually: Eventually
) -> None:
    start(client, "hung-leader", trades, eventually, batch_rows=500)
    epoch = client.state().epoch
    leading = next(found for _, found in client._nodes.statuses() if found is not None and found.led_epoch is not None)
    with stopped(leading.child.pid):
        eventually(lambda: not psutil.pid_exists(leading.child.pid))
        eventually(lambda: is_pumping(client, "hung-leader", epoch + 1))
        assert finish(client, "hung-leader") == expected
