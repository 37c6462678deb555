"""The group state under any commands: its invariants hold, and the same log always gives the same bytes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.commands import (
    AcceptancePlaced,
    Accepted,
    AssignmentChanged,
    Command,
    HeadAssigned,
    HeadStarted,
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
    NodeDrained,
    NodeJoined,
    NodeLeft,
    NodeLost,
    NoticesIntended,
    ScaleRequested,
    ShardRebuilt,
    SilenceAdded,
    SilenceExpired,
    SnapshotReplicated,
    StandbyPlaced,
    StandbyPromoted,
    ValueAccepted,
    decode_command,
    encode_command,
)
from raft.group import GroupState, answer_to, apply, validate
from raft.group_codec import decode_state, encode_state

requests = st.integers(0, 200).map(lambda number: f"r{number}")
jobs = st.sampled_from(["j", "k"])
hosts = st.sampled_from(["", "a", "b", "c"])
nodes = st.sampled_from(["", "n0", "n1", "n2"])
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
        host_nodes=st.lists(st.tuples(hosts, nodes), max_size=2).map(tuple),
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
    st.builds(
        MoveFinished,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        partition=partitions,
        target=hosts,
        generation=st.none() | st.integers(0, 5),
    ),
    st.builds(
        ShardRebuilt,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        partition=partitions,
        generation=st.integers(0, 5),
    ),
    st.builds(
        NoticesIntended,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        sink=st.sampled_from(["s", "t"]),
        intents=st.lists(
            st.tuples(st.sampled_from(["i", "j", "k"]), st.integers(0, 9), st.binary(max_size=2)), max_size=3
        ).map(tuple),
        dropped=st.lists(st.sampled_from(["i", "j"]), max_size=2).map(tuple),
        rate_count=st.integers(-1, 3),
    ),
    st.builds(
        SilenceAdded,
        request_id=requests,
        job=st.just("*"),
        metric=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
        start_us=st.integers(0, 9),
        end_us=st.integers(0, 9),
        who=st.just("ann"),
        why=st.just(""),
    ),
    st.builds(SilenceExpired, request_id=requests, silence_id=requests, end_us=st.integers(0, 9)),
    st.builds(
        StandbyPlaced,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        partition=partitions,
        host=hosts,
        generation=st.integers(0, 5),
        is_ready=st.booleans(),
    ),
    st.builds(
        StandbyPromoted,
        request_id=requests,
        epoch=epochs,
        job_id=jobs,
        partition=partitions,
        host=hosts,
        generation=st.integers(0, 5),
    ),
    st.builds(
        NodeJoined,
        request_id=requests,
        node=nodes,
        address=nodes,
        directory=st.just("/"),
        machine=st.just("box"),
        carries_ray=st.booleans(),
        is_voter=st.booleans(),
        incarnation=st.sampled_from("xy"),
    ),
    st.builds(NodeDrained, request_id=requests, node=nodes),
    st.builds(NodeLeft, request_id=requests, node=nodes),
    st.builds(NodeLost, request_id=requests, epoch=epochs, node=nodes, is_for_good=st.booleans()),
    st.builds(HeadAssigned, request_id=requests, epoch=epochs, node=nodes),
    st.builds(HeadStarted, request_id=requests, node=nodes, generation=st.integers(0, 3), address=st.just("h:1")),
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
PRELUDE: list[Command] = [
    LeaderElected(request_id="e", member_id="m0", term=1, members=(("m0", "h:1", "i"),)),
    *(
        NodeJoined(
            request_id=node,
            node=node,
            address=node,
            directory="/",
            machine=node,
            carries_ray=True,
            is_voter=True,
            incarnation="x",
        )
        for node in ("n0", "n1", "n2")
    ),
    JobSubmitted(request_id="s", job_id="j", spec=b"", partition_count=3, host_count=2),
    AssignmentChanged(
        request_id="a",
        epoch=1,
        job_id="j",
        owners=((0, "a"), (1, "b")),
        host_nodes=(("a", "n0"), ("b", "n1"), ("c", "n0")),
    ),
    StandbyPlaced(request_id="b0", epoch=1, job_id="j", partition=0, host="b", generation=2, is_ready=False),
    StandbyPlaced(request_id="b1", epoch=1, job_id="j", partition=0, host="b", generation=2, is_ready=True),
]
"""What most logs begin with, so that there is something to change."""

logs = st.tuples(st.sampled_from([[], PRELUDE, PRELUDE]), st.lists(commands, max_size=40)).map(
    lambda two: [*two[0], *two[1]]
)


def check_shards(before: GroupState, after: GroupState) -> None:
    """A shard never goes back to a former generation, and under one generation it stays on one node."""
    for job_id, job in after.jobs.items():
        old = before.jobs.get(job_id)
        for partition, generation in enumerate(job.generations if old is not None else ()):
            assert old is not None
            assert generation >= old.generations[partition]
            assert job.next_generation(partition) >= old.next_generation(partition)
            if generation == old.generations[partition] and old.node_of(partition):
                assert job.node_of(partition) == old.node_of(partition)


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
            assert replace(after, answers={}) == replace(state, answers={})
        if not isinstance(
            command, AssignmentChanged | MoveFinished | NodeLost | StandbyPromoted | JobSubmitted | JobRemoved
        ):
            assert {job_id: job.owners for job_id, job in after.jobs.items()} == owners_before
        check_shards(state, after)
        assert apply(after, command) == (after, ())
        restored, _ = apply(decode_state(encode_state(restored)), decode_command(encode_command(command)))
        state = after
        assert encode_state(restored) == encode_state(state)


@settings(max_examples=40)
@given(logs)
def test_any_log_keeps_the_invariants_and_survives_dump_and_restore(log: list[Command]) -> None:
    check(log)


@pytest.mark.slow
@settings(max_examples=5000)
@given(logs)
def test_any_of_many_logs_keeps_the_invariants(log: list[Command]) -> None:
    check(log)
