"""The nodes of a cluster as a client reaches them: whichever answers is as good as another."""

import contextlib
import random
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final

from cluster.client.access import Access
from cluster.client.member_rows import MemberRow, member_rows
from cluster.errors import ClusterError, NoAnswerError, NotRunningError
from cluster.local.home import Home
from cluster.local.speed import has_passed
from cluster.node.calls import NodeClient, NodeClients, RelayedClient
from cluster.node.status import NodeStatus, RayPhase
from raft.answers import Refused, decode_answer
from raft.errors import FormatError, RaftError
from raft.group_codec import decode_state
from raft.records import GroupState

if TYPE_CHECKING:
    from raft.commands import Command

PAGE_EVENT_COUNT: Final = 4096
"""Events or anomalies asked of a partition at a time, at most."""

LOOK_TIMEOUT_S: Final = 1.0
"""Seconds that all nodes together have to say how they are; one that was just killed or hangs does not answer."""

PATIENCE_S: Final = 10.0
"""Seconds that nodes have to say what the group's state is, when none has said so at once."""

SILENT_S: Final = 3.0
"""Seconds for which nobody waits again for a node that did not answer in time."""

ATTEMPT_S: Final = 10.0
"""Seconds that one node has to have a command applied."""

GONE_S: Final = 10.0
"""Seconds of silence after which an operator's word that a node will not come back is taken."""

PROPOSE_DEADLINE_S: Final = 30.0
"""Seconds after which a proposal is given up; an election in between is waited out."""


