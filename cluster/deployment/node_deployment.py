"""What a leader deploys: hosts and samplers as Ray actors, pinned to nodes; members as keepers of snapshots."""

import contextlib
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import ray

from cluster.deployment import deploy, shared_hosts
from cluster.deployment.deploy import RayHost, TakenSnapshot
from cluster.errors import NoAnswerError
from cluster.leader.placement import is_shared
from cluster.local.home import Home
from cluster.node.calls import NodeClient
from cluster.node.group_port import NodeGroup
from cluster.node.ray_guest import place_on, usable_raylet
from cluster.node.ray_place import RayPlace
from cluster.node.settings import NodeSettings

T = TypeVar("T")

TRANSFER_THREAD_COUNT = 6
"""Members that store or give a snapshot at the same time."""

CHUNK_TIMEOUT_S = 20.0
"""Seconds that a member has to give one chunk of a snapshot."""

STORE_TIMEOUT_S = 30.0
"""Seconds that one has to store a snapshot, as long as leaders wait for that."""

SILENT_TIMEOUT_S = 2.0
"""Seconds that one has whose node has not answered lately: checkpoints wait for all members."""


class ThreadReply(Generic[T]):
    """A reply that a thread of this process is working for."""

    def __init__(self, future: "Future[T]") -> None:
        self._future = future

    def when_done(self, take: Callable[[T], None], fail: Callable[[Exception], None]) -> None:
        """Have one of the two called, in that thread."""

        def done(future: "Future[T]") -> None:
            error = future.exception()
            if error is None:
                take(future.result())
            else:
                fail(error if isinstance(error, Exception) else NoAnswerError(str(error)))

        self._future.add_done_callback(done)


class NodeMember:
    """The member of a node, as a keeper of snapshots."""

    def __init__(
        self,
        node: NodeClient,
        threads: ThreadPoolExecutor,
        away_from: Callable[[str, str], str | None],
        *,
        answers: bool,
    ) -> None:
        """`away_from` gives, for job and host, the address of the host's node when that is on another machine."""
        self._node = node
        self._threads = threads
        self._away_from = away_from
        self._store_timeout_s = STORE_TIMEOUT_S if answers else SILENT_TIMEOUT_S

    def store_snapshot(self, job_id: str, partition: int, taken: TakenSnapshot) -> ThreadReply[tuple[bytes, int]]:
        """Store a snapshot that a host has written."""
        return ThreadReply(self._threads.submit(self._store, job_id, partition, taken))

    def read_snapshot(self, job_id: str, partition: int, digest: bytes) -> ThreadReply[bytes | None]:
        return ThreadReply(self._threads.submit(self._read, job_id, partition, digest))

    def _store(self, job_id: str, partition: int, taken: TakenSnapshot) -> tuple[bytes, int]:
        written = taken.written
        assert written is not None, "it is stored when it is there"
        what = (job_id, partition, written.digest, written.size_bytes)
        address = self._away_from(job_id, taken.host)
        if address is None:
            self._node.call("adopt_snapshot", *what, written.path, timeout_s=self._store_timeout_s)
        else:
            self._node.call("fetch_snapshot", *what, address, taken.name, timeout_s=self._store_timeout_s)
        return written.digest, written.size_bytes

    def _read(self, job_id: str, partition: int, digest: bytes) -> bytes | None:
        chunks: list[bytes] = []
        while True:
            arguments = (job_id, partition, digest, len(chunks))
            chunk = self._node.call("read_snapshot_chunk", *arguments, timeout_s=CHUNK_TIMEOUT_S)
            if chunk is None:
                return None
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)


