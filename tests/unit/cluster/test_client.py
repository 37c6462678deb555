"""A client that accepts a value waits for its place, whichever member answers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from cluster.client.client import Client
from cluster.client.nodes import Nodes, newest_state
from cluster.errors import ClusterError
from raft.commands import Accepted, Command, JobStopped, ValueAccepted
from raft.errors import FormatError
from raft.group import AcceptanceRecord, GroupState, Job, JobStatus
from raft.group_codec import encode_state

JOB = Job(job_id="j", spec=b"", partition_count=1, host_count=1, owners=("",), generations=(0,))


class TwoMembers(Client):
    """A client whose first answer comes from a member that is behind."""

    def __init__(self, job: Job) -> None:
        self._jobs = [job]

    def state(self) -> GroupState:
        return replace(GroupState(), jobs={"j": self._jobs.pop(0) if len(self._jobs) > 1 else self._jobs[0]})

    def propose(self, command: Command) -> None:
        assert isinstance(command, ValueAccepted)
        behind = self._jobs[0]
        record = AcceptanceRecord(acceptance_id=command.request_id, content=command.content, positions=((0, 7),))
        self._jobs = [behind, behind, replace(behind, acceptances=(record,))]


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.STOPPED])
def test_a_member_that_is_behind_is_asked_again(status: JobStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert TwoMembers(replace(JOB, status=status)).accept("j", b"x").positions == ((0, 7),)


def test_the_newest_state_is_that_of_the_member_that_has_applied_most() -> None:
    answers = {f"r{number}": Accepted(epoch=1) for number in range(512)}
    behind = GroupState(epoch=1, leader_id="m", leader_term=1, answers=answers)
    ahead = replace(behind, jobs={"j": JOB})
    found = [(600, encode_state(behind)), (601, encode_state(ahead)), (599, encode_state(behind))]
    assert list(newest_state(found).jobs) == ["j"]


def test_a_command_that_is_none_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FormatError("JobStopped.job_id is 5, not str")

    def wait(_: float) -> None:
        raise AssertionError("nobody waits for another answer")

    monkeypatch.setattr("time.sleep", wait)
    monkeypatch.setattr("cluster.client.nodes.encode_command", lambda _: b"")
    nodes = object.__new__(Nodes)
    nodes._addresses = {"node-1": "a:1"}
    monkeypatch.setattr(Nodes, "client", lambda *_: SimpleNamespace(call=refuse))
    with pytest.raises(ClusterError, match=r"a:1 takes JobStopped for no command: JobStopped.job_id is 5, not str"):
        nodes.propose(JobStopped(job_id="j"))