class Nodes:
    """The nodes of the cluster of a home, or of one to which there is another way.

    Raises:
        NotRunningError: no cluster runs there.
    """

    def __init__(self, place: Home | Access) -> None:
        self._access = access = place if isinstance(place, Access) else Access.of_home(place)
        self._clients = NodeClients(access.context)
        self._addresses = dict(access.addresses)
        self._knows_all = False
        self._via: NodeClient | None = None
        self._silent_until_s: dict[str, float] = {}
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="client")

    @property
    def group_id(self) -> int:
        return self._access.group_id

    @property
    def dashboard_address(self) -> str | None:
        """Http address that takes Ray jobs, as far as one is known."""
        return self._access.dashboard_address

    def submitted_at(self, state: GroupState) -> str:
        """Return the node at which this client submits: of its home, or at the address it was given; empty if none."""
        given = set(self._access.addresses.values())
        return self._access.own_name or next((name for name, one in state.nodes.items() if one.address in given), "")

    def client(self, address: str) -> NodeClient:
        """Return how to call the process that listens at an address: directly, or by the only way in."""
        via = self._via
        return self._clients.at(address) if via is None else RelayedClient(address, via)

    def statuses(self) -> list[tuple[str, NodeStatus | None]]:
        """Ask every node how it is, all at once; `None` stands for no answer in time."""
        if not self._knows_all:
            with contextlib.suppress(NotRunningError):
                self.state(patience_s=0.0)
        return self._ask_all("status")

    def state(self, *, patience_s: float = PATIENCE_S) -> GroupState:
        """Return the newest state that a node has applied; when none answers at once, they have that much longer.

        Raises:
            NotRunningError: no node answers.
        """
        answers = self._ask_all("state")
        if self._via is not None and not any(answer for _, answer in answers):
            # The node in between is gone; another of those given may be there.
            self._via, self._addresses = None, dict(self._access.addresses)
            answers = self._ask_all("state")
        if patience_s and not any(answer for _, answer in answers):
            # On a busy machine; where nobody listens, this says so at once.
            answers = self._ask_all("state", patience_s)
        found = [answer for _, answer in answers if answer is not None]
        if not found:
            raise NotRunningError(
                f"no node of the cluster answers ({', '.join(self._addresses.values())}); {self._access.way_out}"
            )
        state = newest_state(found)
        # Who was given an address, or has a home, knows some nodes only, and not who has left.
        known = {name: node.address for name, node in state.nodes.items()}
        if self._via is None and known and self._is_elsewhere(known.values()):
            self._via = self._clients.at(next(self._addresses[name] for name, answer in answers if answer is not None))
        self._addresses = known or dict(self._access.addresses)
        self._knows_all = True
        return state

    def _is_elsewhere(self, addresses: Collection[str]) -> bool:
        """Whether nodes know each other by other addresses than those given here, as behind a forwarded port."""
        access = self._access
        return not access.own_name and not set(access.addresses.values()) & set(addresses)

    def propose(self, command: "Command") -> None:
        """Have a command accepted, through whichever node answers; an election in between is waited out.

        Raises:
            ClusterError: it was refused.
            NoAnswerError: the group did not answer in time.
        """
        from raft.commands import encode_command

        data = encode_command(command)
        started_s = time.monotonic()
        trouble = "no node answers"
        while not has_passed(started_s, PROPOSE_DEADLINE_S):
            for address in self._in_any_order():
                try:
                    answer, *_ = self.client(address).call("propose", data, ATTEMPT_S, timeout_s=ATTEMPT_S + 2)
                except FormatError as error:
                    raise ClusterError(f"{address} takes {type(command).__name__} for no command: {error}") from error
                except (NoAnswerError, RaftError) as error:
                    trouble = str(error)
                    continue
                found = decode_answer(answer)
                if isinstance(found, Refused):
                    raise ClusterError(found.reason)
                return
            time.sleep(0.1)
        raise NoAnswerError(f"the group did not accept the command in {time.monotonic() - started_s:.0f} s: {trouble}")

    def ready_children(self) -> tuple[list[NodeClient], str]:
        """Return the leader's processes that are ready, that of the leading node first, and why others are not."""
        statuses = self.statuses()
        ready = [status for _, status in statuses if status is not None and status.child.address]
        ordered = sorted(ready, key=lambda one: one.led_epoch or -1, reverse=True)
        return [self.client(status.child.address) for status in ordered], why_not_ready(statuses)

    def ask_children(self, call: str, *arguments: Any) -> dict[str, Any]:
        """Ask the leader's process of each node, all at once; those that do not answer in time are left out."""
        at = {one.name: one.child.address for _, one in self.statuses() if one is not None and one.child.address}
        futures = {
            name: self._threads.submit(self.client(address).call, call, *arguments, timeout_s=LOOK_TIMEOUT_S)
            for name, address in at.items()
        }
        wait(futures.values(), LOOK_TIMEOUT_S)
        done = {name: future for name, future in futures.items() if future.done() and future.exception() is None}
        return {name: future.result() for name, future in done.items()}

    def member_rows(self) -> list[MemberRow]:
        """Return who votes and who waits to, as the member that has applied most says.

        Raises:
            NotRunningError: no node answers.
        """
        known = self.state().nodes
        rows = member_rows([status for _, status in self.statuses() if status is not None])
        # Members remember whom they refused; one that has left does not wait.
        return [row for row in rows if row.votes or row.member in known]

    def expel(self, name: str) -> None:
        """Take the vote from a member, through whichever other node can; forget its node when that is gone.

        What such a node had is lost, also what jobs that do not run have there.

        Raises:
            ClusterError: there is no such voter, it leads, or no node could, with the reason of the last.
        """
        rows = {row.member: row for row in self.member_rows()}
        votes = name in rows and rows[name].votes
        is_gone = name in self.state().nodes and self._is_gone(name)
        if not votes and not is_gone:
            voters = ", ".join(row.member for row in rows.values() if row.votes)
            raise ClusterError(f"{name} has no vote, and is no node that does not answer; voters are {voters}")
        if votes and rows[name].role == "leader":
            raise ClusterError(f"{name} leads; end its process (`tocsin down` on its machine), then expel it")
        if votes:
            self._change_votes(f"{name} keeps its vote", name, "expel", name)
        if is_gone:
            self._forget(name)

    def _is_gone(self, name: str) -> bool:
        """Whether a node says nothing for as long as it takes to be started again."""
        client = self.client(self._addresses[name])
        started_s = time.monotonic()
        while not has_passed(started_s, GONE_S):
            try:
                client.call("status", timeout_s=GONE_S)
            except NoAnswerError:
                time.sleep(0.2)
            else:
                return False
        return True

    def _forget(self, name: str) -> None:
        """Take a node that is gone out of the cluster with all that it had, once it does not carry Ray's head."""
        from raft.commands import NodeLeft, NodeLost, request_id

        started_s, reason = time.monotonic(), ""
        while not has_passed(started_s, PROPOSE_DEADLINE_S):
            try:
                epoch = self.state().epoch
                self.propose(NodeLost(request_id=request_id(), epoch=epoch, node=name, is_for_good=True))
                self.propose(NodeLeft(request_id=request_id(), node=name))
            except ClusterError as error:
                # An election, or the next head of Ray: both take seconds.
                reason = str(error)
                time.sleep(0.5)
            else:
                return
        raise ClusterError(f"{name} votes no more, and still belongs to the cluster: {reason}")

    def admit(self, name: str) -> None:
        """Give a member that waits its vote; what it was before it lost its directory gives up its own.

        Raises:
            ClusterError: nobody of that name waits, or no node could.
        """
        waiting = self._waiting(name)
        # Nothing happens when it has no former self.
        self._change_votes(f"the former {name} keeps its vote", name, "expel", name)
        self._change_votes(f"{name} gets no vote", name, "admit", name, waiting.address, waiting.identity)

    def _waiting(self, name: str) -> MemberRow:
        """Return the member of a name that waits to be admitted; those that know of it may be slow to answer."""
        started_s = time.monotonic()
        while True:
            found = [row for row in self.member_rows() if row.member == name and not row.votes]
            if found:
                return found[0]
            if has_passed(started_s, GONE_S):
                raise ClusterError(f"no member {name} waits to be admitted; `tocsin member list` says who does")
            time.sleep(0.2)

    def hand_over(self, name: str) -> None:
        """Have another member lead, if this one does.

        Raises:
            ClusterError: none could be elected.
        """
        client = self.client(self._addresses[name])
        if not client.call("hand_over", ATTEMPT_S, timeout_s=ATTEMPT_S + 2):
            raise ClusterError(f"no other member than {name} can lead; see `tocsin member list`")

    def _change_votes(self, trouble: str, changed: str, call: str, *arguments: object) -> None:
        """Have the voters changed by any other node, as long as it takes to have a leader."""
        reason: Exception = NoAnswerError("no node answers")
        started_s = time.monotonic()
        while not has_passed(started_s, PROPOSE_DEADLINE_S):
            for address in self._in_any_order(but=changed):
                try:
                    self.client(address).call(call, *arguments, ATTEMPT_S, timeout_s=ATTEMPT_S + 2)
                except (ClusterError, RaftError) as error:
                    reason = error
                else:
                    return
            time.sleep(0.1)
        raise ClusterError(f"{trouble}: {reason}")

    def crash(self, name: str, pid: int) -> None:
        """Have the process of a node, and none after it, die as by SIGKILL, with its leader's process."""
        try:
            self.client(self._addresses[name]).call("crash", pid, timeout_s=LOOK_TIMEOUT_S)
        except NoAnswerError:
            # It died before it could say so.
            return

    def _in_any_order(self, but: str = "") -> list[str]:
        addresses = [address for name, address in self._addresses.items() if name != but]
        random.shuffle(addresses)
        return addresses

    def _ask_all(self, call: str, timeout_s: float = LOOK_TIMEOUT_S) -> list[tuple[str, Any]]:
        now_s = time.monotonic()
        asked = {name for name in self._addresses if self._silent_until_s.get(name, now_s) <= now_s}
        futures = {
            name: self._threads.submit(self.client(address).call, call, timeout_s=timeout_s)
            for name, address in self._addresses.items()
            if name in asked or not asked
        }
        wait(futures.values(), timeout_s)
        waited_s = time.monotonic() - now_s
        for name, future in futures.items():
            if not future.done() or (waited_s >= timeout_s and future.exception() is not None):
                self._silent_until_s[name] = now_s + waited_s + SILENT_S
        return [(name, _answer_or_none(futures.get(name))) for name in self._addresses]


def newest_state(found: Sequence[tuple[int, bytes]]) -> GroupState:
    """Return the state of the member that has applied most; given are applied index and encoded state of each."""
    return decode_state(max(found, key=lambda one: one[0])[1])


def why_not_ready(statuses: Sequence[tuple[str, NodeStatus | None]]) -> str:
    """Return in words what has to come before there are leader's processes that can be asked."""
    lines = []
    for name, status in statuses:
        if status is None:
            lines.append(f"{name} does not answer")
        elif status.child.address:
            continue
        elif status.ray.phase in (RayPhase.STARTING, RayPhase.FAILED):
            problem = f" ({status.ray.problem})" if status.ray.problem else ""
            lines.append(
                f"Ray of {name} is {'being started' if status.ray.phase is RayPhase.STARTING else 'down'}{problem}"
            )
        else:
            lines.append(f"the leader's process of {name} is being started")
    return ", ".join(lines) or "no node has one"


def _answer_or_none(future: "Future[Any] | None") -> Any:
    if future is None or not future.done() or future.exception() is not None:
        return None
    return future.result()
