"""A leader's core on nodes, answered by hand."""

from typing import Any

from actors.partition.values import OpenedPartition
from cluster.leader.events import NodesSeen, PartitionsOpened
from cluster.leader.instructions import Instruction, OpenPartitions, Propose, StartHost
from raft.commands import Command, NodeJoined
from tests.support.leader_driver import Driver
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job()

SECOND = 1_000_000

AWAY_MAX = 6_500_000
"""Microseconds for which a node may be away."""

BEGINNING = OpenedPartition(needed={0: 0}, reached={0: 0})
"""A partition that needs everything."""


def on_nodes(*nodes: str, host_count: int = 1, **settings: Any) -> Driver:
    """Return a core of a job in a group with these nodes; those called `voter...` carry no Ray."""
    driver = Driver(make_partition_job(**settings) if settings else JOB, host_count)
    for node in nodes:
        join(driver, node)
    return driver


def join(driver: Driver, node: str) -> None:
    """Let a node belong to the group."""
    roles = {"carries_ray": not node.startswith("voter"), "is_voter": True}
    said = {"address": f"{node}:1", "directory": "/", "machine": node, "incarnation": "x"}
    driver.decide(NodeJoined(node=node, **roles, **said))  # type: ignore[arg-type]


def see(driver: Driver, *nodes: str) -> list[Instruction]:
    """Let the core see which nodes are there, and that no other one answers."""
    return driver.step(NodesSeen(now_us=driver.now_us, nodes=frozenset(nodes)))


def proposed(driver: Driver) -> list[Command]:
    """Return the proposals that have no answer."""
    return [one.command for one in driver.waiting(Propose)]


def started(driver: Driver) -> list[tuple[str, str]]:
    """Return the hosts that are to start, with their nodes."""
    return [(one.host, one.node) for one in driver.waiting(StartHost)]


def opened(driver: Driver) -> None:
    """Let a host start, and open what it is asked for."""
    driver.reply(StartHost)
    for request in driver.waiting(OpenPartitions):
        found = dict.fromkeys(request.partitions, BEGINNING)
        driver.reply_to(request, PartitionsOpened, opened=found)


def running(*nodes: str, host_count: int = 1, **settings: Any) -> Driver:
    """Return a core that has its partitions open, on nodes that are all there."""
    driver = on_nodes(*nodes, host_count=host_count, **settings)
    driver.open({0: 0})
    see(driver, *nodes)
    return driver
