"""A world for the Raft group: several members in one process, a manual clock, and a network and disks that fail.

Everything random comes from one seed. The network drops, delays, duplicates and reorders messages, and is cut between
pairs of members. Members crash between steps, before, during and after a write of their journal, and between two
messages; what was not synced is gone then. A member may lose its directory and come back as another incarnation.

After every step the world checks what must always hold; `heal_and_check` lets the group recover and checks the rest.
"""

import heapq
import itertools
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pysyncobj import FAIL_REASON
from pysyncobj.node import Node

from raft.commands import (
    Accepted,
    JobSubmitted,
    MemberAdded,
    MemberRemoved,
    decode_command,
    encode_answer,
    encode_command,
)
from raft.consensus import Consensus
from raft.group import GroupState, answer_to, apply, validate
from raft.group_codec import decode_state, encode_state
from raft.journal import Journal
from raft.membership import Greeting, Waiting, form
from raft.messages import check_contents, checked
from raft.settings import Timing
from raft.transport import HeldTransport, Message
from raft.wire import decode_message, encode_message

STEP_S = 0.025
LATE_S_MAX = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How often things go wrong."""

    drop: float = 0.05
    """Share of messages that are lost."""

    duplicate: float = 0.05
    """Share of messages that arrive twice."""

    delay_s_max: float = 0.15
    """Longest journey of a message."""

    late: float = 0.02
    """Share of messages that take up to `LATE_S_MAX`, through several elections."""

    depose: float = 0.005
    """Chance in a step that a leader is cut off from everybody."""

    cut: float = 0.005
    """Chance in a step that a pair of members is cut off."""

    join: float = 0.03
    """Chance in a step that a pair is joined again."""

    crash: float = 0.003
    """Chance in a step that a running member is about to crash."""

    restart: float = 0.06
    """Chance in a step that a crashed member comes back."""

    pause: float = 0.003
    """Chance in a step that a member stands still for a while."""

    refuse: float = 0.7
    """Chance that another member learns that a crashed one's machine refuses connections."""

    reluctance: float = 0.01
    """Chance in a step that a member lets others stand for election first, or does so no more."""

    hand_over: float = 0.01
    """Chance in a step that a leader is told to hand its leadership over."""

    lose: float = 0.0
    """Chance that a crashed member has lost its directory when it comes back."""

    older: float = 0.0
    """Chance that a member is of a version that neither asks before it stands for election nor can be asked."""


CALM = Weather(drop=0, duplicate=0, delay_s_max=0.02, late=0, depose=0, cut=0, crash=0, pause=0, hand_over=0)
"""Nothing goes wrong."""


class CrashError(Exception):
    """The member's process ends here."""


class CrashingJournal(Journal):
    """A journal in which a process may end before or after a write."""

    fuse: "Fuse"

    def _write(self) -> None:
        self.fuse.burn()
        super()._write()
        self.fuse.burn()


class Fuse:
    """Counts down to a crash, once lit."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        """Come one place nearer to the crash."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise CrashError


class SimTransport(HeldTransport):
    """Hands messages to the world."""

    def __init__(self, world: "World", host: "Host") -> None:
        super().__init__()
        self.world, self.host = world, host
        self.nodes: dict[str, Node] = {}

    def addNode(self, node: Node) -> None:  # noqa: N802
        self.nodes[node.id] = node
        if self.world.is_joined(self.host.name, node.name):
            self._onNodeConnected(node)

    def can_be_asked(self, node: Node) -> bool:
        return not {self.host.name, node.name} & self.world.older

    def dropNode(self, node: Node) -> None:  # noqa: N802
        self.nodes.pop(node.id, None)
        self._onNodeDisconnected(node)

    def release(self) -> None:
        # PySyncObj sends to a set of nodes in any order; a seed must mean the same order always.
        self._held.sort(key=lambda held: held[0].name)
        super().release()

    def transmit(self, node: Node, message: Message) -> None:
        self.host.fuse.burn()
        assert self.host.journal is not None
        assert not self.host.journal.needs_sync(), "a message leaves before the journal is durable"
        self.world.post(self.host, node.id, encode_message(message))

    def receive(self, source_id: str, message: Message) -> None:
        """Take a message, if its sender is a voter."""
        node = self.nodes.get(source_id)
        if node is not None:
            self._onMessageReceived(node, message)

    def on_joined(self, name: str, *, joined: bool) -> None:
        """The way to a member has opened or closed."""
        for node in [node for node in self.nodes.values() if node.name == name]:
            (self._onNodeConnected if joined else self._onNodeDisconnected)(node)


