"""Over which machines of a Ray of others a cluster is spread, and what is kept of that."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.local.guest_record import NAME, GuestRecord
from cluster.local.home import Home
from cluster.node.guest_plan import GuestPlan, check_alike, hosts_to_start
from cluster.node.settings import NodeSettings

PLAN = GuestPlan(group_id=2, space="tocsin-abc", base="~/.tocsin-ray", python="", port=7100, count=3)

ALIVE = ["10.0.0.10", "10.0.0.9", "10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(
    ("known", "count", "expected"),
    [
        # The first by number, not by text.
        ({}, 3, ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
        ({}, 4, ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9")),
        ({"10.0.0.1": True, "10.0.0.2": True, "10.0.0.3": True}, 3, ()),
        # One whose node says nothing though Ray is there gets it again.
        ({"10.0.0.1": True, "10.0.0.2": False, "10.0.0.3": True}, 3, ("10.0.0.2",)),
        # One that Ray has lost is replaced by another one, and comes back beside it.
        ({"10.0.0.1": True, "10.0.0.7": False, "10.0.0.3": True}, 3, ("10.0.0.2",)),
        ({"10.0.0.1": True, "10.0.0.2": False, "10.0.0.3": True, "10.0.0.9": True}, 3, ("10.0.0.2",)),
        # All of them, also new ones.
        ({"10.0.0.1": True}, 0, ("10.0.0.2", "10.0.0.3", "10.0.0.9", "10.0.0.10")),
    ],
)
def test_nodes_go_to_machines_that_had_one_and_to_as_many_others_as_lack(
    known: dict[str, bool], count: int, expected: tuple[str, ...]
) -> None:
    assert hosts_to_start(known, ALIVE, count) == expected


def test_a_group_begins_with_three_nodes_and_the_others_join() -> None:
    assert hosts_to_start({}, ALIVE, 0, founds=True) == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert hosts_to_start({}, ALIVE[:2], 3, founds=True) == ("10.0.0.9", "10.0.0.10")
    assert hosts_to_start({}, ALIVE, 1, founds=True) == ("10.0.0.1",)


def test_machines_with_another_version_are_refused() -> None:
    alike = {"tocsin": "0.1.0", "ray": "2.60.0", "python": "3.11"}
    check_alike({"10.0.0.1": alike, "10.0.0.2": alike})
    with pytest.raises(ClusterError, match=r"python is 3.12 on 10.0.0.2 of that Ray and 3.11 on another machine"):
        check_alike({"10.0.0.1": alike, "10.0.0.2": {**alike, "python": "3.12"}})


def test_a_node_remembers_how_the_cluster_is_spread(tmp_path: Path) -> None:
    node = NodeSettings(
        name="node-1",
        group_id=2,
        home="/home",
        address="10.0.0.1:7100",
        raft_address="10.0.0.1:7101",
        members={},
        carries_ray=True,
        ray_address="head:6379",
        spread=PLAN,
    )
    node.write(tmp_path)
    assert NodeSettings.read(tmp_path) == node
    alone = replace(node, spread=None)
    alone.write(tmp_path)
    assert NodeSettings.read(tmp_path) == alone


def test_a_home_remembers_where_nodes_are_until_they_are_ended(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert GuestRecord.read(home) is None
    record = GuestRecord(ray_address="head:6379", plan=PLAN, node_addresses={"node-1": "10.0.0.1:7100"}, homes={})
    record.write(home)
    assert GuestRecord.read(home) == record
    GuestRecord.remove(home)
    assert GuestRecord.read(home) is None
    (tmp_path / NAME).write_text("{}")
    with pytest.raises(ClusterError, match="cannot be read"):
        GuestRecord.read(home)
