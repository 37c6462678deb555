"""Calls by which snapshots reach a node's store, and are read from it, in chunks."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from raft.commands import ForgetSnapshots
from raft.errors import SnapshotStoreError
from raft.group import GroupState, named_snapshots
from raft.snapshots import SnapshotStore

log = logging.getLogger(__name__)

FORMING_LOOK_S: Final = 1.0
"""Seconds between two looks whether a starting node knows the group's state."""


class SnapshotCalls:
    """The snapshot store of a node, as others use it."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store

    @property
    def by_name(self) -> Mapping[str, Callable[..., Any]]:
        """The calls."""
        return {
            "put_snapshot_chunk": self._store.put_chunk,
            "seal_snapshot": self._seal,
            "read_snapshot_chunk": self._store.read_chunk,
        }

    def _seal(self, job_id: str, partition: int, digest: bytes, size_bytes: int) -> None:
        if not self._store.seal(job_id, partition, digest, size_bytes):
            raise SnapshotStoreError(f"the snapshot of partition {partition} of {job_id!r} arrived torn; send it again")

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
