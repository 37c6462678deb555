"""Transfer: a compact copy of a shard to another node, in chunks, so that an interruption anywhere changes nothing.

The sender's copy stands in `0002.outgoing-4`, closed, with the generation that it will have. Each chunk says the
SHA-256 of everything up to its end, so a receiver that was restarted, or a sender that has begun anew, is noticed at
once. The receiver appends to `0002.incoming`; when all is there, the whole is checked, also as a shard, and gets the
name `0002.generation-4`. What becomes current is decided by who opens it (`actors.shard.generations`).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from actors.files import make_directory, private_opener
from actors.lmdb_file import DATA_FILE
from actors.shard.drafts import publish_draft, remove_directory
from actors.shard.errors import ShardCopyError, ShardDamagedError, ShardMissingError, shard_errors
from actors.shard.generations import copy_directory
from actors.shard.shard import Shard

CHUNK_SIZE_BYTES = 4 << 20
"""Bytes of a chunk; the last one of a copy has fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardChunk:
    """A piece of a copy."""

    offset: int
    """Place of its first byte in the copy."""

    data: bytes

    digest: bytes
    """SHA-256 of all bytes of the copy up to the end of this chunk."""

    size_bytes: int
    """Length of the whole copy."""


class RunningDigest:
    """SHA-256 of the beginning of a file that only grows; going on where it was costs no second look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._offset = 0

    def advance(self, offset: int, data: bytes = b"") -> bytes:
        """Return the digest of the first `offset` bytes of the file with `data` after them, and be there."""
        if offset < self._offset:
            self._hash, self._offset = hashlib.sha256(), 0
        if offset > self._offset:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                while self._offset < offset and (piece := file.read(min(1 << 20, offset - self._offset))):
                    self._hash.update(piece)
                    self._offset += len(piece)
        self._hash.update(data)
        self._offset += len(data)
        return self._hash.digest()


class OutgoingCopy:
    """A copy that is being sent; a restarted process finds it by its directory."""

    def __init__(self, directory: Path, generation: int) -> None:
        self.directory = directory.with_name(f"{directory.name}.outgoing-{generation}")
        self._path = self.directory / DATA_FILE
        self._digest = RunningDigest(self._path)
        self.generation = generation

    def make(self, shard: Shard) -> int:
        """Copy the last commit of a shard, instead of any copy of before, and return its length in bytes.

        Raises:
            ShardError: it cannot be copied, or the disk is full.
        """
        with shard_errors(self.directory):
            remove_directory(self.directory)
            shard.copy_to(self.directory, self.generation)
            self._digest = RunningDigest(self._path)
            return self._path.stat().st_size

    def read_chunk(self, offset: int) -> ShardChunk:
        """Return the chunk that begins at an offset; an empty one at the end.

        Raises:
            ShardMissingError: there is no such copy any more; begin it anew.
        """
        with shard_errors(self.directory):
            if not self._path.exists():
                raise ShardMissingError(f"there is no copy {self.directory.name} to send; begin it anew")
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(offset)
                data = file.read(CHUNK_SIZE_BYTES)
            digest = self._digest.advance(min(offset, size), data)
            return ShardChunk(offset=offset, data=data, digest=digest, size_bytes=size)

    def remove(self) -> None:
        """Give the copy up."""
        remove_directory(self.directory)


class IncomingCopy:
    """A copy that is being received; a restarted process goes on with what is there."""

    def __init__(self, directory: Path, generation: int) -> None:
        self._incoming = directory.with_name(f"{directory.name}.incoming")
        self._path = self._incoming / DATA_FILE
        self._target = copy_directory(directory, generation)
        self.generation = generation
        self._digest = RunningDigest(self._path)

    def receive(self, offset: int, data: bytes, digest: bytes) -> int:
        """Take a chunk, and return the offset of the one that is needed next; one at offset 0 begins anew.

        Raises:
            ShardCopyError: what is here with this chunk is not what the sender has; all of it was dropped.
            ShardFullError: the disk is full; what was received before stays.
        """
        with shard_errors(self._incoming):
            if offset == 0:
                remove_directory(self._incoming)
                make_directory(self._incoming)
            size = self._path.stat().st_size if self._path.exists() else 0
            if offset != size:
                return size
            if self._digest.advance(offset, data) != digest:
                self._drop()
                raise ShardCopyError(
                    f"chunk {offset} of {self._target.name} does not continue what was received; send it from 0 on"
                )
            try:
                with open(self._path, "ab", opener=private_opener) as file:
                    file.write(data)
            except OSError:
                os.truncate(self._path, size)
                raise
            return size + len(data)

    def finish(self, size_bytes: int, digest: bytes, identifier: str) -> None:
        """Check the whole copy and let it stand beside the current one, durably; once more changes nothing.

        Raises:
            ShardCopyError: it is not all there, or not what the sender has, or no such shard; it was dropped.
        """
        with shard_errors(self._incoming):
            if not self._path.exists() and (self._target / DATA_FILE).exists():
                return
            problem = self._problem(size_bytes, digest, identifier)
            if problem:
                self._drop()
                raise ShardCopyError(f"copy {self._target.name} {problem}; send it from 0 on")
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
            remove_directory(self._target)
            publish_draft(self._incoming, self._target)

    def _problem(self, size_bytes: int, digest: bytes, identifier: str) -> str:
        size = self._path.stat().st_size if self._path.exists() else 0
        if size != size_bytes:
            return f"has {size} bytes and not {size_bytes}"
        # From the disk, since what was taken in may not be what is there after a restart.
        if RunningDigest(self._path).advance(size) != digest:
            return "has another digest than its sender's"
        try:
            with Shard.open(self._incoming, identifier=identifier, read_only=True) as copy:
                generation = copy.generation
        except ShardDamagedError as error:
            return str(error)
        return "" if generation == self.generation else f"says that it has generation {generation}"

    def _drop(self) -> None:
        remove_directory(self._incoming)
        self._digest = RunningDigest(self._path)
