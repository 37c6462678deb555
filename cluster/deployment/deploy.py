"""Deployment: the only place where classes become Ray actors.

Every actor is detached and named, so a leader that takes over finds the hosts of the former one. Ray restarts an actor
that died; state comes back from the disk, never from Ray. Words: a *handle* is Ray's; everybody else uses the ports
made here.
"""

import importlib
import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.host_batch import HostBatch
from actors.partition.notices import PartitionNotes, SentNotices, TakenNotices
from actors.partition.values import OpenedPartition
from actors.shard.transfer import ShardChunk
from actors.sink.protocol import Notification
from actors.split_reader import SplitProgress
from cluster.deployment.partition_host import PartitionHost
from cluster.deployment.snapshot_writer import WrittenSnapshot
from cluster.deployment.stream_host import StreamHost
from cluster.errors import NoAnswerError, NotRunningError
from cluster.local.home import Home
from cluster.node.ray_place import RayPlace
from config.settings import JobSettings

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 60.0
"""Seconds after which a call counts as unanswered."""

T = TypeVar("T")

Handle = Any
"""Ray's handle of an actor, whose methods only Ray knows."""

HOST_SILENCE_S = 10.0
"""Seconds after which a host that runs and says nothing hangs."""

PULSE = "pulse"
QUERY = "query"
SINK = "sink"
SNAPSHOT = "snapshot"
"""Groups of threads that every process of hosts has, beside those in which calls have an order."""


