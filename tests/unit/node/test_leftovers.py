"""Copies of shards that are left behind on a node are removed, and nothing else is."""

from dataclasses import replace
from pathlib import Path

from actors.shard.generations import copy_directory, open_generation
from cluster.local.home import Home
from cluster.node.leftovers import old_copies, remove_old_copies
from raft.group import GroupState, Job, StandbyRecord

JOB = Job(
    job_id="j",
    spec=b"",
    partition_count=3,
    host_count=2,
    owners=("host-0", "host-1", ""),
    host_nodes={"host-0": "a", "host-1": "b"},
    generations=(2, 4, 3),
)


def state(**changes: object) -> GroupState:
    return GroupState(jobs={"j": replace(JOB, **changes)})  # type: ignore[arg-type]


def test_what_another_node_owns_is_old_and_what_nobody_owns_is_not() -> None:
    assert [(old.partition, old.below) for old in old_copies(state(), "a")] == [(1, 4)]
    assert [(old.partition, old.below) for old in old_copies(state(), "c")] == [(0, 2), (1, 4)]


def test_what_is_on_its_way_here_is_not_old() -> None:
    assert not list(old_copies(state(moves={1: "host-0"}), "a"))


def test_second_copies_are_not_old_until_they_are_none() -> None:
    standby = StandbyRecord(host="host-0", generation=5)
    assert not list(old_copies(state(standbys={1: standby}), "a"))
    assert [(old.partition, old.below) for old in old_copies(state(standbys={1: standby}), "c")] == [(0, 2), (1, 5)]
    none = StandbyRecord(host="", generation=5)
    assert [(old.partition, old.below) for old in old_copies(state(standbys={1: none}), "a")] == [(1, 6)]


def test_hosts_that_may_run_anywhere_leave_nothing_behind() -> None:
    assert not list(old_copies(state(host_nodes={}), "a"))


def make(home: Home, number: int, generation: int) -> Path:
    directory = home.partitions_directory("j") / f"{number:04d}"
    open_generation(directory, generation, identifier=b"j").close()
    return directory


def test_old_copies_are_removed_whatever_their_name_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    own, moved, ownerless = make(home, 0, 2), make(home, 1, 3), make(home, 2, 2)
    aside = make(home, 1, 3).rename(copy_directory(moved, 3))
    make(home, 1, 2)
    remove_old_copies(home, state(), "a")
    assert own.exists()
    assert ownerless.exists()
    assert not moved.exists()
    assert not aside.exists()


def test_a_copy_that_is_open_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    directory = make(home, 1, 3)
    with open_generation(directory, 3, identifier=b"j"):
        remove_old_copies(home, state(), "a")
        assert directory.exists()
    remove_old_copies(home, state(), "a")
    assert not directory.exists()


def test_a_copy_as_new_as_the_current_one_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    directory = make(home, 1, 4)
    remove_old_copies(home, state(), "a")
    assert directory.exists()


def test_a_copy_that_was_never_finished_is_removed_though_nothing_else_is_left(tmp_path: Path) -> None:
    home = Home(tmp_path)
    draft = make(home, 1, 3).rename(home.partitions_directory("j") / "0001.draft")
    own = make(home, 0, 2).rename(home.partitions_directory("j") / "0000.draft")
    remove_old_copies(home, state(), "a")
    assert not draft.exists()
    assert own.exists()
