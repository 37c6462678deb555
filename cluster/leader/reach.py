"""Reach: which nodes can read a job's source and write its sinks. Pure.

Names of nodes stand for their machines: nodes of one machine have the same files.
"""

from collections.abc import Mapping, Sequence

from actors.source.open import stream_table_name
from cluster.errors import ClusterError
from config.base import EVERY_NODE
from config.messages import StdinSource
from config.service_sinks import StdoutSinkSettings
from config.settings import JobSettings
from config.sources import LOCAL_SOURCES, FileSource
from raft.group import NodeRecord


def is_near(name: str, named: Sequence[str], nodes: Mapping[str, NodeRecord]) -> bool:
    """Whether a node is one of those named, or on the machine of one."""
    machines = {nodes[one].machine for one in named if one in nodes}
    return name in named or (name in nodes and nodes[name].machine in machines)


def is_on_several_machines(nodes: Mapping[str, NodeRecord]) -> bool:
    """Whether the nodes have more than one machine."""
    return len({node.machine for node in nodes.values()}) > 1


def out_of_reach(job: JobSettings, leader: str, nodes: Mapping[str, NodeRecord]) -> str | None:
    """Return why a leader cannot read the source of a job whose rows are routed, or `None`."""
    named = job.source_nodes
    if job.partition_by == "split" or not named or leader not in nodes or is_near(leader, named, nodes):
        return None
    return (
        f"the source of job {job.name!r} is on {' or '.join(named)} alone, and the leader, which routes its rows, is "
        f"on {leader}. With `partition_by: split` a host there reads it, whoever leads"
    )


def placed(job: JobSettings, here: str, leader: str, nodes: Mapping[str, NodeRecord]) -> JobSettings:
    """Return a job that is submitted at a node: what one machine alone can have is there, unless the job names it.

    Raises:
        ClusterError: nobody could read its source, or write its sinks, on the nodes that it names.
    """
    source = job.source
    if isinstance(source, LOCAL_SOURCES) and is_on_several_machines(nodes):
        if source.on == (EVERY_NODE,):
            names = _one_on_each_machine(nodes)
            job = job.model_copy(update={"source": source.model_copy(update={"on": names}), "partitions": len(names)})
        elif not source.on and not here:
            raise ClusterError(
                f"the source of job {job.name!r} is on one node, and it is not known on which; say it by `on`, one "
                f"of {', '.join(sorted(nodes))}"
            )
        elif not source.on:
            job = job.model_copy(update={"source": source.model_copy(update={"on": (here,)})})
    reason = misplaced(job, leader, nodes)
    if reason is not None:
        raise ClusterError(reason)
    return job


def _one_on_each_machine(nodes: Mapping[str, NodeRecord]) -> tuple[str, ...]:
    """Return a node of each machine that may have hosts, by name."""
    able = {node.machine: name for name, node in sorted(nodes.items(), reverse=True) if node.carries_ray}
    return tuple(sorted(able.values()))


def misplaced(job: JobSettings, leader: str, nodes: Mapping[str, NodeRecord]) -> str | None:
    """Return what is wrong with the nodes that a job names, in a cluster with these nodes, or `None`."""
    if isinstance(job.source, StdinSource):
        return f"job {job.name!r} reads the standard input, which a cluster has none of; use `tocsin run`"
    if any(isinstance(sink, StdoutSinkSettings) for sink in job.sinks):
        return f"job {job.name!r} prints on the standard output, which a cluster has none of; use `tocsin run`"
    ties = job.host_ties
    for name in (name for named in (job.source_nodes, *ties) for name in named):
        if name not in nodes:
            return f"job {job.name!r} names the node {name!r}; the cluster has {', '.join(sorted(nodes))}"
    for name in job.split_nodes:
        if not nodes[name].carries_ray:
            return f"job {job.name!r} names the node {name!r}, which has no hosts; name another one of its machine"
    able = [name for name, node in nodes.items() if node.carries_ray]
    is_own, is_local = job.partition_by == "split", isinstance(job.source, LOCAL_SOURCES)
    if job.standby and is_own and is_local and len(able) > 1:
        return (
            f"the stream table of job {job.name!r} is on one node, so no host of another could read its splits for a "
            "standby: leave out `standby`, or `partition_by: split`"
        )
    places = {nodes[name].machine for name in job.source_nodes} or {node.machine for node in nodes.values()}
    if job.idle_after is not None and not job.split_nodes and len(places) > 1:
        return (
            f"job {job.name!r} has `idle_after`, whose time marks are noted on the machine that reads, and its source "
            "may be read on several: name one node, `on: NODE` in the source"
        )
    if ties and not any(all(is_near(name, tie, nodes) for tie in ties) for name in able):
        shown = " and ".join(" or ".join(tie) for tie in ties)
        return f"no node can have hosts of job {job.name!r}: its source and its sinks are on {shown} alone"
    return out_of_reach(job, leader, nodes)


def wanted_everywhere(job: JobSettings, nodes: Mapping[str, NodeRecord]) -> tuple[str, ...]:
    """Return the files that a job reads, on several machines, without a word about which of them have these."""
    source = job.source
    if not isinstance(source, FileSource) or job.source_nodes or not is_on_several_machines(nodes):
        return ()
    return source.paths


def out_of_sight(
    job: JobSettings, missing: Mapping[str, str | None], leader: str, nodes: Mapping[str, NodeRecord]
) -> str | None:
    """Return why nodes that would read a job's files cannot, while others can, or `None`.

    `missing` says of each node that answers what it lacks, if anything. What nobody has may come yet.
    """
    having = sorted(name for name, reason in missing.items() if reason is None)
    if job.partition_by == "split":
        readers = [name for name in sorted(missing) if nodes[name].carries_ray and not nodes[name].is_draining]
    else:
        readers = [leader]
    lacking = next((name for name in readers if missing.get(name) is not None), None)
    if lacking is None or not having:
        return None
    named = having[0] if len(having) == 1 else f"[{', '.join(having)}]"
    if job.partition_by == "split":
        way = f"say in the source which nodes have it, `on: {named}`, or put it on all machines"
    else:
        way = (
            f"say `partition_by: split` and, in the source, `on: {named}`, so that a host there reads it, or put it on "
            "all machines, since any of them may lead"
        )
    who = lacking if job.partition_by == "split" else f"{lacking}, which leads and would read it"
    return f"the source of job {job.name!r} cannot be read on {who}: {missing[lacking]}. {', '.join(having)} can: {way}"


def remarks_on_places(job: JobSettings, nodes: Mapping[str, NodeRecord]) -> tuple[str, ...]:
    """Say what would be gone with a machine, where there are several."""
    table, named = stream_table_name(job), job.source_nodes
    if table is None or not named or not is_on_several_machines(nodes):
        return ()
    if job.split_nodes:
        return (f"the stream tables {table!r} of {', '.join(named)} have no copies on other machines",)
    return (f"the stream table {table!r} is on {named[0]} alone: there is no copy of it on another machine",)
