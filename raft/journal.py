"""Journal: what one member must not forget, in an LMDB environment of its own.

It keeps the log's entries, the term and the vote of that term, the commit index, the *dump* (the group state after an
entry, which stands for that entry and all before it), who this member is, and who the group's first voters were.
Changes are collected in memory and written by `sync` in one durable transaction, so dump and entries can never
disagree. Nothing that rests on a change may leave the member before `sync` has returned; that is the business of
`raft.consensus`.

Entries are `(command, index, term)`; positions in the sequence differ from indices by the index of the first entry. The
first entry is always there: it is the last one the dump covers (or the empty entry 1 of every log). The methods with
names in PySyncObj's style are the interface of its journals.

A directory that vanishes under the open journal, or is replaced, is noticed by the next `sync`, at the latest by that
of the next second, and ends the member's part: what it would acknowledge is in no file that anybody finds.

Every value carries a CRC-32, because LMDB has none; a journal that does not check out raises `JournalDamagedError`.
"""

import struct
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, overload

import lmdb
import msgpack

from actors.files import FILE_MODE, FileLock, FileLockedError, make_directory
from actors.lmdb_file import DataFileError, check_data_file
from actors.open_files import LOCK_FILE, FilesLostError, OpenFiles
from raft.errors import FormatError, JournalDamagedError, JournalError, JournalFullError, JournalLostError
from raft.membership import Voters
from raft.shapes import Count, require, shown, unpack

JOURNAL_VERSION: Final = 1
"""Version of the journal's entries."""

MAP_SIZE_BYTES: Final = 256 << 20
"""Size of the LMDB map at first; it grows by itself."""

OWNER_FILE: Final = "owner.lock"
"""Lock of the process that uses the journal."""

Entry = tuple[bytes, int, int]
"""Command, index, term."""

EMPTY_COMMAND: Final = b"\x01"
"""Command of an entry that changes nothing (PySyncObj's no-operation)."""

_TERM = struct.Struct(">Q")
_CHECK = struct.Struct(">I")
_INDEX = struct.Struct(">Q")
_FORMAT_KEY: Final = b"format"
_IDENTITY_KEY: Final = b"identity"
_VOTERS_KEY: Final = b"voters"
_VOTE_KEY: Final = b"vote"
_DUMP_KEY: Final = b"dump"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """The group state after an entry; stands for that entry and all before it."""

    index: int
    """Index of the last entry it contains."""

    term: int
    """Term of that entry."""

    state: bytes
    """The encoded state."""

    voters: Voters
    """Voting members as of that entry."""


