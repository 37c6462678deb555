"""A local cluster: start Ray and a Raft group on this machine, and end them again.

`start_cluster` starts the head process (see `cluster.local.head_process`), connects to it, starts the members and waits
until one leads. `stop_cluster` ends exactly what the home's record names: the head process, known by pid and start
time, takes all of Ray with it; what it leaves behind after a hard kill is found too (see `cluster.local.processes`).
"""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cluster.deployment.group_settings import GroupSettings
from cluster.errors import AlreadyRunningError, ClusterError, NoAnswerError
from cluster.local.head import ray_environment
from cluster.local.head_process import ClusterOptions as ClusterOptions
from cluster.local.head_process import HeadProcess, end_cluster
from cluster.local.home import ClusterRecord, Home
from cluster.local.ports import check_free, free_ports
from cluster.local.processes import find_head
from cluster.local.speed import slowness

log = logging.getLogger(__name__)

START_ATTEMPTS = 3
"""Tries to start Ray."""

LEADER_TIMEOUT_S = 120.0
"""Seconds that the members have to start and elect a leader, on a machine of usual speed."""

# Kept, because a head process ends with its standard input, unless it was let stay.
_heads: dict[int, HeadProcess] = {}


def prepare_environment(home: Home) -> None:
    """Set what Ray must find in this process's environment; call it before Ray is imported."""
    os.environ.update(ray_environment(home.token_path))


def start_cluster(home: Home, options: ClusterOptions) -> ClusterRecord:
    """Start a cluster in a home and return how to reach it, when a member leads; when that fails, nothing is left.

    Raises:
        AlreadyRunningError: one runs there.
        ClusterError: it did not start; the log in the home says why.
    """
    return _start(home, options, stays=True)


def _start(home: Home, options: ClusterOptions, *, stays: bool) -> ClusterRecord:
    if options.member_count not in (1, 3, 5) or options.group_id <= 1:
        raise ClusterError(
            f"a group of {options.member_count} members with id {options.group_id} cannot be: "
            "choose 1, 3 or 5 members and an id above 1"
        )
    home.prepare()
    prepare_environment(home)
    # From the look whether a cluster runs until its record says so, nobody else starts or ends one.
    with home.lock():
        home.ensure_secrets()
        _refuse_second(home)
        addresses = _member_addresses(home, options)
        head = _start_ray(home, options)
        try:
            record = head.record(options.group_id, addresses)
            home.write_record(record)
            _start_members(home, record)
            if stays:
                head.let_stay()
        except BaseException:
            _disconnect()
            head.end()
            home.remove_record()
            raise
        _heads[record.head_pid] = head
        return record


def _refuse_second(home: Home) -> None:
    record = home.stored_record()
    if record is None:
        return
    if find_head(record.head_pid, record.head_started) is not None:
        raise AlreadyRunningError(f"a cluster runs in {home.directory} (pid {record.head_pid}); `tocsin down` ends it")
    _end(home, record)


def _member_addresses(home: Home, options: ClusterOptions) -> Mapping[str, str]:
    """Return the members of the group; one that has been here before keeps its members and their addresses."""
    known = home.known_members(options.group_id)
    if not known:
        ports = free_ports(options.member_count)
        return {f"member-{number}": f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)}
    if len(known) != options.member_count:
        raise ClusterError(
            f"group {options.group_id} of {home.directory} has {len(known)} members, not {options.member_count}; "
            "ask for as many, or choose another --group"
        )
    check_free(known)
    return known


def _start_ray(home: Home, options: ClusterOptions) -> HeadProcess:
    # Ray gives its own processes a time, which a machine that is busy just now may need more than once.
    for _ in range(START_ATTEMPTS - 1):
        try:
            return HeadProcess.start(home, options)
        except ClusterError as error:
            log.warning("Ray did not start", extra={"reason": str(error)})
    return HeadProcess.start(home, options)


def _start_members(home: Home, record: ClusterRecord) -> None:
    from cluster.client.client import Client
    from cluster.deployment import deploy, members

    deploy.connect(home)
    home.write_members(record.group_id, record.member_addresses)
    for name in record.member_addresses:
        settings = GroupSettings(
            group_id=record.group_id, member_id=name, member_addresses=dict(record.member_addresses)
        )
        members.start_member(record.group_id, name, settings.to_bytes(), home)
    client = Client(home)
    timeout_s = LEADER_TIMEOUT_S * slowness()
    deadline = time.monotonic() + timeout_s
    while client.leader() is None:
        if time.monotonic() > deadline:
            raise NoAnswerError(f"no member leads after {timeout_s:.0f} s; {home.log_path} may say why")
        time.sleep(0.1)


def stop_cluster(home: Home) -> bool:
    """End the cluster of a home and return whether there was one; what jobs keep on disk stays.

    Raises:
        ClusterError: processes remain, or the record cannot be read.
    """
    if not home.directory.exists():
        return False
    with home.lock():
        record = home.stored_record()
        if record is None:
            return False
        _disconnect()
        _heads.pop(record.head_pid, None)
        _end(home, record)
        return True


def _end(home: Home, record: ClusterRecord) -> None:
    end_cluster(record.head_pid, record.head_started, record.ray_directory)
    home.remove_record()


def _disconnect() -> None:
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()


@contextmanager
def local_cluster(home: Home, options: ClusterOptions) -> Iterator[ClusterRecord]:
    """Start a cluster and end it afterwards, whatever becomes of this process."""
    record = _start(home, options, stays=False)
    try:
        yield record
    finally:
        stop_cluster(home)
