"""Jobs that do not run get the second copies that they lack: real hosts and shards, and the rules of the group."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.host import PartitionHost
from actors.host_batch import HostBatch
from cluster.errors import NoAnswerError
from cluster.node.lingering import HostUse
from cluster.node.resting import COPY_LOST_S, RestingMover
from cluster.node.resting_copies import PAUSE_S, emptiest_first, missing_copies
from cluster.node.silence import LOST_S, Silence
from raft.commands import Answer, Command, StandbyPlaced
from raft.group import GroupState, Job, JobStatus, NodeRecord, StandbyRecord, answer_to, apply, validate
from raft.messages import check_proposal
from tests.support.near_host import NearHost
from tests.support.partition_jobs import make_batch, make_partition_job

SETTINGS = make_partition_job(metrics=["qty > 8"], window=None, standby=1)

ROWS = [(1000 + at, sym, 9, "ann") for at, sym in enumerate("ABCDEFGH")]

JOB = Job(
    job_id="j",
    spec=SETTINGS.to_bytes(),
    partition_count=2,
    host_count=2,
    status=JobStatus.FINISHED,
    owners=("host-0", "host-1"),
    host_nodes={"host-0": "a", "host-1": "b"},
    generations=(1, 1),
)


class World:
    """Three nodes with directories of their own, whose hosts are in this process, and a group of one job."""

    def __init__(self, directory: Path, job: Job = JOB) -> None:
        nodes = {
            name: NodeRecord(
                address=f"{name}:1",
                directory=str(directory / name),
                machine=name,
                carries_ray=True,
                is_voter=True,
                is_draining=False,
                incarnation="x",
            )
            for name in "abc"
        }
        self._state = GroupState(epoch=1, leader_id="a", leader_term=1, nodes=nodes, jobs={"j": job})
        self._directory = directory
        self._open: dict[tuple[str, str], PartitionHost] = {}
        self.now_s = 1000.0
        self.there = frozenset("abc")
        self.answering = frozenset("abc")
        self.running: set[str] = set()
        self.failing: set[str] = set()
        self.taken: list[Command] = []
        leader: Any = self
        silence = Silence(lambda: self.now_s)
        self.mover = RestingMover(leader, leader, leader, HostUse(), silence, lambda: self.now_s)

    # The group.

    def led_epoch(self) -> int:
        return 1

    def state(self) -> GroupState:
        return self._state

    def propose(self, command: Command) -> Answer:
        check_proposal(command)
        self._state, _ = apply(self._state, command)
        validate(self._state)
        self.taken.append(command)
        answer = answer_to(self._state, command.request_id)
        assert answer is not None
        return answer

    def runs(self, job_id: str) -> bool:
        return job_id in self.running

    # The deployment.

    def present_nodes(self) -> frozenset[str]:
        return self.there

    def answering_nodes(self) -> frozenset[str]:
        return self.answering

    def start_host(self, job_id: str, host: str, spec: bytes, node: str) -> NearHost:
        if host in self.failing or node not in self.there:
            raise NoAnswerError(host)
        if (host, node) not in self._open:
            self._open[host, node] = PartitionHost(spec, str(self._directory / node))
        return NearHost(self._open[host, node])

    # What a test says and asks.

    @property
    def job(self) -> Job:
        return self._state.jobs["j"]

    def host(self, host: str) -> PartitionHost:
        node = self.job.host_nodes[host]
        self.start_host("j", host, self.job.spec, node)
        return self._open[host, node]

    def change(self, **changes: Any) -> None:
        self._state = replace(self._state, jobs={"j": replace(self.job, **changes)})

    def die(self, node: str) -> None:
        """Let a node lose its power."""
        self.there, self.answering = self.there - {node}, self.answering - {node}
        for key in [key for key in self._open if key[1] == node]:
            self._open.pop(key).close()

    def look(self, count: int = 1, after_s: float = 0.0) -> None:
        self.now_s += after_s
        for _ in range(count):
            self.mover.look()

    def are_ready(self) -> bool:
        records = self.job.standbys
        return len(records) == 2 and all(one.is_ready for one in records.values())

    def anomaly_counts(self) -> dict[int, int]:
        """Return what a query of all partitions is answered from."""
        found: dict[int, int] = {}
        for host in set(self.job.owners):
            owned = [number for number, owner in enumerate(self.job.owners) if owner == host]
            opened = self.host(host)
            opened.open_at_rest(1, owned, 0, {number: self.job.generations[number] for number in owned})
            found |= {stat.partition: stat.anomaly_count for stat in opened.stat()}
        return found

    def close(self) -> None:
        for host in self._open.values():
            host.close()


def feed(world: World) -> None:
    for number, name in enumerate(world.job.owners):
        host = world.host(name)
        host.open(1, [number], {0: 0}, {}, 0, (), {number: 1})
        rows = make_batch(SETTINGS, 0, ROWS[: 3 + number])
        frames = {number: (rows.frame, rows.offsets)}
        host.apply(1, HostBatch(split=0, start=0, end=8, partitions=(number,), rows=frames, dead_letters={}), 0)
        host.flush(1, 0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    feed(made)
    yield made
    made.close()


def test_a_job_that_ended_without_copies_gets_them_and_one_takes_over_from_a_dead_machine(world: World) -> None:
    world.look(2)
    assert world.are_ready()
    assert all(world.job.host_nodes[one.host] != world.job.node_of(n) for n, one in world.job.standbys.items())
    world.die("b")
    world.look()
    assert world.job.owners == ("host-0", "host-1")
    world.look(2, LOST_S)
    assert "b" not in {world.job.node_of(number) for number in range(2)}
    assert world.anomaly_counts() == {0: 3, 1: 4}


def test_when_all_is_there_nothing_is_asked_of_anybody(world: World) -> None:
    world.look(2)
    world.taken.clear()
    world.failing = {"host-0", "host-1"}
    world.look(3)
    assert world.taken == []


def test_a_copy_that_has_everything_is_not_made_anew(world: World) -> None:
    world.look(2)
    records = {number: replace(one, is_ready=False) for number, one in world.job.standbys.items()}
    world.change(standbys=records)
    world.look(2)
    assert {number: one.generation for number, one in world.job.standbys.items()} == {0: 2, 1: 2}
    assert world.are_ready()


def test_a_copy_that_lacks_rows_is_made_anew(world: World) -> None:
    named = {number: StandbyRecord(host=f"host-{1 - number}", generation=2) for number in range(2)}
    world.change(standbys=named)
    world.look(2)
    assert {number: one.generation for number, one in world.job.standbys.items()} == {0: 3, 1: 3}
    world.die("a")
    world.look(2)
    world.look(2, LOST_S)
    assert world.anomaly_counts() == {0: 3, 1: 4}


def test_copies_of_a_machine_that_is_away_are_made_elsewhere_only_after_long(world: World) -> None:
    world.look(2)
    world.die("b")
    world.look()
    # What was there has its place at what took over, and one that starts anew has it still.
    world.look(3, LOST_S)
    away = [number for number, one in world.job.standbys.items() if world.job.host_nodes.get(one.host) == "b"]
    assert away
    world.look(1, COPY_LOST_S - LOST_S - 1)
    assert not world.are_ready()
    world.look(3, 1)
    assert world.are_ready()
    assert {world.job.host_nodes[one.host] for one in world.job.standbys.values()} <= {"a", "c"}
    assert world.anomaly_counts() == {0: 3, 1: 4}


def test_a_machine_that_is_back_keeps_its_copies(world: World) -> None:
    world.look(2)
    world.die("b")
    world.look()
    world.look(3, LOST_S)
    world.there = world.answering = frozenset("abc")
    generations = {number: one.generation for number, one in world.job.standbys.items()}
    world.look(3, 30)
    assert world.are_ready()
    assert {number: one.generation for number, one in world.job.standbys.items()} == generations


def test_a_copy_that_cannot_be_made_keeps_no_other_from_being_made(world: World) -> None:
    # The shard of partition 0 cannot be read.
    world.failing = {"host-0"}
    named = {0: StandbyRecord(host="host-1", generation=2), 1: StandbyRecord(host="host-2", generation=2)}
    world.change(host_nodes={**world.job.host_nodes, "host-2": "c"}, standbys=named)
    world.look(2)
    assert [number for number, one in world.job.standbys.items() if one.is_ready] == [1]
    world.failing = set()
    world.look(2)
    assert not world.are_ready()
    world.look(1, PAUSE_S)
    assert world.are_ready()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": JobStatus.RUNNING},
        {"spec": make_partition_job().to_bytes()},
        {"moves": {0: "host-1"}},
    ],
    ids=["runs", "wants none", "moves"],
)
def test_other_jobs_get_no_copies(world: World, changes: dict[str, Any]) -> None:
    world.change(**changes)
    world.look(2)
    assert world.taken == []


def test_a_job_that_is_still_ending_is_left_to_its_leader(world: World) -> None:
    world.running = {"j"}
    world.look(2)
    assert world.taken == []
    world.running = set()
    world.look(2)
    assert world.are_ready()


def test_a_job_that_runs_again_meanwhile_has_its_copies_made_by_its_leader(world: World) -> None:
    started = world.start_host

    def resume(*arguments: Any) -> NearHost:
        world.change(status=JobStatus.RUNNING)
        return started(*arguments)

    world.start_host = resume  # type: ignore[assignment, method-assign]
    world.look()
    assert not [one for one in world.taken if isinstance(one, StandbyPlaced)]


def test_copies_are_where_a_sink_lets_hosts_be(tmp_path: Path) -> None:
    settings = make_partition_job(standby=1, sinks=[{"type": "ndjson", "path": "out", "on": ["a", "c"]}])
    world = World(tmp_path, replace(JOB, spec=settings.to_bytes(), owners=("host-0", "host-0")))
    world.host("host-0").open(1, [0, 1], {0: 0}, {}, 0, (), {0: 1, 1: 1})
    world.look(2)
    assert {world.job.host_nodes[one.host] for one in world.job.standbys.values()} == {"c"}
    world.close()


def test_new_copies_go_where_there_are_fewest(world: World) -> None:
    assert emptiest_first(world.state(), "abc") == ("c", "a", "b")
    alone = replace(JOB, owners=("host-0", "host-0"))
    assert [(one.host, one.node) for one in missing_copies(alone, ("c", "a", "b"), ())] == [("host-1", "b")] * 2
