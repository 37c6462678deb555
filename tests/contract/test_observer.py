"""A node that does not vote sees the group through those that do."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.node.calls import NodeClient
from cluster.node.control import ControlServer
from cluster.node.observer import Observer
from raft.errors import ProposalTimeoutError
from raft.group import GroupState, NodeRecord
from raft.group_codec import encode_state
from tests.support.credentials import credentials


class Voter:
    """A node that votes, as far as an observer asks it."""

    def __init__(self) -> None:
        self.index = 3
        self.commands: list[bytes] = []
        self.server = ControlServer(
            ("127.0.0.1", 0), credentials().server_context(), {"changes": self.changes, "propose": self.propose}
        )

    def state(self) -> bytes:
        record = NodeRecord(
            address=self.server.address,
            directory="/",
            machine="m",
            carries_ray=True,
            is_voter=True,
            is_draining=False,
            incarnation="x",
        )
        state = GroupState(epoch=self.index, leader_id="a", leader_term=self.index, nodes={"a": record})
        return encode_state(state)

    def changes(self, index: int) -> tuple[int, bytes | None]:
        time.sleep(0.01)
        return self.index, None if index == self.index else self.state()

    def propose(self, command: bytes, timeout_s: float) -> tuple[bytes, int]:
        self.commands.append(command)
        self.index += 1
        return b"answer", self.index


@pytest.fixture
def voter() -> Iterator[Voter]:
    made = Voter()
    yield made
    made.server.close()


@pytest.fixture
def observer(voter: Voter) -> Iterator[Observer]:
    context = credentials().client_context()
    made = Observer("node-6", voter.server.address, lambda address: NodeClient(address, context))
    yield made
    made.close()


def eventually(condition: Any) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_it_follows_the_state_and_never_leads(voter: Voter, observer: Observer) -> None:
    eventually(lambda: observer.state().epoch == 3)
    voter.index = 5
    eventually(lambda: (observer.state().epoch, observer.applied_index()) == (5, 5))
    assert (observer.led_epoch(), observer.hand_over(), observer.status().role) == (None, True, "observer")


def test_its_proposals_are_answered_by_those_that_vote_and_its_state_contains_them(
    voter: Voter, observer: Observer
) -> None:
    assert observer.propose(b"command") == b"answer"
    assert voter.commands == [b"command"]
    assert observer.applied_index() >= 4


def test_it_says_why_nobody_answers(voter: Voter) -> None:
    address = voter.server.address
    observer = Observer("node-6", address, lambda address: NodeClient(address, credentials(group="h").client_context()))
    with pytest.raises(ProposalTimeoutError, match="does not answer"):
        observer.propose(b"command", 0.5)
    assert observer.status().role == "forming"
    assert address in observer.status().problem
    observer.close()
