"""An accepted value has its place before any row is sent that it counts for."""

from dataclasses import dataclass, field

import pytest

from actors.errors import StaleEpochError
from cluster.leader.acceptances import place_acceptances
from raft.commands import Command
from raft.errors import ProposalTimeoutError
from raft.group import AcceptanceRecord, GroupState, Job, JobStatus

WAITING = AcceptanceRecord(acceptance_id="a0", content=b"x")


@dataclass
class SilentGroup:
    """A group whose first answers do not come."""

    silent_count: int
    acceptances: tuple[AcceptanceRecord, ...] = (WAITING,)
    asked: list[Command] = field(default_factory=list)
    group_id: int = 2
    member_ids: tuple[str, ...] = ("member-1",)

    def state(self) -> GroupState:
        job = Job(
            job_id="j",
            spec=b"",
            partition_count=1,
            host_count=1,
            status=JobStatus.RUNNING,
            acceptances=self.acceptances,
        )
        return GroupState(jobs={"j": job})

    def propose(self, command: Command) -> None:
        self.asked.append(command)
        if len(self.asked) <= self.silent_count:
            raise ProposalTimeoutError("no answer")


def test_a_place_is_proposed_again_until_there_is_an_answer() -> None:
    group = SilentGroup(silent_count=3)
    assert place_acceptances(group, "j", 1, {0: 7}, lambda: False)
    assert len(group.asked) == 4
    assert len({command.request_id for command in group.asked}) == 1


def test_a_leader_that_is_deposed_waits_no_longer() -> None:
    with pytest.raises(StaleEpochError, match="before an accepted value"):
        place_acceptances(SilentGroup(silent_count=3), "j", 1, {0: 7}, lambda: True)


def test_values_that_have_their_place_are_left_alone() -> None:
    group = SilentGroup(0, (AcceptanceRecord(acceptance_id="a0", content=b"x", positions=((0, 3),)),))
    assert not place_acceptances(group, "j", 1, {0: 7}, lambda: False)
    assert group.asked == []
