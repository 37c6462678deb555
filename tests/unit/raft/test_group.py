"""Rules of the group state, one by one."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from raft.commands import (
    AcceptancePlaced,
    Accepted,
    AssignmentChanged,
    BecomeLeader,
    Command,
    ForgetSnapshots,
    JobFinished,
    JobRemoved,
    JobResumed,
    JobsChanged,
    JobStopped,
    JobSubmitted,
    LeaderElected,
    MemberAdded,
    MemberRemoved,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    Refused,
    ScaleRequested,
    SnapshotReplicated,
    StepDown,
    ValueAccepted,
)
from raft.group import (
    ACCEPTANCE_COUNT_MAX,
    ANSWER_COUNT_MAX,
    AcceptanceRecord,
    Applied,
    GroupState,
    JobStatus,
    MemberRecord,
    answer_to,
    apply,
    named_snapshots,
    validate,
)

MEMBERS = (("m0", "h:1", "i0"), ("m1", "h:2", "i1"), ("m2", "h:3", "i2"))
DIGESTS = tuple(bytes([number]) * 32 for number in range(4))


class Group:
    """A state that commands change, for short tests."""

    def __init__(self) -> None:
        self.state = GroupState()
        self.number = 0

    def do(self, command: Command) -> Applied:
        """Apply a command that must be accepted."""
        before = self.state
        self.state, actions = apply(before, command)
        assert command.request_id == "" or isinstance(answer_to(self.state, command.request_id), Accepted)
        return self.state, actions

    def refusal(self, command: Command) -> str:
        """Return why a command is refused, which must not change the state."""
        after, actions = apply(self.state, command)
        answer = answer_to(after, command.request_id)
        assert isinstance(answer, Refused)
        assert (replace(after, answers={}), actions) == (replace(self.state, answers={}), ())
        return answer.reason


@pytest.fixture
def group() -> Iterator[Group]:
    """A group of three in epoch 1, with a job of four partitions on two hosts."""
    group = Group()
    group.do(LeaderElected(member_id="m0", term=1, members=MEMBERS))
    group.do(JobSubmitted(request_id="job", job_id="j", spec=b"spec", partition_count=4, host_count=2))
    owners = ((0, "a"), (1, "a"), (2, "b"), (3, "b"))
    group.do(AssignmentChanged(request_id="place", epoch=1, job_id="j", owners=owners))
    yield group
    validate(group.state)


def snapshot(number: int, *, request_id: str = "s", holders: tuple[str, ...] = ("m0", "m1")) -> SnapshotReplicated:
    """A snapshot of partition 0 up to this number of rows."""
    return SnapshotReplicated(
        request_id=f"{request_id}{number}",
        epoch=1,
        job_id="j",
        partition=0,
        next_offsets=((0, number),),
        digest=DIGESTS[number % 4],
        size_bytes=10,
        holders=holders,
    )


def test_an_election_starts_the_next_epoch_and_ends_the_last(group: Group) -> None:
    state, actions = group.do(LeaderElected(member_id="m1", term=5, members=MEMBERS))
    assert (state.epoch, state.leader_id, state.leader_term) == (2, "m1", 5)
    assert actions == (StepDown(member_id="m0", epoch=1), BecomeLeader(member_id="m1", epoch=2, term=5))


def test_an_election_of_a_term_that_is_over_is_refused(group: Group) -> None:
    late = LeaderElected(request_id="late", member_id="m2", term=1)
    assert group.refusal(late) == "term 1 is over, m0 leads term 1"


def test_an_election_tells_who_the_members_are(group: Group) -> None:
    group.do(LeaderElected(member_id="m1", term=2, members=MEMBERS[:2]))
    assert sorted(group.state.members) == ["m0", "m1"]


def test_a_repeated_request_changes_nothing_and_is_answered_as_before(group: Group) -> None:
    again = JobSubmitted(request_id="job", job_id="j", spec=b"spec", partition_count=4, host_count=2)
    after, actions = apply(group.state, again)
    assert (after, actions) == (group.state, ())
    assert answer_to(after, "job") == Accepted(epoch=1)


def test_a_refusal_is_remembered_also_when_its_reason_is_gone(group: Group) -> None:
    assert group.refusal(JobRemoved(request_id="early", job_id="j")) == "job 'j' is running; stop it first"
    group.state, _ = apply(group.state, JobRemoved(request_id="early", job_id="j"))
    group.do(JobStopped(request_id="stop", job_id="j"))
    after, _ = apply(group.state, JobRemoved(request_id="early", job_id="j"))
    assert isinstance(answer_to(after, "early"), Refused)


def test_the_oldest_answers_are_forgotten(group: Group) -> None:
    for number in range(ANSWER_COUNT_MAX):
        group.do(ScaleRequested(request_id=f"r{number}", job_id="j", host_count=2))
    assert answer_to(group.state, "job") is None
    assert answer_to(group.state, "r0") == Accepted(epoch=1)


def test_a_job_is_submitted_once(group: Group) -> None:
    twice = JobSubmitted(request_id="twice", job_id="j", spec=b"", partition_count=1, host_count=1)
    assert group.refusal(twice) == "job 'j' exists; remove it first, or choose another name"


@pytest.mark.parametrize(
    ("partition_count", "host_count", "reason"),
    [
        (0, 1, "0 partitions: choose 1 to 4096"),
        (5000, 1, "5000 partitions: choose 1 to 4096"),
        (2, 3, "3 hosts: choose 1 to 2, the number of partitions, or share one"),
        (2, -1, "-1 hosts: choose 1 to 2, the number of partitions, or share one"),
    ],
)
def test_a_job_has_partitions_and_hosts(group: Group, partition_count: int, host_count: int, reason: str) -> None:
    odd = JobSubmitted(request_id="odd", job_id="k", spec=b"", partition_count=partition_count, host_count=host_count)
    assert group.refusal(odd) == reason


def test_a_long_spec_is_refused(group: Group) -> None:
    long = JobSubmitted(request_id="long", job_id="k", spec=b"x" * 300_000, partition_count=1, host_count=1)
    assert group.refusal(long) == "the settings takes 300000 bytes, allowed are 262144"


def test_a_job_is_stopped_resumed_finished_and_removed(group: Group) -> None:
    group.do(JobStopped(request_id="1", job_id="j"))
    assert group.state.jobs["j"].status is JobStatus.STOPPED
    group.do(JobResumed(request_id="2", job_id="j"))
    group.do(JobFinished(request_id="3", epoch=1, job_id="j", summary=b"done"))
    assert group.state.jobs["j"].summary == b"done"
    _, actions = group.do(JobRemoved(request_id="4", job_id="j"))
    assert (dict(group.state.jobs), actions) == ({}, (JobsChanged(job_ids=("j",)),))


@pytest.mark.parametrize(
    "command",
    [
        AssignmentChanged(request_id="x", epoch=0, job_id="j", owners=((0, "c"),)),
        MoveStarted(request_id="x", epoch=2, job_id="j", partition=0, source="a", target="c"),
        MoveFinished(request_id="x", epoch=0, job_id="j", partition=0, target="c"),
        MoveAbandoned(request_id="x", epoch=0, job_id="j", partition=0),
        JobFinished(request_id="x", epoch=0, job_id="j", summary=b""),
        SnapshotReplicated(
            request_id="x",
            epoch=0,
            job_id="j",
            partition=0,
            next_offsets=((0, 1),),
            digest=DIGESTS[0],
            size_bytes=1,
            holders=("m0", "m1"),
        ),
    ],
)
def test_a_leader_of_another_epoch_is_refused(group: Group, command: Command) -> None:
    assert "is not current, 'm0' leads epoch 1" in group.refusal(command)


def test_a_move_leaves_one_owner_whether_it_is_finished_or_not(group: Group) -> None:
    start = MoveStarted(request_id="1", epoch=1, job_id="j", partition=0, source="a", target="c")
    group.do(start)
    assert (group.state.jobs["j"].owners[0], dict(group.state.jobs["j"].moves)) == ("a", {0: "c"})
    group.do(MoveAbandoned(request_id="2", epoch=1, job_id="j", partition=0))
    assert (group.state.jobs["j"].owners[0], dict(group.state.jobs["j"].moves)) == ("a", {})
    group.do(MoveStarted(request_id="3", epoch=1, job_id="j", partition=0, source="a", target="c"))
    group.do(MoveFinished(request_id="4", epoch=1, job_id="j", partition=0, target="c"))
    assert (group.state.jobs["j"].owners[0], dict(group.state.jobs["j"].moves)) == ("c", {})


def test_a_moving_partition_is_neither_assigned_nor_moved_again(group: Group) -> None:
    group.do(MoveStarted(request_id="1", epoch=1, job_id="j", partition=0, source="a", target="c"))
    assigned = AssignmentChanged(request_id="2", epoch=1, job_id="j", owners=((0, "d"),))
    assert group.refusal(assigned) == "partition 0 is moving; finish or abandon the move first"
    moved = MoveStarted(request_id="3", epoch=1, job_id="j", partition=0, source="a", target="d")
    assert group.refusal(moved) == "partition 0 is moving to 'c' already"
    finished = MoveFinished(request_id="4", epoch=1, job_id="j", partition=0, target="d")
    assert group.refusal(finished) == "partition 0 is moving to 'c'"


def test_only_the_owner_is_moved_from(group: Group) -> None:
    foreign = MoveStarted(request_id="1", epoch=1, job_id="j", partition=0, source="b", target="c")
    assert group.refusal(foreign) == "partition 0 is owned by 'a'"
    to_itself = MoveStarted(request_id="2", epoch=1, job_id="j", partition=0, source="a", target="a")
    assert group.refusal(to_itself) == "partition 0 cannot move from 'a' to 'a'"


def test_a_partition_that_does_not_exist_is_refused(group: Group) -> None:
    foreign = AssignmentChanged(request_id="1", epoch=1, job_id="j", owners=((4, "a"),))
    assert group.refusal(foreign) == "job 'j' has no partition 4, only 0 to 3"


def test_two_manifests_are_kept_and_older_snapshots_forgotten(group: Group) -> None:
    group.do(snapshot(1))
    group.do(snapshot(2))
    _, actions = group.do(snapshot(3))
    assert actions == (ForgetSnapshots(job_id="j", partition=0, digests=(DIGESTS[1],)),)
    assert [manifest.digest for manifest in group.state.jobs["j"].manifests[0]] == [DIGESTS[2], DIGESTS[3]]
    assert named_snapshots(group.state) == {("j", 0, DIGESTS[2]), ("j", 0, DIGESTS[3])}
    newest = group.state.jobs["j"].newest_manifest(0)
    assert newest is not None
    assert newest.next_offsets == ((0, 3),)


def test_a_snapshot_that_a_minority_holds_is_refused(group: Group) -> None:
    assert group.refusal(snapshot(1, holders=("m0",))) == "1 of 3 members store the snapshot, a majority is needed"
    strangers = snapshot(2, holders=("m0", "x", "y"))
    assert group.refusal(strangers) == "1 of 3 members store the snapshot, a majority is needed"


def test_a_snapshot_behind_the_newest_is_refused(group: Group) -> None:
    group.do(snapshot(2))
    assert group.refusal(snapshot(1)) == "split 0 is at 2 in the newest snapshot; this one is older"


def test_the_same_snapshot_again_renews_its_holders(group: Group) -> None:
    group.do(snapshot(1))
    _, actions = group.do(snapshot(1, request_id="again", holders=("m0", "m1", "m2")))
    manifests = group.state.jobs["j"].manifests[0]
    assert ([manifest.holders for manifest in manifests], actions) == ([("m0", "m1", "m2")], ())


def test_members_come_and_go_by_incarnation(group: Group) -> None:
    group.do(MemberAdded(request_id="1", member_id="m3", address="h:4", identity="i3"))
    assert group.state.members["m3"] == MemberRecord(address="h:4", identity="i3")
    late = MemberRemoved(request_id="2", member_id="m3", identity="former")
    assert group.refusal(late) == "'m3' is no member, or another incarnation of it is"
    group.do(MemberRemoved(request_id="3", member_id="m3", identity="i3"))
    assert "m3" not in group.state.members


def place(number: int, *, epoch: int = 1, request_id: str = "place it") -> AcceptancePlaced:
    """The leader's word that accepted value `a{number}` holds from row 7 on."""
    return AcceptancePlaced(
        request_id=request_id, epoch=epoch, job_id="j", acceptance_id=f"a{number}", positions=((0, 7),)
    )


