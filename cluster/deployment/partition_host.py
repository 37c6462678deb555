"""The host as an actor: it may touch what its own node allows, wherever its leader is."""

from pathlib import Path

from actors import host
from actors.source.own_splits import OwnSplits
from cluster.allowed import allowed_here
from config.settings import JobSettings


class PartitionHost(host.PartitionHost):
    """Owner of some partitions of one job, in a process that a node's Ray has started.

    `directory` is where its shards are, `streams` where the stream tables of its node are.
    """

    def __init__(self, job: bytes, directory: str, streams: str) -> None:
        allowed = allowed_here()
        splits = OwnSplits(JobSettings.from_bytes(job), Path(streams), Path(directory), allowed)
        super().__init__(job, directory, allowed, splits)
