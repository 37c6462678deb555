"""Waiting for partitions to be where a job wants them: as long as they move, and not for what will never be."""

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cluster.client.troubles import SaidTroubles
from cluster.errors import ClusterError, NoAnswerError, NotRunningError
from cluster.leader.placement import has_wanted_hosts
from cluster.local.speed import has_passed
from raft.records import JobStatus

if TYPE_CHECKING:
    from cluster.client.client import Client

STILL_S: Final = 120.0
"""Seconds without a partition that has moved, after which nobody waits any longer."""

LOOK_S: Final = 0.2
"""Seconds between two looks at the group."""

SAY_S: Final = 1.0
"""Seconds between two looks at what the leader has to say."""


def wait_scaled(client: "Client", name: str, say: Callable[[str], None]) -> None:
    """Wait until a job has the hosts that it wants; say each trouble on the way when it begins.

    Raises:
        ClusterError: it does not run any more, so that nothing moves its partitions.
        NoAnswerError: nothing has moved for too long; the message says what is in the way.
    """
    job = client.job(name)
    moved_s = time.monotonic()
    troubles = SaidTroubles(client, name, SAY_S, "partitions move when that is over", say)
    while not has_wanted_hosts(job):
        if job.status is not JobStatus.RUNNING:
            raise ClusterError(f"job {name!r} is {job.status} before its partitions have moved; `tocsin jobs` shows it")
        troubles.look()
        if has_passed(moved_s, STILL_S):
            why = troubles.last or "its leader names no trouble"
            raise NoAnswerError(f"no partition of job {name!r} has moved for {STILL_S:.0f} s: {why}")
        time.sleep(LOOK_S)
        before = job
        # Nodes may be silent for a moment.
        with contextlib.suppress(NotRunningError):
            job = client.job(name)
        if (before.owners, before.moves) != (job.owners, job.moves):
            moved_s = time.monotonic()
