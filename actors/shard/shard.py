"""The shard: one LMDB environment in a directory, with one owner and one writer.

Reads run in any thread. Writes run one after the other; a write is an *action*, a function of the transaction, which is
called again after the map has grown, so it must give the same result when repeated. A write that raises changes
nothing, unless the files are lost (`actors.open_files`): then nothing more is read or written until the shard is opened
again. Growth doubles the map up to `map_size_bytes_max`; the file itself only takes what is used.
"""

import mmap
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import lmdb
import msgpack

from actors.files import FILE_MODE, FileLock, make_directory, private_opener, sync_directory
from actors.lmdb_file import DATA_FILE, check_data_file
from actors.open_files import LOCK_FILE, FilesLostError, OpenFiles
from actors.shard.drafts import new_draft, publish_draft
from actors.shard.errors import (
    DISK_ERRORS,
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
    shard_errors,
)
from actors.shard.gate import ReaderGate
from actors.shard.ownership import OWNER_FILE, take_ownership
from actors.shard.reading import ReadTxn

if TYPE_CHECKING:
    Txn = lmdb.Transaction[bytes]
else:
    Txn = lmdb.Transaction

Table = lmdb._Database
"""Handle of a table."""

T = TypeVar("T")

FORMAT_VERSION = 1
"""Version of a shard's layout; another one is refused."""

META_TABLE = "meta"
"""Table of the shard itself: `format`, `identifier`, `generation`, and `checksum`, that of the three."""

_FORMAT, _IDENTIFIER, _GENERATION, _CHECKSUM = b"format", b"identifier", b"generation", b"checksum"

FIRST_GENERATION = 1
"""Generation of a shard that says nothing of it."""

MIB = 1 << 20
"""Bytes in one mebibyte."""

ADDRESS_BYTES_MAX = 1 << 46
"""Largest map that a process has addresses for."""

READER_WAIT_S_MAX = 30.0
"""Seconds that growth waits for the readers of this process."""

