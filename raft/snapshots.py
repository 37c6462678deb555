"""Snapshot store: the snapshot bytes that one member holds for the group, in an LMDB environment of its own.

A snapshot arrives in *chunks*, numbered from 0, under the *digest* of the whole (`raft.digests`), or as a file of this
machine that is *adopted*. Sealing checks the digest and commits durably; only then is the snapshot held, and only then
may the member say so. A snapshot that is not sealed is never shown, and is dropped when the store is opened. Manifests,
which say what a majority holds, are in `raft.group`.

Entries: `s` + job, partition, digest -> size, chunk count (sealed snapshots); `c` + the same + chunk index -> bytes. An
adopted one has no such entries and 0 for their number: it is in the folder `files`, under the SHA-256 of job,
partition and digest.
"""

import contextlib
import errno
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import lmdb

from actors.files import FILE_MODE, make_directory
from actors.lmdb_file import DataFileError, check_data_file
from actors.open_files import LOCK_FILE, FilesLostError, OpenFiles
from raft.adopted_files import CHUNK_SIZE_BYTES_MAX, AdoptedFiles, chunk_count_of
from raft.digests import is_digest_of, new_hash
from raft.errors import SnapshotStoreError, SnapshotStoreFullError, SnapshotStoreLostError

if TYPE_CHECKING:
    Txn = lmdb.Transaction[bytes]
else:
    Txn = lmdb.Transaction

CHUNK_COUNT_MAX: Final = 1 << 16
"""Most chunks of one snapshot."""

SIZE_BYTES_MAX: Final = 16 << 30
"""Default limit of the whole store."""

_JOB_SIZE_BYTES_MAX: Final = 400
_SUFFIX = struct.Struct(">I32s")
_INDEX = struct.Struct(">I")
_SEAL = struct.Struct(">QI")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSnapshot:
    """A sealed snapshot of the store."""

    job_id: str

    partition: int

    digest: bytes
    """Digest of the bytes (`raft.digests`)."""

    size_bytes: int
    """Length of the bytes."""

    chunk_count: int
    """Number of chunks in which it is kept."""


