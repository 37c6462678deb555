"""The host as an actor: it may touch what its own node allows, wherever its leader is."""

from actors import host
from cluster.allowed import allowed_here


class PartitionHost(host.PartitionHost):
    """Owner of some partitions of one job, in a process that a node's Ray has started."""

    def __init__(self, job: bytes, directory: str) -> None:
        super().__init__(job, directory, allowed_here())
