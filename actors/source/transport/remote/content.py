"""The content of a file of a store, as transports read it."""

from collections.abc import Iterator
from contextlib import contextmanager

from actors.source.transport.contents import START_SIZE_BYTES, FileContent, Stamp, packing_of, unpacked
from actors.source.transport.remote.place import RemoteUrl
from actors.source.transport.remote.store import Look, MovedOnError, RemoteStore


class RemoteContent:
    """A file of a store; within `opened` all bytes are those of one look, unless the file `has_grown` meanwhile."""

    is_packed = False

    def __init__(self, url: RemoteUrl, store: RemoteStore) -> None:
        self._url = str(url)
        self._store = store
        self._look: Look | None = None
        self._changes = 0
        self.has_grown = False

    @property
    def is_kept(self) -> bool:
        """Whether it is long enough to know that it is not compressed."""
        return self._look is not None and self._look.size_bytes >= START_SIZE_BYTES

    @property
    def is_costly(self) -> bool:
        """Whether any position is reached from the beginning only."""
        return self._look is not None and not self._look.has_ranges

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Return a context in which the content can be read."""
        look, known = self._store.look(self._url), self._look
        if known is not None and look.tag != known.tag and (look.size_bytes <= known.size_bytes or self.is_costly):
            # What has only grown is known by both ends of what was read, as a file of a machine is.
            self._changes += 1
        self._look, self.has_grown = look, False
        yield

    def read(self, size: int, position: int) -> bytes:
        """Return so many bytes from a position on."""
        assert self._look is not None
        data, look = self._store.read(self._url, self._look, position, size)
        if look != self._look:
            self._take_longer(look)
        return data

    def _take_longer(self, look: Look) -> None:
        self._look, self.has_grown = look, True

    def size(self) -> int:
        """Return the bytes there are."""
        assert self._look is not None
        return self._look.size_bytes

    def stamp(self) -> Stamp:
        """Return how often the file was another one."""
        return (self._changes,)

    def tag(self) -> str:
        """Return what the store calls this state of the file."""
        return "" if self._look is None else self._look.tag

    def close(self) -> None:
        """Do nothing: connections are those of the store."""


class RemoteWhole(RemoteContent):
    """A file of a store that does not change: any other state is another file."""

    def stamp(self) -> Stamp:
        look = self._look
        return (hash(look),) if look is not None else ()

    def _take_longer(self, look: Look) -> None:
        raise MovedOnError(f"{self._url}: the file was replaced while it was read")


def remote_content(url: RemoteUrl, store: RemoteStore) -> FileContent:
    """Return the content of a file of a store, unpacked where it is compressed.

    Raises:
        SourceError: the file cannot be read.
    """
    content = RemoteContent(url, store)
    if packing_of(content) is None:
        return content
    return unpacked(url, RemoteWhole(url, store)) or content