@dataclass(frozen=True, slots=True)
class RayReply(Generic[T]):
    """A reply that travels through Ray."""

    reference: Any

    def wait(self, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Return the answer, or raise what the actor raised.

        Raises:
            NoAnswerError: no answer came in time, or the actor died.
        """
        try:
            answer: T = ray.get(self.reference, timeout=timeout_s)
        except ray.exceptions.RayError as error:
            raise _cause(error) from None
        return answer

    def when_done(self, take: Callable[[T], None], fail: Callable[[Exception], None]) -> None:
        """Have one of the two called, in a thread of Ray."""

        def done(future: Future[T]) -> None:
            error = future.exception()
            if error is None:
                take(future.result())
            else:
                fail(_cause(error))

        self.reference.future().add_done_callback(done)


_SILENT = (
    ray.exceptions.RayActorError,
    ray.exceptions.GetTimeoutError,
    ray.exceptions.RaySystemError,
    ray.exceptions.RpcError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.ObjectLostError,
)
"""How Ray says that who was asked is gone, or that it is gone itself."""


@contextmanager
def asking_ray() -> Iterator[None]:
    """Raise `NoAnswerError` inside where Ray itself does not answer, as while its head changes."""
    try:
        yield
    except (*_SILENT, ConnectionError) as error:
        raise NoAnswerError(f"Ray does not answer: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _cause(error: BaseException) -> Exception:
    """Return what an actor raised, or that it did not answer."""
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
    if isinstance(cause, Exception):
        return cause
    if isinstance(error, _SILENT):
        return NoAnswerError(f"an actor did not answer: {_first_line(error)}")
    return error if isinstance(error, Exception) else NoAnswerError(f"an actor did not answer: {error}")


class TakenSnapshot:
    """A snapshot that a host captures between two batches, and writes beside them to a file of its machine.

    Members take it from there (`cluster.deployment.node_deployment`).
    """

    def __init__(self, host: "RayHost", name: str, captured: RayReply[dict[int, int]], core_share: float) -> None:
        self._host = host
        self._captured = captured
        self._core_share = core_share
        self.name = name
        """Name of the file."""

        self.written: WrittenSnapshot | None = None
        """The file, once it is there."""

    @property
    def host(self) -> str:
        """Name of the host."""
        return self._host.name

    def when_done(self, take: Callable[[dict[int, int]], None], fail: Callable[[Exception], None]) -> None:
        """Have one of the two called when the file is there, in a thread of Ray; it is given the offsets."""

        def write(offsets: dict[int, int]) -> None:
            def note(written: WrittenSnapshot) -> None:
                self.written = written
                take(offsets)

            try:
                self._host.write_snapshot(self.name, self._core_share).when_done(note, fail)
            except Exception as error:  # nobody else would hear of it, in this thread
                fail(error)

        self._captured.when_done(write, fail)

    def drop(self) -> None:
        """Have the file removed, or not written; nobody waits for that."""
        self._host.query("drop_snapshot", self.name)


class RayHost:
    """A partition host in another process: of an actor of its own, or of one that jobs share (`actor`)."""

    def __init__(self, name: str, handle: Handle, actor: Handle | None = None) -> None:
        self._name = name
        self._handle = handle
        self._actor = handle if actor is None else actor

    @property
    def name(self) -> str:
        """Name of the host, unique in the job."""
        return self._name

    @property
    def handle(self) -> Handle:
        """Ray's handle."""
        return self._handle

    def ready(self) -> RayReply[bool]:
        """Answer when the host's process has started."""
        return RayReply(self._actor.__ray_ready__.remote())

    def is_there(self) -> RayReply[object]:
        """Answer at once, whatever else the host is busy with."""
        return RayReply(self._handle.pid.options(concurrency_group=PULSE).remote())

    def hung_pid(self) -> int | None:
        """Return the host's process when it runs, as far as Ray knows, and does not say so in `HOST_SILENCE_S`."""
        pid = self.pid()
        if pid is None:
            return None
        answered, _ = ray.wait([self.is_there().reference], timeout=HOST_SILENCE_S)
        return None if answered else pid

    def pid(self) -> int | None:
        """Return the number of the host's process on its machine, or `None` when Ray knows of none that runs."""
        state: Any = importlib.import_module("ray._private.state")
        known = state.actors(self._actor._actor_id.hex())
        return int(known["Pid"]) if known.get("State") == "ALIVE" else None

    def kill(self) -> None:
        """Have Ray end the process and start it again."""
        ray.kill(self._actor, no_restart=False)

    def apply(self, epoch: int, batch: HostBatch, now_us: int) -> RayReply[int]:
        """Send a batch."""
        return RayReply(self._handle.apply.remote(epoch, batch, now_us))

    def open_splits(self, epoch: int, splits: list[int]) -> RayReply[dict[int, int]]:
        """Have the host open the source for splits of its own."""
        return RayReply(self._handle.open_splits.remote(epoch, splits))

    def read_splits(
        self, epoch: int, offsets: dict[int, int], count_max: int, now_us: int, ends: Mapping[int, int]
    ) -> RayReply[list[SplitProgress]]:
        """Have the host read splits of its own, or of its second copies."""
        return RayReply(self._handle.read_splits.remote(epoch, offsets, count_max, now_us, ends))

    def accept(self, epoch: int, acceptances: list[bytes]) -> RayReply[None]:
        """Let values count as known, each from its place on."""
        return RayReply(self._handle.accept.remote(epoch, acceptances))

    def flush_due(self, epoch: int, now_us: int) -> RayReply[None]:
        """Let the host flush what has waited long enough."""
        return RayReply(self._handle.flush_due.remote(epoch, now_us))

    def flush(self, epoch: int, now_us: int) -> RayReply[dict[int, dict[int, int]]]:
        """Make everything durable."""
        return RayReply(self._handle.flush.remote(epoch, now_us))

    def deliver(self, sink: int, is_last: bool) -> RayReply[int]:
        """Feed a sink."""
        return RayReply(self._handle.deliver.options(concurrency_group=SINK).remote(sink, is_last))

    def take_notices(self, epoch: int, sink: int, now_us: int, is_all: bool) -> RayReply[TakenNotices]:
        """Take notices for a sink out of outboxes."""
        return RayReply(self._handle.take_notices.options(concurrency_group=SINK).remote(epoch, sink, now_us, is_all))

    def note_notices(self, epoch: int, sink: int, notes: Mapping[int, PartitionNotes]) -> RayReply[None]:
        """Note what has become of notices."""
        return RayReply(self._handle.note_notices.options(concurrency_group=SINK).remote(epoch, sink, notes))

    def send_notices(
        self, epoch: int, sink: int, sent: Sequence[tuple[Notification, Mapping[int, PartitionNotes]]]
    ) -> RayReply[SentNotices]:
        """Send notifications to a sink."""
        return RayReply(self._handle.send_notices.options(concurrency_group=SINK).remote(epoch, sink, sent))

    def open(
        self,
        epoch: int,
        partitions: list[int],
        earliest: dict[int, int],
        snapshots: dict[int, bytes],
        now_us: int,
        acceptances: Sequence[bytes],
        generations: Mapping[int, int],
        are_all: bool,
        standbys: Sequence[int] | None,
    ) -> RayReply[dict[int, OpenedPartition]]:
        """Make the host own partitions."""
        arguments = (epoch, partitions, earliest, snapshots, now_us, acceptances, generations, are_all, standbys)
        return RayReply(self._handle.open.remote(*arguments))

    def stand_by(
        self,
        epoch: int,
        partition: int,
        generation: int,
        others: Sequence[int],
        now_us: int,
        acceptances: Sequence[bytes],
    ) -> RayReply[OpenedPartition]:
        """Make the host have a second copy of a partition."""
        return RayReply(self._handle.stand_by.remote(epoch, partition, generation, others, now_us, acceptances))

    def outbox_marks(self) -> RayReply[dict[int, dict[bytes, bytes]]]:
        return self.query("outbox_marks")

    def take_marks(self, epoch: int, marks: Mapping[int, Mapping[bytes, bytes]]) -> RayReply[None]:
        """Tell the host's second copies what sinks have."""
        return RayReply(self._handle.take_marks.remote(epoch, marks))

    def flush_standbys(self, epoch: int, now_us: int, are_due: bool) -> RayReply[dict[int, dict[int, int]]]:
        """Make the host's second copies durable."""
        return RayReply(self._handle.flush_standbys.remote(epoch, now_us, are_due))

    def open_at_rest(
        self, epoch: int, partitions: list[int], now_us: int, generations: Mapping[int, int]
    ) -> RayReply[None]:
        """Make the host own the partitions of a job that does not run."""
        return RayReply(self._handle.open_at_rest.remote(epoch, partitions, now_us, generations))

    def begin_copy(self, epoch: int, partition: int, generation: int, now_us: int) -> RayReply[int]:
        """Make a copy for another node, after everything sent before."""
        return RayReply(self._handle.begin_copy.remote(epoch, partition, generation, now_us))

    def read_chunk(self, partition: int, generation: int, offset: int) -> RayReply[ShardChunk]:
        return self.query("read_chunk", partition, generation, offset)

    def receive_chunk(self, epoch: int, partition: int, generation: int, chunk: ShardChunk) -> RayReply[int]:
        return self.query("receive_chunk", epoch, partition, generation, chunk)

    def finish_copy(
        self, epoch: int, partition: int, generation: int, size_bytes: int, digest: bytes
    ) -> RayReply[None]:
        return self.query("finish_copy", epoch, partition, generation, size_bytes, digest)

    def end_copy(self, epoch: int, partition: int, generation: int) -> RayReply[None]:
        return self.query("end_copy", epoch, partition, generation)

    def release(self, epoch: int, partitions: list[int], now_us: int) -> RayReply[None]:
        """Make the host give partitions up."""
        return RayReply(self._handle.release.remote(epoch, partitions, now_us))

    def snapshot(self, epoch: int, partition: int, now_us: int, core_share: float) -> TakenSnapshot:
        """Have the host capture a partition, after everything sent before, and write that beside what follows."""
        name = uuid.uuid4().hex
        captured: RayReply[dict[int, int]] = RayReply(
            self._handle.capture_snapshot.remote(epoch, partition, now_us, name)
        )
        return TakenSnapshot(self, name, captured, core_share)

    def write_snapshot(self, name: str, core_share: float) -> RayReply[WrittenSnapshot]:
        """Have the host write what it captured under a name."""
        write = self._handle.write_snapshot.options(concurrency_group=SNAPSHOT)
        return RayReply(write.remote(name, core_share))

    def query(self, method: str, *arguments: Any) -> RayReply[Any]:
        """Ask one of the reading methods, beside the stream of batches."""
        return RayReply(getattr(self._handle, method).options(concurrency_group=QUERY).remote(*arguments))


def connect(ray_address: str, host: str, namespace: str) -> None:
    """Make this process a driver of a cluster of Ray, which knows this machine by that address.

    Raises:
        NotRunningError: Ray does not answer, or not to this version of Ray or Python.
    """
    _keep_output_for_results()
    try:
        ray.init(
            address=ray_address,
            namespace=namespace,
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address=host,
        )
    except (ConnectionError, RuntimeError) as error:
        raise NotRunningError(f"Ray at {ray_address} cannot be used: {error}") from error


def connect_from_outside(address: str, namespace: str) -> None:
    """Make this process a client of the client server (ray://host:port) of a cluster of Ray on none of its machines.

    Raises:
        NotRunningError: nothing answers there, or not to this version of Ray or Python.
    """
    try:
        ray.init(address=address, namespace=namespace, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError) as error:
        raise NotRunningError(f"Ray at {address} cannot be used: {error}") from error


def _keep_output_for_results() -> None:
    """Log what Ray has to say of workers that died, which it would print among the results of commands."""
    worker: Any = importlib.import_module("ray._private.worker")
    worker.print_to_stdstream = lambda data, ignore_prefix: log.info("ray reports", extra={"lines": data["lines"]})


def ensure_host(
    group_id: int, job_name: str, host: str, job: bytes, place: Home, node: str, guest: RayPlace | None = None
) -> RayHost:
    """Return a host of a job on a node (empty: anywhere), which has that home, started when it does not exist.

    One of the same name on another node is ended: it belongs to nobody any more.
    """
    prefix = _host_prefix(group_id, job_name, host)
    end_actors(prefix, but={prefix + node})
    return begin_host(group_id, job_name, host, job, place, node, guest)


def begin_host(
    group_id: int, job_name: str, host: str, job: bytes, place: Home, node: str, guest: RayPlace | None = None
) -> RayHost:
    """Return a host as `ensure_host` does, whose process may be on the way; those of the same name go on."""
    # Queries and sinks have threads of their own, so that neither waits for a batch nor delays one, nor another sink.
    sink_count = len(JobSettings.from_bytes(job).sinks)
    options = {
        "concurrency_groups": {PULSE: 1, QUERY: 2, SINK: max(sink_count, 1), SNAPSHOT: 1},
        **scheduling(node, guest),
    }
    directories = (str(place.partitions_directory(job_name)), str(place.streams_directory))
    name = _host_prefix(group_id, job_name, host) + node
    return RayHost(host, start_actor(PartitionHost, name, options, job, *directories))


def scheduling(node: str, guest: RayPlace | None) -> dict[str, Any]:
    """Return Ray's options for where and how an actor of a node is to run.

    Raises:
        NoAnswerError: the node is not there.
    """
    if guest is not None:
        return {
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=guest.node_id, soft=False),
            "runtime_env": {"py_executable": guest.executable, "env_vars": dict(guest.variables)},
        }
    if not node:
        return {"scheduling_strategy": "SPREAD"}
    for known in ray_nodes():
        if known["NodeName"] == node and known["Alive"]:
            return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=known["NodeID"], soft=False)}
    raise NoAnswerError(f"node {node} has no Ray that is up")


