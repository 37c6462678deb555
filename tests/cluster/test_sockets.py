"""Which sockets of a cluster listen, and where: each is known, and on one machine none is open to others."""

import _socket
import socket
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any

import psutil
import pytest

from cluster.client.client import Client
from cluster.local.cluster import LOCAL_HOST, all_processes
from cluster.local.home import Home
from tests.support.trades import trades_job

RAY_HOST = "127.0.0.1"
"""Address at which Ray's own listen; see `cluster.node.ray_environment`."""

SOCKETS = {
    # Control server and Raft.
    ("cluster.node.node_main", LOCAL_HOST),
    # Calls of the node; and, as a driver of Ray, what actors answer to.
    ("cluster.node.leader_main", LOCAL_HOST),
    ("cluster.node.leader_main", RAY_HOST),
    ("gcs_server", RAY_HOST),
    # Node manager and object manager.
    ("raylet", RAY_HOST),
    ("ray::PartitionHost", RAY_HOST),
    ("ray::HostPool", RAY_HOST),
    # A worker of Ray that is to become an actor.
    ("ray::IDLE", RAY_HOST),
}
"""What listens in a cluster of this machine, and at which address."""

DASHBOARD_SOCKETS = {
    # At the address that `up` names.
    ("ray-dashboard", LOCAL_HOST),
    ("ray-dashboard", RAY_HOST),
    ("ray::DashboardAgent", RAY_HOST),
    ("ray::RuntimeEnvAgent", RAY_HOST),
}
"""What listens besides where Ray's server for jobs and pages was asked for."""


@pytest.fixture(autouse=True)
def _whole_socket_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what `pysyncobj` does when it is imported: its `inet_ntop` works on Windows only, and psutil needs it."""
    monkeypatch.setattr(socket, "inet_ntop", _socket.inet_ntop)


def owner_of(process: psutil.Process) -> str:
    """Return the name of what a process runs."""
    words = " ".join(process.cmdline()).replace("/", " ").split()
    known = ("cluster.node.", "gcs_server", "raylet", "ray-dashboard", "ray::")
    other = "ray-dashboard" if "dashboard" in words else words[0]
    return next((word.partition(".")[0] if "::" in word else word for word in words if word.startswith(known)), other)


def plain(address: str) -> str:
    """Return an address as IPv4 where it is one."""
    found = ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def listening(home: Home) -> set[tuple[str, str]]:
    """Return owner and address of each socket that listens."""
    found = set()
    for process in all_processes(home):
        try:
            for one in process.net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN:
                    found.add((owner_of(process), plain(one.laddr.ip)))
        except psutil.NoSuchProcess:
            continue
    return found


def test_every_socket_that_listens_is_known(
    home: Home, client: Client, trades: Any, eventually: Callable[..., Any]
) -> None:
    for name, hosts in (("sockets", 1), ("sockets-shared", "shared")):
        client.submit(trades_job(name, trades, hosts=hosts))
        client.open_for_queries(name)
    eventually(lambda: listening(home) >= SOCKETS - {("ray::IDLE", RAY_HOST)})
    found = listening(home)
    assert found <= SOCKETS | DASHBOARD_SOCKETS
