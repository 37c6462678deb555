"""A cluster of this machine: start its nodes, and end them again.

`start_cluster` starts the supervisor (`cluster.node.supervise`), which starts the nodes, and waits until one of them
leads and Ray runs. `stop_cluster` ends exactly what the home's record names; what is left after a hard kill is found by
the mark that all processes of a cluster carry (`cluster.local.processes`) and by what nodes have recorded of their Ray.
"""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from actors.allowed import is_url
from actors.files import private_opener
from cluster.allowed import joined
from cluster.errors import AlreadyRunningError, ClusterError, NoAnswerError
from cluster.local.environment import LOCAL_HOST as LOCAL_HOST
from cluster.local.environment import environment_of_others
from cluster.local.environment import prepare_environment as prepare_environment
from cluster.local.home import ClusterRecord, Home
from cluster.local.ports import check_free, free_ports
from cluster.local.processes import CLUSTER_VARIABLE, end_processes, find_process, processes_of
from cluster.local.speed import slowness
from cluster.node.ray_environment import is_loopback
from cluster.node.settings import SETTINGS_NAME, NodeSettings
from cluster.node.supervise import STAY_LINE
from raft.errors import SettingsError

if TYPE_CHECKING:
    from cluster.node.status import NodeStatus

log = logging.getLogger(__name__)

START_TIMEOUT_S = 180.0
"""Seconds that nodes have to start, elect a leader and start Ray, on a machine of usual speed."""

RAY_TRIES_MAX = 2
"""Times that Ray is started anew, on whichever machine, before `up` says that it does not start."""

STOP_TIMEOUT_S = 40.0
"""Seconds that the supervisor has to end its nodes, on a machine of usual speed."""

LEAVE_TIMEOUT_S = 30.0
"""Seconds that it takes at most to end what nodes have on a Ray that others have started."""

_supervisors: dict[int, "subprocess.Popen[str]"] = {}
"""Supervisors that end with this process, by pid: their standard input is kept open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What may be chosen about a cluster of one machine."""

    group_id: int = 2
    """Id of the Raft group, greater than 1."""

    member_count: int = 3
    """Members of the group: 1, 3 or 5."""

    has_dashboard: bool = False
    """Whether Ray's server for jobs and pages is started."""

    cpu_count: int = 0
    """CPUs that Ray may give out to others; ours take none."""

    object_store_bytes: int = 400 << 20
    """Shared memory for batches on their way."""

    ray_address: str = ""
    """host:port of a Ray that others have started and this cluster uses; empty: one of its own."""

    allowed_paths: tuple[str, ...] = ()
    """Folders that jobs may touch, besides `files` of the home; see `allowed_paths`."""

    node_address: tuple[str, int] | None = None
    """Host and port of the only node of this machine, when other machines shall join; `None`: all nodes are here."""


def start_cluster(home: Home, options: ClusterOptions) -> ClusterRecord:
    """Start a cluster in a home and return how to reach it, when it runs jobs; when that fails, nothing is left.

    Raises:
        AlreadyRunningError: one runs there.
        ClusterError: it did not start; the logs in the home say why.
    """
    return _start(home, options, stays=True)


def _start(home: Home, options: ClusterOptions, *, stays: bool) -> ClusterRecord:
    if options.member_count not in (1, 3, 5) or options.group_id <= 1:
        raise ClusterError(
            f"a group of {options.member_count} members with id {options.group_id} cannot be: "
            "choose 1, 3 or 5 members and an id above 1"
        )
    if options.ray_address:
        _check_ray_of_others(options)
    return launch(home, options.group_id, lambda mark: _settings(home, options, mark), stays=stays)


def _check_ray_of_others(options: ClusterOptions) -> None:
    """Refuse a Ray that cannot be used, and what only one of our own can give.

    Raises:
        ClusterError: with the way out.
    """
    from cluster.node.ray_guest import usable_raylet

    if options.has_dashboard or options.cpu_count:
        raise ClusterError(
            "CPUs and server of the Ray at --ray-address are its owner's; leave out --cpus and --dashboard"
        )
    if options.node_address is not None:
        raise ClusterError("with --ray-address all nodes are on this machine; leave out --node-address")
    try:
        usable_raylet(options.ray_address)
    except SettingsError as error:
        raise ClusterError(f"--ray-address: {error}") from error


