"""Bytes of commands, answers and states."""

from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from raft.commands import (
    Accepted,
    AssignmentChanged,
    JobSubmitted,
    MoveFinished,
    MoveStarted,
    Refused,
    decode_answer,
    decode_command,
    encode_answer,
    encode_command,
)
from raft.errors import FormatError
from raft.group import (
    AcceptanceRecord,
    GroupState,
    HeadRecord,
    Job,
    JobStatus,
    Manifest,
    MemberRecord,
    NodeRecord,
    StandbyRecord,
)
from raft.group_codec import decode_state, encode_state

JOB = JobSubmitted(request_id="r", job_id="j", spec=b"\x00\xff", partition_count=2, host_count=1)


def test_a_command_keeps_its_form() -> None:
    fields = {"request_id": "r", "job_id": "j", "spec": b"\x00\xff", "partition_count": 2, "host_count": 1}
    assert msgpack.unpackb(encode_command(JOB)) == [1, "JobSubmitted", fields]
    assert decode_command(encode_command(JOB)) == JOB


def test_answers_keep_their_value() -> None:
    for answer in (Accepted(epoch=3), Refused(reason="no")):
        assert decode_answer(encode_answer(answer)) == answer


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "are no"),
        (b"\xc1", "are no"),
        (msgpack.packb([2, "JobStopped", {}]), "format version 2 is unknown"),
        (msgpack.packb([1, "Sing", {}]), "kind 'Sing' is unknown"),
        (msgpack.packb([1, "JobStopped", {"job_id": "j", "loudly": True}]), "are no"),
        (msgpack.packb([1, "JobStopped", {"job_id": 7}]), "JobStopped.job_id is 7"),
        (msgpack.packb([1, "JobStopped", {}]), "are no"),
    ],
)
def test_what_is_no_command_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode_command(data)


def test_nested_fields_are_checked() -> None:
    owners = [[0, "a"], ["1", "b"]]
    odd = msgpack.packb([1, "AssignmentChanged", {"request_id": "", "epoch": 1, "job_id": "j", "owners": owners}])
    with pytest.raises(FormatError, match="owners is"):
        decode_command(odd)


def test_a_truth_value_is_no_number() -> None:
    command = MoveStarted(epoch=True, job_id="j", partition=0, source="a", target="b")
    with pytest.raises(FormatError, match="epoch is True"):
        decode_command(encode_command(command))


def test_a_command_that_is_too_long_is_refused() -> None:
    with pytest.raises(FormatError, match="allowed are 1048576; shorten it"):
        encode_command(JobSubmitted(job_id="j", spec=b"x" * (1 << 20), partition_count=1, host_count=1))


def make_node(name: str) -> NodeRecord:
    return NodeRecord(
        address=f"{name}:7100", directory=f"/{name}", machine="box", carries_ray=name == "n0", is_voter=True,
        is_draining=name == "n1", incarnation="i",
    )  # fmt: skip


def test_a_state_keeps_its_value() -> None:
    manifest = Manifest(next_offsets=((0, 5), (1, 7)), digest=b"d" * 32, size_bytes=9, holders=("m0",), epoch=2)
    job = Job(
        job_id="j",
        spec=b"s",
        partition_count=2,
        host_count=1,
        owners=("a", ""),
        moves={0: "b"},
        manifests={1: (manifest,)},
        acceptances=(
            AcceptanceRecord(acceptance_id="r", content=b"c", positions=((0, 5), (1, 7))),
            AcceptanceRecord(acceptance_id="s", content=b"d"),
        ),
        host_nodes={"b": "n1", "a": "n0"},
        generations=(3, 0),
        standbys={
            1: StandbyRecord(host="", generation=2),
            0: StandbyRecord(host="b", generation=4, is_ready=True),
        },
    )
    state = GroupState(
        epoch=2,
        leader_id="m0",
        leader_term=4,
        jobs={"j": job},
        members={"m0": MemberRecord(address="h:1", identity="i")},
        nodes={name: make_node(name) for name in ("n1", "n0")},
        head=HeadRecord(node="n0", generation=2, address="n0:6379"),
        answers={"b": Accepted(epoch=2), "a": Refused(reason="no")},
    )
    assert decode_state(encode_state(state)) == state
    assert list(decode_state(encode_state(state)).answers) == ["b", "a"]


