"""Members as keepers of snapshots: the real store on disk, in processes that die, with or without it, and come back."""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

from raft.adopted_files import CHUNK_SIZE_BYTES_MAX
from raft.commands import ForgetSnapshots
from raft.snapshots import SnapshotStore

SnapshotName = tuple[str, int, bytes]
"""Job, partition and digest."""


class SimMember:
    """One member; while it is dead, nothing is asked of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store: SnapshotStore | None = SnapshotStore.open(directory)

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self._store is not None

    @property
    def store(self) -> SnapshotStore:
        """The store of a member that is alive."""
        assert self._store is not None, "a dead member was asked"
        return self._store

    def start(self, named: Collection[SnapshotName]) -> None:
        """Start the process when there is none; it forgets what no manifest names."""
        if self._store is None:
            self._store = SnapshotStore.open(self._directory)
            self._store.validate()
            for one in self._store.list():
                if (one.job_id, one.partition, one.digest) not in named:
                    self._store.forget(one.job_id, one.partition, one.digest)

    def die(self, *, loses_directory: bool) -> None:
        """End the process."""
        if self._store is not None:
            self._store.close()
            self._store = None
        if loses_directory:
            shutil.rmtree(self._directory)

    def keep(self, job_id: str, partition: int, data: bytes) -> bytes:
        """Store a snapshot in two chunks at least, if it is long enough, and return its digest."""
        digest = hashlib.sha256(data).digest()
        size = min(CHUNK_SIZE_BYTES_MAX, max(1, len(data) // 2 + 1))
        for index, start in enumerate(range(0, len(data), size)):
            self.store.put_chunk(job_id, partition, digest, index, data[start : start + size])
        assert self.store.seal(job_id, partition, digest, len(data))
        return digest

    def forget(self, action: ForgetSnapshots) -> None:
        """Forget what no manifest names any more; who is dead learns of it when it starts."""
        if self._store is not None:
            for digest in action.digests:
                self._store.forget(action.job_id, action.partition, digest)

    def find(self, job_id: str, partition: int, digest: bytes) -> bytes | None:
        """Return a snapshot, or `None` when it is not here."""
        held = self.store.holds(job_id, partition, digest)
        return self.store.read(job_id, partition, digest) if held else None
