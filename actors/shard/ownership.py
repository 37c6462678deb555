"""Ownership: the lock that lets one process at a time write to a shard (see `actors.files` for what a lock is).

Never fork with an open shard: the new process would share the lock.
"""

import os
from pathlib import Path

from actors.files import FileLock, FileLockedError
from actors.shard.errors import ShardOwnedError

OWNER_FILE = "owner.lock"
"""Name of the lock file inside the shard's directory."""


def take_ownership(directory: Path) -> FileLock:
    """Lock a directory for this process.

    Raises:
        ShardOwnedError: it is locked, by another process or by this one.
    """
    try:
        return FileLock.take(directory / OWNER_FILE)
    except FileLockedError as error:
        raise ShardOwnedError(_refusal(directory, error.owner)) from None


def _refusal(directory: Path, owner: int | None) -> str:
    if owner == os.getpid():
        return f"shard {directory} is already open in this process (pid {owner}); use the open one or close it first"
    who = f"process {owner}" if owner else "another process"
    return f"shard {directory} is owned by {who}; stop that process, or open the shard with read_only=True"