READER_TIMEOUT_S = 60.0
"""Seconds that a read may stay open while others write, unless a shard is opened with another limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStat:
    """What a shard takes, measured at one moment."""

    file_size_bytes: int
    """Size of the data file."""

    used_size_bytes: int
    """Bytes up to the last page ever used; freed pages below it are reused."""

    map_size_bytes: int
    """Size up to which the shard can grow without resizing the map."""

    map_size_bytes_max: int
    """Size that the map never exceeds."""

    reader_count: int
    """Read transactions of this process that are open."""

    oldest_read_s: float
    """Seconds that the oldest of them has been open; the file grows while it keeps old pages from being used again."""

    transaction_id: int
    """Number of the last committed write transaction."""

    entry_counts: dict[str, int]
    """Entries of each table opened so far."""


class Shard:
    """One LMDB environment; made by `open`, usable from any thread, closed by `close` or as a context manager."""

    def __init__(
        self,
        directory: Path,
        env: lmdb.Environment,
        ownership: FileLock | None,
        size_max: int,
        reader_timeout_s: float | None = READER_TIMEOUT_S,
    ) -> None:
        self._directory = directory
        self._env = env
        self._ownership = ownership
        self._map_size_bytes_max = size_max
        self._gate = ReaderGate(reader_timeout_s)
        self._write_lock = threading.Lock()
        self._writing_thread: int | None = None
        self._tables: dict[str, Table] = {}
        self._closed = False
        self._meta: dict[bytes, bytes | None] = {}
        names = (LOCK_FILE,) if ownership is None else (LOCK_FILE, OWNER_FILE)
        self._files = OpenFiles(directory, names, lambda: int(env.info()["last_txnid"]))

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        identifier: str | None = None,
        map_size_bytes: int = 256 * MIB,
        map_size_bytes_max: int = 1 << 40,
        table_count_max: int = 64,
        tables: Sequence[str] = (),
        read_only: bool = False,
        reader_timeout_s: float | None = READER_TIMEOUT_S,
    ) -> "Shard":
        """Open the shard of a directory and create it when there is none.

        `identifier` is stored when the shard has none, compared otherwise, and ignored when `None`; `tables` are made
        in the same transaction. With `read_only` nothing is created, no ownership is taken, and the owner may be
        another living process. A read of this process that has been open for more than `reader_timeout_s` seconds is
        ended by the next write.

        Raises:
            ShardOwnedError: the shard is open already.
            ShardMissingError: `read_only` and there is no shard.
            ShardFormatError: the files are not a shard of this version, or are damaged.
            ShardIdentifierError: the shard carries another identifier.
            ShardError: the directory cannot be used.
        """
        directory = Path(directory)
        size = min(map_size_bytes, map_size_bytes_max)
        if not 0 < size <= ADDRESS_BYTES_MAX:
            raise ShardError(f"the map would have {size} bytes; give map_size_bytes from 1 to {ADDRESS_BYTES_MAX}")
        with ExitStack() as undo, shard_errors(directory):
            ownership = None
            if not read_only:
                make_directory(directory)
                ownership = take_ownership(directory)
                undo.callback(ownership.release)
            elif not (directory / DATA_FILE).exists():
                raise ShardMissingError(
                    f"there is no shard in {directory}; check the path, or open it for writing first"
                )
            env = _open_environment(directory, size, table_count_max, read_only)
            undo.callback(env.close)
            shard = cls(directory, env, ownership, map_size_bytes_max, reader_timeout_s)
            undo.pop_all()
        try:
            if read_only:
                shard._read_meta(identifier)
            else:
                shard._take_over(identifier, tables)
        except BaseException:
            shard.close()
            raise
        return shard

    @property
    def directory(self) -> Path:
        """Directory of the shard's files."""
        return self._directory

    @property
    def is_read_only(self) -> bool:
        """Whether the shard was opened without ownership."""
        return self._ownership is None

    @property
    def generation(self) -> int:
        """Which copy it is: of two copies of one shard the one with the higher number is the current one."""
        stored = self._decode_meta(self._meta[_GENERATION])
        return FIRST_GENERATION if stored is None else int(stored)

    def set_generation(self, generation: int) -> None:
        """Be another copy from now on; for shards that nobody uses yet."""
        meta, wanted = self.table(META_TABLE), {**self._meta, _GENERATION: _pack(generation)}
        self._meta = self.write(lambda txn: _put_meta(txn, meta, self._meta, wanted))

    def table(self, name: str) -> Table:
        """Return the handle of a table, created when missing; open tables before the write that uses them.

        Raises:
            ShardMissingError: the shard is read only and has no such table.
        """
        self._check_open()
        handle = self._tables.get(name)
        if handle is None:
            handle = self._find_table(name) if self.is_read_only else self._create_table(name)
            self._tables[name] = handle
        return handle

    @contextmanager
    def read(self) -> Iterator[Txn]:
        """Open a read transaction: a view of the last commit that no later write changes.

        Raises:
            ShardLostError: the data file is gone, or another one.
            ShardReadExpiredError: from any call of the transaction, when it has been open for too long.
        """
        self._check_open()
        while True:
            with self._gate.reading() as passage:
                # Closed while this read waited at the gate.
                self._check_open()
                self._look(self._files.check_read)
                try:
                    txn = self._env.begin()
                except lmdb.MapResizedError:
                    txn = None
                except lmdb.ReadersFullError as error:
                    raise ShardBusyError(
                        f"shard {self._directory} has no free reader slot; end some reads first"
                    ) from error
                if txn is not None:
                    passage.read = read = ReadTxn(txn, time.monotonic())
                    try:
                        yield cast(Txn, read)
                    finally:
                        read.end()
                    return
            self._resize(0)

    def write(self, action: Callable[[Txn], T]) -> T:
        """Run an action in one write transaction, make it durable and return its result.

        The action runs again after the map has grown, so it must be repeatable. When it raises, nothing changes.

        Raises:
            ShardLostError: the files are gone, or others; what the action wrote does not count.
            ShardFullError: the map may not grow further, or the disk is full; nothing changed.
            ShardBusyError: the map must grow while a read of this process stays open; nothing changed.
        """
        self._check_open()
        if self.is_read_only:
            raise ShardError(f"shard {self._directory} is open for reading; open it without read_only to write")
        if self._writing_thread == threading.get_ident():
            raise ShardError("a write inside a write; use the transaction that the action was given")
        with self._write_lock:
            self._check_open()
            self._writing_thread = threading.get_ident()
            try:
                self._look(self._files.check_write)
                result = self._write_until_it_fits(action)
                self._look(self._files.note_commit)
                return result
            finally:
                self._writing_thread = None

    def copy_to(self, directory: Path, generation: int | None = None) -> None:
        """Write a compact copy of the last commit into a new or empty directory, while reads and writes go on.

        With a `generation` the copy gets it, and its directory appears as a whole: it is made beside, as `.draft`.

        Raises:
            ShardLostError: the files are gone, or others.
            ShardError: the directory holds files already, or cannot be used.
            ShardFullError: the disk is full; the incomplete copy is removed.
        """
        self._check_open()
        directory = Path(directory)
        with shard_errors(directory):
            make_directory(directory)
            if any(directory.iterdir()):
                raise ShardError(f"{directory} is not empty; give a new directory for the copy")
            if generation is not None:
                draft = new_draft(directory)
                self.copy_to(draft)
                with Shard.open(draft) as copy:
                    copy.set_generation(generation)
                publish_draft(draft, directory)
                return
        try:
            self._copy_environment(directory / DATA_FILE)
        except (lmdb.Error, OSError) as error:
            (directory / DATA_FILE).unlink(missing_ok=True)
            raise ShardFullError(f"the copy to {directory} failed: {error}; free some space and repeat it") from error
        sync_directory(directory)

    def _copy_environment(self, path: Path) -> None:
        while True:
            try:
                with self._gate.reading(), open(path, "wb", opener=private_opener) as file:
                    self._look(self._files.check_read)
                    self._env.copyfd(file.fileno(), compact=True)
                    os.fsync(file.fileno())
                    self._look(self._files.check_read)
                return
            except lmdb.MapResizedError:
                # The owner, another process, has made the map larger.
                self._resize(0)

    def table_names(self) -> list[str]:
        """Return the names of all tables, sorted."""
        with self.read() as txn, txn.cursor() as cursor:
            return [bytes(key).decode() for key in cursor.iternext(values=False)]

    def reading_processes(self) -> dict[int, int]:
        """Return the processes that have read the shard and have it open, with the number of their reader slots.

        Slots of processes that have died are freed, so that the pages that they held are used again.
        """
        self._check_open()
        self._env.reader_check()
        found: dict[int, int] = {}
        for line in self._env.readers().splitlines():
            words = line.split()
            if words and words[0].isdigit():
                found[int(words[0])] = found.get(int(words[0]), 0) + 1
        return found

    def stat(self) -> ShardStat:
        """Measure the shard."""
        tables = dict(self._tables)
        with self.read() as txn:
            counts = {name: txn.stat(handle)["entries"] for name, handle in tables.items()}
            page_size = txn.stat()["psize"]
        info = self._env.info()
        return ShardStat(
            file_size_bytes=(self._directory / DATA_FILE).stat().st_size,
            used_size_bytes=(info["last_pgno"] + 1) * page_size,
            map_size_bytes=info["map_size"],
            map_size_bytes_max=self._map_size_bytes_max,
            reader_count=self._gate.reader_count,
            oldest_read_s=self._gate.oldest_read_s,
            transaction_id=info["last_txnid"],
            entry_counts=counts,
        )

    def close(self) -> None:
        """Close the environment and give up ownership, after the writes and reads that are under way.

        Raises:
            ShardBusyError: a read of this process stays open.
        """
        with self._write_lock:
            if self._closed:
                return
            with self._gate.shut(READER_WAIT_S_MAX):
                self._env.close()
                self._note_closed()

    def _note_closed(self) -> None:
        self._closed = True
        if self._ownership is not None:
            self._ownership.release()

    def validate(self) -> None:
        """Assert that what is closed has no reader and no owner, and that tables that were opened are there."""
        self._gate.validate()
        if self._closed:
            assert not self._gate.reader_count, f"{self} has {self._gate.reader_count} readers"
            assert self._ownership is None or not self._ownership.is_held, f"{self} is owned"
        else:
            assert self._ownership is None or self._ownership.is_held, f"{self} is not owned"
            assert self._tables.keys() <= {*self.table_names()}, self._tables.keys()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read only" if self.is_read_only else "owned"
        return f"Shard({str(self._directory)!r}, {state})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write_until_it_fits(self, action: Callable[[Txn], T]) -> T:
        self._gate.expire()
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    return action(txn)
            except lmdb.MapFullError:
                self._grow()
            except lmdb.MapResizedError:
                self._resize(0)
            except lmdb.Error as error:
                if isinstance(error, lmdb.MemoryError):
                    fault = f"there is no memory for a write to {self._directory}"
                elif isinstance(error, lmdb.DiskError) or error.code in DISK_ERRORS:
                    fault = f"the disk of {self._directory} is full or fails"
                else:
                    raise
                raise ShardFullError(f"{fault}: {error}; free some space, nothing was changed") from error

    def _grow(self) -> None:
        # Readers that were killed would keep freed pages from being used again, for ever.
        self._env.reader_check()
        size = self._env.info()["map_size"]
        if size >= self._map_size_bytes_max:
            raise ShardFullError(
                f"shard {self._directory} fills its map of {size} bytes, the most that map_size_bytes_max allows;"
                " raise it or keep less; nothing was changed"
            )
        self._resize(min(size * 2, self._map_size_bytes_max))

    def _resize(self, size_bytes: int) -> None:
        with self._gate.shut(READER_WAIT_S_MAX):
            self._check_open()
            if size_bytes:
                self._check_addresses(size_bytes - self._env.info()["map_size"])
            try:
                self._env.set_mapsize(size_bytes)
            except lmdb.Error as error:
                # LMDB has closed the environment.
                self._note_closed()
                raise ShardError(f"the map of shard {self._directory} cannot grow: {error}; open it again") from error

    def _check_addresses(self, size_bytes: int) -> None:
        """Refuse growth for which this process has no addresses left: LMDB would try, and close the environment."""
        try:
            mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ).close()
        except (OSError, ValueError) as error:
            raise ShardFullError(
                f"the map of shard {self._directory} cannot grow by {size_bytes} bytes: {error}; raise the limit of "
                "this process (`ulimit -v`) or keep less; nothing was changed"
            ) from error

    def _create_table(self, name: str) -> Table:
        if self._writing_thread == threading.get_ident():
            raise ShardError(f"table {name!r} is opened inside a write; call `table` before `write`")
        return self.write(lambda txn: self._env.open_db(name.encode(), txn=txn))

    def _find_table(self, name: str) -> Table:
        try:
            with self._gate.reading():
                return self._env.open_db(name.encode(), create=False)
        except lmdb.NotFoundError:
            raise ShardMissingError(f"shard {self._directory} has no table {name!r}; its owner creates it") from None

    def _read_meta(self, identifier: str | None) -> None:
        try:
            meta = self.table(META_TABLE)
        except ShardMissingError:
            raise ShardFormatError(f"{self._directory} has an LMDB file that is no shard; check the path") from None
        with self.read() as txn:
            self._meta = self._checked_meta(txn, meta, identifier)

    def _take_over(self, identifier: str | None, tables: Sequence[str]) -> None:
        """Check what the shard says of itself and complete it, and make tables, in one transaction."""

        def action(txn: Txn) -> tuple[dict[str, Table], dict[bytes, bytes | None]]:
            names = dict.fromkeys((META_TABLE, *tables))
            opened = {name: self._env.open_db(name.encode(), txn=txn) for name in names}
            known = self._checked_meta(txn, opened[META_TABLE], identifier)
            name = known[_IDENTIFIER] if identifier is None else _pack(identifier)
            wanted = {**known, _FORMAT: _pack(FORMAT_VERSION), _IDENTIFIER: name}
            return opened, _put_meta(txn, opened[META_TABLE], known, wanted)

        opened, self._meta = self.write(action)
        self._tables |= opened

    def _checked_meta(self, txn: Txn, meta: Table, identifier: str | None) -> dict[bytes, bytes | None]:
        known = {name: txn.get(name, db=meta) for name in (_FORMAT, _IDENTIFIER, _GENERATION, _CHECKSUM)}
        version, stored = (self._decode_meta(known[name]) for name in (_FORMAT, _IDENTIFIER))
        if version not in (None, FORMAT_VERSION):
            raise ShardFormatError(
                f"shard {self._directory} has format {version}, this program reads {FORMAT_VERSION}; use a matching one"
            )
        # Shards of earlier programs have no checksum, and no generation.
        if known[_CHECKSUM] != _meta_checksum(known) and (known[_CHECKSUM] or known[_GENERATION]):
            raise ShardDamagedError(
                f"what shard {self._directory} says of itself does not fit its checksum; restore it from a copy"
            )
        if identifier is not None and stored not in (None, identifier):
            raise ShardIdentifierError(
                f"shard {self._directory} belongs to {stored!r}, not to {identifier!r}; check the path"
            )
        return known

    def _decode_meta(self, value: bytes | None) -> Any:
        try:
            return None if value is None else msgpack.unpackb(value)
        except (ValueError, msgpack.UnpackException) as error:
            raise ShardDamagedError(
                f"what shard {self._directory} says of itself cannot be read: {error}; restore it from a copy"
            ) from error

    def check_files(self) -> None:
        """Look whether the data file is still the one that is open, which every read and write does by itself.

        Raises:
            ShardLostError: it is not.
        """
        with self._gate.reading():
            self._check_open()
            self._look(self._files.check_read)

    def raise_if_lost(self) -> None:
        """Tell what was found before, without a look.

        Raises:
            ShardLostError: the files were found to be lost.
        """
        if self._files.loss:
            self._look(self._files.check_read)

    def _look(self, check: Callable[[], None]) -> None:
        try:
            check()
        except FilesLostError as error:
            raise ShardLostError(
                f"shard {self._directory} is lost: {error}; open it again, or restore it from a copy"
            ) from None

    def _check_open(self) -> None:
        if self._closed:
            raise ShardClosedError(f"shard {self._directory} has been closed; open it again")


