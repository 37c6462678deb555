"""Files of UTF-16 as UTF-8: decoded as they are read, from the beginning on, as long as positions only grow.

Positions count bytes of UTF-8. What is no UTF-16 becomes bytes that are no UTF-8, so that the line with it is a dead
letter as any other. Whether what was decoded is still there is seen by both ends of it.
"""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager

from actors.errors import SourceError
from actors.source.transport.contents import FileContent, Stamp
from actors.source.transport.remote.place import FilePlace

_INPUT_SIZE_BYTES = 1 << 16
_END_SIZE_BYTES = 256
_NO_TEXT = b"\xff"
"""What no UTF-8 holds."""


class WideContent:
    """A file of two bytes or four a character, as UTF-8; `inner` is the file as it is, or unpacked.

    Half a character at the end of one that `is_complete` is no UTF-16 either.
    """

    is_kept = is_costly = True

    def __init__(self, path: FilePlace, inner: FileContent, encoding: str, *, is_complete: bool) -> None:
        self._is_complete = is_complete
        self._path = path
        self._inner = inner
        self._encoding = codecs.lookup(encoding).name
        self._changes = 0
        self._stamp: Stamp = ()
        self.is_packed = inner.is_packed
        self._start()

    def _start(self) -> None:
        self._decoder = codecs.getincrementaldecoder(self._encoding)("surrogatepass")
        self._head = self._tail = b""
        self._input_position = self._position = 0
        self._output = bytearray()
        self._is_over = False

    @property
    def has_grown(self) -> bool:
        """Whether it was found longer since it was opened."""
        return self._inner.has_grown

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Return a context in which the content can be read."""
        with self._inner.opened():
            if self._inner.stamp() != self._stamp or not self._is_same():
                self._start()
                self._changes += 1
                self._stamp = self._inner.stamp()
            yield

    def size(self) -> int | None:
        """Return nothing: how long it is shows when it is decoded."""
        return None

    def stamp(self) -> Stamp:
        """Return what stays the same as long as the file does."""
        return (*self._inner.stamp(), self._changes)

    def tag(self) -> str:
        """Return nothing: where it is read on shows in what was decoded before."""
        return ""

    def close(self) -> None:
        """Close the file, if it is held."""
        self._inner.close()

    def read(self, size: int, position: int) -> bytes:
        """Return so many bytes of UTF-8 from a position on."""
        if position < self._position:
            self._start()
        while len(self._output) < position - self._position + size and self._decode_more():
            self._drop(position)
        self._drop(position)
        first = position - self._position
        return bytes(self._output[first : first + size])

    def _drop(self, position: int) -> None:
        count = min(position - self._position, len(self._output))
        del self._output[:count]
        self._position += count

    def _decode_more(self) -> bool:
        """Decode what comes next; return whether there was any."""
        data = self._inner.read(_INPUT_SIZE_BYTES, self._input_position)
        if not self._input_position:
            self._check_mark(data)
        self._input_position += len(data)
        self._head += data[: _END_SIZE_BYTES - len(self._head)]
        self._tail = (self._tail + data)[-_END_SIZE_BYTES:]
        self._output += self._decoder.decode(data).encode("utf-8", "surrogatepass")
        if not data and self._is_complete and not self._is_over:
            self._is_over = True
            self._output += _NO_TEXT * bool(self._decoder.getstate()[0])
        return bool(data)

    def _check_mark(self, start: bytes) -> None:
        if (
            self._encoding == "utf-16"
            and len(start) > 1
            and start[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        ):
            raise SourceError(
                f"{self._path}: the file does not begin with a mark that says which UTF-16 it is; give `encoding: "
                "utf-16-le`, or utf-16-be"
            )

    def _is_same(self) -> bool:
        head, tail = self._head, self._tail
        start = self._input_position - len(tail)
        return self._inner.read(len(head), 0) == head and self._inner.read(len(tail), start) == tail