class SnapshotStore:
    """Snapshots that one member holds. One process opens a store at a time; threads may share it."""

    def __init__(self, env: lmdb.Environment, files: OpenFiles, adopted: AdoptedFiles, size_bytes_max: int) -> None:
        self._env = env
        self._files = files
        self._adopted = adopted
        self._size_bytes_max = size_bytes_max
        self._write_lock = threading.Lock()
        self._drop_unsealed()

    @classmethod
    def open(cls, directory: Path, *, size_bytes_max: int = SIZE_BYTES_MAX) -> Self:
        """Open the store in a directory, creating it when missing; unsealed snapshots are dropped.

        Raises:
            SnapshotStoreError: The directory cannot be used.
        """
        try:
            make_directory(directory)
            check_data_file(directory)
            env = lmdb.open(str(directory), size_bytes_max, mode=FILE_MODE, max_dbs=0, metasync=True)
            files = OpenFiles(directory, (LOCK_FILE,), lambda: int(env.info()["last_txnid"]))
            return cls(env, files, AdoptedFiles(directory / "files"), size_bytes_max)
        except (OSError, lmdb.Error, DataFileError) as error:
            raise SnapshotStoreError(f"cannot open the snapshot store {directory}: {error}") from error

    def put_chunk(self, job_id: str, partition: int, digest: bytes, index: int, data: bytes) -> None:
        """Keep one chunk; a repeated chunk replaces the former. Nothing is durable before `seal`.

        Raises:
            SnapshotStoreError: The chunk's name or size is out of bounds.
            SnapshotStoreFullError: The store has reached its limit.
        """
        if not 0 <= index < CHUNK_COUNT_MAX or not 1 <= len(data) <= CHUNK_SIZE_BYTES_MAX:
            raise SnapshotStoreError(
                f"chunk {index} of {len(data)} bytes: allowed are {CHUNK_COUNT_MAX} of {CHUNK_SIZE_BYTES_MAX}"
            )
        name = _name(job_id, partition, digest)
        with self._write() as txn:
            if txn.get(b"s" + name) is None:
                txn.put(b"c" + name + _INDEX.pack(index), data)

    def seal(self, job_id: str, partition: int, digest: bytes, size_bytes: int) -> bool:
        """Whether the store holds the whole snapshot, durably from now on.

        False when chunks are missing or the bytes have another length or digest; such chunks are dropped, so that
        sending them again is enough. Sealing also drops what was begun and not finished of the same partition.

        Raises:
            SnapshotStoreLostError: The store's files are gone, or others.
            SnapshotStoreFullError: The disk is full.
        """
        name = _name(job_id, partition, digest)
        with self._write() as txn:
            if txn.get(b"s" + name) is not None:
                return True
            chunk_count, actual_bytes, is_whole = _measure(txn, name, digest)
            if actual_bytes != size_bytes or not is_whole:
                _delete_prefix(txn, b"c" + name)
                return False
            txn.put(b"s" + name, _SEAL.pack(size_bytes, chunk_count))
            _drop_unsealed(txn, name[: -len(digest)])
        self._env.sync(True)
        return True

    def adopt(self, job_id: str, partition: int, digest: bytes, size_bytes: int, path: Path) -> bool:
        """Whether the store holds the snapshot that is a file of this machine, durably from now on.

        The file is shared with whoever made it, who changes it no more and may remove it. False when it has another
        length or digest.

        Raises:
            SnapshotStoreError: There is no such file of this user.
            SnapshotStoreLostError: The store's files are gone, or others.
            SnapshotStoreFullError: The store has reached its limit, or the disk is full.
        """
        if self.holds(job_id, partition, digest):
            return True
        if self.size_bytes() + size_bytes > self._size_bytes_max:
            raise SnapshotStoreFullError(
                f"the snapshot store is full; free space or raise its limit: {size_bytes} more"
            )
        name = _name(job_id, partition, digest)
        try:
            draft = self._adopted.share(path)
            if not self._adopted.settle(draft, name, digest, size_bytes):
                return False
        except OSError as error:
            kind = SnapshotStoreFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else SnapshotStoreError
            raise kind(f"the snapshot {path} cannot be taken: {error}") from error
        with self._write() as txn:
            txn.put(b"s" + name, _SEAL.pack(size_bytes, 0))
            _drop_unsealed(txn, name[: -len(digest)])
        return True

    def holds(self, job_id: str, partition: int, digest: bytes) -> bool:
        """Whether the snapshot is sealed here."""
        with self._read() as txn:
            return txn.get(b"s" + _name(job_id, partition, digest)) is not None

    def read(self, job_id: str, partition: int, digest: bytes) -> bytes:
        """Return the bytes of a sealed snapshot.

        Raises:
            SnapshotStoreError: It is not held, or its bytes have been damaged on disk.
        """
        data = b"".join(self.read_chunks(job_id, partition, digest))
        if not is_digest_of(digest, data):
            raise SnapshotStoreError(
                f"snapshot {digest.hex()[:12]} of {job_id}/{partition} is damaged; read it elsewhere"
            )
        return data

    def read_chunks(self, job_id: str, partition: int, digest: bytes) -> Iterator[bytes]:
        """Yield the chunks of a sealed snapshot, in order; the reader checks the digest.

        Raises:
            SnapshotStoreError: It is not held.
        """
        name = _name(job_id, partition, digest)
        with self._read() as txn:
            seal = txn.get(b"s" + name)
        if seal is None:
            raise SnapshotStoreError(f"snapshot {digest.hex()[:12]} of {job_id}/{partition} is not stored here")
        _, chunk_count = _unpack(_SEAL, seal)
        if not chunk_count:
            yield from self._adopted.chunks(name)
        for index in range(chunk_count):
            yield self._chunk(name, index)

    def read_chunk(self, job_id: str, partition: int, digest: bytes, index: int) -> bytes | None:
        """Return one chunk of a sealed snapshot, `b""` after the last; `None` when it is not held."""
        name = _name(job_id, partition, digest)
        with self._env.begin() as txn:
            seal = txn.get(b"s" + name)
            if seal is None:
                return None
            if _unpack(_SEAL, bytes(seal))[1]:
                return bytes(txn.get(b"c" + name + _INDEX.pack(index)) or b"")
        return self._adopted.chunk(name, index)

    def list(self) -> tuple[HeldSnapshot, ...]:
        """Return the sealed snapshots, by job, partition and digest."""
        with self._read() as txn, txn.cursor() as cursor:
            return tuple(_held(key, bytes(cursor.value())) for key in _keys(cursor, b"s"))

    def forget(self, job_id: str, partition: int, digest: bytes) -> bool:
        """Drop a snapshot, sealed or not, and tell whether it was sealed."""
        name = _name(job_id, partition, digest)
        with self._write() as txn:
            _delete_prefix(txn, b"c" + name)
            was_sealed = bool(txn.delete(b"s" + name))
        self._adopted.remove(name)
        return was_sealed

    def size_bytes(self) -> int:
        """Return the bytes of the sealed snapshots."""
        return sum(held.size_bytes for held in self.list())

    def validate(self) -> None:
        """Assert every invariant: a sealed snapshot is whole, and its bytes are those of its digest."""
        for held in self.list():
            data = self.read(held.job_id, held.partition, held.digest)
            chunks = list(self.read_chunks(held.job_id, held.partition, held.digest))
            assert (len(data), len(chunks)) == (held.size_bytes, held.chunk_count)

    def close(self) -> None:
        """Close the store; unsealed chunks are lost."""
        self._env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chunk(self, name: bytes, index: int) -> bytes:
        """Return one chunk; it may have been forgotten since its snapshot was looked up."""
        with self._read() as txn:
            data = txn.get(b"c" + name + _INDEX.pack(index))
        if data is None:
            raise SnapshotStoreError("the snapshot was forgotten while it was being read; read the newest one")
        return bytes(data)

    @contextlib.contextmanager
    def _read(self) -> Iterator[Txn]:
        """Open a read transaction of the files that stand at the store's path."""
        with self._found():
            self._files.check_read()
            with self._env.begin() as txn:
                yield txn

    @contextlib.contextmanager
    def _found(self) -> Iterator[None]:
        try:
            yield
        except FilesLostError as error:
            raise SnapshotStoreLostError(
                f"the snapshot store is lost: {error}; start the member anew, others store its snapshots too"
            ) from None

    @contextlib.contextmanager
    def _write(self) -> Iterator[Txn]:
        """Run one write transaction, with LMDB's errors translated."""
        try:
            with self._found(), self._write_lock:
                self._files.check_write()
                with self._env.begin(write=True) as txn:
                    yield txn
                self._files.note_commit()
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise SnapshotStoreFullError(
                f"the snapshot store is full: {error}; free space or raise its limit"
            ) from error
        except lmdb.Error as error:
            raise SnapshotStoreError(f"the snapshot store failed: {error}") from error

    def _drop_unsealed(self) -> None:
        """Drop the chunks that a crash left without a seal."""
        with self._write() as txn:
            _drop_unsealed(txn, b"")
            with txn.cursor() as cursor:
                sealed = [key[1:] for key in _keys(cursor, b"s")]
        self._adopted.keep(sealed)


