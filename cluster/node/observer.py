"""The group as a node sees it that does not vote: its state comes from those that do, and so do answers to proposals.

Of many nodes five vote: more make each commit wait for more machines, and no job safer.
"""

import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from cluster.errors import ClusterError
from cluster.node.calls import NodeClient
from raft.errors import ProposalTimeoutError
from raft.group import GroupState
from raft.group_codec import decode_state
from raft.member_status import MemberStatus

CHANGES_TIMEOUT_S: Final = 5.0
"""Seconds that a node has to say what has changed; it waits for one second itself."""

RETRY_S: Final = 0.2
"""Pause before another node is asked."""


class Observer:
    """Has the part of a `raft.member.Member` that nodes use; all methods may be called from any thread."""

    def __init__(self, name: str, seed: str, client_of: Callable[[str], NodeClient]) -> None:
        self._name = name
        self._seed = seed
        self._client_of = client_of
        self._index = 0
        self._state = GroupState()
        self._trouble = "has not heard of the group yet"
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    def state(self) -> GroupState:
        """Return the newest state heard of."""
        return self._state

    def applied_index(self) -> int:
        """Return the log entry up to which that state has been applied, at least."""
        return self._index

    def led_epoch(self) -> None:
        """Return no epoch: who does not vote does not lead."""

    def status(self) -> MemberStatus:
        """Return how things are, in the words of members."""
        role = "observer" if self._state.epoch else "forming"
        return MemberStatus(
            name=self._name,
            identity="",
            role=role,
            problem=self._trouble,
            applied_index=self._index,
            leader_id=self._state.leader_id or None,
            epoch=self._state.epoch,
        )

    def propose(self, command: bytes, timeout_s: float = 5.0) -> bytes:
        """Have a command applied through a node that votes, and return its encoded answer.

        Raises:
            ProposalTimeoutError: no answer in time.
        """
        deadline_s, trouble = time.monotonic() + timeout_s, "nobody votes"
        while (left_s := deadline_s - time.monotonic()) > 0:
            for address in self._voters():
                try:
                    answer, index = self._client_of(address).call("propose", command, left_s, timeout_s=left_s)
                except ClusterError as error:
                    trouble = str(error)
                    continue
                self._wait_for(index, deadline_s)
                return bytes(answer)
            self._stopping.wait(RETRY_S)
        raise ProposalTimeoutError(f"no answer in {timeout_s} s: {trouble}; try the same again")

    def _wait_for(self, index: int, deadline_s: float) -> None:
        """Wait until the state contains a log entry, or for as long as there is time."""
        with self._changed:
            self._changed.wait_for(lambda: self._index >= index, max(deadline_s - time.monotonic(), 0.0))

    def be_reluctant(self, *, is_reluctant: bool) -> None:
        """Do nothing: who does not vote does not stand for election."""

    def hand_over(self, timeout_s: float = 5.0, preferred: Collection[str] = ()) -> bool:
        """Return that another leads, as always."""
        return True

    def renew(self, timeout_s: float = 5.0) -> None:
        """Do nothing: there is no leadership to renew."""

    def close(self) -> None:
        """Hear no more."""
        self._stopping.set()
        self._thread.join()

    def _voters(self) -> list[str]:
        """Return the control addresses of those that vote, the one heard of first when none is known."""
        found = [node.address for node in self._state.nodes.values() if node.is_voter]
        return found or [self._seed]

    def _run(self) -> None:
        while not self._stopping.is_set():
            for address in self._voters():
                try:
                    index, state = self._client_of(address).call("changes", self._index, timeout_s=CHANGES_TIMEOUT_S)
                except ClusterError as error:
                    self._trouble = str(error)
                    continue
                self._trouble = ""
                if state is not None:
                    with self._changed:
                        self._state, self._index = decode_state(state), index
                        self._changed.notify_all()
                break
            else:
                self._stopping.wait(RETRY_S)