def ray_nodes() -> list[dict[str, Any]]:
    """Return what Ray knows of its nodes."""
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def find_host(group_id: int, job_name: str, host: str, node: str) -> RayHost | None:
    """Return a host of a job on a node, or `None` when it does not exist."""
    handle = find_actor(_host_prefix(group_id, job_name, host) + node)
    return None if handle is None else RayHost(host, handle)


def end_hosts(group_id: int, job_name: str, but: Mapping[str, str]) -> None:
    """End the hosts of a job but those with these names on their nodes, also those that nobody remembers."""
    kept = {_host_prefix(group_id, job_name, host) + node for host, node in but.items()}
    end_actors(f"host:{group_id}:{job_name}:", kept)


def jobs_with_hosts(group_id: int) -> frozenset[str]:
    """Return the names of the jobs that have hosts."""
    prefix = f"host:{group_id}:"
    return frozenset(name.removeprefix(prefix).partition(":")[0] for name in actor_names(prefix))


def actor_names(prefix: str) -> list[str]:
    """Return the names of our actors that begin so."""
    found, namespace = ray.util.list_named_actors(all_namespaces=True), _namespace()
    return [one["name"] for one in found if one["namespace"] == namespace and one["name"].startswith(prefix)]


def _namespace() -> str:
    """Return the namespace of this driver's actors."""
    return str(ray.get_runtime_context().namespace)


