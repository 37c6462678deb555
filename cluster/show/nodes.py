"""What `tocsin nodes` and `tocsin member list` say: machines and members of the cluster, as values, JSON and text."""

from dataclasses import asdict, dataclass

from cluster.client.member_rows import MemberRow
from cluster.client.nodes import Nodes
from cluster.node.status import NodeStatus
from cluster.show.problems import problems_of
from cluster.show.text import show_json_lines, show_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node."""

    node: str
    address: str
    answers: bool
    """Whether it answered in time."""

    role: str
    """What its member does."""

    ray: str
    """What Ray does on it, `head` where the head is; `-` when another node of its machine carries Ray."""

    hosts: int
    """Hosts of all jobs that the group has placed there."""

    standbys: int
    """Second copies of partitions that the group has placed there."""

    problem: str
    """What is wrong; empty when nothing is."""


def node_rows(nodes: Nodes) -> list[NodeRow]:
    """Return what is known of every node.

    Raises:
        NotRunningError: no node answers.
    """
    state = nodes.state(patience_s=0.0)
    placed = [node for job in state.jobs.values() for node in job.host_nodes.values()]
    rows = []
    for name, status in nodes.statuses():
        record = state.nodes.get(name)
        is_head = state.head is not None and state.head.node == name
        carries_ray = record is None or record.carries_ray
        ray = str(status.ray.phase) if status is not None and carries_ray else "-"
        rows.append(
            NodeRow(
                node=name,
                address="-" if record is None else record.address,
                answers=status is not None,
                role="-" if status is None else status.member.role,
                ray=f"head, {ray}" if is_head and not _is_guest(status) else ray,
                hosts=placed.count(name),
                standbys=sum(len(job.standbys_on(name)) for job in state.jobs.values()),
                problem="; ".join(problems_of(status)),
            )
        )
    return rows


def _is_guest(status: NodeStatus | None) -> bool:
    """Whether a node uses a Ray that others have started, whose head is their business."""
    return status is not None and status.ray.is_of_others


def plain_rows(rows: list[NodeRow] | list[MemberRow]) -> str:
    """Return nodes or members as lines of JSON."""
    return show_json_lines([asdict(row) for row in rows])


def show_members(rows: list[MemberRow]) -> str:
    """Return the members as a table."""
    cells = [[row.member, row.address, "yes" if row.votes else "no", row.role, row.problem] for row in rows]
    return show_rows(("member", "address", "votes", "role", "problem"), cells) + "\n"


def show_nodes(rows: list[NodeRow]) -> str:
    """Return the nodes as a table."""
    cells = [[row.node, row.address, row.role, row.ray, str(row.hosts), str(row.standbys), row.problem] for row in rows]
    return show_rows(("node", "address", "role", "ray", "hosts", "standbys", "problem"), cells) + "\n"