def launch(
    home: Home, group_id: int, settings: Callable[[str], Sequence[NodeSettings]], *, stays: bool, waits: bool = True
) -> ClusterRecord:
    """Start the nodes of this machine in a home, and wait until they take part, if that is wanted.

    Args:
        home: where they keep everything; its secrets are made when it has none.
        group_id: id of their group.
        settings: tells, for the mark of their processes, what each of them is told.
        stays: whether they outlive this process.
        waits: whether to wait until they take part.

    Raises:
        AlreadyRunningError: some run there.
        ClusterError: they did not start; nothing is left.
    """
    home.prepare()
    # From the look whether a cluster runs until its record says so, nobody else starts or ends one.
    with home.lock():
        home.ensure_secrets(group_id)
        _refuse_second(home)
        mark = tempfile.mkdtemp(prefix="tocsin-")
        try:
            nodes = settings(mark)
            for one in nodes:
                one.write(home.member_directory(group_id, one.name))
            environment = environment_of_others() if nodes[0].ray_address else dict(os.environ)
            directories = [home.member_directory(group_id, one.name) for one in nodes]
            supervisor = _spawn(home, mark, directories, environment)
        except BaseException:
            shutil.rmtree(mark, ignore_errors=True)
            raise
        record = _record(group_id, mark, supervisor, nodes)
        try:
            home.write_record(record)
            if waits:
                _wait_until_up(home, supervisor)
            if stays:
                assert supervisor.stdin is not None
                supervisor.stdin.write(STAY_LINE)
                supervisor.stdin.close()
        except BaseException:
            _end(home, record)
            raise
        _supervisors[supervisor.pid] = supervisor
        return record


def _refuse_second(home: Home) -> None:
    record = home.stored_record()
    if record is None:
        return
    if find_process(record.supervisor_pid, record.supervisor_started) is not None:
        raise AlreadyRunningError(
            f"a cluster runs in {home.directory} (pid {record.supervisor_pid}); `tocsin down` ends it"
        )
    _end(home, record)


def _settings(home: Home, options: ClusterOptions, mark: str) -> list[NodeSettings]:
    """Return what each node of a new cluster, or of one that was here before, is told."""
    known = [
        NodeSettings.read(path.parent) for path in home.directory.glob(f"group-{options.group_id}/*/{SETTINGS_NAME}")
    ]
    if options.node_address is not None:
        return [_only_settings(home, options, options.node_address, known, mark)]
    elsewhere = [one.address for one in known if not one.address.startswith("127.")]
    if elsewhere:
        raise ClusterError(
            f"{home.directory} is that of one of several machines; give its address: --node-address {elsewhere[0]}"
        )
    members = _local_members(home, options)
    check_free(members)
    ports = free_ports(options.member_count + 1, LOCAL_HOST)
    home.write_members(options.group_id, members)
    return [
        NodeSettings(
            name=name,
            group_id=options.group_id,
            home=str(home.directory),
            address=f"{LOCAL_HOST}:{ports[number]}",
            raft_address=raft_address,
            members=members,
            # One Ray for the machine; the others are there to vote and to lead.
            carries_ray=number == 0,
            ray_address=options.ray_address,
            cpu_count=options.cpu_count,
            object_store_bytes=options.object_store_bytes,
            dashboard_port=ports[-1] if options.has_dashboard else 0,
            allowed_paths=allowed_paths(home, LOCAL_HOST, options.allowed_paths),
            mark=mark,
        )
        for number, (name, raft_address) in enumerate(members.items())
    ]


def allowed_paths(home: Home, host: str, named: Sequence[str]) -> str:
    """Return the folders that jobs may touch, between colons: `files` of the home and those named; empty: everything.

    Everything is what users expect of a machine of their own. Where others reach it, a folder has to be named; the home
    itself has the secrets of the cluster.

    Raises:
        ClusterError: a name cannot be told to other processes.
    """
    odd = [name for name in named if os.pathsep in name and not is_url(name)]
    if odd:
        raise ClusterError(f"{odd[0]!r} has a {os.pathsep!r} in its name; allow the folder above it, or rename it")
    return joined((str(home.directory / "files"), *named)) if named or not is_loopback(host) else ""