def test_an_accepted_value_is_kept_until_the_leader_places_it_once(group: Group) -> None:
    group.do(ValueAccepted(request_id="a0", job_id="j", content=b"x"))
    assert group.state.jobs["j"].acceptances == (AcceptanceRecord(acceptance_id="a0", content=b"x"),)
    group.do(place(0))
    assert group.state.jobs["j"].acceptances[0].positions == ((0, 7),)
    assert "has its place already" in group.refusal(place(0, request_id="again"))


def test_an_accepted_value_is_not_placed_by_a_leader_of_before(group: Group) -> None:
    group.do(ValueAccepted(request_id="a0", job_id="j", content=b"x"))
    group.do(LeaderElected(member_id="m1", term=5, members=MEMBERS))
    assert "epoch 1 is not current" in group.refusal(place(0))
    assert "is unknown" in group.refusal(place(1, epoch=2, request_id="unknown"))


def test_a_request_that_is_repeated_long_after_accepts_nothing_twice(group: Group) -> None:
    group.do(ValueAccepted(request_id="a0", job_id="j", content=b"x"))
    for number in range(ANSWER_COUNT_MAX):
        group.do(ScaleRequested(request_id=f"r{number}", job_id="j", host_count=2))
    group.do(ValueAccepted(request_id="a0", job_id="j", content=b"x"))
    assert len(group.state.jobs["j"].acceptances) == 1


def test_values_are_refused_beyond_the_limits(group: Group) -> None:
    assert "allowed are 4096" in group.refusal(ValueAccepted(request_id="a", job_id="j", content=b"x" * 5000))
    for number in range(ACCEPTANCE_COUNT_MAX):
        group.do(ValueAccepted(request_id=f"a{number}", job_id="j", content=b""))
    assert "1000 accepted values, its limit" in group.refusal(ValueAccepted(request_id="b", job_id="j", content=b""))


def test_a_finished_job_accepts_nothing(group: Group) -> None:
    group.do(JobFinished(request_id="f", epoch=1, job_id="j", summary=b""))
    assert "is finished" in group.refusal(ValueAccepted(request_id="a", job_id="j", content=b""))
