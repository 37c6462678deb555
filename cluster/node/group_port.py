"""The group as the leader's process sees it: through its node, kept up by calls that wait for a change.

When the node does not answer, nobody leads here: what the process still does is refused by its epoch.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping

from cluster.errors import NoAnswerError
from cluster.node.calls import NodeClient, NodeClients
from cluster.node.ray_place import RayPlace
from cluster.node.security import Contexts
from cluster.node.settings import NodeSettings
from cluster.node.status import WatchAnswer
from raft.group import GroupState
from raft.group_codec import decode_state

log = logging.getLogger(__name__)

WATCH_TIMEOUT_S = 3.0
"""Seconds after which a look at the node counts as unanswered; the node answers within one, changed or not."""

STATE_TIMEOUT_S = 10.0
"""Seconds that the state has to follow an answer."""


class NodeGroup:
    """What `cluster.leader.supervisor.Leader` needs of a member, and where all nodes are."""

    def __init__(self, settings: NodeSettings, security: Contexts) -> None:
        self._clients = NodeClients(security.client)
        self._node = self._clients.at(settings.address)
        self._state = GroupState()
        self._epoch: int | None = None
        self._index = -1
        self._changed = threading.Condition()
        self._present: frozenset[str] = frozenset()
        self._answering: frozenset[str] = frozenset()
        self._places: Mapping[str, RayPlace] = {}

    def led_epoch(self) -> int | None:
        """Return the epoch that this node's member leads, or `None`."""
        return self._epoch

    def state(self) -> GroupState:
        """Return the newest state known here."""
        return self._state

    def answering_nodes(self) -> frozenset[str]:
        """Return the nodes that answered lately."""
        return self._answering

    def present_nodes(self) -> frozenset[str]:
        """Return those of them whose Ray runs under the present head."""
        return self._present

    def place_of(self, node: str) -> RayPlace | None:
        """Return where actors of a node run on a Ray that others have started, or `None` when that is not known."""
        return self._places.get(node)

    def propose(self, command: bytes, timeout_s: float) -> bytes:
        """Return the group's encoded answer to an encoded command; `state()` contains it then.

        Raises:
            RaftError: there was no answer in time.
            NoAnswerError: the node did not say what state follows.
        """
        answer, index = self._node.call("propose", command, timeout_s, timeout_s=timeout_s + 2)
        # The state comes once for all commands that were applied meanwhile, since it may be large.
        with self._changed:
            if not self._changed.wait_for(lambda: self._index >= index, STATE_TIMEOUT_S):
                raise NoAnswerError(f"the state up to entry {index} did not come in {STATE_TIMEOUT_S:.0f} s")
        return bytes(answer)

    def client_of(self, node: str) -> NodeClient | None:
        """Return how to call a node, or `None` when the group does not know it."""
        record = self._state.nodes.get(node)
        return None if record is None else self._clients.at(record.address)

    def directory_of(self, node: str) -> str:
        """Return where a node keeps everything."""
        return self._state.nodes[node].directory

    def run(self, own_address: str) -> None:
        """Keep everything up, for ever."""
        known: tuple[int, int | None] = (-1, None)
        while True:
            try:
                answer = self._node.call("watch", os.getpid(), own_address, *known, timeout_s=WATCH_TIMEOUT_S)
            except NoAnswerError as error:
                log.warning("the node does not answer", extra={"reason": str(error)})
                self._epoch, known = None, (-1, None)
                time.sleep(0.1)
                continue
            took_s = self._take(answer)
            known = (answer.index, answer.epoch)
            # A large state is taken less often, so that it never takes more than a third of the time.
            time.sleep(2 * took_s)

    def _take(self, answer: WatchAnswer) -> float:
        """Take what has changed; return the seconds that it took."""
        started_s = time.monotonic()
        if answer.state is not None:
            self._state = decode_state(answer.state)
        self._present, self._answering = frozenset(answer.present), frozenset(answer.answering)
        self._places = answer.places
        with self._changed:
            self._index = answer.index
            self._changed.notify_all()
        # After the state, which contains the election.
        self._epoch = answer.epoch
        return time.monotonic() - started_s