def _open_environment(directory: Path, size_bytes: int, table_count_max: int, read_only: bool) -> lmdb.Environment:
    check_data_file(directory)
    try:
        return lmdb.open(
            str(directory),
            map_size=size_bytes,
            max_dbs=table_count_max,
            readonly=read_only,
            create=not read_only,
            mode=FILE_MODE,
            # Sorted scans of a part of the file gain nothing from reading ahead of the rest.
            readahead=False,
            meminit=False,
        )
    except (lmdb.InvalidError, lmdb.CorruptedError) as error:
        raise ShardDamagedError(f"{directory / DATA_FILE} is no shard: {error}; restore it from a copy") from error
    except lmdb.VersionMismatchError as error:
        raise ShardFormatError(f"{directory / DATA_FILE} is of another LMDB: {error}; use a matching one") from error
    except lmdb.Error as error:
        if "already open" in str(error):
            raise ShardOwnedError(
                f"shard {directory} is already open in this process (pid {os.getpid()}); use the open one"
            ) from error
        raise ShardError(f"shard {directory} cannot be opened: {error}; check the path and its rights") from error


def _pack(value: Any) -> bytes:
    return bytes(msgpack.packb(value))


def _put_meta(
    txn: Txn, table: Table, known: Mapping[bytes, bytes | None], wanted: dict[bytes, bytes | None]
) -> dict[bytes, bytes | None]:
    """Write what a shard says of itself where it changes, and return the whole of it."""
    whole = {**wanted, _CHECKSUM: _meta_checksum(wanted)}
    for key, value in whole.items():
        if value is not None and value != known[key]:
            txn.put(key, value, db=table)
    return whole


def _meta_checksum(meta: Mapping[bytes, bytes | None]) -> bytes:
    return _pack(zlib.crc32(b"".join(meta[name] or b"" for name in (_FORMAT, _IDENTIFIER, _GENERATION))))
