"""Rules of the group state about standbys, one by one."""

from collections.abc import Iterator

import pytest

from raft.commands import (
    AcceptancePlaced,
    AssignmentChanged,
    MoveFinished,
    MoveStarted,
    NodeLeft,
    NodeLost,
    ShardRebuilt,
    StandbyPlaced,
    StandbyPromoted,
    ValueAccepted,
)
from raft.group import StandbyRecord, validate
from tests.unit.raft.test_group import Group
from tests.unit.raft.test_nodes import group as _group
from tests.unit.raft.test_nodes import job, named

group = _group


@pytest.fixture
def ready(group: Group) -> Iterator[Group]:
    """Partition 0, of host-0 on node a, has a ready standby of generation 2 at host-1 on b."""
    for is_ready in (False, True):
        group.do(named(StandbyPlaced, host="host-1", generation=2, is_ready=is_ready))
    yield group
    validate(group.state)


def standby(group: Group) -> StandbyRecord | None:
    return job(group).standbys.get(0)


def test_a_standby_is_named_and_then_ready(ready: Group) -> None:
    assert standby(ready) == StandbyRecord(host="host-1", generation=2, is_ready=True)
    assert job(ready).standbys_on("b") == (0,)
    assert job(ready).partitions_on("b") == (2,)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": "host-1", "generation": 1, "is_ready": False}, "used up; take 2"),
        ({"host": "host-1", "generation": 2, "is_ready": True}, "has not been named"),
        ({"host": "host-9", "generation": 2, "is_ready": False}, "has no node"),
        ({"host": "host-0", "generation": 2, "is_ready": False}, "another node than its owner's"),
        ({"host": "host-0", "generation": 2, "is_ready": False, "partition": 3}, "another node than its owner's"),
        ({"host": "host-0", "generation": 2, "is_ready": False, "partition": 4}, "no partition 4"),
    ],
)
def test_a_standby_that_cannot_be_is_refused(group: Group, fields: dict[str, object], words: str) -> None:
    assert words in group.refusal(named(StandbyPlaced, **fields))


def test_a_promoted_standby_is_the_shard_and_the_owner_of_before_is_to_have_the_copy(ready: Group) -> None:
    ready.do(named(StandbyPromoted, host="host-1", generation=2))
    assert (job(ready).owners[0], job(ready).generations[0]) == ("host-1", 2)
    assert standby(ready) == StandbyRecord(host="host-0", generation=3)


def test_only_the_copy_that_is_named_is_promoted(ready: Group) -> None:
    assert "is not the standby" in ready.refusal(named(StandbyPromoted, host="host-1", generation=3))
    assert "is not the standby" in ready.refusal(named(StandbyPromoted, host="host-0", generation=2))


def test_a_ready_standby_takes_over_from_a_node_that_is_lost(ready: Group) -> None:
    ready.do(named(NodeLost, node="a"))
    assert (job(ready).owners[:2], job(ready).generations[:2]) == (("host-1", ""), (2, 2))
    assert standby(ready) is None


def test_one_that_is_not_ready_does_not(group: Group) -> None:
    group.do(named(StandbyPlaced, host="host-1", generation=2, is_ready=False))
    group.do(named(NodeLost, node="a"))
    assert (job(group).owners[0], job(group).generations[0]) == ("", 3)


def test_a_standby_on_a_node_that_is_lost_is_none_and_its_number_stays_used_up(ready: Group) -> None:
    ready.do(named(NodeLost, node="b"))
    assert standby(ready) == StandbyRecord(host="", generation=2)
    assert job(ready).next_generation(0) == 3


def test_a_standby_does_not_keep_a_node_from_leaving(ready: Group) -> None:
    ready.do(named(MoveStarted, partition=2, source="host-1", target="host-0"))
    ready.do(named(MoveFinished, partition=2, target="host-0", generation=2))
    ready.do(NodeLeft(node="b"))
    assert standby(ready) == StandbyRecord(host="", generation=2)


def test_a_shard_that_is_made_anew_takes_a_number_above_that_of_the_standby(ready: Group) -> None:
    assert "a new one needs 3" in ready.refusal(named(ShardRebuilt, generation=2))
    ready.do(named(ShardRebuilt, generation=3))
    assert standby(ready) == StandbyRecord(host="host-1", generation=4)


def test_a_copy_on_the_way_takes_a_number_above_that_of_the_standby(ready: Group) -> None:
    ready.do(named(AssignmentChanged, owners=(), host_nodes=(("host-2", "c"),)))
    ready.do(named(MoveStarted, source="host-0", target="host-2"))
    assert "was that of a standby" in ready.refusal(named(MoveFinished, target="host-2", generation=2))
    ready.do(named(MoveFinished, target="host-2", generation=3))
    assert standby(ready) == StandbyRecord(host="host-1", generation=4)


def test_a_standby_on_the_node_to_which_the_shard_moves_is_none(ready: Group) -> None:
    ready.do(named(MoveStarted, source="host-0", target="host-1"))
    ready.do(named(MoveFinished, target="host-1", generation=3))
    assert standby(ready) is None


def test_a_move_ends_when_the_standby_takes_over(ready: Group) -> None:
    ready.do(named(MoveStarted, source="host-0", target="host-1"))
    ready.do(named(StandbyPromoted, host="host-1", generation=2))
    assert not job(ready).moves
    assert job(ready).owners[0] == "host-1"


def test_no_standby_is_ready_for_certain_after_a_value_got_its_place(ready: Group) -> None:
    ready.do(ValueAccepted(request_id="v", job_id="j", content=b"x"))
    ready.do(named(AcceptancePlaced, acceptance_id="v", positions=((0, 5),)))
    assert standby(ready) == StandbyRecord(host="host-1", generation=2)
