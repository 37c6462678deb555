"""Checkpoints: snapshots of all partitions, held by a majority of the members before the log says so.

A checkpoint runs beside the pump. Hosts make the bytes between two batches, members fetch them from the hosts and
answer with the digest when the bytes are durable; only then is the manifest proposed. One checkpoint runs at a time,
and one that fails is dropped: the next is due soon, and nothing depended on it.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from actors.errors import TocsinError
from cluster.deployment import deploy
from cluster.leader.group_port import GroupPort
from cluster.leader.pump import Pump
from config.settings import JobSettings
from raft.commands import SnapshotReplicated
from raft.errors import RaftError
from raft.group import majority_of

log = logging.getLogger(__name__)

STORE_TIMEOUT_S = 30.0
"""Seconds that members have for one snapshot."""


class Checkpointer:
    """Takes checkpoints of one job under one epoch."""

    def __init__(
        self, group: GroupPort, job_id: str, epoch: int, settings: JobSettings, now_us: Callable[[], int]
    ) -> None:
        self._group = group
        self._job_id = job_id
        self._epoch = epoch
        self._interval_rows = settings.snapshot_interval_rows
        self._now_us = now_us
        self._taken_at_rows = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"checkpoint {job_id}")
        self._running: Future[None] | None = None

    def after(self, pump: Pump) -> None:
        """Start a checkpoint when enough rows have passed since the last and none is running."""
        rows = pump.stat().row_count
        if rows - self._taken_at_rows < self._interval_rows or (self._running and not self._running.done()):
            return
        self._taken_at_rows = rows
        self._running = self._pool.submit(self._take, pump.owners)

    def take(self, pump: Pump) -> None:
        """Take a checkpoint now and wait for it."""
        if self._running is not None:
            self._running.result()
        self._take(pump.owners)

    def close(self) -> None:
        """Wait for the checkpoint that is running."""
        self._pool.shutdown(cancel_futures=True)

    def _take(self, owners: dict[int, Any]) -> None:
        try:
            members = self._members()
            for partition, host in owners.items():
                marks, reference = host.snapshot(self._epoch, partition, self._now_us())
                self._replicate(partition, marks.wait(), reference, members)
        except (TocsinError, RaftError) as error:
            log.warning("a checkpoint failed", extra={"job": self._job_id, "reason": str(error)})

    def _members(self) -> dict[str, Any]:
        found = {name: deploy.find_member(self._group.group_id, name) for name in self._group.member_ids}
        return {name: handle for name, handle in found.items() if handle is not None}

    def _replicate(self, partition: int, offsets: dict[int, int], reference: Any, members: dict[str, Any]) -> None:
        replies: dict[str, deploy.RayReply[tuple[bytes, int]]] = {
            name: deploy.RayReply(handle.store_snapshot.remote(self._job_id, partition, reference))
            for name, handle in members.items()
        }
        acknowledged: dict[tuple[bytes, int], list[str]] = {}
        for name, reply in replies.items():
            try:
                digest, size_bytes = reply.wait(STORE_TIMEOUT_S)
                acknowledged.setdefault((digest, size_bytes), []).append(name)
            except TocsinError as error:
                log.warning("a member did not take a snapshot", extra={"member": name, "reason": str(error)})
        for (digest, size_bytes), holders in acknowledged.items():
            if len(holders) >= majority_of(len(self._group.member_ids)):
                manifest = SnapshotReplicated(
                    epoch=self._epoch,
                    job_id=self._job_id,
                    partition=partition,
                    next_offsets=tuple(sorted(offsets.items())),
                    digest=digest,
                    size_bytes=size_bytes,
                    holders=tuple(sorted(holders)),
                )
                self._group.propose(manifest)
