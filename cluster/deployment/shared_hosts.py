"""Hosts that share a process with those of other jobs: found, started and ended by way of their pool.

A node has one pool (`HostPool`), which is started with its first host and ended some time after its last. Whether a
host is in it follows from the host's name (`cluster.leader.placement`), so every leader finds it without being told.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from cluster.deployment import deploy
from cluster.deployment.deploy import PULSE, QUERY, SINK, SNAPSHOT, Handle, RayHost, RayReply
from cluster.deployment.host_pool import THREAD_COUNT, HostPool, Slot
from cluster.errors import NoAnswerError
from cluster.local.home import Home
from cluster.node.ray_place import RayPlace

log = logging.getLogger(__name__)

LOOK_TIMEOUT_S: Final = 2.0
"""Seconds that pools have to say what they hold; one that hangs is killed by those whose hosts it has."""

EMPTY_S: Final = 10.0
"""Seconds for which a pool stays without a host."""

HOLD_ATTEMPT_COUNT: Final = 3
"""A pool may be about to end when it is asked."""

_GROUPS: Final = {PULSE: 1, QUERY: 4, SINK: 16, SNAPSHOT: 1} | {f"thread-{number}": 1 for number in range(THREAD_COUNT)}
"""Threads of a pool; queries and sinks of all jobs have theirs beside those of the slots."""


class SlotMethod:
    """A method of one host of a pool, called like that of an actor."""

    def __init__(self, slot: "SlotHandle", method: str, options: Mapping[str, Any]) -> None:
        self._slot = slot
        self._method = method
        self._options = options

    def options(self, **options: Any) -> "SlotMethod":
        """Return the same with options of Ray."""
        return SlotMethod(self._slot, self._method, {**self._options, **options})

    def remote(self, *arguments: Any) -> Any:
        """Call it: in the thread of its slot, unless another group of threads was named."""
        return self._slot.call(self._method, self._options, arguments)


class SlotHandle:
    """Stands for the handle of an actor where a host is one of several in a process."""

    def __init__(self, pool: Handle, slot: Slot, thread: int | None = None) -> None:
        self.pool = pool
        self._slot = slot
        self._thread = thread

    def __getattr__(self, method: str) -> SlotMethod:
        return SlotMethod(self, method, {})

    def call(self, method: str, options: Mapping[str, Any], arguments: tuple[Any, ...]) -> Any:
        """Have the pool do it."""
        if "concurrency_group" in options:
            return self.pool.read.options(**options).remote(*self._slot, method, *arguments)
        if self._thread is None:
            asked: RayReply[int] = RayReply(self.pool.thread_of.options(concurrency_group=PULSE).remote(*self._slot))
            self._thread = asked.wait(LOOK_TIMEOUT_S)
        group = f"thread-{self._thread}"
        return self.pool.act.options(concurrency_group=group, **options).remote(*self._slot, method, *arguments)


def hold_host(
    group_id: int, job_name: str, host: str, job: bytes, place: Home, node: str, guest: RayPlace | None = None
) -> RayHost:
    """Return a host in the pool of a node (empty: anywhere), which has that home, made when it does not exist.

    One of the same name on another node is given up: it belongs to nobody any more.

    Raises:
        NoAnswerError: the pool does not answer.
    """
    here = _pool_name(group_id, node)
    directories = (str(place.partitions_directory(job_name)), str(place.streams_directory))
    for name, pool in _pools(group_id).items():
        if name != here:
            _close(pool, pool.drop_host.remote(job_name, host))
    for attempt in range(HOLD_ATTEMPT_COUNT):
        pool = begin_pool(group_id, node, guest)
        try:
            thread = deploy.call(pool.hold.remote, job_name, host, job, *directories)
        except NoAnswerError:
            if attempt == HOLD_ATTEMPT_COUNT - 1:
                raise
            _end_if_empty(pool)
        else:
            return RayHost(host, SlotHandle(pool, (job_name, host), thread), pool)
    raise AssertionError("the last attempt returns or raises")


def begin_pool(group_id: int, node: str, guest: RayPlace | None = None) -> Handle:
    """Return the pool of a node (empty: anywhere), begun when it does not exist."""
    options = {"concurrency_groups": _GROUPS, **deploy.scheduling(node, guest)}
    return deploy.start_actor(HostPool, _pool_name(group_id, node), options)


def find_host(group_id: int, job_name: str, host: str, node: str) -> RayHost | None:
    """Return a host in the pool of a node, or `None` when there is no pool."""
    pool = deploy.find_actor(_pool_name(group_id, node))
    return None if pool is None else RayHost(host, SlotHandle(pool, (job_name, host)), pool)


def end_hosts(group_id: int, job_name: str, but: Mapping[str, str]) -> None:
    """Give up the hosts of a job but those with these names in the pools of their nodes."""
    for name, pool in _pools(group_id).items():
        kept = [host for host, node in but.items() if _pool_name(group_id, node) == name]
        _close(pool, pool.drop.remote(job_name, kept))


def jobs_with_hosts(group_id: int) -> frozenset[str]:
    """Return the names of the jobs that have hosts in a pool."""
    return frozenset(job_name for _, slots in _look(group_id).values() for job_name, _ in slots)


def end_empty_pools(group_id: int) -> None:
    """End pools that have had no host for some time."""
    for pool, slots in _look(group_id).values():
        if not slots:
            _end_if_empty(pool)


def _end_if_empty(pool: Handle) -> None:
    try:
        if deploy.call(pool.end_if_empty.remote, EMPTY_S, timeout_s=LOOK_TIMEOUT_S):
            deploy.end_actor(pool)
    except NoAnswerError as error:
        log.info("a pool of hosts does not answer", extra={"reason": str(error)})


def _close(pool: Handle, dropped: Any) -> None:
    """Have hosts closed that are given up, after all that they were asked before; nobody waits for it."""

    def close(threads: list[int]) -> None:
        for thread in threads:
            pool.close_dropped.options(concurrency_group=f"thread-{thread}").remote(thread)

    def tell(error: Exception) -> None:
        # One that dies has none any more; one that hangs is killed by those whose hosts it has.
        log.info("a pool of hosts does not answer", extra={"reason": str(error)})

    reply: RayReply[list[int]] = RayReply(dropped)
    reply.when_done(close, tell)


def _pools(group_id: int) -> dict[str, Handle]:
    """Return the pools that there are, by name."""
    found = {name: deploy.find_actor(name) for name in deploy.actor_names(f"pool:{group_id}@")}
    return {name: pool for name, pool in found.items() if pool is not None}


def _look(group_id: int) -> dict[str, tuple[Handle, list[Slot]]]:
    """Return the pools that answer, by name, with what they hold; all are asked at once."""
    asked: dict[str, tuple[Handle, RayReply[list[Slot]]]] = {
        name: (pool, RayReply(pool.slots.options(concurrency_group=PULSE).remote()))
        for name, pool in _pools(group_id).items()
    }
    until_s = time.monotonic() + LOOK_TIMEOUT_S
    found: dict[str, tuple[Handle, list[Slot]]] = {}
    for name, (pool, reply) in asked.items():
        try:
            found[name] = (pool, reply.wait(max(until_s - time.monotonic(), 0.0)))
        except NoAnswerError as error:
            log.info("a pool of hosts does not answer", extra={"pool": name, "reason": str(error)})
    return found


def _pool_name(group_id: int, node: str) -> str:
    return f"pool:{group_id}@{node}"
