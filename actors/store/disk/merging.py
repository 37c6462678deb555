"""Merging: several sorted sources of rows as one.

A *source* yields parts, one after the other in the asked direction; a *part* is some rows of one chunk, always in
ascending order. Merging takes the next part of each source, everything up to the point that no source can still
undercut, sorts that much at once, and goes on. A source that tells where it begins is not touched before it is needed.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from actors.store.config import OrderBy
from actors.store.disk.state import Key
from actors.store.events.columns import TICKS_MAX, TICKS_MIN, Array, Chunk, rank


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one chunk that belong to a source."""

    chunk: Chunk
    """Where the rows are."""

    rows: Array
    """Their numbers, ascending, at least one."""

    source: int = 0
    """Which source they come from, as the caller counts."""

    block: int = 0
    """Number of the block, when the chunk is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Parts in the asked direction."""

    parts: Iterator[Part]
    """The parts; read only as far as needed."""

    begins: int | None = None
    """Ticks that no row comes before (in the asked direction); `None` when that is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Rows in their final order, from one or several parts."""

    parts: Sequence[Part]
    """Parts that the rows come from."""

    which: Array | None
    """For each row the position of its part; `None` when there is one part."""

    rows: Array
    """Row numbers within the parts' chunks."""

    def picked(self, places: Array) -> "Selection":
        """Return the rows at some places of the order."""
        return Selection(self.parts, None if self.which is None else self.which[places], self.rows[places])


def key_times(chunk: Chunk, order_by: OrderBy) -> Array:
    """Return the times that order a series."""
    return chunk.time if order_by is OrderBy.TIMESTAMP else chunk.source_time


def key_at(chunk: Chunk, row: int, order_by: OrderBy) -> Key:
    """Return where a row stands in a series."""
    ticks = key_times(chunk, order_by)[row]
    return int(ticks), int(chunk.server[row]), int(chunk.session[row]), int(chunk.instance[row])


def search_time(times: Array, ticks: int, side: str) -> int:
    """Return where ticks belong among ascending times; `side` is "left" or "right" of equal ones."""
    if times.dtype != object and not TICKS_MIN <= ticks <= TICKS_MAX:
        return 0 if ticks < 0 else len(times)
    return int(np.searchsorted(times, ticks, side=side))  # type: ignore[call-overload]


def search_key(part: Part, key: Key, order_by: OrderBy, side: str) -> int:
    """Return where a key belongs among the rows of a part; `side` is "left" or "right" of the equal one."""
    times = key_times(part.chunk, order_by)[part.rows]
    low, high = search_time(times, key[0], "left"), search_time(times, key[0], "right")
    find = bisect.bisect_left if side == "left" else bisect.bisect_right
    return low + find(range(low, high), key, key=lambda at: key_at(part.chunk, int(part.rows[at]), order_by))


def merge_sources(sources: Sequence[Source], order_by: OrderBy, descending: bool) -> Iterator[Selection]:
    """Yield the rows of all sources in one order."""
    waiting = list(sources)
    # The next rows of each source that was touched, and what follows them; no part is empty.
    heads: list[tuple[Part, Iterator[Part]]] = []
    while waiting or heads:
        bound = _find_bound(heads, waiting, order_by, descending)
        due = [source for source in waiting if _is_due(source, bound, descending)]
        if due or not heads:
            due = due or [_first_of(waiting, descending)]
            waiting = [source for source in waiting if source not in due]
            heads += [(part, source.parts) for source in due if (part := next(source.parts, None)) is not None]
            continue
        if len(heads) == 1:
            part, parts = heads.pop()
            yield Selection([part], None, part.rows[::-1] if descending else part.rows)
            following = next(parts, None)
            heads = [] if following is None else [(following, parts)]
            continue
        assert bound is not None
        taken, heads = _split(heads, bound, order_by, descending)
        yield _sorted_selection(taken, order_by, descending)


def _find_bound(
    heads: Sequence[tuple[Part, Iterator[Part]]], waiting: Sequence[Source], order_by: OrderBy, descending: bool
) -> Key | None:
    """Return the key that no other source can undercut, `None` when no other source is left to do so."""
    if not heads or (len(heads) == 1 and not waiting):
        return None
    if descending:
        return max(key_at(part.chunk, int(part.rows[0]), order_by) for part, _ in heads)
    return min(key_at(part.chunk, int(part.rows[-1]), order_by) for part, _ in heads)


def _is_due(source: Source, bound: Key | None, descending: bool) -> bool:
    if source.begins is None:
        return True
    if bound is None:
        return False
    return source.begins >= bound[0] if descending else source.begins <= bound[0]


def _first_of(waiting: Sequence[Source], descending: bool) -> Source:
    begins = [source.begins or 0 for source in waiting]
    return waiting[begins.index(max(begins) if descending else min(begins))]


def _split(
    heads: Sequence[tuple[Part, Iterator[Part]]], bound: Key, order_by: OrderBy, descending: bool
) -> tuple[list[Part], list[tuple[Part, Iterator[Part]]]]:
    taken: list[Part] = []
    kept: list[tuple[Part, Iterator[Part]]] = []
    for part, parts in heads:
        at = search_key(part, bound, order_by, "left" if descending else "right")
        now, later = (part.rows[at:], part.rows[:at]) if descending else (part.rows[:at], part.rows[at:])
        if len(now):
            taken.append(Part(part.chunk, now, part.source, part.block))
        if len(later):
            kept.append((Part(part.chunk, later, part.source, part.block), parts))
        elif (following := next(parts, None)) is not None:
            kept.append((following, parts))
    return taken, kept


def _sorted_selection(taken: Sequence[Part], order_by: OrderBy, descending: bool) -> Selection:
    # For each row taken, part after part: the position of its part, its number in the part's chunk, its time.
    which = np.repeat(np.arange(len(taken)), [len(part.rows) for part in taken])
    rows = np.concatenate([part.rows for part in taken])
    times = np.concatenate([key_times(part.chunk, order_by)[part.rows] for part in taken])
    columns = (
        [np.concatenate([getattr(part.chunk, name)[part.rows] for part in taken])]
        for name in ("instance", "session", "server")
    )
    # Positions in these arrays in the final order: by time, server, session, instance (`lexsort` takes the last first).
    order = np.lexsort([*(column for (column,) in columns), rank(times)])
    if descending:
        order = order[::-1]
    return Selection(taken, which[order], rows[order])
