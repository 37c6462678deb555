"""Placement is even and moves as little as possible."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cluster.leader.placement import Move, place, place_hosts, plan_moves, wanted_hosts

NAMES = tuple(f"host-{number}" for number in range(5))


def test_partitions_without_a_host_go_to_the_least_loaded() -> None:
    assert place(["host-0", "", "", ""], NAMES[:2]) == {1: "host-1", 2: "host-0", 3: "host-1"}


def test_partitions_with_a_host_stay() -> None:
    assert place(["host-1", "host-0"], NAMES[:2]) == {}


def test_scaling_out_moves_the_surplus_only() -> None:
    owners = ["host-0", "host-0", "host-0", "host-0"]
    assert plan_moves(owners, NAMES[:2]) == [
        Move(partition=2, source="host-0", target="host-1"),
        Move(partition=3, source="host-0", target="host-1"),
    ]


def test_scaling_in_empties_the_hosts_that_are_not_wanted() -> None:
    owners = ["host-0", "host-1", "host-2", "host-3"]
    assert plan_moves(owners, NAMES[:2]) == [
        Move(partition=2, source="host-2", target="host-0"),
        Move(partition=3, source="host-3", target="host-1"),
    ]


def test_an_even_placement_stays() -> None:
    assert plan_moves(["host-1", "host-0", "host-0"], NAMES[:2]) == []


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=30), st.integers(1, 5))
def test_after_the_moves_every_wanted_host_has_its_share(owners: list[str], host_count: int) -> None:
    moved = list(owners)
    for move in plan_moves(owners, NAMES[:host_count]):
        assert moved[move.partition] == move.source
        moved[move.partition] = move.target
    load = Counter(moved)
    assert set(load) <= set(NAMES[:host_count])
    counts = [load[name] for name in NAMES[:host_count]]
    assert max(counts) - min(counts) <= 1
    assert sum(new != old for new, old in zip(moved, owners, strict=True)) == len(
        plan_moves(owners, NAMES[:host_count])
    )


def test_a_job_that_wants_no_number_of_hosts_has_a_shared_one() -> None:
    assert wanted_hosts(["", ""], 0) == ("shared-0",)
    assert wanted_hosts(["shared-1", "shared-1"], 0) == ("shared-1",)
    assert wanted_hosts(["shared-0", "host-0"], 0, {"a"}, {"shared-0": "a"}) == ("shared-1",)


def test_a_host_of_the_other_kind_gives_its_partitions_up() -> None:
    owners = ["shared-0", "shared-0"]
    assert plan_moves(owners, wanted_hosts(owners, 2)) == [
        Move(partition=0, source="shared-0", target="host-0"),
        Move(partition=1, source="shared-0", target="host-1"),
    ]
    assert wanted_hosts(["host-0", "host-1"], 0) == ("shared-0",)


def test_hosts_that_own_something_are_wanted_before_new_ones() -> None:
    assert wanted_hosts(["host-2", "", "host-4"], 3) == ("host-2", "host-4", "host-0")
    assert wanted_hosts(["host-0", "host-10", "host-2"], 2) == ("host-0", "host-2")


def test_hosts_on_a_node_that_is_leaving_are_not_wanted_and_keep_their_names() -> None:
    nodes = {"host-0": "a", "host-1": "b"}
    assert wanted_hosts(["host-0", "host-1"], 2, {"b"}, nodes) == ("host-0", "host-2")
    assert wanted_hosts(["host-0", "host-0"], 2, {"b"}, nodes) == ("host-0", "host-1")


def test_new_hosts_go_to_the_nodes_with_fewest_and_others_stay() -> None:
    owners, nodes = ["host-0", "host-1"], {"host-0": "a", "host-1": "a", "host-2": "gone"}
    assert place_hosts(NAMES, owners, nodes, ["a", "b"]) == {"host-2": "b", "host-3": "b", "host-4": "a"}


def test_a_host_that_owns_something_stays_where_that_is_though_it_is_nowhere() -> None:
    assert place_hosts(NAMES[:2], ["host-0"], {}, ["a"]) == {"host-1": "a"}


def test_partitions_stay_on_their_nodes_as_far_as_there_is_room() -> None:
    nodes = {"host-0": "a", "host-1": "b", "host-2": "b", "host-3": "a"}
    assert plan_moves(["host-0", "host-0", "host-1", "host-1"], NAMES[:4], nodes) == [
        Move(partition=1, source="host-0", target="host-3"),
        Move(partition=3, source="host-1", target="host-2"),
    ]


@given(
    st.lists(st.sampled_from(["", *NAMES]), min_size=1, max_size=20),
    st.integers(1, 5),
    st.sets(st.sampled_from("abc")),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from("abc")),
)
def test_after_the_moves_nothing_is_on_a_node_that_is_leaving(
    owners: list[str], host_count: int, leaving: set[str], nodes: dict[str, str]
) -> None:
    names = wanted_hosts(owners, host_count, leaving, nodes)
    assert len(set(names)) == host_count
    fit = sorted({"a", "b", "c", "d"} - leaving)
    nodes |= place_hosts(names, owners, nodes, fit)
    owned = [place(owners, names).get(partition, owner) for partition, owner in enumerate(owners)]
    for move in plan_moves(owned, names, nodes):
        owned[move.partition] = move.target
    assert not {nodes.get(owner) for owner in owned} & leaving
    assert set(owned) <= set(names)
