"""Placement is even and moves as little as possible."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cluster.leader.placement import Move, host_names, place, plan_moves


def test_partitions_without_a_host_go_to_the_least_loaded() -> None:
    assert place(["host-0", "", "", ""], 2) == {1: "host-1", 2: "host-0", 3: "host-1"}


def test_partitions_with_a_host_stay() -> None:
    assert place(["host-1", "host-0"], 2) == {}


def test_scaling_out_moves_the_surplus_only() -> None:
    owners = ["host-0", "host-0", "host-0", "host-0"]
    assert plan_moves(owners, 2) == [
        Move(partition=2, source="host-0", target="host-1"),
        Move(partition=3, source="host-0", target="host-1"),
    ]


def test_scaling_in_empties_the_hosts_that_are_not_wanted() -> None:
    owners = ["host-0", "host-1", "host-2", "host-3"]
    assert plan_moves(owners, 2) == [
        Move(partition=2, source="host-2", target="host-0"),
        Move(partition=3, source="host-3", target="host-1"),
    ]


def test_an_even_placement_stays() -> None:
    assert plan_moves(["host-1", "host-0", "host-0"], 2) == []


@given(st.lists(st.sampled_from(host_names(5)), min_size=1, max_size=30), st.integers(1, 5))
def test_after_the_moves_every_wanted_host_has_its_share(owners: list[str], host_count: int) -> None:
    moved = list(owners)
    for move in plan_moves(owners, host_count):
        assert moved[move.partition] == move.source
        moved[move.partition] = move.target
    load = Counter(moved)
    assert set(load) <= set(host_names(host_count))
    counts = [load[name] for name in host_names(host_count)]
    assert max(counts) - min(counts) <= 1
    assert sum(new != old for new, old in zip(moved, owners, strict=True)) == len(plan_moves(owners, host_count))
