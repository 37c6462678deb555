"""Files of a snapshot store: whole snapshots that were files of this machine already.

A file is shared by a hard link where that is possible, so that its bytes are neither copied nor written again; on
another disk it is copied. What it is called says nothing: the store knows which snapshot it is.
"""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from actors.files import make_directory, move_file, private_opener
from raft.digests import new_hash
from raft.errors import SnapshotStoreError

CHUNK_SIZE_BYTES_MAX: Final = 8 << 20
"""Largest chunk of a snapshot that is taken, and length of all but the last that are given."""

_READ_SIZE_BYTES: Final = 1 << 20
_BUFFER_SIZE_BYTES: Final = 1 << 18
_DRAFT: Final = "draft-"


def chunk_count_of(size_bytes: int) -> int:
    """Return in how many chunks a file is given."""
    return -(-size_bytes // CHUNK_SIZE_BYTES_MAX)


class AdoptedFiles:
    """The files of one store; `name` is what the store calls a snapshot."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def share(self, path: Path) -> Path:
        """Return a draft that has the bytes of a file.

        Raises:
            OSError: there is no such file of this user, or no space.
        """
        make_directory(self._directory)
        draft = self._directory / f"{_DRAFT}{uuid.uuid4().hex}"
        if path.lstat().st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to somebody else")
        try:
            os.link(path, draft, follow_symlinks=False)
        except OSError:
            with open(path, "rb") as source, open(draft, "xb", opener=private_opener) as target:
                shutil.copyfileobj(source, target, _READ_SIZE_BYTES)
        return draft

    def settle(self, draft: Path, name: bytes, digest: bytes, size_bytes: int) -> bool:
        """Give a draft its name, durably; `False`, and it is removed, when it has another length or digest."""
        try:
            with open(draft, "rb") as file:
                is_whole = os.fstat(file.fileno()).st_size == size_bytes and _has_digest(file.fileno(), digest)
                if is_whole:
                    os.fsync(file.fileno())
                    move_file(draft, self._path(name))
            return is_whole
        finally:
            draft.unlink(missing_ok=True)

    def chunk(self, name: bytes, index: int) -> bytes:
        """Return a chunk of a file, empty after the last.

        Raises:
            SnapshotStoreError: the file is gone.
        """
        try:
            with open(self._path(name), "rb") as file:
                return os.pread(file.fileno(), CHUNK_SIZE_BYTES_MAX, index * CHUNK_SIZE_BYTES_MAX)
        except OSError as error:
            raise SnapshotStoreError(
                f"the snapshot cannot be read ({error}); read the newest one, elsewhere"
            ) from error

    def chunks(self, name: bytes) -> Iterator[bytes]:
        """Yield the chunks of a file.

        Raises:
            SnapshotStoreError: the file is gone.
        """
        index = 0
        while data := self.chunk(name, index):
            yield data
            index += 1

    def remove(self, name: bytes) -> None:
        """Remove a file, if there is one."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._path(name).unlink()

    def keep(self, names: Collection[bytes]) -> None:
        """Remove all files but those with these names."""
        if self._directory.is_dir():
            kept = {self._path(name).name for name in names}
            for path in self._directory.iterdir():
                if path.name not in kept:
                    path.unlink()

    def _path(self, name: bytes) -> Path:
        return self._directory / hashlib.sha256(name).hexdigest()


def _has_digest(descriptor: int, digest: bytes) -> bool:
    """Return whether the bytes of a file are those of a digest."""
    # One buffer that stays in the caches of a core: fresh memory for each piece takes longer than to read it.
    hashed, offset, buffer = new_hash(digest), 0, memoryview(bytearray(_BUFFER_SIZE_BYTES))
    while count := os.preadv(descriptor, [buffer], offset):
        hashed.update(buffer[:count])
        offset += count
    return hashed.digest() == digest
