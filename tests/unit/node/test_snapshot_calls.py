"""A node takes snapshots that hosts have written: from a file of its machine, or from the node of another one."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster.local.home import Home
from cluster.node.snapshot_calls import SnapshotCalls
from raft.adopted_files import CHUNK_SIZE_BYTES_MAX
from raft.errors import SnapshotStoreError
from raft.snapshots import SnapshotStore

DATA = bytes(range(256)) * (CHUNK_SIZE_BYTES_MAX // 256) + b"end"
WHAT = ("trades", 3, hashlib.sha256(DATA).digest(), len(DATA))


class Nodes:
    """Two nodes of different machines, whose calls reach each other."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.homes = {name: Home(directory / name) for name in ("a", "b")}
        self.stores = {name: stack.enter_context(SnapshotStore.open(directory / name / "s")) for name in self.homes}
        self.calls = {name: SnapshotCalls(self.stores[name], self.homes[name], self.at) for name in self.homes}

    def at(self, name: str) -> Any:
        return Client(self.calls[name])


class Client:
    """Calls a node."""

    def __init__(self, calls: SnapshotCalls) -> None:
        self._calls = calls

    def call(self, name: str, *arguments: object, timeout_s: float) -> Any:
        return self._calls.by_name[name](*arguments)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack)
        outgoing = nodes.homes["a"].outgoing_directory("trades")
        outgoing.mkdir(parents=True)
        (outgoing / "one").write_bytes(DATA)
        yield nodes


def test_a_node_adopts_a_file_of_its_machine(nodes: Nodes) -> None:
    path = nodes.homes["a"].outgoing_directory("trades") / "one"
    nodes.calls["a"].by_name["adopt_snapshot"](*WHAT, str(path))
    assert nodes.stores["a"].read(*WHAT[:3]) == DATA


def test_a_node_fetches_the_file_of_another_machine_in_chunks(nodes: Nodes) -> None:
    nodes.calls["b"].by_name["fetch_snapshot"](*WHAT, "a", "one")
    assert nodes.stores["b"].read(*WHAT[:3]) == DATA


@pytest.mark.parametrize("name", ["missing", "../one", "..", "/etc/hostname"])
def test_a_file_that_is_no_snapshot_on_its_way_is_refused(nodes: Nodes, name: str) -> None:
    with pytest.raises(SnapshotStoreError):
        nodes.calls["b"].by_name["fetch_snapshot"](*WHAT, "a", name)
    with pytest.raises(SnapshotStoreError):
        nodes.calls["a"].by_name["read_outgoing_snapshot"]("../trades", "one", 0)


def test_what_is_not_the_snapshot_is_not_held(nodes: Nodes) -> None:
    wrong = ("trades", 3, bytes(32), len(DATA))
    with pytest.raises(SnapshotStoreError, match="torn"):
        nodes.calls["b"].by_name["fetch_snapshot"](*wrong, "a", "one")
    path = nodes.homes["a"].outgoing_directory("trades") / "one"
    with pytest.raises(SnapshotStoreError, match="torn"):
        nodes.calls["a"].by_name["adopt_snapshot"](*wrong, str(path))
    assert [store.list() for store in nodes.stores.values()] == [(), ()]
