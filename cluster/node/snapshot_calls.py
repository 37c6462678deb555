"""Calls by which snapshots reach a node's store, from files of its machine or of another, and are read from it."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cluster.local.home import Home
from cluster.node.calls import NodeClient
from raft.adopted_files import CHUNK_SIZE_BYTES_MAX, chunk_count_of
from raft.commands import ForgetSnapshots
from raft.errors import SnapshotStoreError
from raft.group import GroupState, named_snapshots
from raft.snapshots import SnapshotStore

log = logging.getLogger(__name__)

CHUNK_TIMEOUT_S: Final = 20.0
"""Seconds that a node has to give one chunk of a snapshot."""

FORMING_LOOK_S: Final = 1.0
"""Seconds between two looks whether a starting node knows the group's state."""


class SnapshotCalls:
    """The snapshot store of a node, as others use it."""

    def __init__(self, store: SnapshotStore, home: Home, client_of: Callable[[str], NodeClient]) -> None:
        self._store = store
        self._home = home
        self._client_of = client_of

    @property
    def by_name(self) -> Mapping[str, Callable[..., Any]]:
        """The calls."""
        return {
            "adopt_snapshot": self._adopt,
            "fetch_snapshot": self._fetch,
            "read_outgoing_snapshot": self._read_outgoing,
            "read_snapshot_chunk": self._store.read_chunk,
        }

    def _adopt(self, job_id: str, partition: int, digest: bytes, size_bytes: int, path: str) -> None:
        """Hold a snapshot that a host of this machine has written."""
        if not self._store.adopt(job_id, partition, digest, size_bytes, Path(path)):
            raise SnapshotStoreError(f"the snapshot of partition {partition} of {job_id!r} is torn; take another")

    def _fetch(self, job_id: str, partition: int, digest: bytes, size_bytes: int, address: str, name: str) -> None:
        """Hold a snapshot that a host has written on the machine of the node at an address."""
        client = self._client_of(address)
        for index in range(chunk_count_of(size_bytes)):
            chunk = client.call("read_outgoing_snapshot", job_id, name, index, timeout_s=CHUNK_TIMEOUT_S)
            self._store.put_chunk(job_id, partition, digest, index, chunk)
        if not self._store.seal(job_id, partition, digest, size_bytes):
            raise SnapshotStoreError(f"the snapshot of partition {partition} of {job_id!r} arrived torn; take another")

    def _read_outgoing(self, job_id: str, name: str, index: int) -> bytes:
        """Return a chunk of a snapshot that a host of this node has written."""
        if any(Path(part).name != part for part in (job_id, name)):
            raise SnapshotStoreError(f"no snapshot is called {name!r}")
        try:
            with open(self._home.outgoing_directory(job_id) / name, "rb") as file:
                return os.pread(file.fileno(), CHUNK_SIZE_BYTES_MAX, index * CHUNK_SIZE_BYTES_MAX)
        except OSError as error:
            raise SnapshotStoreError(f"the snapshot {name} cannot be read here: {error}") from error

    def forget(self, action: ForgetSnapshots) -> None:
        """Forget what no manifest names any more."""
        for digest in action.digests:
            self._store.forget(action.job_id, action.partition, digest)

    def forget_unnamed(
        self, state: Callable[[], GroupState], is_formed: Callable[[], bool], stopping: threading.Event
    ) -> None:
        """Forget, beside, what is here now and is named by no manifest, once the node knows the group's state."""
        held = self._store.list()

        def run() -> None:
            while not stopping.wait(FORMING_LOOK_S):
                if is_formed():
                    break
            else:
                return
            named = named_snapshots(state())
            for one in held:
                if (one.job_id, one.partition, one.digest) not in named:
                    self._store.forget(one.job_id, one.partition, one.digest)

        if held:
            threading.Thread(target=run, name="forget snapshots", daemon=True).start()

    def close(self) -> None:
        """Close the store."""
        self._store.close()
