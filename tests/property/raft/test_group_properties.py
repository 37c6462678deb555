"""The group state under any commands: its invariants hold, and the same log always gives the same bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.commands import (
    AcceptancePlaced,
    Accepted,
    AssignmentChanged,
    Command,
    JobFinished,
    JobRemoved,
    JobResumed,
    JobStopped,
    JobSubmitted,
    LeaderElected,
    MemberAdded,
    MemberRemoved,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    ScaleRequested,
    SnapshotReplicated,
    ValueAccepted,
    decode_command,
    encode_command,
)
from raft.group import GroupState, answer_to, apply, validate
from raft.group_codec import decode_state, encode_state

requests = st.integers(0, 200).map(lambda number: f"r{number}")
jobs = st.sampled_from(["j", "k"])
hosts = st.sampled_from(["", "a", "b", "c"])
partitions = st.integers(-1, 3)
epochs = st.integers(0, 3)
members = st.sampled_from(["m0", "m1", "m2"])
counts = st.integers(0, 4)
offsets = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=2).map(tuple)

commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(LeaderElected, request_id=requests, member_id=members, term=st.integers(1, 6), members=st.just(())),
    st.builds(
        JobSubmitted,
        request_id=requests,
        job_id=jobs,
        spec=st.binary(max_size=2),
        partition_count=counts,
        host_count=counts,
    ),
    st.builds(JobStopped, request_id=requests, job_id=jobs),
    st.builds(JobResumed, request_id=requests, job_id=jobs),
    st.builds(JobFinished, request_id=requests, epoch=epochs, job_id=jobs, summary=st.binary(max_size=2)),
    st.builds(JobRemoved, request_id=requests, job_id=jobs),
    st.builds(
        AssignmentChanged,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        owners=st.lists(st.tuples(partitions, hosts), max_size=3).map(tuple),
    ),
    st.builds(ScaleRequested, request_id=requests, job_id=jobs, host_count=counts),
    st.builds(ValueAccepted, request_id=requests, job_id=jobs, content=st.binary(max_size=2)),
    st.builds(
        AcceptancePlaced,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        acceptance_id=requests,
        positions=offsets,
    ),
    st.builds(
        MoveStarted,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        partition=partitions,
        source=hosts,
        target=hosts,
    ),
    st.builds(MoveFinished, request_id=requests, epoch=epochs, job_id=jobs, partition=partitions, target=hosts),
    st.builds(MoveAbandoned, request_id=requests, epoch=epochs, job_id=jobs, partition=partitions),
    st.builds(
        SnapshotReplicated,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        partition=partitions,
        next_offsets=offsets,
        digest=st.sampled_from([b"1", b"2", b"3"]),
        size_bytes=st.just(1),
        holders=st.lists(members, max_size=3).map(tuple),
    ),
    st.builds(MemberAdded, request_id=requests, member_id=members, address=members, identity=st.sampled_from("xy")),
    st.builds(MemberRemoved, request_id=requests, member_id=members, identity=st.sampled_from("xy")),
)
logs = st.lists(commands, max_size=40)


def check(log: list[Command]) -> None:
    """Apply a log in several ways, and check what must hold after every command."""
    state, restored = GroupState(), GroupState()
    for command in log:
        owners_before = {job_id: job.owners for job_id, job in state.jobs.items()}
        known = answer_to(state, command.request_id)
        after, _ = apply(state, command)
        validate(after)
        answer = answer_to(after, command.request_id)
        assert known is None or (after == state and answer == known)
        if not isinstance(answer, Accepted):
            assert (after.jobs, after.members, after.epoch) == (state.jobs, state.members, state.epoch)
        if not isinstance(command, AssignmentChanged | MoveFinished | JobSubmitted | JobRemoved):
            assert {job_id: job.owners for job_id, job in after.jobs.items()} == owners_before
        assert apply(after, command) == (after, ())
        restored, _ = apply(decode_state(encode_state(restored)), decode_command(encode_command(command)))
        state = after
        assert encode_state(restored) == encode_state(state)


@settings(max_examples=60)
@given(logs)
def test_any_log_keeps_the_invariants_and_survives_dump_and_restore(log: list[Command]) -> None:
    check(log)


@pytest.mark.slow
@settings(max_examples=5000)
@given(logs)
def test_any_of_many_logs_keeps_the_invariants(log: list[Command]) -> None:
    check(log)
