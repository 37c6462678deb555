"""A world of leaders and partitions on several nodes, each with its own directory: nodes die, pause and come back.

Real are the core, the group's rules, hosts and shards, as in `tests.sim.partition_world`. A host is named with its node
here (`host-0@a`), since one of the same name may be left on a node that was given up. Nodes that are *down* are not
reached; those that pause keep their processes, and what was sent to them arrives when they are back.
"""

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from actors.host import PartitionHost
from actors.partition.partition import Partition
from actors.partition.values import OpenedPartition
from actors.shard import Shard
from cluster.leader import events, instructions
from raft.commands import Command, NodeDrained, NodeJoined, ScaleRequested
from tests.sim.partition_faults import FaultyWorld
from tests.sim.partition_world import NoReplyError, SimHost, SimLeader
from tests.sim.shaky import CrashError
from tests.support.shard_copies import chunks_of

NODES = ("a", "b", "c")


@dataclass(slots=True)
class NodeWorld(FaultyWorld):
    """A world with nodes; shards may be lost, so the source keeps everything."""

    may_lose_shards: bool = True
    node_count: int = 0
    """Nodes there are; 0 lets the seed say."""
    down: set[str] = field(init=False, default_factory=set)
    """Nodes that are not reached."""
    dead: set[str] = field(init=False, default_factory=set)
    """Those of them that never come back."""
    node_of: dict[tuple[int, str], str] = field(init=False, default_factory=dict)
    """Node of a host as a leader, named by its identity, knows it."""

    placed_on: set[str] = field(init=False, default_factory=set)
    """Nodes that have had hosts of the job."""

    happened: Counter[str] = field(init=False, default_factory=Counter)
    """How often the group decided each kind of command, and copies were made."""

    def decide(self, command: Command) -> None:
        """Have the group apply a command."""
        FaultyWorld.decide(self, command)
        self.happened[type(command).__name__] += 1
        self.placed_on |= {node for job in self.group.jobs.values() for node in job.host_nodes.values()}

    def __post_init__(self) -> None:
        # `super()` does not work in dataclasses with slots.
        FaultyWorld.__post_init__(self)
        for node in NODES[: self.node_count or self.rng.randint(1, 3)]:
            self.join(node)
        self.leaders[-1].view = self.group

    def join(self, node: str) -> None:
        """Let a node belong to the cluster, or tell it again."""
        self.decide(
            NodeJoined(
                node=node, address=f"{node}:1", directory=f"/{node}", machine=node, carries_ray=True, is_voter=False,
                incarnation=f"{node}-1",
            )
        )  # fmt: skip

    def place_of(self, leader: SimLeader, host: str) -> str:
        """Return the host on the node where this leader started it, or where the group has it."""
        known = leader.view.jobs[self.job.name].host_nodes.get(host, "")
        return f"{host}@{self.node_of.get((id(leader), host), known)}"

    def directory_of(self, name: str) -> Path:
        """Return the directory of a host's node."""
        return self.directory / name.rpartition("@")[2]

    def shard_directory(self, number: int) -> Path:
        """Return where the current shard of a partition is."""
        return self.directory / (self.sim_job.node_of(number) or "nowhere") / f"{number:04d}"

    def can_reach(self, host: str) -> bool:
        """Whether a host's node is up."""
        return host.rpartition("@")[2] not in self.down

    def start_host(self, name: str) -> None:
        """Start a process on a node that is up."""
        if self.can_reach(name):
            FaultyWorld.start_host(self, name)

    def obey_start(self, leader: SimLeader, request: instructions.StartHost) -> None:
        """Start a host on its node, and end those of its name on others."""
        name = f"{request.host}@{request.node}"
        if not self.can_reach(name):
            raise NoReplyError(f"node {request.node} is down")
        self.node_of[id(leader), request.host] = request.node
        if leader.epoch == self.group.epoch:
            for host in self.hosts.values():
                if host.name.startswith(f"{request.host}@") and host.name != name and self.can_reach(host.name):
                    self.end(host)
        self.start_host(name)

    def obey_prepare(self, leader: SimLeader, instruction: instructions.PrepareHost) -> None:
        """Start a host on its node, and leave those of its name on others."""
        self.start_host(f"{instruction.host}@{instruction.node}")
        self.happened["a spare"] += 1

    def end_other_hosts(self, leader: SimLeader, kept: list[str]) -> None:
        """End the hosts that own nothing, as far as they are reached."""
        for host in self.hosts.values():
            if host.name not in kept and self.can_reach(host.name):
                self.end(host)

    def look(self, leader: SimLeader) -> None:
        """Let a leader look at the group and at the nodes."""
        FaultyWorld.look(self, leader)
        there = frozenset(self.group.nodes.keys() - self.down)
        self.tell(leader, events.NodesSeen(now_us=self.now_us, nodes=there))

    def open(
        self, host: PartitionHost, leader: SimLeader, request: instructions.OpenPartitions
    ) -> dict[int, OpenedPartition]:
        """Let a host open partitions at their generations."""
        opened = FaultyWorld.open(self, host, leader, request)
        assert {number: one.generation for number, one in opened.items()} == request.generations
        return opened

    def copy_shard(self, leader: SimLeader, request: instructions.CopyShard) -> None:
        """Copy a shard to the node of another host; it may break off anywhere."""
        epoch, number, generation = leader.epoch, request.partition, request.generation
        source, target = (self._process(leader, host) for host in (request.source, request.target))
        try:
            chunks = list(chunks_of(source, epoch, number, generation, self.now_us))
        except CrashError:
            self.note(f"{request.source} crashes while it copies")
            self.end(self.hosts[self.place_of(leader, request.source)])
            raise NoReplyError(f"{request.source} died") from None
        for chunk in chunks:
            if self.fault_count and self.rng.random() < 0.1:
                raise NoReplyError("the copy breaks off")
            target.receive_chunk(epoch, number, generation, chunk)
        target.finish_copy(epoch, number, generation, chunks[-1].size_bytes, chunks[-1].digest)
        source.end_copy(epoch, number, generation)
        self.happened["a copy"] += 1

    def _process(self, leader: SimLeader, host: str) -> PartitionHost:
        found = self.hosts.get(self.place_of(leader, host))
        if found is None or found.process is None or not self.can_reach(found.name):
            raise NoReplyError(f"{host} is dead")
        return found.process

    def gather(self) -> Path:
        """Return a directory with the current shard of every partition, copied from its node; all are current."""
        final = self.directory / "final"
        for number, generation in enumerate(self.sim_job.generations):
            with Shard.open(self.shard_directory(number), read_only=True) as shard:
                assert shard.generation == generation
            shutil.copytree(self.shard_directory(number), final / f"{number:04d}")
        return final

    def gather_standbys(self) -> Path:
        """Return a directory as `gather` does, with second copies in place of shards where they have everything."""
        final = self.directory / "final-standbys"
        for number in range(self.job.partitions):
            copy = self._whole_standby(number)
            self.happened["a whole standby"] += copy is not None
            shutil.copytree(copy or self.shard_directory(number), final / f"{number:04d}")
        return final

    def _whole_standby(self, number: int) -> Path | None:
        record = self.sim_job.standbys.get(number)
        if record is None or not record.is_ready:
            return None
        place = self.directory / self.sim_job.host_nodes[record.host] / f"{number:04d}"
        if not (place / "data.mdb").exists():
            return None
        with Partition.open(self.job, number, self.shard_directory(number)) as shard:
            committed = shard.committed
        with Partition.open(self.job, number, place) as copy:
            assert copy.generation == record.generation
            # Whoever takes over for a job that does not run is sent nothing any more.
            assert copy.committed == committed
            return place

    def kill_node(self, node: str, *, for_good: bool) -> None:
        """End everything on a node, with its directory if that is for good."""
        self.down.add(node)
        for host in self._hosts_on(node):
            self.end(host)
        if for_good:
            self.dead.add(node)
            shutil.rmtree(self.directory / node, ignore_errors=True)

    def _hosts_on(self, node: str) -> list[SimHost]:
        return [host for host in self.hosts.values() if host.name.endswith(f"@{node}")]

    def come_back(self, node: str) -> None:
        """Let a node be reached again; it ends the hosts that the group has elsewhere now, sooner or later."""
        self.down.discard(node)

    def end_strays(self) -> None:
        """End the hosts on nodes that are up and that the group does not have there."""
        for host in self.hosts.values():
            name, _, node = host.name.partition("@")
            if self.can_reach(host.name) and self.sim_job.host_nodes.get(name) != node:
                self.end(host)

    def drain(self, node: str) -> None:
        """Let a node give up all that it has."""
        self.decide(NodeDrained(node=node))

    def scale(self, count: int) -> None:
        """Ask for another number of hosts."""
        self.decide(ScaleRequested(job_id=self.job.name, host_count=count))