class SimMachine:
    """The group state, with a record of what was applied where."""

    def __init__(self, world: "World", host: "Host") -> None:
        self.world, self.host = world, host
        self.state = GroupState()

    def apply(self, command: bytes) -> bytes:
        value = decode_command(command)
        self.state, _ = apply(self.state, value)
        consensus = self.host.consensus
        assert consensus is not None
        self.world.note_applied(consensus.raftLastApplied + 1, command)
        return encode_answer(answer_to(self.state, value.request_id) or Accepted(epoch=self.state.epoch))

    def dump(self) -> bytes:
        return encode_state(self.state)

    def restore(self, state: bytes) -> None:
        self.state = decode_state(state)


class SimPoller:
    """Delivers what has arrived for a member while it waits."""

    def __init__(self, host: "Host") -> None:
        self.host = host

    def poll(self, _: float) -> None:
        inbox, self.host.inbox = self.host.inbox, []
        assert self.host.transport is not None
        for source_id, frame in inbox:
            self.host.transport.receive(source_id, checked(decode_message(frame)))


class Host:
    """One machine on which a member lives, crashes and comes back."""

    def __init__(self, world: "World", name: str, directory: Path) -> None:
        self.world, self.name, self.directory = world, name, directory
        self.fuse = Fuse()
        self.journal: CrashingJournal | None = None
        self.transport: SimTransport | None = None
        self.consensus: Consensus | None = None
        self.machine = SimMachine(world, self)
        self.inbox: list[tuple[str, bytes]] = []
        self.paused_until_s = 0.0

    @property
    def node_id(self) -> str:
        """Id of the incarnation that runs."""
        assert self.journal is not None
        return f"{self.name}/{self.journal.identity}"

    def greeting(self) -> Greeting:
        """What the member tells about itself."""
        assert self.journal is not None
        voters = self.consensus.voters if self.consensus else self.journal.voters
        identity = self.journal.identity
        return Greeting(name=self.name, address=self.name, identity=identity, voters=voters)

    def start(self) -> None:
        """Start the process."""
        CrashingJournal.fuse = self.fuse
        self.fuse.left = None
        self.journal = CrashingJournal.open(self.directory, durable=False)
        self.journal.fuse = self.fuse

    def crash(self) -> None:
        """End the process; what was not synced is gone."""
        if self.journal is not None:
            self.journal.close()
        self.journal, self.transport, self.consensus, self.inbox = None, None, None, []

    def lose_directory(self) -> None:
        """Come back with nothing."""
        shutil.rmtree(self.directory)

    def step(self) -> None:
        """Do one round, or join the group first."""
        assert self.journal is not None
        if self.consensus is None:
            self._join()
        if self.consensus is not None:
            self.consensus.step(0.0)

    def validate(self) -> None:
        """Check what must hold after every step; the state of the group, which may be large, now and then."""
        if self.consensus is not None:
            self.consensus.validate()
            if self.consensus.applied_index % 32 == 0:
                validate(self.machine.state)

    def _join(self) -> None:
        """Begin to take part, if it is known who votes."""
        assert self.journal is not None
        if not self.journal.voters:
            outcome = form(self.greeting(), dict(self.world.configured), self.world.heard_by(self))
            if isinstance(outcome, Waiting):
                return
            self.journal.form(outcome)
        self.transport = SimTransport(self.world, self)
        self.machine = SimMachine(self.world, self)
        generator = random.Random(self.world.random.random())
        self.consensus = Consensus(
            name=self.name,
            journal=self.journal,
            transport=self.transport,
            machine=self.machine,
            timing=Timing(),
            check_contents=check_contents,
            log_entry_count_max=self.world.log_entry_count_max,
            append_size_bytes_max=self.world.append_size_bytes_max,
            generator=generator,
        )
        self.consensus.use_poller(SimPoller(self))