def end_actors(prefix: str, but: Collection[str] = ()) -> None:
    """End all our actors whose names begin so, but those named."""
    for name in actor_names(prefix):
        handle = None if name in but else find_actor(name)
        if handle is not None:
            end_actor(handle)


def end_actors_of(group_id: int, nodes: Collection[str]) -> None:
    """End all hosts of a group on some nodes, and what fills its stream tables."""
    ours = tuple(f"@{node}" for node in nodes)
    for prefix in (f"host:{group_id}:", f"pool:{group_id}@"):
        end_actors(prefix, [name for name in actor_names(prefix) if not name.endswith(ours)])
    end_actors(f"stream:{group_id}:", ())


def ensure_stream(
    group_id: int, job_name: str, job: bytes, directory: str, node: str, guest: RayPlace | None = None
) -> Handle:
    """Return the actor that fills a job's own stream table, started on a node when it does not exist."""
    options = {"concurrency_groups": {PULSE: 1}, **scheduling(node, guest)}
    return start_actor(StreamHost, f"stream:{group_id}:{job_name}@{node}", options, job, directory)


def stream_names(group_id: int) -> frozenset[str]:
    """Return the names of the actors that fill stream tables."""
    return frozenset(actor_names(f"stream:{group_id}:"))


def find_stream(name: str) -> RayHost | None:
    """Return one of them, as far as it can be asked what every host can, or `None`."""
    handle = find_actor(name)
    return None if handle is None else RayHost(name, handle)


