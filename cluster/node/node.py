"""The node process: a member of the group, Ray on its machine, and a leader's process that stands by.

It imports neither Ray nor what jobs need, so that nothing that those do delays or ends the member. One thread looks at
the group's state and at its own children, and acts by what they are; what has to wait is done beside it.
"""

import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cluster.local.home import Home
from cluster.node.beat import Beat
from cluster.node.calls import NodeClients
from cluster.node.child import LeaderChild
from cluster.node.control import ControlServer
from cluster.node.epoch_use import EpochUse
from cluster.node.head_rule import next_head
from cluster.node.join_plan import JoinPlan, plan_join
from cluster.node.leftovers import SWEEP_S, remove_old_copies
from cluster.node.lookout import PRESENT_S, Lookout
from cluster.node.observer import Observer
from cluster.node.ray_guest import RayGuest
from cluster.node.ray_keeper import RayKeeper
from cluster.node.security import credentials_of
from cluster.node.settings import NodeSettings
from cluster.node.snapshot_calls import SnapshotCalls
from cluster.node.status import NodeStatus, RayPhase, WatchAnswer
from raft.commands import (
    Action,
    BecomeLeader,
    Command,
    ForgetSnapshots,
    HeadAssigned,
    HeadStarted,
    NodeJoined,
    encode_command,
    request_id,
)
from raft.errors import RaftError
from raft.group import GroupState, NodeRecord
from raft.group_codec import encode_state
from raft.member import Member, MemberSettings
from raft.settings import split_address
from raft.snapshots import SnapshotStore

log = logging.getLogger(__name__)

LOOK_S: Final = 0.05
"""Seconds between two looks at the state and the children."""

WATCH_S: Final = 1.0
"""Seconds for which a watch is kept waiting for a change."""

PROPOSE_TIMEOUT_S: Final = 5.0
"""Seconds after which a proposal of the node itself counts as unanswered; it is made again."""

ADMIT_S: Final = 1.0
"""Seconds between two requests of a node that joins."""

HAND_OVER_S: Final = 2.0
"""Seconds in which another member has to take over from one whose leader's process was lost."""


