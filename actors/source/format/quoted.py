"""Where records of separated values end whose values may hold line ends, within quotes.

A record ends at the first line end outside quotes. A quote opens at the beginning of a value, and a doubled one within
quotes is one of its text. Two things end a record before its quotes close, so that one mistake costs one record and not
the rest of a file: a quote that opens elsewhere, at the end of its line; and quotes that do not close within the
largest size of a record, whose first line is a record by itself then, and bad. What is decided follows from the bytes
from the beginning of a record on, however they are cut into blocks.
"""

import numpy as np
import numpy.typing as npt

from actors.source.protocol import Offsets
from actors.source.transport.lines import RecordEnds

_LINE_END, _QUOTE = 10, 34


def quoted_record_ends(separator: str, size_bytes_max: int) -> RecordEnds:
    """Return what finds the ends of records whose values are separated by a character."""
    between = ord(separator)

    def find(content: bytes, is_all: bool) -> Offsets:
        buffer = np.frombuffer(content, dtype=np.uint8)
        line_ends = np.flatnonzero(buffer == _LINE_END)
        quotes = np.flatnonzero(buffer == _QUOTE)
        if not quotes.size:
            ends = line_ends + 1
            has_rest = is_all and len(content) > (int(ends[-1]) if ends.size else 0)
            return np.append(ends, len(content)) if has_rest else ends
        before = buffer[np.maximum(quotes - 1, 0)]
        may_open = (before == between) | (before == _LINE_END) | (before == _QUOTE) | (quotes == 0)
        return _Search(len(content), line_ends, quotes, may_open, size_bytes_max).ends(is_all)

    return find


class _Search:
    """Looks through bytes with quotes; all positions are ascending."""

    def __init__(
        self, size: int, line_ends: Offsets, quotes: Offsets, may_open: npt.NDArray[np.bool_], size_bytes_max: int
    ) -> None:
        self._size = size
        self._line_ends = line_ends
        self._quotes = quotes
        self._size_bytes_max = size_bytes_max
        # Whether a quote opens follows from how many stand before it in its record: each search begins with a parity.
        before = np.searchsorted(quotes, line_ends) % 2
        self._outside = (line_ends[before == 0], line_ends[before == 1])
        numbers = np.arange(quotes.size) % 2
        self._wrong = tuple(quotes[(numbers == parity) & ~may_open] for parity in (0, 1))

    def ends(self, is_all: bool) -> Offsets:
        """Return where records end."""
        found: list[Offsets] = []
        start = 0
        while start < self._size:
            ends, is_over = self._next_ends(start, is_all)
            found.append(ends)
            if is_over or not ends.size:
                break
            start = int(ends[-1])
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def _next_ends(self, start: int, is_all: bool) -> tuple[Offsets, bool]:
        """Return the ends of records from where one begins to the first mistake, and whether that was the last."""
        parity = int(np.searchsorted(self._quotes, start)) % 2
        outside, wrong = self._outside[parity], self._wrong[parity]
        mistake = int(np.searchsorted(wrong, start))
        stop = int(wrong[mistake]) if mistake < wrong.size else self._size
        low, high = np.searchsorted(outside, (start, stop)).tolist()
        ends = outside[low:high] + 1
        begins = np.concatenate((np.array([start]), ends))
        # Among records of several lines, the first that is too long.
        long = np.flatnonzero(np.diff(begins) > self._size_bytes_max)
        for place in long.tolist():
            first = self._line_end_after(int(begins[place]))
            if first is not None and first + 1 < int(ends[place]):
                return np.append(ends[:place], first + 1), False
        end, is_over = self._last_end(int(begins[-1]), stop, is_all)
        return (ends if end is None else np.append(ends, end)), is_over

    def _last_end(self, start: int, mistake: int, is_all: bool) -> tuple[int | None, bool]:
        """Return where a record ends that has a mistake, or whose end is not here; and whether nothing is after it."""
        first = self._line_end_after(start)
        if first is None:
            # A line without an end yet.
            return (self._size if is_all and start < self._size else None), True
        end = self._line_end_after(mistake) if mistake < self._size else None
        if end is not None and (end == first or end + 1 - start <= self._size_bytes_max):
            return end + 1, False
        quote_count = int(self._quotes.size - np.searchsorted(self._quotes, start))
        is_closed = mistake < self._size or quote_count % 2 == 0
        if end is None and is_closed and is_all and self._size - start <= self._size_bytes_max:
            # The last line has no end.
            return self._size, True
        if end is not None or is_all or self._size - start > self._size_bytes_max:
            return first + 1, False
        return None, True

    def _line_end_after(self, position: int) -> int | None:
        place = int(np.searchsorted(self._line_ends, position))
        return int(self._line_ends[place]) if place < self._line_ends.size else None
