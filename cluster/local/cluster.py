"""A local cluster: start Ray and a Raft group on this machine, and end them again.

`start_cluster` starts the head process (see `cluster.local.head`), connects to it, starts the members and waits until
one leads. `stop_cluster` ends exactly what the home's record names: the head process, known by pid and start time,
takes all of Ray with it; what it leaves behind after a hard kill is found by Ray's directory on its command line.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from cluster.deployment.group_settings import GroupSettings
from cluster.errors import AlreadyRunningError, ClusterError, NoAnswerError, NotRunningError
from cluster.local.head import ACTOR_ENVIRONMENT, READY_PREFIX, ray_environment
from cluster.local.home import ClusterRecord, Home

START_ATTEMPTS = 3
"""Tries to start Ray."""

LEADER_TIMEOUT_S = 120.0
"""Seconds that the members have to start and elect a leader."""

STOP_TIMEOUT_S = 20.0
"""Seconds that Ray's processes have to end before they are killed."""


_heads: "dict[int, subprocess.Popen[str]]" = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What may be chosen about a local cluster."""

    group_id: int = 2
    """Id of the Raft group, greater than 1."""

    member_count: int = 3
    """Members of the group: 1, 3 or 5."""

    has_dashboard: bool = True
    """Whether Ray's job server is started, which `tocsin submit` needs."""

    cpu_count: int = 0
    """CPUs that Ray may give out; 0 means those of the machine."""

    object_store_bytes: int = 400 << 20
    """Shared memory for batches on their way."""

    ends_with_parent: bool = False
    """Whether the cluster ends when the process that started it does, however that dies."""


def prepare_environment(home: Home) -> None:
    """Set what Ray must find in this process's environment; call it before Ray is imported."""
    os.environ.update(ray_environment(home.token_path))


def start_cluster(home: Home, options: ClusterOptions) -> ClusterRecord:
    """Start a cluster in a home and return how to reach it, when a member leads.

    Raises:
        AlreadyRunningError: one runs there.
        ClusterError: it did not start; the log in the home says why.
    """
    if options.member_count not in (1, 3, 5) or options.group_id <= 1:
        raise ClusterError(
            f"a group of {options.member_count} members with id {options.group_id} cannot be: "
            "choose 1, 3 or 5 members and an id above 1"
        )
    _refuse_second(home)
    home.ensure_token()
    prepare_environment(home)
    dashboard_port = _free_ports(1)[0] if options.has_dashboard else 0
    head, address, ray_directory = _start_ray(home, options, dashboard_port)
    record = ClusterRecord(
        ray_address=address,
        dashboard_address=f"http://127.0.0.1:{dashboard_port}" if dashboard_port else None,
        head_pid=head.pid,
        head_started=psutil.Process(head.pid).create_time(),
        ray_directory=ray_directory,
        group_id=options.group_id,
        member_addresses=_member_addresses(home, options),
    )
    home.write_record(record)
    try:
        _start_members(home, record)
    except BaseException:
        stop_cluster(home)
        raise
    return record


def _refuse_second(home: Home) -> None:
    try:
        record = home.read_record()
    except NotRunningError:
        return
    if _head_process(record) is not None:
        raise AlreadyRunningError(f"a cluster runs in {home.directory} (pid {record.head_pid}); `tocsin down` ends it")
    stop_cluster(home)


def _member_addresses(home: Home, options: ClusterOptions) -> dict[str, str]:
    """Return the members of the group; one that has been here before keeps its members and their addresses."""
    path = home.group_path(options.group_id)
    if path.exists():
        known: dict[str, str] = json.loads(path.read_text())
        if len(known) != options.member_count:
            raise ClusterError(
                f"group {options.group_id} of {home.directory} has {len(known)} members, not {options.member_count}; "
                "ask for as many, or choose another --group"
            )
        _check_free(known)
        return known
    ports = _free_ports(options.member_count)
    addresses = {f"member-{number}": f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(addresses))
    return addresses