class NodeProcess:
    """One node in this process."""

    def __init__(self, home: Home, directory: Path) -> None:
        self._settings = settings = NodeSettings.read(directory)
        self._home = home
        self._directory = directory
        credentials = credentials_of(directory)
        clients = NodeClients(credentials.client_context())
        self._client_of = clients.at
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._beside = ThreadPoolExecutor(4, thread_name_prefix="beside")
        self._pending: dict[str, Future[None]] = {}
        self._incarnation = uuid.uuid4().hex
        self._ends_ray = False
        self._snapshots = SnapshotCalls(SnapshotStore.open(directory / "snapshots"), home, clients.at)
        member_settings = MemberSettings(
            name=settings.name,
            addresses=dict(settings.members),
            directory=directory / "raft",
            credentials=credentials,
        )
        self._member: Member | Observer = (
            Member(member_settings, self._on_action)
            if settings.votes
            else Observer(settings.name, settings.seed, self._client_of)
        )
        self._was_known = False
        self._promised: dict[str, str] = {}
        self._ray = RayGuest(settings) if settings.ray_address else RayKeeper(settings, directory)
        self._child = LeaderChild(directory)
        self._epochs = EpochUse()
        self._can_others_lead = True
        self._lookout = Lookout(self._client_of)
        self._beat = Beat(os.environ)
        self._server = ControlServer(split_address(settings.address), credentials.server_context(), self._calls())
        self._snapshots.forget_unnamed(self._member.state, self._is_formed, self._stopping)

    def run(self) -> None:
        """Take part until told to stop."""
        while not self._stopping.wait(LOOK_S):
            try:
                self._look()
            except Exception:
                log.exception("a look at the group failed")
            self._beat.give()
        self._close()

    def stop(self) -> None:
        """Ask `run` to end, with Ray of this machine."""
        self._ends_ray = True
        self._stopping.set()

    # What is looked at, in the thread of `run`.

    def _look(self) -> None:
        state, epoch = self._member.state(), self._member.led_epoch()
        if self._settings.votes and self._settings.seed and not self._is_formed():
            self._once("ask to be admitted", self._ask_to_be_admitted)
        self._keep_members()
        self._keep_known(state)
        if epoch is None:
            self._lookout.follow(None)
        else:
            self._lead(state, epoch)
        self._keep_ray(state)
        if self._settings.carries_ray:
            self._once("remove old copies", self._remove_old_copies)
        ray_address = self._child_ray_address(state)
        is_of_former_ray = self._child.ray_address != ray_address
        if self._child.follow(ray_address):
            self._epochs.lose()
            self._can_others_lead = not is_of_former_ray
        if self._epochs.is_spent(epoch):
            self._once("replace the leader", self._replace_leader)
        # Who was elected now could do nothing for the jobs. Before there is a Ray, nobody could.
        is_reluctant = state.head is not None and bool(state.head.address) and not self._child.is_ready
        self._member.be_reluctant(is_reluctant=is_reluctant)
        self._end_if_failed()
        self._notify_watchers()

    def _replace_leader(self) -> None:
        """Have another node lead, or this one under another epoch, since the process that led is gone.

        When it is gone because its Ray is over, so are those of the others.
        """
        if not self._epochs.is_spent(self._member.led_epoch()):
            return
        ready = self._others_ready(self._member.state()) if self._can_others_lead else []
        if not ready or not self._member.hand_over(HAND_OVER_S, ready):
            self._member.renew(PROPOSE_TIMEOUT_S)

    def _end_if_failed(self) -> None:
        """End this process when its member has stopped for good, as when its directory is gone: it starts anew."""
        status = self._member.status()
        if status.role == "failed":
            log.error("the member has failed: %s", status.problem)
            # Ray goes on for the one that is started next.
            self._stopping.set()

    def _keep_known(self, state: GroupState) -> None:
        """Have the group know this node as it is, unless it has left since it was known."""
        wanted, known = self._own_record(), state.nodes.get(self._settings.name)
        self._was_known |= known is not None
        if self._is_formed() and known != wanted and not (self._was_known and known is None):
            fields = {name: getattr(wanted, name) for name in NodeRecord.__slots__ if name != "is_draining"}
            self._propose("join", NodeJoined(request_id=request_id(), node=self._settings.name, **fields))

    def _remove_old_copies(self) -> None:
        remove_old_copies(self._home, self._member.state(), self._settings.name)
        self._stopping.wait(SWEEP_S)

    def _keep_members(self) -> None:
        """Remember who votes, so that one that loses its directory waits for them, and forms no group by itself."""
        status = self._member.status()
        found = {name: address for name, address, _ in status.voters}
        own, host = self._settings.raft_address, f"{self._settings.host}:"
        # Several nodes of one machine are and remain as `tocsin up` made them.
        is_alone = not any(address.startswith(host) for address in found.values() if address != own)
        if found.get(status.name) == own and is_alone and found != self._settings.members:
            self._settings = replace(self._settings, members=found)
            self._settings.write(self._directory)

    def _ask_to_be_admitted(self) -> None:
        identity = self._member.status().identity
        arguments = (self._settings.name, self._settings.raft_address, identity)
        try:
            self._client_of(self._settings.seed).call("admit", *arguments)
        finally:
            # Refused, until its former self is expelled, it asks no more often.
            self._stopping.wait(ADMIT_S)

    def _own_record(self) -> NodeRecord:
        known = self._member.state().nodes.get(self._settings.name)
        return NodeRecord(
            address=self._settings.address,
            directory=str(self._home.directory),
            machine=self._settings.host,
            carries_ray=self._settings.carries_ray,
            is_voter=self._settings.votes,
            is_draining=known is not None and known.is_draining,
            incarnation=self._incarnation,
        )

    def _lead(self, state: GroupState, epoch: int) -> None:
        """Do what belongs to the leading member and needs no Ray."""
        others = {name: node.address for name, node in state.nodes.items() if name != self._settings.name}
        self._lookout.follow(others)
        chosen = next_head(state, self._status_or_none, self._silence_s)
        if chosen:
            self._propose("head", HeadAssigned(request_id=request_id(), epoch=epoch, node=chosen))
        # Where there is no Ray, nobody is ready any more, whatever was said a moment ago.
        ready = self._others_ready(state) if self._child_ray_address(state) else []
        if not self._child.is_ready and self._lookout.watched_s > HAND_OVER_S and ready:
            self._once("hand over", lambda: self._member.hand_over(HAND_OVER_S, ready))

    def _others_ready(self, state: GroupState) -> list[str]:
        """Return the other nodes whose leader's process could lead, as far as this one has looked."""
        found = {name: self._lookout.status(name) for name in state.nodes if name != self._settings.name}
        return [name for name, status in found.items() if status is not None and status.child.address]

    def _keep_ray(self, state: GroupState) -> None:
        """Have Ray here as the group wants it, and say where the head listens."""
        head, own = state.head, self._settings.name
        if head is None or not self._settings.carries_ray or own not in state.nodes:
            return
        if isinstance(self._ray, RayKeeper) and head.node == own and head.address:
            # It ran here, and the group says where it listened: one that is started anew is another generation.
            self._ray.miss(head.generation)
        self._ray.follow(head.generation, None if head.node == own else head.address)
        found = self._ray.status
        is_new = found.phase is RayPhase.RUNNING and found.generation == head.generation and not head.address
        if head.node == own and is_new:
            command = HeadStarted(request_id=request_id(), node=own, generation=found.generation, address=found.address)
            self._propose("head started", command)

    def _child_ray_address(self, state: GroupState) -> str | None:
        """Return which Ray the leader's process shall drive; empty when there is none yet, `None` if it never leads."""
        head, ray = state.head, self._ray.status
        if not self._settings.votes:
            return None
        if head is None or not head.address:
            return ""
        if self._settings.ray_address and self._settings.carries_ray:
            # The head that the group names stands for that of others, which goes on when another node is named.
            return ray.address if ray.phase is RayPhase.RUNNING else ""
        if self._settings.carries_ray and (ray.phase is not RayPhase.RUNNING or ray.generation != head.generation):
            return ""
        return head.address

    def _propose(self, what: str, command: Command) -> None:
        self._once(what, lambda: self._member.propose(encode_command(command), PROPOSE_TIMEOUT_S))

    def _once(self, what: str, action: Callable[[], object]) -> None:
        """Do something beside, unless it is being done."""
        pending = self._pending.get(what)
        if pending is None or pending.done():
            self._pending[what] = self._beside.submit(self._act, what, action)

    def _act(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except RaftError as error:
            log.warning("the group did not take it; trying again", extra={"what": what, "reason": str(error)})
            self._stopping.wait(0.2)
        except Exception:
            log.exception("failed", extra={"what": what})
            self._stopping.wait(0.2)

    def _is_formed(self) -> bool:
        is_part = self._member.status().role in ("leader", "follower", "candidate", "observer")
        return is_part and self._member.state().epoch > 0

    def _status_or_none(self, name: str) -> NodeStatus | None:
        return self.status() if name == self._settings.name else self._lookout.status(name)

    def _silence_s(self, name: str) -> float:
        return 0.0 if name == self._settings.name else self._lookout.silence_s(name)

    # What others call, in threads of the server.

    def _calls(self) -> Mapping[str, Callable[..., Any]]:
        return {
            "status": self.status,
            "state": self._state,
            "propose": self._propose_for,
            "watch": self._watch,
            "plan_join": self._plan_join,
            "relay": self._relay,
            "changes": self._changes,
            **({"admit": self._member.admit, "expel": self._member.expel} if isinstance(self._member, Member) else {}),
            "hand_over": self._member.hand_over,
            "crash": self._crash,
            "end_worker": self._ray.end_worker,
            **self._snapshots.by_name,
        }

    def status(self) -> NodeStatus:
        """Return how this node is."""
        return NodeStatus(
            name=self._settings.name,
            pid=os.getpid(),
            member=self._member.status(),
            led_epoch=self._member.led_epoch(),
            ray=self._ray.status,
            child=self._child.status,
        )

    def _state(self) -> tuple[int, bytes]:
        # Read before the state, which may be further when it is read, and never less far.
        index = self._member.applied_index()
        return index, encode_state(self._member.state())

    def _changes(self, index: int) -> tuple[int, bytes | None]:
        """Wait until more has been applied than somebody knows, not longer than `WATCH_S`; return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._member.applied_index() != index, WATCH_S)
        return self._state_beyond(index)

    def _state_beyond(self, index: int) -> tuple[int, bytes | None]:
        """Return the state, encoded only for somebody who does not have it."""
        # Read before the state, as above.
        applied = self._member.applied_index()
        return applied, None if applied == index else encode_state(self._member.state())

    def _propose_for(self, command: bytes, timeout_s: float) -> tuple[bytes, int]:
        """Return the group's answer, and the log entry up to which a state contains it."""
        answer = self._member.propose(command, min(timeout_s, 60.0))
        index = self._member.applied_index()
        self._notify_watchers()
        return answer, index

    def _watch(self, pid: int, address: str, index: int, epoch: int | None) -> WatchAnswer:
        """Wait until something differs from what the leader's process knows, not longer than `WATCH_S`."""
        self._child.heard(pid, address)
        with self._changed:
            self._changed.wait_for(lambda: (self._member.applied_index(), self._led_epoch()) != (index, epoch), WATCH_S)
        is_present = pid == self._child.status.pid
        now_epoch = self._epochs.tell(self._member.led_epoch()) if is_present else None
        applied, state = self._state_beyond(index)
        nodes = self._member.state().nodes
        present = [status for status in map(self._status_or_none, nodes) if self._can_have_hosts(status)]
        return WatchAnswer(
            index=applied,
            epoch=now_epoch,
            state=state,
            # One that has not been asked for long may yet answer.
            answering=tuple(name for name in nodes if self._silence_s(name) < PRESENT_S),
            present=tuple(status.name for status in present if status is not None),
            places={one.name: one.ray.place for one in present if one is not None and one.ray.place is not None},
        )

    def _led_epoch(self) -> int | None:
        """Return the epoch under which the leader's process may act, if any."""
        return self._epochs.usable(self._member.led_epoch())

    def _can_have_hosts(self, status: NodeStatus | None) -> bool:
        head = self._member.state().head
        if status is None or head is None:
            return False
        ray = status.ray
        return ray.phase is RayPhase.RUNNING and ray.generation == head.generation

    def _plan_join(self, address: str) -> JoinPlan:
        """Return what a node that joins at an address is told."""
        state = self._member.state()
        voters = sorted(node.address for node in state.nodes.values() if node.is_voter)
        seed = self._settings.address if self._settings.votes else next(iter(voters), self._settings.seed)
        with self._changed:
            return plan_join(state, address, seed, self._promised)

    def _relay(self, address: str, name: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Make a call of a client that reaches this node alone; what it says and hears is not looked at."""
        return self._client_of(address).forward(name, body, timeout_s)

    def _crash(self, pid: int) -> None:
        """Die as by the power switch, with the leader's process, if this process is meant and not one before it."""
        if pid != os.getpid():
            return
        self._child.end()
        os.kill(os.getpid(), signal.SIGKILL)

    def _notify_watchers(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _on_action(self, action: Action) -> None:
        # Called from Raft's thread, which must not wait for a disk.
        if isinstance(action, ForgetSnapshots):
            self._beside.submit(self._snapshots.forget, action)
        elif isinstance(action, BecomeLeader):
            # The leader's process begins at once, not at the next look.
            self._notify_watchers()

    def _close(self) -> None:
        self._server.close()
        self._child.end()
        self._lookout.close()
        self._member.close()
        self._beside.shutdown()
        if self._ends_ray:
            self._ray.end()
        self._snapshots.close()
