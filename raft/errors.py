"""Errors of the replicated group.

The tree::

    RaftError                   root: a message that names the value and the way out
    ├── FormatError             bytes that are no command, result or state of this version   (ValueError)
    ├── SettingsError           settings a member cannot start with                          (ValueError)
    │   └── CredentialsError        a password or a directory that cannot be used for credentials
    ├── JournalError            a journal that cannot be opened or written
    │   ├── JournalDamagedError     what the journal holds cannot be trusted
    │   ├── JournalLostError        its files are gone or others; nothing since the last answer is on disk
    │   └── JournalFullError        the disk is full; nothing was written
    ├── MemberFailedError       going on would not be safe: the member met something it must not pass over
    │   └── ContradictionError      another member's message cannot be true; its connection ends
    ├── ProposalError           a command was not taken
    │   ├── ProposalTimeoutError    no answer in time; the outcome is unknown, repeating the same request is safe
    │   └── MembershipError         a change of members that the leader does not allow now
    └── SnapshotStoreError      snapshot bytes that cannot be stored or read
        ├── SnapshotStoreLostError  its files are gone or others: nothing is held any more
        └── SnapshotStoreFullError  the store has reached its limit, or the disk is full

A command that the group's state refuses is no error: its answer is the value `raft.commands.Refused`.
All arguments of an initialiser go to `super().__init__`, because errors travel between processes.
"""


class RaftError(Exception):
    """Root of the errors that the replicated group raises."""


class FormatError(RaftError, ValueError):
    """Bytes that are torn, foreign, or of a version this program does not know."""


class SettingsError(RaftError, ValueError):
    """Settings a member cannot start with."""


class CredentialsError(SettingsError):
    """A password that cannot be used, or a place where credentials cannot be kept."""


class JournalError(RaftError):
    """A journal that cannot be opened or written."""


class JournalDamagedError(JournalError):
    """What the journal holds cannot be trusted."""


class JournalLostError(JournalError):
    """What stands at the path of the journal is not what is open: this member must not vote or answer any more."""


class JournalFullError(JournalError):
    """The disk is full; nothing was written, and trying again is safe."""


class MemberFailedError(RaftError):
    """The member has stopped, because going on would not be safe."""


class ContradictionError(MemberFailedError):
    """A message of another member contradicts what this member knows for certain; it changes nothing here."""


class ProposalError(RaftError):
    """A command was not taken."""


class ProposalTimeoutError(ProposalError):
    """No answer in time; whether the command counts is unknown, repeating the same request is safe."""


class MembershipError(ProposalError):
    """A change of members that the leader does not allow now."""


class SnapshotStoreError(RaftError):
    """Snapshot bytes that cannot be stored or read."""


class SnapshotStoreLostError(SnapshotStoreError):
    """What stands at the path of the store is not what is open: it holds nothing that would outlive this process."""


class SnapshotStoreFullError(SnapshotStoreError):
    """The snapshot store has reached its limit, or the disk is full."""
