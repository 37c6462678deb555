"""Nodes as a leader sees them: which may have hosts, which are leaving, and which have been away for too long."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cluster.leader.reach import is_near
from raft.group import GroupState, Job, JobStatus, NodeRecord


class NodeWatch:
    """Which nodes are there. Before anybody has said so, all of them are.

    Hosts of the job may be on the nodes of every one of the `ties` alone, or of their machines. With `keeps` no node is
    given up, because no other one could have what it has.
    """

    def __init__(self, lost_us: int, ties: Sequence[Sequence[str]] = (), *, keeps: bool = False) -> None:
        self._lost_us = lost_us
        self._keeps = keeps
        self._ties = ties
        self._there: frozenset[str] | None = None
        self._away_since_us: dict[str, int] = {}
        self._elapsed_us = 0
        self._nodes: Mapping[str, NodeRecord] = {}
        self._load = Counter[str]()

    def know(self, state: GroupState) -> None:
        """Take the nodes that the group knows."""
        self._nodes = state.nodes
        running = [job for job in state.jobs.values() if job.status is JobStatus.RUNNING]
        self._load = Counter(job.host_nodes.get(host, "") for job in running for host in set(job.owners))

    def see(self, there: frozenset[str], answering: frozenset[str], elapsed_us: int) -> None:
        """Take which nodes are there at this moment, and which others answer at least."""
        self._there, self._elapsed_us = there, elapsed_us
        away = self._nodes.keys() - there - answering
        self._away_since_us = {node: self._away_since_us.get(node, elapsed_us) for node in away}

    @property
    def has_nodes(self) -> bool:
        """Whether the group knows any node; in one without, hosts run anywhere."""
        return bool(self._nodes)

    @property
    def fit(self) -> tuple[str, ...]:
        """Nodes that may have hosts, those first that have the fewest of all jobs that run."""
        fit = (name for name, node in self._nodes.items() if self._is_fit(name, node))
        return tuple(sorted(fit, key=lambda name: (self._load[name], name)))

    def _is_fit(self, name: str, node: NodeRecord) -> bool:
        is_there = self._there is None or name in self._there
        return node.carries_ray and not node.is_draining and is_there and self._is_tied_to(name)

    def _is_tied_to(self, name: str) -> bool:
        return all(is_near(name, tie, self._nodes) for tie in self._ties)

    @property
    def none_fit(self) -> str:
        """Why no node may have hosts, for when none may."""
        if self._ties:
            names = " and ".join(" or ".join(tie) for tie in self._ties)
            return f"the source or the sinks of the job are on {names} alone, and no node there may have hosts now"
        return "no node is there that may have hosts; start one, or wait until one has stopped draining"

    @property
    def leaving(self) -> frozenset[str]:
        """Nodes that shall give up all that they have of the job."""
        return frozenset(name for name, node in self._nodes.items() if node.is_draining or not self._is_tied_to(name))

    def can_host(self, node: str) -> bool:
        """Whether a node that may be the only one for a host can have it now, also while it drains."""
        return node in self._nodes and self.is_there(node) and not self.is_away(node)

    def has_lost(self, node: str) -> bool:
        """Whether a node has been away for too long."""
        return self._away_since_us.get(node, self._elapsed_us) < self._elapsed_us - self._lost_us

    def is_there(self, node: str) -> bool:
        """Whether a node is there, as far as anybody has said."""
        return self._there is None or node in self._there

    def is_away(self, node: str) -> bool:
        """Whether it is known that a node does not even answer."""
        return node in self._away_since_us

    def silent(self, for_us: int) -> frozenset[str]:
        """Return the nodes that have not even answered for so long."""
        over_us = self._elapsed_us - for_us
        return frozenset(node for node, since_us in self._away_since_us.items() if since_us <= over_us)

    def lost(self, job: Job) -> tuple[str, ...]:
        """Return the nodes that have hosts of the job and have been away for too long, by name.

        None is lost while no other node could have its hosts: what it has may come back, and would be made anew.
        """
        return self._given_up(job, self._lost_us)

    def at_risk(self, job: Job) -> tuple[str, ...]:
        """Return the nodes that have hosts of the job and are lost if they stay away, by name."""
        return self._given_up(job, 0)

    def _given_up(self, job: Job, after_us: int) -> tuple[str, ...]:
        if not self.fit or self._keeps:
            return ()
        return tuple(sorted(self.silent(after_us) & set(job.host_nodes.values())))

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._there is None or not self._away_since_us.keys() & self._there
        assert all(since_us <= self._elapsed_us for since_us in self._away_since_us.values())