class World:
    """All members, the network between them, and the clock."""

    def __init__(self, seed: int, directory: Path, weather: Weather, *, member_count: int = 3) -> None:
        self.random = random.Random(seed)
        self.weather = weather
        self.now_s = 100.0
        self.configured = {f"m{number}": f"m{number}" for number in range(member_count)}
        self.log_entry_count_max = self.random.choice((6, 20, 1000))
        self.append_size_bytes_max = self.random.choice((1, 500, 1 << 20))
        self.cuts: set[frozenset[str]] = set()
        self.mail: list[tuple[float, int, str, str, bytes]] = []
        self.refusals: list[tuple[float, float, Host, str]] = []
        self.numbers = itertools.count()
        self.leaders: dict[int, str] = {}
        self.applied: dict[int, bytes] = {}
        self.answers: dict[str, bytes] = {}
        self.lost: str | None = None
        self.older = {name for name in self.configured if weather.older and self.random.random() < weather.older}
        self.hosts = {name: Host(self, name, directory / name) for name in self.configured}
        for host in self.hosts.values():
            host.start()

    def clock(self) -> float:
        """Return the time."""
        return self.now_s

    def is_joined(self, one: str, other: str) -> bool:
        """Whether messages pass between two members."""
        return frozenset((one, other)) not in self.cuts

    def heard_by(self, host: Host) -> dict[str, Greeting]:
        """Return the greetings a member can hear now."""
        others = [other for other in self.hosts.values() if other is not host and other.journal is not None]
        return {other.name: other.greeting() for other in others if self.is_joined(host.name, other.name)}

    def post(self, source: Host, target_id: str, frame: bytes) -> None:
        """Take a message for the journey."""
        name = target_id.partition("/")[0]
        if not self.is_joined(source.name, name):
            return
        for _ in range(1 + (self.random.random() < self.weather.duplicate)):
            if self.random.random() >= self.weather.drop:
                late = self.random.random() < self.weather.late
                delay_s_max = LATE_S_MAX if late else self.weather.delay_s_max
                arrival_s = self.now_s + self.random.uniform(0.001, delay_s_max)
                heapq.heappush(self.mail, (arrival_s, next(self.numbers), source.node_id, target_id, frame))

    def note_applied(self, index: int, command: bytes) -> None:
        """Every member applies the same command at the same place."""
        assert self.applied.setdefault(index, command) == command, f"two commands were applied as entry {index}"

    def run(self, duration_s: float, propose: float = 0.2) -> None:
        """Let time pass, with accidents and proposals."""
        end_s = self.now_s + duration_s
        while self.now_s < end_s:
            self.happen()
            if self.random.random() < propose:
                self.propose()
            self.pass_time()

    def pass_time(self) -> None:
        """Deliver what has arrived, let every member do one round, and check what must always hold."""
        self.now_s += STEP_S
        while self.mail and self.mail[0][0] <= self.now_s:
            self.deliver(*heapq.heappop(self.mail)[2:])
        self.refuse()
        for host in self.hosts.values():
            if host.journal is not None and self.now_s >= host.paused_until_s:
                try:
                    host.step()
                    host.validate()
                except CrashError:
                    self.crash(host)
            self.check_leader(host)
        self.check_lone_leader()

    def crash(self, host: Host) -> None:
        """End a member's process; others may learn that nobody listens there, also when somebody does again."""
        ended = host.node_id
        host.crash()
        for other in self.hosts.values():
            if (
                other is not host
                and self.is_joined(host.name, other.name)
                and self.random.random() < self.weather.refuse
            ):
                arrival_s = self.now_s + self.random.choice((0.0, self.random.uniform(0.0, LATE_S_MAX)))
                self.refusals.append((arrival_s, self.now_s, other, ended))

    def refuse(self) -> None:
        """Let members know who has ended, as far as that has come through."""
        due = [refusal for refusal in self.refusals if refusal[0] <= self.now_s]
        self.refusals = [refusal for refusal in self.refusals if refusal[0] > self.now_s]
        for _, since_s, other, ended in due:
            node = None if other.transport is None else other.transport.nodes.get(ended)
            if node is not None and other.transport is not None:
                other.transport.on_ended(node, since_s)

    def deliver(self, source_id: str, target_id: str, frame: bytes) -> None:
        """Put a message into an inbox, if the incarnation it is for still runs and takes it."""
        host = self.hosts[target_id.partition("/")[0]]
        if host.journal is not None and host.consensus is not None and host.node_id == target_id:
            host.inbox.append((source_id, frame))

    def check_leader(self, host: Host) -> None:
        """A term has one leader."""
        consensus = host.consensus
        if consensus is not None and consensus.role == "leader":
            term = consensus.raftCurrentTerm
            assert self.leaders.setdefault(term, host.node_id) == host.node_id, f"two leaders in term {term}"

    def check_lone_leader(self) -> None:
        """Who says that it leads alone has no successor yet."""
        running = [host.consensus for host in self.hosts.values() if host.consensus is not None]
        terms = [consensus.raftCurrentTerm for consensus in running if consensus.role == "leader"]
        for consensus in running:
            assert not consensus.leads_alone or consensus.raftCurrentTerm == max(terms), "two lead alone"

    def happen(self) -> None:
        """Let accidents happen."""
        weather, dice = self.weather, self.random
        for one, other in itertools.combinations(sorted(self.hosts), 2):
            if dice.random() < (weather.cut if self.is_joined(one, other) else weather.join):
                self.toggle(one, other)
        for host in self.hosts.values():
            leads = host.consensus is not None and host.consensus.role == "leader"
            if leads and dice.random() < weather.depose:
                self.isolate(host)
            if leads and dice.random() < weather.hand_over:
                host.consensus.hand_over(dice.uniform(0.1, 2.0), frozenset(dice.sample(sorted(self.hosts), 1)))
            if host.consensus is not None and dice.random() < weather.reluctance:
                host.consensus.be_reluctant(is_reluctant=dice.random() < 0.5)
            if host.journal is None:
                if dice.random() < weather.restart:
                    self.restart(host)
            elif dice.random() < weather.crash:
                host.fuse.left = dice.randrange(8)
            elif dice.random() < weather.pause:
                host.paused_until_s = self.now_s + dice.uniform(0.1, 2.0)
        if self.lost is not None and dice.random() < 0.05:
            self.readmit()

    def restart(self, host: Host) -> None:
        """Start a crashed member, maybe without its directory; only one at a time may have lost it."""
        if self.lost is None and self.random.random() < self.weather.lose:
            host.lose_directory()
            self.lost = host.name
        host.start()

    def toggle(self, one: str, other: str) -> None:
        """Cut two members off from each other, or join them again."""
        pair = frozenset((one, other))
        self.cuts ^= {pair}
        for host, name in ((self.hosts[one], other), (self.hosts[other], one)):
            if host.transport is not None:
                host.transport.on_joined(name, joined=pair not in self.cuts)

    def isolate(self, host: Host) -> None:
        """Cut a member off from everybody."""
        for name in sorted(self.hosts.keys() - {host.name}):
            if self.is_joined(host.name, name):
                self.toggle(host.name, name)

    def silence(self, host: Host) -> None:
        """Lose what a member sends and what is sent to it, without a word to either side."""
        self.cuts |= {frozenset((host.name, name)) for name in self.hosts.keys() - {host.name}}

    def leading(self) -> Host:
        """Return the host whose member leads, once there is one that all follow."""
        deadline_s = self.now_s + 30
        while True:
            running = [host for host in self.hosts.values() if host.consensus is not None]
            leaders = [host for host in running if host.consensus.leads]
            if len(leaders) == 1 and {host.consensus.leader_name for host in running} == {leaders[0].name}:
                return leaders[0]
            assert self.now_s < deadline_s, f"nobody leads: {self.describe()}"
            self.pass_time()

    def terms(self) -> list[int]:
        """Return the term that each member has come to."""
        return [host.consensus.raftCurrentTerm for host in self.hosts.values() if host.consensus is not None]

    def any_consensus(self) -> Consensus | None:
        """Return a member that takes part."""
        running = [host.consensus for host in self.hosts.values() if host.consensus is not None]
        return self.random.choice(running) if running else None

    def propose(self) -> None:
        """Propose something through any member, and remember the answer if there is one."""
        consensus = self.any_consensus()
        if consensus is None:
            return
        request_id = f"r{next(self.numbers)}"
        job = JobSubmitted(request_id=request_id, job_id=request_id, spec=b"", partition_count=1, host_count=1)
        consensus.submit(encode_command(job), self.remember(request_id))

    def remember(self, request_id: str) -> Callable[[bytes | None, int], None]:
        """Return what takes the answer to a request."""

        def take(answer: bytes | None, reason: int) -> None:
            if reason == FAIL_REASON.SUCCESS:
                assert answer is not None
                self.answers[request_id] = answer

        return take

    def readmit(self) -> None:
        """Expel the lost incarnation, then admit the one that has come back."""
        assert self.lost is not None
        host, consensus = self.hosts[self.lost], self.any_consensus()
        if host.journal is None or consensus is None:
            return
        own = host.greeting()
        if host.consensus is not None and (own.name, own.address, own.identity) in consensus.voters:
            self.lost = None
            return
        former = [identity for name, _, identity in consensus.voters if name == host.name]
        change: Any = MemberAdded(member_id=host.name, address=host.name, identity=own.identity)
        if former:
            change = MemberRemoved(member_id=host.name, identity=former[0])
        consensus.submit_change(change, lambda *_: None)

    def heal_and_check(self) -> None:
        """Let the group recover, then check that nothing is lost and all agree."""
        self.weather = replace(CALM, restart=1)
        for pair in list(self.cuts):
            self.toggle(*sorted(pair))
        for host in self.hosts.values():
            host.fuse.left, host.paused_until_s = None, 0.0
        deadline_s = self.now_s + 60
        while not self.is_settled():
            assert self.now_s < deadline_s, f"the group does not recover: {self.describe()}"
            self.run(0.1, propose=0)
        self.check_nothing_lost()

    def is_settled(self) -> bool:
        """Whether proposals are answered, all members take part, and have applied the same."""
        if self.lost is not None or not self.commits():
            return False
        running = [host.consensus for host in self.hosts.values() if host.consensus is not None]
        applied = {consensus.raftLastApplied for consensus in running}
        return len(running) == len(self.hosts) and len(applied) == 1 and any(consensus.leads for consensus in running)

    def commits(self) -> bool:
        """Whether a proposal made now is answered; time enough is left for all to learn of it."""
        before = len(self.answers)
        self.propose()
        for _ in range(20):
            self.pass_time()
        return len(self.answers) > before

    def check_nothing_lost(self) -> None:
        """Every answer that was given is in every state, and all states are the same."""
        states = {name: host.machine.state for name, host in self.hosts.items()}
        assert len({encode_state(state) for state in states.values()}) == 1, "the members' states differ"
        state = next(iter(states.values()))
        validate(state)
        lost = [
            request_id
            for request_id, answer in self.answers.items()
            if (known := answer_to(state, request_id)) is None or encode_answer(known) != answer
        ]
        assert lost == [], f"{len(lost)} of {len(self.answers)} acknowledged commands are lost"
        self.check_logs()

    def check_logs(self) -> None:
        """Logs that agree on an entry's term agree on that entry."""
        entries: dict[tuple[int, int], bytes] = {}
        for host in self.hosts.values():
            assert host.journal is not None
            for command, index, term in host.journal[1:]:
                assert entries.setdefault((index, term), command) == command

    def describe(self) -> str:
        """Return what is going on, for a failed check."""
        lines = []
        for host in self.hosts.values():
            consensus = host.consensus
            role = consensus.role if consensus else "down" if host.journal is None else "forming"
            applied = consensus.raftLastApplied if consensus else 0
            voters = [voter[0] for voter in consensus.voters] if consensus else []
            lines.append(f"{host.name} {role} applied {applied} voters {voters}")
        return "; ".join(lines)

    def close(self) -> None:
        """End all processes."""
        for host in self.hosts.values():
            host.crash()
