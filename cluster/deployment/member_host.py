"""The process of one member: Raft, the snapshot store, and the leader while this member leads.

A plain class that `cluster.deployment.deploy` turns into a Ray actor (or `tocsin member` runs by itself). It answers
clients on any member: proposals are forwarded to Raft's leader, and the state that Raft has applied here is handed
out as bytes.
"""

import hashlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.deployment.deploy import RayDeployment
from cluster.deployment.group_settings import GroupSettings
from cluster.leader.member_status import HostedMemberStatus
from cluster.leader.supervisor import Leader
from cluster.local.home import Home
from raft.commands import Action, ForgetSnapshots
from raft.errors import SnapshotStoreError
from raft.group import named_snapshots
from raft.group_codec import encode_state
from raft.member import Member
from raft.passwords import read_password_file
from raft.snapshots import CHUNK_SIZE_BYTES_MAX, HeldSnapshot, SnapshotStore

PROPOSE_TIMEOUT_S = 10.0
"""Seconds after which a proposal counts as unanswered."""

FORMING_LOOK_S = 1.0
"""Seconds between two looks whether a starting member knows the group's state."""


class MemberHost:
    """One member of the group in this process."""

    def __init__(self, settings: bytes, home: str) -> None:
        self._settings = GroupSettings.from_bytes(settings)
        place = Home(Path(home))
        directory = place.member_directory(self._settings.group_id, self._settings.member_id)
        self._snapshots = SnapshotStore.open(directory / "snapshots")
        self._stopping = threading.Event()
        self._forgetter = ThreadPoolExecutor(1, thread_name_prefix="forget snapshots")
        self._member = Member(
            self._settings.member_settings(directory, read_password_file(place.password_path)), self._on_action
        )
        deployment = RayDeployment(self._settings.group_id, place)
        self._leader = Leader(self._member, tuple(self._settings.member_addresses), deployment)
        self._leader.start()
        self._forgetter.submit(self._forget_unnamed, self._snapshots.list())

    def _forget_unnamed(self, held: tuple[HeldSnapshot, ...]) -> None:
        """Forget what was held at the start and is named by no manifest, once the member knows the group's state."""
        while not self._stopping.wait(FORMING_LOOK_S):
            if self._member.status().role in ("leader", "follower") and self._member.state().epoch:
                break
        named = named_snapshots(self._member.state())
        for one in held:
            if (one.job_id, one.partition, one.digest) not in named:
                self._snapshots.forget(one.job_id, one.partition, one.digest)

    def _on_action(self, action: Action) -> None:
        # Called from Raft's thread, which must not wait for a disk.
        if isinstance(action, ForgetSnapshots):
            self._forgetter.submit(self._forget, action)

    def _forget(self, action: ForgetSnapshots) -> None:
        for digest in action.digests:
            self._snapshots.forget(action.job_id, action.partition, digest)

    def pid(self) -> int:
        """Return the process id, for those who kill it."""
        return os.getpid()

    def propose(self, command: bytes) -> bytes:
        """Put a command into the log and return the group's answer to it."""
        return self._member.propose(command, PROPOSE_TIMEOUT_S)

    def state(self) -> tuple[int, bytes]:
        """Return the state that this member has applied, and up to which log entry at least."""
        # Read before the state, which may be further when it is read, and never less far.
        applied_index = self._member.applied_index()
        return applied_index, encode_state(self._member.state())

    def status(self) -> HostedMemberStatus:
        """Return what Raft and, on the leader, the jobs are doing."""
        return HostedMemberStatus(
            member_id=self._settings.member_id,
            pid=os.getpid(),
            raft=self._member.status(),
            leader=self._leader.status(),
        )

    def store_snapshot(self, job_name: str, partition: int, snapshot: bytes) -> tuple[bytes, int]:
        """Keep a snapshot durably and return its digest and length."""
        digest = hashlib.sha256(snapshot).digest()
        chunks = range(0, len(snapshot), CHUNK_SIZE_BYTES_MAX)
        for index, start in enumerate(chunks):
            self._snapshots.put_chunk(
                job_name, partition, digest, index, snapshot[start : start + CHUNK_SIZE_BYTES_MAX]
            )
        if not self._snapshots.seal(job_name, partition, digest, len(snapshot)):
            raise SnapshotStoreError(
                f"the snapshot of partition {partition} of {job_name!r} arrived torn; send it again"
            )
        return digest, len(snapshot)

    def read_snapshot(self, job_name: str, partition: int, digest: bytes) -> bytes | None:
        """Return a snapshot's bytes, or `None` when this member does not hold it."""
        held = self._snapshots.holds(job_name, partition, digest)
        return self._snapshots.read(job_name, partition, digest) if held else None

    def crash(self) -> None:
        """Die as by the power switch."""
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        """Stop leading, leave, and close the stores."""
        self._stopping.set()
        self._leader.stop()
        self._member.close()
        self._forgetter.shutdown()
        self._snapshots.close()
