"""Errors of the event store.

The tree::

    StoreError                  root: the store cannot do what was asked
    ├── StoreConfigError        settings that cannot be used                       (ValueError)
    ├── QueryError              query parameters that make no sense                (ValueError)
    ├── RegisterError           what is registered is no list of events, no batch  (ValueError)
    ├── StoreFormatError        tables of another format version
    ├── BlockDamagedError       a block whose checksum is wrong; others are served
    ├── RecordDamagedError      an entry of the tables beside the blocks whose checksum is wrong
    ├── StoreBusyError          more is pending than the store may hold in memory
    └── StoreClosedError        the store has been closed
"""

from actors.errors import TocsinError


class StoreError(TocsinError):
    """The event store cannot do what was asked."""


class StoreConfigError(StoreError, ValueError):
    """Settings that cannot be used."""


class QueryError(StoreError, ValueError):
    """Query parameters that make no sense."""


class RegisterError(StoreError, ValueError):
    """What was given to be registered cannot be a list or batch of events; nothing of it was registered."""


class StoreFormatError(StoreError):
    """The tables were written in a format that this program does not read."""


class BlockDamagedError(StoreError):
    """A block whose checksum does not fit its bytes."""


class RecordDamagedError(StoreError):
    """The store's own record, a type, a latest event or a head whose checksum does not fit its bytes."""


class StoreBusyError(StoreError):
    """More is pending in memory than allowed; nothing of the call was registered."""


class StoreClosedError(StoreError):
    """The store has been closed."""
