"""How a machine joins a cluster, and leaves it."""

import shutil
import time
from pathlib import Path
from typing import Final

from actors.files import replace_file
from cluster.client.nodes import Nodes
from cluster.errors import ClusterError, NoAnswerError, NotRunningError
from cluster.local.cluster import ClusterOptions, allowed_paths, launch, stop_cluster
from cluster.local.home import ClusterRecord, Home
from cluster.local.speed import has_passed
from cluster.node.calls import NodeClient
from cluster.node.join_plan import JoinPlan
from cluster.node.leftovers import remove_old_copies
from cluster.node.security import group_name
from cluster.node.settings import NodeSettings
from raft.commands import NodeDrained, NodeLeft, request_id
from raft.credentials import Credentials
from raft.passwords import read_password_file

DRAIN_TIMEOUT_S: Final = 600.0
"""Seconds that a node's partitions have to move elsewhere."""

JOIN_TIMEOUT_S: Final = 30.0
"""Seconds that the cluster has to answer one that wants to join."""


def keep_password(home: Home, password_file: Path) -> str:
    """Copy a password into a home that has none, or the same; return it.

    Raises:
        SettingsError: the file cannot be trusted.
        ClusterError: the home has another one.
    """
    password = read_password_file(password_file)
    home.prepare()
    if home.password_path.exists() and read_password_file(home.password_path) != password:
        raise ClusterError(
            f"{home.directory} has another password; it belongs to another cluster: choose another --home"
        )
    replace_file(home.password_path, password.encode())
    return password


def join_cluster(
    home: Home,
    seed: str,
    node_address: tuple[str, int],
    password_file: Path,
    options: ClusterOptions,
) -> ClusterRecord:
    """Make this machine a node of the cluster that the node at `seed` belongs to, and wait until it is.

    Of the options, id of the group, CPUs and allowed paths count.

    Raises:
        ClusterError: it cannot be, with the reason.
    """
    password = keep_password(home, password_file)
    context = Credentials.derive(group_name(options.group_id), password).client_context()
    host, port = node_address
    plan: JoinPlan = NodeClient(seed, context).call("plan_join", f"{host}:{port}", timeout_s=JOIN_TIMEOUT_S)
    raft_address = f"{host}:{port + 1}"

    def settings(mark: str) -> list[NodeSettings]:
        return [
            NodeSettings(
                name=plan.name,
                group_id=options.group_id,
                home=str(home.directory),
                address=f"{host}:{port}",
                raft_address=raft_address,
                members={**plan.members, plan.name: raft_address},
                carries_ray=True,
                votes=plan.votes,
                seed=plan.seed,
                cpu_count=options.cpu_count,
                allowed_paths=allowed_paths(home, host, options.allowed_paths),
                mark=mark,
            )
        ]

    return launch(home, options.group_id, settings, stays=True)


def leave_cluster(home: Home) -> str:
    """Have the partitions of this home's node moved away, take it out of its cluster, and end it; return its name.

    Raises:
        ClusterError: there is no other node that could take its partitions, or they did not move in time.
    """
    record = home.read_record()
    (name,) = record.node_addresses if len(record.node_addresses) == 1 else ("",)
    if not name:
        raise ClusterError("all nodes of this cluster are on this machine; `tocsin down` ends it")
    nodes = Nodes(home)
    state = nodes.state()
    if name in state.nodes:
        if not any(node.carries_ray for other, node in state.nodes.items() if other != name):
            raise ClusterError(f"{name} is the only node that has hosts; `tocsin down` ends it")
        nodes.propose(NodeDrained(request_id=request_id(), node=name))
        _wait_until_drained(nodes, name)
        # Others must lead and vote before it goes: without its vote it cannot announce itself again.
        nodes.hand_over(name)
        if state.nodes[name].is_voter:
            nodes.expel(name)
        nodes.propose(NodeLeft(request_id=request_id(), node=name))
    state = nodes.state()
    stop_cluster(home)
    remove_old_copies(home, state, name)
    # What it knew of the group is over; when it joins again, it does so as a new one.
    shutil.rmtree(home.member_directory(record.group_id, name))
    return name


def _wait_until_drained(nodes: Nodes, name: str) -> None:
    """Wait until a node has neither partitions nor Ray's head."""
    started_s, trouble = time.monotonic(), ""
    while not has_passed(started_s, DRAIN_TIMEOUT_S):
        try:
            state = nodes.state()
        except NotRunningError as error:
            # An election, or Ray's new head: somebody answers soon.
            trouble = str(error)
            time.sleep(0.5)
            continue
        held = state.jobs_on(name)
        if not held and (state.head is None or state.head.node != name):
            return
        trouble = f"jobs {', '.join(job.job_id for job in held)} still have partitions on {name}"
        time.sleep(0.2)
    raise NoAnswerError(
        f"{name} is not empty after {time.monotonic() - started_s:.0f} s: {trouble}; see `tocsin status`"
    )