def state_2() -> GroupState:
    """The state of the bytes that version 2 made."""
    first, second = (
        Manifest(
            next_offsets=((0, at), (1, at + 2)), digest=bytes([at]) * 32, size_bytes=9, holders=("m0", "m1"), epoch=2
        )
        for at in (5, 6)
    )
    job = Job(
        job_id="j",
        spec=b"spec",
        partition_count=3,
        host_count=2,
        owners=("host-0", "host-1", ""),
        moves={1: "host-2"},
        manifests={0: (first, second)},
        acceptances=(
            AcceptanceRecord(acceptance_id="r", content=b"c", positions=((0, 5), (1, 7))),
            AcceptanceRecord(acceptance_id="s", content=b"d"),
        ),
        generations=(1, 1, 0),
    )
    done = Job(
        job_id="k", spec=b"", partition_count=1, host_count=1, owners=("",), status=JobStatus.FINISHED, summary=b"done",
        generations=(0,),
    )  # fmt: skip
    return GroupState(
        epoch=2,
        leader_id="m0",
        leader_term=4,
        jobs={"j": job, "k": done},
        members={"m0": MemberRecord(address="h:1", identity="i0"), "m1": MemberRecord(address="h:2", identity="i1")},
        answers={"b": Accepted(epoch=2), "a": Refused(reason="no")},
    )


def test_a_state_of_version_3_has_no_standbys() -> None:
    data = bytes.fromhex((Path(__file__).parent / "data" / "state-3.hex").read_text())
    state = decode_state(data)
    assert state.jobs["j"] == Job(
        job_id="j", spec=b"spec", partition_count=2, host_count=2, owners=("host-0", "host-1"), moves={0: "host-1"},
        host_nodes={"host-0": "n0", "host-1": "n1"}, generations=(3, 1),
    )  # fmt: skip
    assert state.head == HeadRecord(node="n0", generation=2, address="n0:6379")


def test_a_state_of_version_2_has_no_nodes_and_its_shards_are_the_first() -> None:
    data = bytes.fromhex((Path(__file__).parent / "data" / "state-2.hex").read_text())
    assert decode_state(data) == state_2()


def test_a_state_of_version_4_has_no_standbys() -> None:
    _, fields = msgpack.unpackb(encode_state(state_2()), strict_map_key=False)
    for job in fields["jobs"]:
        del job["standbys"]
    assert decode_state(msgpack.packb((4, fields))) == state_2()


def test_a_state_of_version_3_has_jobs_with_hosts_of_their_own() -> None:
    _, fields = msgpack.unpackb(encode_state(state_2()), strict_map_key=False)
    for job in fields["jobs"]:
        del job["standbys"]
    assert decode_state(msgpack.packb((3, fields))) == state_2()


def test_a_state_of_version_1_has_jobs_without_accepted_values() -> None:
    version, fields = msgpack.unpackb(
        bytes.fromhex((Path(__file__).parent / "data" / "state-2.hex").read_text()), strict_map_key=False
    )
    assert version == 2
    for job in fields["jobs"]:
        del job["acceptances"]
    expected = {name: replace(job, acceptances=()) for name, job in state_2().jobs.items()}
    assert decode_state(msgpack.packb((1, fields))).jobs == expected


def test_commands_of_before_there_were_nodes_are_read() -> None:
    common = {"request_id": "r", "epoch": 1, "job_id": "j"}
    moved = msgpack.packb([1, "MoveFinished", common | {"partition": 0, "target": "b"}])
    assert decode_command(moved) == MoveFinished(request_id="r", epoch=1, job_id="j", partition=0, target="b")
    placed = msgpack.packb([1, "AssignmentChanged", common | {"owners": [[0, "a"]]}])
    assert decode_command(placed) == AssignmentChanged(request_id="r", epoch=1, job_id="j", owners=((0, "a"),))


def test_equal_states_have_equal_bytes_whatever_their_history() -> None:
    one, other = (MemberRecord(address=f"h:{number}", identity=str(number)) for number in (1, 2))
    assert encode_state(GroupState(members={"a": one, "b": other})) == encode_state(
        GroupState(members={"b": other, "a": one})
    )


@pytest.mark.parametrize(
    ("data", "words"), [(b"\xc1", "are no group state"), (msgpack.packb([7, {}]), "state version 7")]
)
def test_what_is_no_state_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode_state(data)