def _start_ray(home: Home, options: ClusterOptions, dashboard_port: int) -> tuple["subprocess.Popen[str]", str, str]:
    # Ray gives its own processes 30 s, which a machine that is busy just now may need more than once.
    for attempt in range(START_ATTEMPTS):
        ray_directory = tempfile.mkdtemp(prefix="tocsin-")
        try:
            return *_start_head(home, options, ray_directory, dashboard_port), ray_directory
        except ClusterError:
            _kill_left_over(ray_directory)
            shutil.rmtree(ray_directory, ignore_errors=True)
            if attempt == START_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _start_head(
    home: Home, options: ClusterOptions, ray_directory: str, dashboard_port: int
) -> tuple["subprocess.Popen[str]", str]:
    cpu_count = options.cpu_count or os.cpu_count() or 1
    ending = int(options.ends_with_parent)
    arguments = [ray_directory, dashboard_port, cpu_count, options.object_store_bytes, ending]
    with home.log_path.open("a") as log:
        head = subprocess.Popen(
            [sys.executable, "-m", "cluster.local.head", *map(str, arguments)],
            stdin=subprocess.PIPE if options.ends_with_parent else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={**os.environ, **ACTOR_ENVIRONMENT},
        )
    # Kept here, because a pipe to its input closes with the last reference to it.
    _heads[head.pid] = head
    assert head.stdout is not None
    for line in head.stdout:
        if line.startswith(READY_PREFIX):
            return head, str(json.loads(line.removeprefix(READY_PREFIX))["address"])
    head.wait()
    last = home.log_path.read_text(errors="replace").splitlines()[-1:]
    raise ClusterError(f"Ray did not start: {' '.join(last) or head.returncode}; {home.log_path} says more")


def _start_members(home: Home, record: ClusterRecord) -> None:
    from cluster.client.client import Client
    from cluster.deployment.deploy import connect
    from cluster.deployment.members import start_member

    connect(home)
    for name in record.member_addresses:
        settings = GroupSettings(
            group_id=record.group_id, member_id=name, member_addresses=dict(record.member_addresses)
        )
        start_member(record.group_id, name, settings.to_bytes(), home)
    client = Client(home)
    deadline = time.monotonic() + LEADER_TIMEOUT_S
    while client.leader() is None:
        if time.monotonic() > deadline:
            raise NoAnswerError(f"no member leads after {LEADER_TIMEOUT_S:.0f} s; {home.log_path} may say why")
        time.sleep(0.1)


def stop_cluster(home: Home) -> bool:
    """End the cluster of a home and return whether there was one; what jobs keep on disk stays.

    Raises:
        ClusterError: processes remain.
    """
    try:
        record = home.read_record()
    except NotRunningError:
        home.remove_record()
        return False
    _disconnect()
    _heads.pop(record.head_pid, None)
    head = _head_process(record)
    if head is not None:
        head.send_signal(signal.SIGTERM)
        psutil.wait_procs([head], timeout=STOP_TIMEOUT_S)
    _kill_left_over(record.ray_directory)
    shutil.rmtree(record.ray_directory, ignore_errors=True)
    home.remove_record()
    return True


def _kill_left_over(ray_directory: str) -> None:
    rest = list(_left_over(ray_directory))
    for process in rest:
        process.kill()
    _, alive = psutil.wait_procs(rest, timeout=STOP_TIMEOUT_S)
    if alive:
        raise ClusterError(f"processes {', '.join(str(process.pid) for process in alive)} did not end")


def _disconnect() -> None:
    if "ray" in sys.modules:
        import ray

        ray.shutdown()


def _head_process(record: ClusterRecord) -> psutil.Process | None:
    try:
        process = psutil.Process(record.head_pid)
        is_ours = abs(process.create_time() - record.head_started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if is_ours else None


def _left_over(ray_directory: str) -> Iterator[psutil.Process]:
    """Yield the processes that belong to one Ray directory of ours, whatever became of their parent."""
    for process in psutil.process_iter():
        try:
            places = [*process.cmdline(), process.environ().get("RAY_SESSION_DIR", "")]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(ray_directory in place for place in places):
            yield process


def _check_free(addresses: Mapping[str, str]) -> None:
    for name, address in addresses.items():
        host, port = address.rsplit(":", 1)
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((host, int(port)))
            except OSError as error:
                raise ClusterError(
                    f"{address}, the address of {name}, is in use ({error.strerror}); end what listens there, "
                    "or start another group with --group"
                ) from error


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for candidate in sockets:
            candidate.bind(("127.0.0.1", 0))
        return [int(candidate.getsockname()[1]) for candidate in sockets]
    finally:
        for candidate in sockets:
            candidate.close()


@contextmanager
def local_cluster(home: Home, options: ClusterOptions) -> Iterator[ClusterRecord]:
    """Start a cluster and end it afterwards, whatever becomes of this process."""
    record = start_cluster(home, replace(options, ends_with_parent=True))
    try:
        yield record
    finally:
        stop_cluster(home)


def logs_directory(record: ClusterRecord) -> Path:
    """Return where Ray keeps the logs of our actors."""
    return Path(record.ray_directory) / "session_latest" / "logs"