class NodeDeployment:
    """What a leader deploys on the nodes of its group."""

    def __init__(self, settings: NodeSettings, group: NodeGroup, home: Home) -> None:
        self._settings = settings
        self._group_id = settings.group_id
        self._group = group
        self._home = home
        self._pids: dict[tuple[str, str], int | None] = {}
        self._threads = ThreadPoolExecutor(TRANSFER_THREAD_COUNT, thread_name_prefix="snapshots")

    @staticmethod
    def asking_ray() -> contextlib.AbstractContextManager[None]:
        """Raise `NoAnswerError` inside where Ray itself cannot be asked, as while its head changes."""
        return deploy.asking_ray()

    def start_host(self, job_id: str, host: str, spec: bytes, node: str) -> RayHost:
        """Return a host, started when it does not exist."""
        found = self._find_host(job_id, host, node)
        hung_pid = None if found is None else found.hung_pid()
        if found is not None and hung_pid is not None:
            self._end_process(found, node, hung_pid)
        ensure = shared_hosts.hold_host if is_shared(host) else deploy.ensure_host
        started = ensure(self._group_id, job_id, host, spec, self._home_of(node), node, self._place_of(node))
        self._pids[job_id, host] = started.pid()
        return started

    def prepare_host(self, job_id: str, host: str, spec: bytes, node: str) -> None:
        """Begin to start the process of a host; what jobs share ends by itself when no host comes."""
        if is_shared(host):
            shared_hosts.begin_pool(self._group_id, node, self._place_of(node))
        else:
            deploy.begin_host(self._group_id, job_id, host, spec, self._home_of(node), node, self._place_of(node))

    def _home_of(self, node: str) -> Home:
        return Home(Path(self._group.directory_of(node))) if node else self._home

    def _place_of(self, node: str) -> RayPlace | None:
        """Return where actors of a node (empty: of this machine) run on a Ray that others have started.

        Raises:
            NoAnswerError: it is not known.
        """
        ray_address = self._settings.ray_address
        if not ray_address:
            return None
        place = self._group.place_of(node) if node else place_on(usable_raylet(ray_address), self._settings)
        if place is None:
            raise NoAnswerError(f"node {node} has not said where its Ray is")
        return place

    def find_host(self, job_id: str, host: str) -> RayHost | None:
        """Return a host, or `None`."""
        return self._find_host(job_id, host, self._node_of(job_id, host))

    def _find_host(self, job_id: str, host: str, node: str) -> RayHost | None:
        find = shared_hosts.find_host if is_shared(host) else deploy.find_host
        return find(self._group_id, job_id, host, node)

    def end_host(self, job_id: str, host: str, node: str) -> None:
        """Kill the process of a host that was started here, unless another has taken its place; Ray starts it again.

        Of jobs that share a process, each finds that it hangs: one kill is enough.
        """
        found = self._find_host(job_id, host, node)
        if found is not None:
            known = self._pids.get((job_id, host)) if is_shared(host) else None
            self._end_process(found, node, known or found.pid())

    def _end_process(self, host: RayHost, node: str, pid: int | None) -> None:
        """Kill a host by its node, which needs no answer of the process, or by Ray when that cannot."""
        client = self._group.client_of(node)
        if pid is not None and client is not None and host.pid() == pid:
            with contextlib.suppress(NoAnswerError):
                if client.call("end_worker", pid):
                    return
        if host.pid() == pid:
            host.kill()

    def end_hosts(self, job_id: str, but: Collection[str]) -> None:
        """End the hosts of a job but those named."""
        kept = {host: self._node_of(job_id, host) for host in but}
        deploy.end_hosts(self._group_id, job_id, kept)
        shared_hosts.end_hosts(self._group_id, job_id, kept)

    def jobs_with_hosts(self) -> frozenset[str]:
        """Return the jobs of the group that have hosts now, also those that nobody remembers."""
        return deploy.jobs_with_hosts(self._group_id) | shared_hosts.jobs_with_hosts(self._group_id)

    def end_idle_processes(self) -> None:
        """End the processes that jobs shared and none has needed for some time."""
        shared_hosts.end_empty_pools(self._group_id)

    def _node_of(self, job_id: str, host: str) -> str:
        """Return the node on which the group has placed a host; empty when it may be anywhere."""
        job = self._group.state().jobs.get(job_id)
        return "" if job is None else job.host_nodes.get(host, "")

    def find_member(self, member_id: str) -> NodeMember | None:
        """Return a member, or `None`."""
        client = self._group.client_of(member_id)
        if client is None:
            return None
        answers = member_id in self._group.answering_nodes()
        return NodeMember(client, self._threads, partial(self._away_from, member_id), answers=answers)

    def _away_from(self, member_id: str, job_id: str, host: str) -> str | None:
        """Return the address of a host's node, or `None` when it is on the same machine as a member."""
        nodes = self._group.state().nodes
        node, member = nodes[self._node_of(job_id, host) or self._settings.name], nodes[member_id]
        return None if node.machine == member.machine else node.address

    def answering_nodes(self) -> frozenset[str]:
        """Return the nodes that answer."""
        return self._group.answering_nodes()

    def present_nodes(self) -> frozenset[str]:
        """Return the nodes that can have hosts now."""
        return self._group.present_nodes()

    def start_sampler(self, job_id: str, spec: bytes, host: str) -> None:
        """Start the actor that fills a job's own stream table, on the node of a host, and wait until it is open."""
        node = self._node_of(job_id, host) if host else ""
        streams = Home(Path(self._group.directory_of(node))).streams_directory if node else self.streams_directory()
        where = node or self._own_ray_node()
        handle = deploy.ensure_stream(self._group_id, job_id, spec, str(streams), where, self._place_of(node))
        deploy.call(handle.ready.remote)

    def _own_ray_node(self) -> str:
        """Return the name of the node that carries Ray on this machine."""
        here = ray.get_runtime_context().get_node_id()
        return next((str(known["NodeName"]) for known in deploy.ray_nodes() if known["NodeID"] == here), "")

    def end_sampler(self, job_id: str) -> None:
        """End that actor, if there is one."""
        deploy.end_streams(self._group_id, job_id)

    def sampler_names(self) -> frozenset[str]:
        """Return the actors that fill stream tables."""
        return deploy.stream_names(self._group_id)

    def find_sampler(self, name: str) -> RayHost | None:
        """Return one of them, or `None`."""
        return deploy.find_stream(name)

    def end_hung_sampler(self, name: str) -> bool:
        """Kill the process of one that runs and does not answer, so that Ray starts it again; return whether it did."""
        found = deploy.find_stream(name)
        pid = None if found is None else found.hung_pid()
        if found is None or pid is None:
            return False
        self._end_process(found, name.rpartition("@")[2], pid)
        return True

    def streams_directory(self) -> Path:
        """Return where stream tables are."""
        return self._home.streams_directory

    def partitions_directory(self, job_id: str) -> Path:
        """Return where a job's partitions are on this machine."""
        return self._home.partitions_directory(job_id)
