"""One LMDB environment with one owner: open, lock, grow, and the one write transaction.

A *shard* is a directory with the files `data.mdb` and `lock.mdb` of LMDB and the file `owner.lock` of ours. Everything
that a partition keeps is in tables of its shard and changes in one write transaction. What the tables hold belongs to
the libraries that use them.
"""

from typing import TYPE_CHECKING

from actors.lazy_names import lazy_names
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

if TYPE_CHECKING:
    from actors.shard.shard import Shard, Table, Txn
else:
    # Who only meets errors of shards does without LMDB.
    __getattr__ = lazy_names(__name__, {"actors.shard.shard": "Shard Table Txn"})

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
