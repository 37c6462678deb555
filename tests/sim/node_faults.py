"""What goes wrong in a world with nodes, beside all that goes wrong without: chosen by the seed."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.sim.node_world import NODES, NodeWorld
from tests.sim.partition_faults import HOST_COUNT_MAX, FaultyWorld
from tests.sim.partition_world import STEP_COUNT_MAX
from tests.support.partition_jobs import Outcome, read_outcome


@dataclass(slots=True)
class FaultyNodes(NodeWorld):
    """Nodes that die, pause, come back, drain and join."""

    kinds: tuple[str, ...] = ()
    """Kinds of faults of nodes that happen, all of them when empty."""
    trickles: bool = False
    """Whether the source grows by a record now and then, so that things go wrong while the job runs."""

    def settle(self) -> None:
        """Go on without faults until every partition has its second copy; the source has no more than a part so far."""
        fault_count, self.fault_count = self.fault_count, 0
        self.shaky.ends = {split.number: 8 for split in self.source.splits()}
        for _ in range(STEP_COUNT_MAX):
            standbys = self.sim_job.standbys
            if len(standbys) == self.job.partitions and all(one.is_ready for one in standbys.values()):
                break
            self.step()
        else:
            raise AssertionError(f"copies are never ready: {self.sim_job.standbys}")
        self.fault_count, self.trickles = fault_count, True

    def fault(self) -> None:
        """Let one thing go wrong, of a node in half of the cases."""
        faults: dict[str, Callable[[], None]] = {
            "dies for good": self._die_for_good,
            "dies and comes back": self._die,
            "pauses": self._pause,
            "drains": self._drain,
            "joins": self._join,
            "scales": self._scale_nodes,
            "removes a shard": self._remove_shard,
            "removes a standby": self._remove_standby,
            "loses an owner": self._lose_owner,
            "loses a standby": self._lose_standby,
            "loses both": self._lose_both,
            "loses owner and leader": self._lose_owner_and_leader,
        }
        if not self.job.standby:
            faults = {kind: fault for kind, fault in faults.items() if "standby" not in kind and "loses" not in kind}
        if self.rng.random() < 0.5:
            FaultyWorld.fault(self)
            return
        kind = self.rng.choice([kind for kind in faults if not self.kinds or kind in self.kinds])
        faults[kind]()
        if not self.fault_count:
            self.heal()

    def heal(self) -> None:
        """Let everything be well again; nodes that are down and not gone for good come back in their time."""
        FaultyWorld.heal(self)

    def pass_time(self) -> None:
        """Let nodes come back now and then, and end what the group does not have on them."""
        if self.trickles and self.rng.random() < 0.3:
            self.shaky.ends = {split: end + 1 for split, end in self.shaky.ends.items()}
        for node in sorted(self.down - self.dead):
            if self.rng.random() < 0.01:
                self.note(f"node {node} is back")
                self.come_back(node)
        if self.rng.random() < 0.2:
            self.end_strays()
        FaultyWorld.pass_time(self)

    def _able(self) -> list[str]:
        """Return the nodes that can have hosts: joined, not draining and not down."""
        known = self.group.nodes
        return [node for node in NODES if node in known and not known[node].is_draining and node not in self.down]

    def _turn(self, verb: str) -> str | None:
        """Return a node that something may happen to; one has always to stay."""
        able = self._able()
        if len(able) < 2:
            return None
        busy = [node for node in able if node in self.sim_job.host_nodes.values()]
        node = self.rng.choice(busy if busy and self.rng.random() < 0.8 else able)
        self.note(f"node {node} {verb}")
        return node

    def _die_for_good(self) -> None:
        node = self._turn("dies for good")
        if node is not None:
            self.kill_node(node, for_good=True)

    def _die(self) -> None:
        node = self._turn("dies")
        if node is not None:
            self.kill_node(node, for_good=False)

    def _pause(self) -> None:
        node = self._turn("pauses")
        if node is not None:
            self.down.add(node)

    def _drain(self) -> None:
        node = self._turn("drains")
        if node is not None:
            self.drain(node)

    def _join(self) -> None:
        """Let a node that never was there join; one whose directory is gone joins no more."""
        for node in NODES:
            if node not in self.group.nodes:
                self.note(f"node {node} joins")
                self.join(node)
                return

    def _scale_nodes(self) -> None:
        self.scale(self.rng.randint(1, min(HOST_COUNT_MAX, self.job.partitions)))

    def _remove_shard(self) -> None:
        """Remove the directory of a shard, whether or not its host has it open."""
        number = self.rng.randrange(self.job.partitions)
        self.note(f"the shard of partition {number} is removed")
        shutil.rmtree(self.shard_directory(number), ignore_errors=True)

    def _remove_standby(self) -> None:
        """Remove the directory of a second copy."""
        for number, record in self.sim_job.standbys.items():
            node = self.sim_job.host_nodes.get(record.host)
            if node is not None and self.rng.random() < 0.5:
                self.note(f"the standby of partition {number} is removed")
                shutil.rmtree(self.directory / node / f"{number:04d}", ignore_errors=True)

    def _end_hosts_of(self, *, owners: bool, standbys: bool) -> None:
        """End the hosts that have one of the partitions."""
        number = self.rng.randrange(self.job.partitions)
        record = self.sim_job.standbys.get(number)
        gone = {self.sim_job.owners[number]} if owners else set()
        if standbys and record is not None:
            gone.add(record.host)
        for host in self.hosts.values():
            name, _, node = host.name.partition("@")
            if name in gone and self.sim_job.host_nodes.get(name) == node:
                self.note(f"{host.name}, which has partition {number}, crashes")
                self.end(host)

    def _lose_owner(self) -> None:
        self._end_hosts_of(owners=True, standbys=False)

    def _lose_standby(self) -> None:
        self._end_hosts_of(owners=False, standbys=True)

    def _lose_both(self) -> None:
        self._end_hosts_of(owners=True, standbys=True)

    def _lose_owner_and_leader(self) -> None:
        self._end_hosts_of(owners=True, standbys=False)
        self._kill_leader()

    def outcome(self) -> Outcome:
        """Return what is left, of the current shards on all nodes."""
        splits = [split.number for split in self.source.splits()]
        final: Path = self.gather()
        return read_outcome(self.job, final, splits, self.sinks)

    def standby_outcome(self) -> Outcome:
        """Return what is left, of second copies as far as they have everything."""
        splits = [split.number for split in self.source.splits()]
        return read_outcome(self.job, self.gather_standbys(), splits, self.sinks)
