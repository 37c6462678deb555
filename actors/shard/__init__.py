"""One LMDB environment with one owner: open, lock, grow, and the one write transaction.

A *shard* is a directory with the files `data.mdb` and `lock.mdb` of LMDB and the file `owner.lock` of ours. Everything
that a partition keeps is in tables of its shard and changes in one write transaction. What the tables hold belongs to
the libraries that use them.
"""

from actors.shard.errors import (
    ShardBusyError,
    ShardClosedError,
    ShardDamagedError,
    ShardError,
    ShardFormatError,
    ShardFullError,
    ShardIdentifierError,
    ShardLostError,
    ShardMissingError,
    ShardOwnedError,
    ShardReadExpiredError,
)
from actors.shard.shard import Shard, Table, Txn

__all__ = [
    "Shard",
    "ShardBusyError",
    "ShardClosedError",
    "ShardDamagedError",
    "ShardError",
    "ShardFormatError",
    "ShardFullError",
    "ShardIdentifierError",
    "ShardLostError",
    "ShardMissingError",
    "ShardOwnedError",
    "ShardReadExpiredError",
    "Table",
    "Txn",
]
