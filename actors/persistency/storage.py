"""Where saved state lies: a directory, any file system that the fsspec package reaches, or a zip archive in memory.

Names are relative, with `/`. A `write` replaces a whole file: afterwards, also after a crash, the file is the old or
the new one. Plain paths and `file://` need nothing but the standard library.
"""

import io
import os
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from actors.files import make_directory, replace_file
from actors.persistency.errors import PersistencyError

_FILE_SCHEME = "file://"


class Storage(Protocol):
    """A place for files."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or `None` when there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, as a whole and durably."""

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""


def open_storage(path: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Storage:
    """Return the storage at a plain path or an fsspec URI.

    Raises:
        PersistencyError: the URI needs the fsspec package, which is not installed, or has an unknown scheme.
    """
    text = os.fspath(path)
    if not text.removeprefix(_FILE_SCHEME):
        raise PersistencyError(f"the path {text!r} names no directory; give a path or a URI")
    if text.startswith(_FILE_SCHEME):
        return DirectoryStorage(Path(text.removeprefix(_FILE_SCHEME)))
    if "://" not in text:
        return DirectoryStorage(Path(text))
    try:
        fsspec = import_module("fsspec")
    except ImportError as error:
        raise PersistencyError(f"{text!r} needs the package fsspec; install it, or use a plain path") from error
    try:
        file_system, root = fsspec.url_to_fs(text, **dict(options or {}))
    except (ImportError, ValueError) as error:
        raise PersistencyError(f"{text!r} cannot be opened: {error}") from error
    return FsspecStorage(file_system, root)


class DirectoryStorage:
    """A directory of the local file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or `None` when there is none."""
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, as a whole and durably."""
        target = self._root / name
        make_directory(target.parent)
        replace_file(target, data)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        (self._root / name).unlink(missing_ok=True)


class FsspecStorage:
    """A directory of a file system of the fsspec package."""

    def __init__(self, file_system: Any, root: str) -> None:
        self._file_system = file_system
        self._root = root.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or `None` when there is none."""
        try:
            return bytes(self._file_system.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file; as durable as the file system is."""
        path = f"{self._root}/{name}"
        self._file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._file_system.pipe_file(path, data)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        path = f"{self._root}/{name}"
        if self._file_system.exists(path):
            self._file_system.rm_file(path)


class ArchiveStorage:
    """Files in memory that become a zip archive."""

    def __init__(self, archive: bytes | None = None) -> None:
        self._files: dict[str, bytes] = {}
        if archive is not None:
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                self._files = {name: opened.read(name) for name in opened.namelist()}

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or `None` when there is none."""
        return self._files.get(name)

    def write(self, name: str, data: bytes) -> None:
        """Replace a file."""
        self._files[name] = data

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        self._files.pop(name, None)

    def to_bytes(self) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in self._files.items():
                # A fixed date keeps equal state equal in bytes.
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return made.getvalue()