def _only_settings(
    home: Home, options: ClusterOptions, node_address: tuple[str, int], known: Sequence[NodeSettings], mark: str
) -> NodeSettings:
    """Return what the node of this machine is told: what it was before, or to begin a group."""
    host, port = node_address
    if known and [one.address for one in known] != [f"{host}:{port}"]:
        addresses = ", ".join(one.address for one in known)
        raise ClusterError(
            f"{home.directory} is that of nodes at {addresses}, not at {host}:{port}; give the address that it had, or "
            "choose another --home"
        )
    first = NodeSettings(
        name="node-1",
        group_id=options.group_id,
        home=str(home.directory),
        address=f"{host}:{port}",
        raft_address=f"{host}:{port + 1}",
        members={"node-1": f"{host}:{port + 1}"},
        carries_ray=True,
    )
    node = known[0] if known else first
    check_free({node.name: node.raft_address})
    return replace(
        node,
        cpu_count=options.cpu_count,
        object_store_bytes=options.object_store_bytes,
        dashboard_port=free_ports(1, host)[0] if options.has_dashboard else 0,
        allowed_paths=allowed_paths(home, host, options.allowed_paths),
        mark=mark,
    )


def _local_members(home: Home, options: ClusterOptions) -> Mapping[str, str]:
    """Return the members of the group of this machine; one that has been here before keeps them and their addresses."""
    known = home.known_members(options.group_id)
    if not known:
        ports = free_ports(options.member_count, LOCAL_HOST)
        return {f"node-{number}": f"{LOCAL_HOST}:{port}" for number, port in enumerate(ports, 1)}
    if len(known) != options.member_count:
        raise ClusterError(
            f"group {options.group_id} of {home.directory} has {len(known)} members, not {options.member_count}; "
            "ask for as many, or choose another --group"
        )
    return known


