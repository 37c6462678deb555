"""What goes wrong in a world of leaders and partitions: one fault at a time, chosen by the seed."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raft.commands import JobResumed, JobStopped, ScaleRequested, ValueAccepted
from raft.group import JobStatus, named_snapshots
from tests.sim.partition_world import MEMBERS, World
from tests.sim.shaky import ShakyDisk

HOST_COUNT_MAX = 3


@dataclass(slots=True)
class FaultyWorld(World):
    """A world in which `fault_count` things go wrong."""

    may_lose_beginnings: bool = False
    """Whether shards are lost together with the beginning of the source; members then keep their directories."""

    def fault(self) -> None:
        """Let one thing go wrong; after the last one everything is well again."""
        faults: list[Callable[[], None]] = [
            self._crash_host, self._crash_host, self._arm_write, self._arm_write, self._arm_write, self.elect,
            self.elect, self._kill_leader, self._scale, self._scale, self._jump, self._break_partition,
            self._stop_or_resume, self._lose_node, self._shake_source, self._shake_source, self._turn_member,
        ]  # fmt: skip
        if self.job.sinks:
            faults.append(self._shake_sink)
        if self.values:
            faults += [self._accept_value] * 4
        if self.may_lose_beginnings:
            faults += [self._lose_shard_and_beginning] * 8
        if self.may_lose_shards:
            faults += [self._lose_shard, self._lose_shard]
        self.rng.choice(faults)()
        if not self.fault_count:
            self.heal()

    def heal(self) -> None:
        """Let everything be well again, so that the job ends."""
        for one in (self.shaky, *self.sinks):
            one.failing_count = 0
        self.shaky.ends.clear()
        for member in self.members.values():
            member.start(named_snapshots(self.group))

    def _crash_host(self) -> None:
        if self.hosts:
            host = self.rng.choice(list(self.hosts.values()))
            self.note(f"{host.name} crashes")
            self.end(host)

    def _lose_node(self) -> None:
        """Let a node die: a leader, a member and a host at once."""
        self._crash_host()
        self._turn_member()
        self._kill_leader()
        self.elect()

    def _arm_write(self) -> None:
        kind = self.rng.choice(("before", "within", "after", "full", "twice"))
        self.disk = ShakyDisk(kind, self.rng.randrange(6), self.rng.randint(1, 6) if kind == "full" else 1)
        self.note(f"armed {self.disk}")

    def _kill_leader(self) -> None:
        """Let a leader stop in the middle, the one that leads or one of before."""
        gone = self.rng.choice(self.leaders)
        self.leaders.remove(gone)
        if not self.leaders or gone.epoch == self.group.epoch:
            self.elect()

    def _scale(self) -> None:
        count = self.rng.randint(0, min(HOST_COUNT_MAX, self.job.partitions))
        self.note(f"scale to {count}")
        self.decide(ScaleRequested(job_id=self.job.name, host_count=count))

    def _stop_or_resume(self) -> None:
        kinds = {JobStatus.RUNNING: JobStopped, JobStatus.STOPPED: JobResumed}
        if self.sim_job.status in kinds:
            self.note(f"{self.sim_job.status}: the other way")
            self.decide(kinds[self.sim_job.status](job_id=self.job.name))

    def _accept_value(self) -> None:
        if self.values:
            value, self.values = self.values[0], self.values[1:]
            self.decide(ValueAccepted(request_id=f"value-{len(self.values)}", job_id=self.job.name, content=value))

    def _break_partition(self) -> None:
        """Let the next batch of a partition fail when the engine has it and the rest has not."""
        open_now = [one for host in self.hosts.values() if host.process for one in host.process._partitions.values()]
        if open_now:
            partition = self.rng.choice(open_now)
            self.note(f"partition {partition.number} will break")
            real = partition._parts.metrics.engine.append_physical

            def fail(*arguments: Any) -> None:
                partition._parts.metrics.engine.append_physical = real
                real(*arguments)
                raise MemoryError("no memory left in the middle of a batch")

            partition._parts.metrics.engine.append_physical = fail

    def _jump(self) -> None:
        self.now_us += self.rng.choice((-500_000, 500_000, 60_000_000))

    def _shake_source(self) -> None:
        """Let the source fail for a while, end for now and grow again, or lose what every partition has for good."""
        chance = self.rng.random()
        if chance < 0.4:
            self.shaky.failing_count = self.rng.randint(1, 4)
        elif chance < 0.7:
            self.shaky.ends = {split.number: self.rng.randint(5, 30) for split in self.source.splits()}
        elif chance < 0.85:
            self.shaky.ends = {}
        elif not self.may_lose_shards and not self.may_lose_beginnings:
            self._trim_source()
        self.note(f"source {self.shaky.failing_count} {self.shaky.ends} {self.shaky.earliest}")

    def _engine_marks(self) -> dict[int, dict[int, int]]:
        """Return, for each partition that is open and not lost, the offsets that a replay of its engine begins at."""
        return {
            partition.number: partition._marks.engine
            for host in self.hosts.values()
            if host.process is not None
            for partition in host.process._partitions.values()
            if (self.shard_directory(partition.number) / "data.mdb").exists()
        }

    def _trim_source(self) -> None:
        marks = self._engine_marks()
        if len(marks) == self.job.partitions:
            self._trim_to(list(marks.values()))

    def _trim_to(self, needed: list[dict[int, int]]) -> None:
        for split in self.source.splits():
            durable = min(offsets.get(split.number, 0) for offsets in needed)
            self.shaky.earliest[split.number] = max(durable, self.shaky.earliest.get(split.number, 0))

    def _shake_sink(self) -> None:
        self.rng.choice(self.sinks).failing_count = self.rng.randint(1, 5)

    def _turn_member(self) -> None:
        """Let a member die, with or without what it stored, or come back."""
        name = self.rng.choice(MEMBERS)
        member = self.members[name]
        if not member.is_alive:
            member.start(named_snapshots(self.group))
        elif all(one.is_alive for one in self.members.values()):
            member.die(loses_directory=self.rng.random() < 0.5 and not self.may_lose_beginnings)
        self.note(f"{name} is {'alive' if member.is_alive else 'dead'}")

    def _lose_shard_and_beginning(self) -> None:
        """Lose a shard when the source has nothing left from before its newest replicated snapshot."""
        number = self.rng.randrange(self.job.partitions)
        manifest = self.sim_job.newest_manifest(number)
        others = {one: marks for one, marks in self._engine_marks().items() if one != number}
        if manifest is None or len(others) < self.job.partitions - 1:
            return
        kept = dict(manifest.next_offsets)
        if all(kept.get(split, 0) >= offset for split, offset in self.shaky.earliest.items()):
            self._trim_to([kept, *others.values()])
            self._lose(number)

    def _lose_shard(self) -> None:
        self._lose(self.rng.randrange(self.job.partitions))

    def _lose(self, number: int) -> None:
        is_under_its_host = self.rng.random() < 0.5
        where = " under its host" * is_under_its_host
        self.note(f"shard {number} is lost{where}; the source begins at {self.shaky.earliest}")
        for host in self.hosts.values():
            if host.process is not None and number in host.process._partitions and not is_under_its_host:
                self.end(host)
        shutil.rmtree(self.shard_directory(number), ignore_errors=True)
