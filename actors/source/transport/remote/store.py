"""What stores of files have in common, whatever they speak: a look, bytes from a position on, a list.

A *look* tells how long a file is and its *tag*, which is another one whenever the file is (a store's ETag, version or
generation, or else the time at which it was changed). Bytes are those of a look, or an error: so a file that is
replaced while it is read is never read half and half. All waits are bounded, and a failure of the network is tried
again some times at the same position before it is an error.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a store says of a file."""

    size_bytes: int
    tag: str
    """Empty where the store does not tell one file from another."""

    has_ranges: bool = True
    """Whether any part can be read without what is before it."""


class MovedOnError(SourceError):
    """A file is another one than at the last look, or has grown: look again."""


class RemoteMissingError(SourceError):
    """There is no such file; the message names the URL."""


class RemoteStore(Protocol):
    """Files of one kind of store; URLs begin with its name."""

    def look(self, url: str) -> Look:
        """Return what is known of a file now.

        Raises:
            RemoteMissingError: there is none.
            SourceError: the store cannot be reached, or does not give it.
        """
        ...

    def read(self, url: str, look: Look, position: int, size: int) -> tuple[bytes, Look]:
        """Return so many bytes of the file of a look, which must lie within it, and the look that they are of.

        That is another one where the file is longer by now. Whether it has only grown is for others to say.

        Raises:
            MovedOnError: it is another file by now, and not a longer one.
            SourceError: the store cannot be reached, or does not give them.
        """
        ...

    def find(self, text: str, suffixes: Sequence[str]) -> list[str]:
        """Return the URLs that a URL, a folder or a pattern stands for; of a folder those with some endings.

        Raises:
            SourceError: the store cannot be reached, or gives no list.
        """
        ...

    def close(self) -> None:
        """Close connections; a second call does nothing."""
        ...


PIECE_SIZE_BYTES = 4 << 20
"""Bytes that are asked for at once."""

_PIECE_COUNT_MAX = 8
_LOOK_COUNT_MAX = 100_000


class CachedStore:
    """A store of which pieces are kept for a while, and looks for a time that `now_s` tells; `None` keeps none.

    Looks may be old because bytes are checked to be those of their look.
    """

    def __init__(self, inner: RemoteStore, now_s: Callable[[], float] | None, look_period_s: float) -> None:
        self._inner = inner
        self._now_s = now_s
        self._period_s = look_period_s
        self._looks: OrderedDict[str, tuple[float, Look]] = OrderedDict()
        self._lists: dict[tuple[str, tuple[str, ...]], tuple[float, list[str]]] = {}
        self._pieces: OrderedDict[tuple[str, Look, int], bytes] = OrderedDict()

    def look(self, url: str) -> Look:
        """Return what is known of a file, now or a while ago."""
        if self._now_s is None:
            return self._inner.look(url)
        known = self._looks.get(url)
        if known is None or self._now_s() - known[0] >= self._period_s:
            found = self._inner.look(url)
            known = self._looks[url] = (self._now_s(), found)
            self._looks.move_to_end(url)
            while len(self._looks) > _LOOK_COUNT_MAX:
                self._looks.popitem(last=False)
        return known[1]

    def read(self, url: str, look: Look, position: int, size: int) -> tuple[bytes, Look]:
        """Return so many bytes of the file of a look, fewer at its end, and the last look that they are of."""
        parts = []
        end = min(position + size, look.size_bytes)
        while position < end:
            number = position // PIECE_SIZE_BYTES
            first = number * PIECE_SIZE_BYTES
            piece, look = self._piece(url, look, number)
            parts.append(piece[position - first : end - first])
            position = first + len(piece)
        return b"".join(parts), look

    def find(self, text: str, suffixes: Sequence[str]) -> list[str]:
        """Return what a URL, a folder or a pattern stands for, now or a while ago."""
        if self._now_s is None:
            return self._inner.find(text, suffixes)
        known = self._lists.get((text, tuple(suffixes)))
        if known is None or self._now_s() - known[0] >= self._period_s:
            found = self._inner.find(text, suffixes)
            known = self._lists[text, tuple(suffixes)] = (self._now_s(), found)
        return known[1]

    def close(self) -> None:
        """Close connections and forget what was kept."""
        self._pieces.clear()
        self._looks.clear()
        self._lists.clear()
        self._inner.close()

    def _piece(self, url: str, look: Look, number: int) -> tuple[bytes, Look]:
        piece = self._pieces.pop((url, look, number), None) if look.tag else None
        if piece is None:
            first = number * PIECE_SIZE_BYTES
            try:
                piece, now = self._inner.read(url, look, first, min(PIECE_SIZE_BYTES, look.size_bytes - first))
            except MovedOnError:
                self._looks.pop(url, None)
                raise
            if now != look:
                # It may be shorter than what is there by now.
                self._looks.pop(url, None)
                return piece, now
        self._pieces[url, look, number] = piece
        while len(self._pieces) > _PIECE_COUNT_MAX:
            self._pieces.popitem(last=False)
        return piece, look