def _spawn(home: Home, mark: str, directories: list[Path], environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    with open(home.log_path, "a", opener=private_opener) as output:
        return subprocess.Popen(
            [sys.executable, "-m", "cluster.node.supervise", *map(str, directories)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
            env={**environment, CLUSTER_VARIABLE: mark},
        )


def _record(
    group_id: int, mark: str, supervisor: "subprocess.Popen[str]", nodes: Sequence[NodeSettings]
) -> ClusterRecord:
    ports = [(one.host, one.dashboard_port) for one in nodes if one.dashboard_port]
    return ClusterRecord(
        supervisor_pid=supervisor.pid,
        supervisor_started=psutil.Process(supervisor.pid).create_time(),
        mark=mark,
        dashboard_address="http://{}:{}".format(*ports[0]) if ports else None,
        group_id=group_id,
        node_addresses={one.name: one.address for one in nodes},
    )


def _wait_until_up(home: Home, supervisor: "subprocess.Popen[str]") -> None:
    """Wait until a leader's process is ready, which it is when Ray runs, and its node knows who leads."""
    from cluster.client.nodes import Nodes

    nodes = Nodes(home)
    timeout_s = START_TIMEOUT_S * slowness()
    deadline_s = time.monotonic() + timeout_s
    first: dict[str, int] = {}
    while time.monotonic() < deadline_s:
        found = [status for _, status in nodes.statuses() if status is not None]
        here = {status.name: bool(status.child.address) for status in found}
        leaders = {status.member.leader_id for status in found} - {None}
        # One that leads must be ready; one on another machine is the business of that one.
        if any(here.get(str(leader), any(here.values())) for leader in leaders):
            return
        if (failed := without_ray(found, first)) is not None:
            raise ClusterError(f"Ray does not start on {failed.name}: {failed.ray.problem}")
        if supervisor.poll() is not None:
            raise ClusterError(_last_words(home))
        time.sleep(0.1)
    raise NoAnswerError(f"no node leads after {timeout_s:.0f} s; the logs in {home.directory} say why")


def without_ray(found: "Sequence[NodeStatus]", first: dict[str, int]) -> "NodeStatus | None":
    """Return a node where Ray does not start, if it has been tried often enough on all that have a problem with it.

    `first` keeps the generation of Ray at which each had one first: a group that was up before has had many, and says
    at the beginning that the last of them has ended.
    """
    failed = [status for status in found if status.ray.problem]
    tries = [status.ray.generation - first.setdefault(status.name, status.ray.generation) for status in failed]
    return failed[0] if failed and min(tries) >= RAY_TRIES_MAX else None


def _last_words(home: Home) -> str:
    """Return what a node said that could not run."""
    logs = sorted(home.directory.glob("group-*/*/node.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    lines = [line for path in logs for line in path.read_text(errors="replace").splitlines() if "cannot run" in line]
    return (
        lines[-1].partition("cannot run: ")[2]
        if lines
        else f"the nodes have ended; the logs in {home.directory} say why"
    )


def stop_cluster(home: Home) -> bool:
    """End the cluster of a home and return whether there was one; what jobs keep on disk stays.

    Raises:
        ClusterError: processes remain, or the record cannot be read.
    """
    return end_nodes(home)


def end_nodes(home: Home, *, leaves_ray: bool = True) -> bool:
    """End the nodes of a home and return whether there were any.

    Args:
        home: theirs.
        leaves_ray: whether what they have on a Ray that others have started ends here, too.

    Raises:
        ClusterError: processes remain, or the record cannot be read.
    """
    if not home.directory.exists():
        return False
    with home.lock():
        record = home.stored_record()
        if record is None:
            return False
        _supervisors.pop(record.supervisor_pid, None)
        _end(home, record, leaves_ray=leaves_ray)
        return True


def _end(home: Home, record: ClusterRecord, *, leaves_ray: bool = True) -> None:
    supervisor = find_process(record.supervisor_pid, record.supervisor_started)
    if supervisor is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            supervisor.send_signal(signal.SIGTERM)
        psutil.wait_procs([supervisor], timeout=STOP_TIMEOUT_S * slowness())
    end_processes(record.supervisor_pid, record.supervisor_started, record.mark)
    for name in record.node_addresses:
        _end_ray(home.member_directory(record.group_id, name))
    if leaves_ray:
        _leave_ray(home, record)
    shutil.rmtree(record.mark, ignore_errors=True)
    home.remove_record()


def _leave_ray(home: Home, record: ClusterRecord) -> None:
    """End what nodes have on a Ray that others have started; that goes on."""
    directory = home.member_directory(record.group_id, next(iter(record.node_addresses)))
    try:
        settings = NodeSettings.read(directory)
    except ClusterError:
        # A start that was interrupted has not come so far.
        return
    if not settings.ray_address:
        return
    with open(home.log_path, "a", opener=private_opener) as output:
        try:
            left = subprocess.run(
                [sys.executable, "-m", "cluster.node.leave_ray", str(directory), *record.node_addresses],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment_of_others(),
                timeout=LEAVE_TIMEOUT_S * slowness(),
                check=False,
            )
            failed = left.returncode != 0
        except subprocess.TimeoutExpired:
            failed = True
    if failed:
        log.warning(
            "hosts may still run on the Ray of others; the next `tocsin up` takes them over",
            extra={"ray": settings.ray_address, "log": str(home.log_path)},
        )


def _end_ray(directory: Path) -> None:
    """End the Ray of a node that did not end it itself."""
    from cluster.node.ray_keeper import RayRecord

    record = RayRecord.read(directory)
    if record is not None:
        end_processes(record.starter_pid, record.started, record.directory)
        RayRecord.remove(directory)


def all_processes(home: Home) -> Iterator[psutil.Process]:
    """Yield all processes of the cluster of a home that run on this machine, those of Ray among them.

    Raises:
        NotRunningError: there is none.
    """
    from cluster.node.ray_keeper import RayRecord

    record = home.read_record()
    yield from processes_of(record.supervisor_pid, record.supervisor_started, "")
    for name in record.node_addresses:
        ray = RayRecord.read(home.member_directory(record.group_id, name))
        if ray is not None:
            yield from processes_of(ray.starter_pid, ray.started, "")


@contextmanager
def local_cluster(home: Home, options: ClusterOptions) -> Iterator[ClusterRecord]:
    """Start a cluster and end it afterwards, whatever becomes of this process."""
    record = _start(home, options, stays=False)
    try:
        yield record
    finally:
        stop_cluster(home)