def _name(job_id: str, partition: int, digest: bytes) -> bytes:
    """Return the middle part of all keys of a snapshot."""
    job = job_id.encode()
    if not 1 <= len(job) <= _JOB_SIZE_BYTES_MAX or b"\0" in job or len(digest) != 32 or not 0 <= partition < 1 << 32:
        raise SnapshotStoreError(f"no snapshot can be named {job_id!r}, {partition}, {digest!r}")
    return job + b"\0" + _SUFFIX.pack(partition, digest)


def _held(key: bytes, value: bytes) -> HeldSnapshot:
    """Return the snapshot that a seal's entry describes."""
    job, suffix = key[1 : -_SUFFIX.size - 1], key[-_SUFFIX.size :]
    partition, digest = _unpack(_SUFFIX, suffix)
    size_bytes, chunk_count = _unpack(_SEAL, value)
    chunk_count = chunk_count or chunk_count_of(size_bytes)
    job_id = job.decode(errors="replace")
    return HeldSnapshot(
        job_id=job_id, partition=partition, digest=digest, size_bytes=size_bytes, chunk_count=chunk_count
    )


def _unpack(form: struct.Struct, data: bytes) -> tuple[Any, ...]:
    """Return the numbers in an entry of the store."""
    try:
        return form.unpack(data)
    except struct.error as error:
        raise SnapshotStoreError(f"the snapshot store is damaged: {error}; remove its directory") from error


def _keys(cursor: lmdb.Cursor, prefix: bytes) -> Iterator[bytes]:
    """Yield the keys that start with the prefix, with the cursor on each."""
    found = cursor.set_range(prefix)
    while found and (key := bytes(cursor.key())).startswith(prefix):
        yield key
        found = cursor.next()


def _measure(txn: Txn, name: bytes, digest: bytes) -> tuple[int, int, bool]:
    """Return number and length of the chunks up to the first that is missing, and whether the digest is theirs."""
    hashed, size_bytes, index = new_hash(digest), 0, 0
    while (chunk := txn.get(b"c" + name + _INDEX.pack(index))) is not None:
        hashed.update(chunk)
        size_bytes += len(chunk)
        index += 1
    return index, size_bytes, hashed.digest() == digest


def _drop_unsealed(txn: Txn, prefix: bytes) -> None:
    """Drop the chunks without a seal, of all snapshots whose name starts with the prefix."""
    with txn.cursor() as cursor:
        sealed = {key[1:] for key in _keys(cursor, b"s" + prefix)}
        names = {key[1 : -_INDEX.size] for key in _keys(cursor, b"c" + prefix)}
    for name in names - sealed:
        _delete_prefix(txn, b"c" + name)


def _delete_prefix(txn: Txn, prefix: bytes) -> None:
    """Delete all entries whose key starts with the prefix."""
    with txn.cursor() as cursor:
        while cursor.set_range(prefix) and bytes(cursor.key()).startswith(prefix):
            cursor.delete()
