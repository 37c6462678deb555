"""Errors of shards.

The tree::

    ShardError                  root: a shard cannot do what was asked
    ├── ShardOwnedError         another process, or this one, has the shard open
    ├── ShardMissingError       there is no shard, or no such table, and it must not be created
    ├── ShardFormatError        the files are not a shard of this version
    │   └── ShardDamagedError       they are torn, cut short, or no shard at all
    ├── ShardIdentifierError    the shard belongs to something else
    ├── ShardLostError          the files are gone, or others than those that are open or wanted
    ├── ShardCopyError          a piece of a copy does not continue what was received
    ├── ShardFullError          the map may not grow further, or the disk is full; nothing changed
    ├── ShardReadExpiredError   a read transaction stayed open too long and was ended
    ├── ShardBusyError          the map must grow or close while a read transaction stays open; nothing changed
    └── ShardClosedError        the shard has been closed
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.errors import TocsinError
from actors.lmdb_file import DataFileError

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""System errors of a disk that is full or fails; LMDB reports a write cut short by a full disk as EIO."""


class ShardError(TocsinError):
    """A shard cannot do what was asked."""


class ShardOwnedError(ShardError):
    """The shard is open already, in another process or in this one."""


class ShardMissingError(ShardError):
    """There is no such shard or table, and the caller may not create one."""


class ShardFormatError(ShardError):
    """The files are not a shard, or one of another format version."""


class ShardDamagedError(ShardFormatError):
    """The files are torn, cut short, or no shard at all."""


class ShardIdentifierError(ShardError):
    """The shard carries another identifier than the one asked for."""


class ShardLostError(ShardError):
    """What stands at the path of the shard is not what is open or wanted; nothing but what was acknowledged counts."""

    def __init__(self, reason: str, partition: int | None = None, generation: int = 0) -> None:
        # All arguments, because errors are pickled between processes.
        super().__init__(reason, partition, generation)
        self.partition = partition
        """Number of the partition, where that is known."""
        self.generation = generation
        """Generation of the shard that was found, if it is a later one than was asked for."""

    def __str__(self) -> str:
        return str(self.args[0])


class ShardCopyError(ShardError):
    """A piece of a copy, or the whole, is not what its sender has; the copy begins anew."""


class ShardFullError(ShardError):
    """The shard cannot hold more: its map may not grow, or the disk is full; nothing was changed."""


class ShardBusyError(ShardError):
    """A read transaction of this process stayed open too long for the map to be resized or closed."""


class ShardReadExpiredError(ShardError):
    """A read transaction stayed open while others wrote for longer than allowed, and was ended."""


class ShardClosedError(ShardError):
    """The shard has been closed."""


@contextmanager
def shard_errors(directory: Path) -> Iterator[None]:
    """Turn what the system says about files of a shard into errors of shards."""
    try:
        yield
    except DataFileError as error:
        raise ShardDamagedError(f"{directory} is no shard that can be opened: {error}") from error
    except FileNotFoundError as error:
        raise ShardMissingError(f"shard {directory}: there is no {error.filename}; check the path") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise ShardFullError(f"the disk of {directory} is full or fails: {error}; free some space") from error
        raise ShardError(f"shard {directory} cannot be used: {error}; check the path and its rights") from error
