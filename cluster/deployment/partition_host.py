"""The host as an actor: it may touch what its own node allows, wherever its leader is."""

import contextlib
import os
import resource
from pathlib import Path

from actors import host
from actors.source.own_splits import OwnSplits
from cluster.allowed import allowed_here
from cluster.deployment.snapshot_writer import SnapshotWriter, WrittenSnapshot
from cluster.local.home import outgoing_directory
from cluster.surroundings import sink_places_here, surroundings_here
from config.settings import JobSettings


class PartitionHost(host.PartitionHost):
    """Owner of some partitions of one job, in a process that a node's Ray has started.

    `directory` is where its shards are, `streams` where the stream tables of its node are.
    """

    def __init__(self, job: bytes, directory: str, streams: str) -> None:
        allow_open_files()
        # Ray of others starts workers with another one.
        os.umask(0o077)
        allowed = allowed_here()
        splits = OwnSplits(JobSettings.from_bytes(job), Path(streams), Path(directory), allowed, surroundings_here())
        super().__init__(job, directory, sink_places_here(), splits)
        self._snapshots = SnapshotWriter(outgoing_directory(Path(directory)))

    def capture_snapshot(self, epoch: int, number: int, now_us: int, name: str) -> dict[int, int]:
        """Keep what a partition has now under a name; return the first offsets that are not in it, by split."""
        captured = self.capture(epoch, number, now_us)
        self._snapshots.keep(name, epoch, number, captured)
        return captured.offsets

    def write_snapshot(self, name: str, core_share: float) -> WrittenSnapshot:
        """Write what was captured to a file, beside everything else."""
        return self._snapshots.write(name, core_share)

    def drop_snapshot(self, name: str) -> None:
        """Remove a snapshot that is not needed any more."""
        self._snapshots.drop(name)

    def close(self) -> None:
        """Close everything, and remove snapshots on their way."""
        self._snapshots.close()
        super().close()


def allow_open_files() -> None:
    """Let this process have open what the system allows: a partition takes about five files, and there may be many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says that there is no limit and refuses to have none.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
