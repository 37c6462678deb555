"""Errors of everything below `actors`.

The tree::

    TocsinError                 root: a message that names the value and the way out
    ├── SchemaError             a schema, or rows that do not fit it            (ValueError)
    ├── EngineError             actors.engine.errors
    ├── ShardError              actors.shard.errors
    ├── StoreError              actors.store.errors
    ├── PersistencyError        actors.persistency.errors
    ├── SourceError             a source cannot be read, or lacks an offset that was asked for
    ├── SinkError               a sink does not take anomalies
    ├── StaleEpochError         a caller whose leadership is over
    ├── OffsetGapError          a batch that starts after the next offset needed
    ├── BrokenPartitionError    a batch failed half-way; the partition must be opened again
    ├── NotOpenError            a host does not own the partition
    └── SnapshotError           bytes that are no snapshot of this partition
        └── DamagedEntryError   an entry of a partition that does not fit its checksum  (ValueError)

Errors travel between processes, so every argument of an initialiser goes to `super().__init__`.
"""


class TocsinError(Exception):
    """Root of the errors that Tocsin raises for its users."""


class SchemaError(TocsinError, ValueError):
    """A schema that cannot be used, or rows that do not fit it."""


class SourceError(TocsinError):
    """A source cannot be read, or no longer holds the offset that was asked for."""


class SinkError(TocsinError):
    """A sink does not take anomalies, or only `taken_count` of those that it was given."""

    def __init__(self, text: str, *, taken_count: int = 0) -> None:
        super().__init__(text)
        self.taken_count = taken_count


class StaleEpochError(TocsinError):
    """The caller's epoch is over: a newer leader has been here."""


class OffsetGapError(TocsinError):
    """A batch starts after the next offset that the partition needs."""


class BrokenPartitionError(TocsinError):
    """A batch failed half-way, so what is in memory fits no offset; the shard is whole: open the partition again."""


class NotOpenError(TocsinError):
    """The host does not own the partition: it was restarted, or the partition has moved."""


class SnapshotError(TocsinError):
    """Bytes that are torn, foreign, or a snapshot of something else."""


class DamagedEntryError(SnapshotError, ValueError):
    """An entry of a partition's tables that does not fit its checksum."""
