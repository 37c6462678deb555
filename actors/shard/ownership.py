"""Ownership: the lock that lets one process at a time write to a shard.

The lock is an advisory lock (`flock`) on the file `owner.lock`, which also holds the owner's process id for people. The
system drops the lock with the process, however it ends, so a killed owner never leaves a shard locked. A process that
was forked from the owner shares the lock: never fork with an open shard.
"""

import fcntl
import os
from pathlib import Path

from actors.shard.errors import ShardOwnedError

OWNER_FILE = "owner.lock"
"""Name of the lock file inside the shard's directory."""


class Ownership:
    """The lock on one directory, held from `take` to `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, directory: Path) -> "Ownership":
        """Lock a directory for this process.

        Raises:
            ShardOwnedError: the lock is held, by another process or by this one.
        """
        descriptor = os.open(directory / OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ShardOwnedError(_refusal(directory, owner)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back; later calls do nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _refusal(directory: Path, owner: str) -> str:
    if owner == str(os.getpid()):
        return f"shard {directory} is already open in this process (pid {owner}); use the open one or close it first"
    who = f"process {owner}" if owner else "another process"
    return f"shard {directory} is owned by {who}; stop that process, or open the shard with read_only=True"
