"""Clients without a home: they get in by an address and the password, also where they reach one node alone."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.client.access import Access
from cluster.client.client import Client
from cluster.client.nodes import Nodes
from cluster.errors import ClusterError, NotRunningError
from cluster.node.calls import NodeClient
from cluster.node.control import ControlServer
from raft.commands import Accepted, encode_answer
from raft.group import GroupState, NodeRecord
from raft.group_codec import encode_state
from raft.passwords import make_password
from tests.support.credentials import PASSWORD, credentials
from tests.support.raft_process import free_addresses

GROUP = "tocsin-2"


def state_of(*addresses: str) -> GroupState:
    """Return the state of a group whose nodes know each other by these addresses."""
    nodes = {
        f"node-{number}": NodeRecord(
            address=address,
            directory="/home",
            machine=address,
            carries_ray=True,
            is_voter=True,
            is_draining=False,
            incarnation="i",
        )
        for number, address in enumerate(addresses, 1)
    }
    return GroupState(epoch=1, leader_id="node-1", leader_term=1, nodes=nodes)


class StandIn:
    """A node that knows a state, takes commands and passes calls on."""

    def __init__(self) -> None:
        self.state = GroupState()
        self.heard: list[str] = []
        calls = {"state": self._state, "propose": self._propose, "relay": self._relay}
        found = credentials(GROUP)
        self._context = found.client_context()
        self.server = ControlServer(("127.0.0.1", 0), found.server_context(), calls)
        self._is_open = True

    def close(self) -> None:
        """Answer no more."""
        if self._is_open:
            self._is_open = False
            self.server.close()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.server.address

    def _state(self) -> tuple[int, bytes]:
        self.heard.append("state")
        return 1, encode_state(self.state)

    def _propose(self, command: bytes, timeout_s: float) -> tuple[bytes, int]:
        self.heard.append("propose")
        return encode_answer(Accepted(epoch=1)), 2

    def _relay(self, address: str, name: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        self.heard.append(f"relay {address} {name}")
        return NodeClient(inside.get(address, address), self._context).forward(name, body, timeout_s)


inside: dict[str, str] = {}
"""Where those really listen that are known by addresses which only nodes reach."""


@pytest.fixture
def pair() -> Iterator[tuple[StandIn, StandIn]]:
    """Return two nodes."""
    made = StandIn(), StandIn()
    yield made
    for one in made:
        one.close()
    inside.clear()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """Return the file with their password."""
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    path.chmod(0o600)
    return path


def test_one_node_that_answers_tells_of_all_others(
    pair: tuple[StandIn, StandIn], password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    first.state = second.state = state_of(first.address, second.address)
    (dead,) = free_addresses(1).values()
    monkeypatch.setenv("TOCSIN_ADDRESS", f"{dead}, {second.address}")
    monkeypatch.setenv("TOCSIN_PASSWORD_FILE", str(password))
    nodes = Nodes(Access.find())
    assert set(nodes.state().nodes) == {"node-1", "node-2"}
    assert not first.heard
    nodes.state()
    assert first.heard == ["state"]
    assert nodes.submitted_at(nodes.state()) == "node-2"


def test_a_node_behind_a_forwarded_port_passes_on_what_is_for_the_others(
    pair: tuple[StandIn, StandIn], password: Path
) -> None:
    first, second = pair
    first.state = second.state = state_of("10.0.0.1:7100", "10.0.0.2:7100")
    inside.update({"10.0.0.1:7100": first.address, "10.0.0.2:7100": second.address})
    nodes = Nodes(Access.at(first.address, password))
    nodes.state()
    nodes.state()
    assert "relay 10.0.0.2:7100 state" in first.heard
    assert second.heard == ["state"]
    assert nodes.submitted_at(nodes.state()) == ""


def test_another_of_the_given_nodes_is_asked_when_the_one_in_between_is_gone(
    pair: tuple[StandIn, StandIn], password: Path
) -> None:
    first, second = pair
    first.state = second.state = state_of("10.0.0.1:7100", "10.0.0.2:7100")
    inside.update({"10.0.0.1:7100": first.address, "10.0.0.2:7100": second.address})
    nodes = Nodes(Access.at(f"{first.address},{second.address}", password))
    nodes.state()
    first.close()
    inside.clear()
    assert set(nodes.state().nodes) == {"node-1", "node-2"}


def test_another_password_opens_nothing_and_says_what_may_be_wrong(
    pair: tuple[StandIn, StandIn], password: Path
) -> None:
    password.write_text(make_password())
    with pytest.raises(NotRunningError, match=r"no node of the cluster answers .* and the password that cluster's\?"):
        Client.at(pair[0].address, password).state()
    assert not pair[0].heard


REFUSED: list[tuple[str, str]] = [
    ("", "has no address; write HOST:PORT"),
    ("10.0.0.1:port", "is no address; write host:port"),
]


@pytest.mark.parametrize(("address", "words"), REFUSED)
def test_what_is_no_address_is_refused(address: str, words: str, password: Path) -> None:
    with pytest.raises(Exception, match=words):
        Access.at(address, password)


def test_a_password_that_others_can_read_is_refused(password: Path) -> None:
    os.chmod(password, 0o644)
    with pytest.raises(Exception, match="can be used by others"):
        Access.at("10.0.0.1", password)


def test_the_environment_needs_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_ADDRESS", "10.0.0.1")
    monkeypatch.delenv("TOCSIN_PASSWORD_FILE", raising=False)
    with pytest.raises(ClusterError, match="TOCSIN_ADDRESS needs TOCSIN_PASSWORD_FILE"):
        Access.find()


def test_an_address_without_a_port_means_that_of_nodes(password: Path) -> None:
    found: Any = Access.at("10.0.0.1, [fd00::1]:7,[fd00::2]", password).addresses
    assert list(found.values()) == ["10.0.0.1:7100", "[fd00::1]:7", "[fd00::2]:7100"]
