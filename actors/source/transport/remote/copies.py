"""Copies of files of a store for formats that want a file of this machine, in the folder for temporary files.

A copy is that of one look, made once as long as the file stays what it is. Few are kept; they go when the source
closes, and with the process.
"""

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import IO

from actors.errors import SourceError
from actors.source.transport.remote.store import Look, MovedOnError, RemoteStore

_COPY_COUNT_MAX = 2
_CHUNK_SIZE_BYTES = 4 << 20


class Copies:
    """Copies of files of a store."""

    def __init__(self, store: RemoteStore) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, Look], IO[bytes]] = OrderedDict()

    def look(self, url: str) -> Look:
        """Return what the store says of a file."""
        return self._store.look(url)

    def path(self, url: str) -> Path:
        """Return where a copy of a file is.

        Raises:
            SourceError: it cannot be read, or the copy cannot be written.
        """
        key = (url, self._store.look(url))
        copy = self._kept.pop(key, None)
        if copy is None:
            try:
                copy = self._made(*key)
            except OSError as error:
                raise SourceError(
                    f"{url}: cannot be copied to {tempfile.gettempdir()}: {error.strerror or error}"
                ) from error
        self._kept[key] = copy
        while len(self._kept) > _COPY_COUNT_MAX:
            self._kept.popitem(last=False)[1].close()
        return Path(copy.name)

    def close(self) -> None:
        """Remove the copies; a second call does nothing."""
        while self._kept:
            self._kept.popitem()[1].close()

    def _made(self, url: str, look: Look) -> IO[bytes]:
        # Its name goes when it is closed.
        copy = tempfile.NamedTemporaryFile(prefix="tocsin-", suffix=".parquet")  # noqa: SIM115
        try:
            while copy.tell() < look.size_bytes:
                data, now = self._store.read(url, look, copy.tell(), _CHUNK_SIZE_BYTES)
                if now != look:
                    raise MovedOnError(f"{url}: the file was replaced while it was read")
                copy.write(data)
            copy.flush()
        except BaseException:
            copy.close()
            raise
        return copy
