"""Trouble on purpose: kill the leader and measure how the group gets over it."""

import time
from dataclasses import dataclass

from cluster.client.client import Client
from cluster.errors import NoAnswerError
from cluster.leader.member_status import MemberView

FAILOVER_TIMEOUT_S = 60.0
"""Seconds that a group has to elect a new leader."""

POLL_S = 0.02
"""Seconds between two questions while waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """One killed leader and its successor."""

    killed: str
    """Member that was killed."""

    leader: str
    """Member that leads now."""

    epoch: int

    killed_us: int
    """When the kill was ordered, in microseconds since the epoch."""

    elected_s: float
    """Seconds from there until the new leader acted as leader."""


def kill_and_measure(client: Client) -> Failover:
    """Kill the leader and wait for the next.

    Raises:
        NoAnswerError: nobody leads before, or nobody leads in time.
    """
    before = client.state().epoch
    killed_us = time.time_ns() // 1000
    killed = client.kill_leader()
    leader = wait_for_leader(client, before + 1)
    assert leader.leader is not None, "it leads"
    return Failover(
        killed=killed,
        leader=leader.member_id,
        epoch=leader.leader.epoch,
        killed_us=killed_us,
        elected_s=(leader.leader.led_since_us - killed_us) / 1e6,
    )


def wait_for_leader(client: Client, epoch_min: int) -> MemberView:
    """Return the leader as soon as one of at least that epoch leads.

    Raises:
        NoAnswerError: nobody does in time.
    """
    deadline = time.monotonic() + FAILOVER_TIMEOUT_S
    while time.monotonic() < deadline:
        leader = client.leader()
        if leader is not None and leader.leader is not None and leader.leader.epoch >= epoch_min:
            return leader
        time.sleep(POLL_S)
    raise NoAnswerError(f"nobody leads {FAILOVER_TIMEOUT_S:.0f} s after the kill; see `tocsin status`")
