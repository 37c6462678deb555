"""Three machines, each a network namespace with its own address and directory: any may die, and nobody gets in."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.local.speed import slowness
from tests.support.company import Entries, found, nodes, said, submit, table
from tests.support.namespaces import Machine, Machines, can_make

pytestmark = [
    pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """Return three machines that are one cluster; the first carries Ray's head."""
    with Machines(tmp_path_factory.mktemp("machines"), 3) as made:
        found(made[0], made[1:])
        yield made


LISTENING = """
import psutil
print(*{one.laddr.port for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN})
"""

STRANGER = """
import socket, sys
preface = b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\0\\0\\0\\4\\0\\0\\0\\0\\0"
for port in map(int, sys.argv[2:]):
    for sent in (b"\\0\\0\\0\\1\\5", b"GET / HTTP/1.1\\r\\n\\r\\n", preface, b"\\x16\\x03\\x01" + b"\\xff" * 300, b""):
        with socket.create_connection((sys.argv[1], port), timeout=5) as stranger:
            try:
                stranger.sendall(sent)
                stranger.shutdown(socket.SHUT_WR)
                heard = b"".join(iter(lambda: stranger.recv(1000), b""))
            except ConnectionError:
                heard = b""
            # An alert of TLS at most.
            assert len(heard) < 20 and heard[:1] in (b"", b"\\x15"), (port, heard)
"""


def test_strangers_of_another_machine_get_in_nowhere(machines: list[Machine]) -> None:
    first, second, _ = machines
    rows = nodes(first)
    assert {row["role"] for row in rows.values()} == {"leader", "follower"}
    look = first.command(sys.executable, "-c", LISTENING)
    ports = subprocess.run(look, check=True, capture_output=True, text=True).stdout.split()
    # Ours are three; Ray's control store, raylet (two) and driver.
    assert {"7100", "7101"} < set(ports)
    assert len(ports) >= 7
    subprocess.run(second.command(sys.executable, "-c", STRANGER, first.address, *ports), check=True)
    after = nodes(first)
    assert {name: row["role"] for name, row in after.items()} == {name: row["role"] for name, row in rows.items()}


@pytest.mark.slow
def test_the_machine_with_the_head_of_ray_dies_and_the_job_goes_on(
    machines: list[Machine], trades: Path, expected: Entries, eventually: Callable[..., Any]
) -> None:
    by_node = dict(zip(("node-1", "node-2", "node-3"), machines, strict=True))
    head = next(name for name, row in nodes(machines[0]).items() if row["ray"].startswith("head"))
    survivor = next(machine for name, machine in by_node.items() if name != head)
    submit(survivor, "headless", trades, batch_rows=1000)
    eventually(lambda: '"job": "headless"' in said(survivor, "jobs", "--json"))
    time.sleep(1.0)
    by_node[head].power_off()
    killed_s = time.monotonic()
    assert table(survivor, "headless") == expected
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