class Journal:
    """Durable memory of one member; one process opens it at a time."""

    def __init__(self, env: lmdb.Environment, lock: FileLock, files: OpenFiles) -> None:
        self._env = env
        self._lock = lock
        self._files = files
        self._term, self._voted_for, self._commit_index = 0, "", 1
        self._dump: Dump | None = None
        self._voters: Voters = ()
        self._identity = ""
        self._entries: list[Entry] = []
        self._size_bytes = 0
        self._stored = range(1, 1)
        self._dirty_from: int | None = None
        self._dirty: set[bytes] = set()
        self._load()

    @classmethod
    def open(cls, directory: Path, *, durable: bool = True) -> Self:
        """Open the journal in a directory, creating it when missing.

        With `durable` off, a crash of the machine (not of the process) may damage it; for tests.

        Raises:
            JournalError: The directory cannot be used, or another process uses it.
            JournalDamagedError: What is in it cannot be trusted.
        """
        try:
            make_directory(directory)
            lock = FileLock.take(directory / OWNER_FILE)
        except FileLockedError as error:
            raise JournalError(f"{error}; a member's directory has one owner") from None
        except OSError as error:
            raise JournalError(f"cannot use the journal {directory}: {error}") from error
        env: lmdb.Environment | None = None
        try:
            check_data_file(directory)
            env = lmdb.open(str(directory), MAP_SIZE_BYTES, mode=FILE_MODE, max_dbs=0, sync=durable, metasync=durable)
            files = OpenFiles(directory, (LOCK_FILE, OWNER_FILE), lambda: int(env.info()["last_txnid"]))
            return cls(env, lock, files)
        except BaseException as error:
            if env is not None:
                env.close()
            lock.release()
            if isinstance(error, DataFileError | lmdb.CorruptedError | lmdb.InvalidError | lmdb.VersionMismatchError):
                raise JournalDamagedError(f"the journal {directory} is no LMDB file any more: {error}") from error
            if isinstance(error, lmdb.Error):
                raise JournalError(f"cannot open the journal {directory}: {error}") from error
            raise

    @property
    def identity(self) -> str:
        """Which incarnation of this directory it is: random, made when the directory was first used."""
        return self._identity

    @property
    def voters(self) -> Voters:
        """Voters of the group as this member joined it; empty as long as it belongs to no group."""
        return self._voters

    def form(self, voters: Voters) -> None:
        """Belong to a group from now on; durable when it returns."""
        assert voters
        assert not self._voters
        self._voters = voters
        self._dirty.add(_VOTERS_KEY)
        self.sync()

    @property
    def dump(self) -> Dump | None:
        """The newest dump, if there is one."""
        return self._dump

    @property
    def size_bytes(self) -> int:
        """Length of all commands that are kept."""
        return self._size_bytes

    @property
    def first_index(self) -> int:
        """Index of the first entry: the last one that the dump covers."""
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        """Index of the last entry."""
        return self._entries[-1][1]

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._entries[-1][2]

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry, or `None` when it is not kept."""
        position = index - self.first_index
        return self._entries[position][2] if 0 <= position < len(self._entries) else None

    def truncate(self, index: int) -> None:
        """Give up the entries from this index on. The first entry stays."""
        assert self.first_index < index
        self.deleteEntriesFrom(index - self.first_index)

    def compact(self, dump: Dump) -> None:
        """Let a dump of this member's own state stand for the entries it covers."""
        assert self.term_at(dump.index) == dump.term
        self._keep(dump, self._entries[dump.index - self.first_index + 1 :])

    def install(self, dump: Dump) -> None:
        """Take the leader's dump; entries after it stay only if they continue the same history."""
        following = self.term_at(dump.index) == dump.term
        self._keep(dump, self._entries[dump.index - self.first_index + 1 :] if following else [])
        self.setRaftCommitIndex(max(self._commit_index, dump.index))

    def needs_sync(self) -> bool:
        """Whether something that others may rely on is not durable yet."""
        return self._dirty_from is not None or bool(self._dirty)

    def sync(self) -> None:
        """Make all changes durable, in one transaction.

        Raises:
            JournalFullError: The disk is full; nothing was written, and trying again later is safe.
            JournalLostError: Its files are gone, or others; nothing that was not answered before may be relied on.
            JournalError: The journal cannot be written.
        """
        if not self.needs_sync():
            return
        try:
            self._files.check_write()
            self._write()
            self._files.note_commit()
        except FilesLostError as error:
            raise JournalLostError(f"the journal is lost: {error}; start the member anew and admit it") from None
        except lmdb.MapFullError:
            self._env.set_mapsize(self._env.info()["map_size"] * 2)
            self.sync()
        except lmdb.DiskError as error:
            raise JournalFullError(f"the journal cannot grow: {error}; free space on its disk") from error
        except lmdb.Error as error:
            raise JournalError(f"the journal cannot be written: {error}") from error

    def close(self) -> None:
        """Close the journal; changes that were not synced are lost."""
        self._env.close()
        self._lock.release()

    def add(self, command: bytes, index: int, term: int) -> None:
        """Append an entry; its index follows the last one."""
        assert index == self.last_index + 1
        assert term >= self.last_term
        self._entries.append((command, index, term))
        self._size_bytes += len(command)
        self._mark_dirty(index)

    def clear(self) -> None:
        """PySyncObj replaces its log in steps; ours is replaced as a whole by `install`."""
        raise NotImplementedError("use install")

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802 -- PySyncObj's name
        """Give up the entries from this position on."""
        assert position > 0
        self._mark_dirty(self.first_index + position)
        del self._entries[position:]
        self._count_bytes()

    def deleteEntriesTo(self, position: int) -> None:  # noqa: N802 -- PySyncObj's name
        """PySyncObj drops entries apart from its dump; ours go together with it, by `compact`."""
        raise NotImplementedError("use compact")

    @overload
    def __getitem__(self, position: int) -> Entry: ...

    @overload
    def __getitem__(self, position: slice) -> list[Entry]: ...

    def __getitem__(self, position: int | slice) -> Entry | list[Entry]:
        return self._entries[position]

    def __len__(self) -> int:
        return len(self._entries)

    def setRaftCommitIndex(self, index: int) -> None:  # noqa: N802 -- PySyncObj's name
        """Remember how far the log is committed; written along with the next `sync`, as it can be learnt again."""
        self._commit_index = index

    def getRaftCommitIndex(self) -> int:  # noqa: N802 -- PySyncObj's name
        """Return how far the log was known to be committed."""
        return self._commit_index

    def setCurrentTerm(self, term: int, voted_for: str | None) -> None:  # noqa: N802 -- PySyncObj's name
        """Remember the term, and whom this member has voted for in it."""
        assert term >= self._term
        assert term > self._term or self._voted_for in ("", voted_for)
        if (term, voted_for or "") != (self._term, self._voted_for):
            self._term, self._voted_for = term, voted_for or ""
            self._dirty.add(_VOTE_KEY)

    def getCurrentTerm(self) -> int:  # noqa: N802 -- PySyncObj's name
        """Return the highest term seen."""
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802 -- PySyncObj's name
        """Return whom this member has voted for in its term, if anybody."""
        return self._voted_for or None

    def onOneSecondTimer(self) -> None:  # noqa: N802 -- PySyncObj's name
        """Let the commit index be written with the next `sync`, so that a restart replays little."""
        self._dirty.add(_VOTE_KEY)

    def _destroy(self) -> None:
        """PySyncObj closes its journal with itself; ours is closed by who has opened it."""

    def _keep(self, dump: Dump, following: list[Entry]) -> None:
        """Let the log be a dump and what follows it."""
        self._dump = dump
        self._dirty.add(_DUMP_KEY)
        self._mark_dirty(dump.index)
        self._entries = [(EMPTY_COMMAND, dump.index, dump.term), *following]
        self._count_bytes()

    def _count_bytes(self) -> None:
        self._size_bytes = sum(len(entry[0]) for entry in self._entries)

    def _mark_dirty(self, index: int) -> None:
        """Remember that entries from this index on differ from what is stored."""
        self._dirty_from = index if self._dirty_from is None else min(self._dirty_from, index)

    def _write(self) -> None:
        """Write what has changed; repeatable until it has succeeded."""
        first, last = self.first_index, self.last_index
        dirty_from = last + 1 if self._dirty_from is None else max(first, self._dirty_from)
        with self._env.begin(write=True) as txn:
            kept = range(first, dirty_from)
            for index in (*_before(self._stored, kept.start), *_from(self._stored, kept.stop)):
                txn.delete(_entry_key(index))
            for command, index, term in self._entries[dirty_from - first :]:
                txn.put(_entry_key(index), _checked(_TERM.pack(term) + command))
            for key in self._dirty | {_VOTE_KEY}:
                txn.put(key, _checked(self._meta_value(key)))
        self._stored = range(first, last + 1)
        self._dirty_from = None
        self._dirty.clear()

    def _meta_value(self, key: bytes) -> bytes:
        """Return the bytes to store under one of the fixed keys."""
        value: Any
        if key == _VOTE_KEY:
            value = (self._term, self._voted_for, self._commit_index)
        elif key == _DUMP_KEY:
            assert self._dump is not None
            value = (self._dump.index, self._dump.term, self._dump.state, self._dump.voters)
        else:
            value = {_FORMAT_KEY: JOURNAL_VERSION, _IDENTITY_KEY: self._identity, _VOTERS_KEY: self._voters}[key]
        encoded: bytes = msgpack.packb(value, use_bin_type=True)
        return encoded

    def _load(self) -> None:
        """Read everything, or start a journal."""
        with self._env.begin() as txn, txn.cursor() as cursor:
            stored = {bytes(key): _unchecked(bytes(key), bytes(value)) for key, value in cursor}
        if not stored:
            self._start()
            return
        try:
            self._read(stored)
        except (FormatError, struct.error) as error:
            raise JournalDamagedError(f"the journal has what no journal has: {error}") from error
        self._check_complete()
        self._stored = range(self.first_index, self.last_index + 1)
        self._count_bytes()

    def _read(self, stored: Mapping[bytes, bytes]) -> None:
        """Take what is stored."""
        version = _meta_value(stored, _FORMAT_KEY, int)
        if version != JOURNAL_VERSION:
            raise JournalError(f"journal version {version} is unknown, known is {JOURNAL_VERSION}")
        self._identity = _meta_value(stored, _IDENTITY_KEY, str)
        self._voters = _meta_value(stored, _VOTERS_KEY, Voters)
        self._term, self._voted_for, self._commit_index = _meta_value(stored, _VOTE_KEY, tuple[Count, str, Count])
        if _DUMP_KEY in stored:
            index, term, state, voters = _meta_value(stored, _DUMP_KEY, tuple[Count, Count, bytes, Voters])
            self._dump = Dump(index=index, term=term, state=state, voters=voters)
        self._entries = [_entry(key, value) for key, value in sorted(stored.items()) if key[:1] == b"e"]

    def _start(self) -> None:
        self._identity = uuid.uuid4().hex
        self._entries = [(EMPTY_COMMAND, 1, 0)]
        self._count_bytes()
        self._mark_dirty(1)
        self._dirty |= {_FORMAT_KEY, _IDENTITY_KEY, _VOTERS_KEY}
        self.sync()

    def _check_complete(self) -> None:
        """Refuse a log with a hole: answering for entries that are gone would lose them for everybody."""
        first = self._dump.index if self._dump else 1
        indices = [entry[1] for entry in self._entries]
        if indices != list(range(first, first + len(indices))) or not indices or self._commit_index > indices[-1]:
            raise JournalDamagedError(f"the journal has entries {indices[:1]} to {indices[-1:]}, expected from {first}")
        terms = [entry[2] for entry in self._entries]
        if terms != sorted(terms):
            raise JournalDamagedError(f"the journal's terms are not in order: {shown(terms)}")

    def validate(self) -> None:
        """Assert every invariant."""
        self._check_complete()
        assert self._identity
        assert self._size_bytes == sum(len(entry[0]) for entry in self._entries)
        assert self._dump is None or (self._dump.index, self._dump.term) == self._entries[0][1:]
        assert self.needs_sync() or self._stored == range(self.first_index, self.last_index + 1)


def _before(indices: range, stop: int) -> range:
    return range(indices.start, min(indices.stop, stop))


def _from(indices: range, start: int) -> range:
    return range(max(indices.start, start), indices.stop)


def _entry_key(index: int) -> bytes:
    """Return the key of a log entry; keys sort like indices."""
    return b"e" + _INDEX.pack(index)


def _entry(key: bytes, value: bytes) -> Entry:
    return value[_TERM.size :], _INDEX.unpack(key[1:])[0], _TERM.unpack_from(value)[0]


def _meta_value(stored: Mapping[bytes, bytes], key: bytes, shape: Any) -> Any:
    """Return what is stored under one of the fixed keys; 0 bytes stand for a key that is missing."""
    name = key.decode()
    return require(unpack(stored.get(key, b""), name), shape, name)


def _checked(value: bytes) -> bytes:
    return _CHECK.pack(zlib.crc32(value)) + value


def _unchecked(key: bytes, value: bytes) -> bytes:
    """Return a stored value without its check sum, which must be right."""
    payload = value[_CHECK.size :]
    if _CHECK.pack(zlib.crc32(payload)) != value[: _CHECK.size]:
        raise JournalDamagedError(f"the journal's value {key!r} is damaged")
    return payload