def end_streams(group_id: int, job_name: str) -> None:
    """End the actors that fill a job's stream tables."""
    end_actors(f"stream:{group_id}:{job_name}@", ())


def end_actor(handle: Handle) -> None:
    """End an actor for good."""
    ray.kill(handle, no_restart=True)


def call(remote: Callable[..., Any], *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
    """Call a method of a handle and wait for its answer."""
    return RayReply(remote(*arguments)).wait(timeout_s)


def start_actor(kind: type, name: str, options: dict[str, Any], *arguments: Any) -> Handle:
    """Find a detached actor under a name, or start it."""
    found = find_actor(name)
    if found is not None:
        # Ray would first make bytes of the class anew, which takes longer than all else that a next leader does.
        return found
    remote: Any = ray.remote(num_cpus=0, max_restarts=-1, **options)
    actor = remote(kind).options(name=name, namespace=_namespace(), lifetime="detached", get_if_exists=True)
    return actor.remote(*arguments)


def find_actor(name: str) -> Handle | None:
    """Return one of our actors, or `None` when there is none of that name."""
    try:
        return ray.get_actor(name, namespace=_namespace())
    except ValueError:
        return None


def _host_prefix(group_id: int, job_name: str, host: str) -> str:
    """Return what the name of a host's actor begins with; its node follows."""
    return f"host:{group_id}:{job_name}:{host}@"
