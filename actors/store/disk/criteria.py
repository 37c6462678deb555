"""Criteria: what a query asks of single rows, applied to whole chunks at once.

Everything here is decided by columns; what needs the payload is decided row by row in `actors.store.query.queries`.
"""

from dataclasses import dataclass, replace

import numpy as np

from actors.store.config import OrderBy
from actors.store.disk.blocks import Block
from actors.store.disk.state import Gap, Key, Position
from actors.store.events.columns import Array, Chunk
from actors.store.events.event import EventId


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Criteria:
    """What rows must be like; `None` means that nothing is asked."""

    order_by: OrderBy = OrderBy.TIMESTAMP
    """Time that orders the series."""

    descending: bool = False
    """Whether the newest come first."""

    types: Array | None = None
    """For each type number whether it is wanted."""

    time_from: int | None = None
    """Smallest timestamp, ticks."""

    time_to: int | None = None
    """Greatest timestamp, ticks."""

    source_from: int | None = None
    """Smallest source timestamp, ticks; rows without one are left out."""

    source_to: int | None = None
    """Greatest source timestamp, ticks; rows without one are left out."""

    ids: frozenset[EventId] | None = None
    """Ids that are wanted."""

    after: Key | None = None
    """Key that rows come after, in the asked direction."""

    gaps: tuple[Gap, ...] = ()
    """Times that the series lacks."""

    server: int | None = None
    """Server that is wanted."""

    needs_source: bool = False
    """Whether rows without source timestamp are left out."""

    def narrowed(self) -> "Criteria":
        """Return criteria whose range on the ordering time begins at `after`, so that earlier blocks are not read."""
        if self.after is None:
            return self
        ticks = self.after[0]
        name = "time" if self.order_by is OrderBy.TIMESTAMP else "source"
        low, high = getattr(self, f"{name}_from"), getattr(self, f"{name}_to")
        if self.descending:
            high = ticks if high is None else min(high, ticks)
        else:
            low = ticks if low is None else max(low, ticks)
        return replace(self, **{f"{name}_from": low, f"{name}_to": high})

    def excludes_block(self, block: Block) -> bool:
        """Return whether the ranges of a block show that none of its rows is wanted."""
        if self.time_from is not None and block.time_max < self.time_from:
            return True
        if self.time_to is not None and block.time_min > self.time_to:
            return True
        if self.source_from is None and self.source_to is None and not self.needs_source:
            return False
        if not block.source_count:
            return True
        if self.source_from is not None and block.source_max < self.source_from:
            return True
        return self.source_to is not None and block.source_min > self.source_to


def matching_rows(chunk: Chunk, mask: Array | None, criteria: Criteria) -> Array:
    """Return the numbers of the rows that match; `mask` tells which types do, when that is known."""
    if mask is None and criteria.types is not None:
        mask = criteria.types[chunk.type_id]
    rows = np.arange(len(chunk.type_id)) if mask is None else np.flatnonzero(mask)
    if isinstance(chunk, Block):
        criteria = _still_open(criteria, chunk)
    if criteria.server is not None:
        rows = rows[chunk.server[rows] == criteria.server]
    if criteria.time_from is not None:
        rows = rows[chunk.time[rows] >= criteria.time_from]
    if criteria.time_to is not None:
        rows = rows[chunk.time[rows] <= criteria.time_to]
    if criteria.needs_source or criteria.source_from is not None or criteria.source_to is not None:
        rows = rows[chunk.has_source[rows]]
    if criteria.source_from is not None:
        rows = rows[chunk.source_time[rows] >= criteria.source_from]
    if criteria.source_to is not None:
        rows = rows[chunk.source_time[rows] <= criteria.source_to]
    if criteria.ids is not None:
        rows = _rows_with_ids(chunk, rows, criteria.ids)
    if criteria.after is not None:
        rows = _rows_after_key(chunk, rows, criteria, criteria.after)
    for gap in criteria.gaps:
        if not (isinstance(chunk, Block) and _is_before(chunk, gap, criteria.order_by)):
            rows = _rows_outside(chunk, rows, gap)
    return rows


def _still_open(criteria: Criteria, block: Block) -> Criteria:
    """Return criteria without what the ranges of a block answer for all its rows."""
    if criteria.time_from is not None and block.time_min >= criteria.time_from:
        criteria = replace(criteria, time_from=None)
    if criteria.time_to is not None and block.time_max <= criteria.time_to:
        criteria = replace(criteria, time_to=None)
    if criteria.after is not None and criteria.order_by is OrderBy.TIMESTAMP:
        beyond = block.time_max < criteria.after[0] if criteria.descending else block.time_min > criteria.after[0]
        criteria = replace(criteria, after=None) if beyond else criteria
    return criteria


def rows_after(chunk: Chunk, rows: Array, position: Position) -> Array:
    """Return those of the rows, all of one server, whose ids come after a position."""
    session, instance = chunk.session[rows], chunk.instance[rows]
    chosen: Array = rows[(session > position[0]) | ((session == position[0]) & (instance > position[1]))]
    return chosen


def _is_before(block: Block, gap: Gap, order_by: OrderBy) -> bool:
    """Return whether the last id of a block of one server's log shows that all its rows come before a gap."""
    return order_by is OrderBy.TIMESTAMP and block.last_id[1:] <= gap.start.get(block.last_id[0], (0, 0))


def _rows_outside(chunk: Chunk, rows: Array, gap: Gap) -> Array:
    server, session, instance = chunk.server[rows], chunk.session[rows], chunk.instance[rows]
    inside = np.zeros(len(rows), dtype=bool)
    for number in np.unique(server).tolist():
        low = gap.start.get(number, (0, 0))
        begun = (session > low[0]) | ((session == low[0]) & (instance > low[1]))
        if gap.end is not None:
            high = gap.end.get(number, (0, 0))
            begun &= (session < high[0]) | ((session == high[0]) & (instance <= high[1]))
        inside |= (server == number) & begun
    outside: Array = rows[~inside]
    return outside


def _rows_with_ids(chunk: Chunk, rows: Array, ids: frozenset[EventId]) -> Array:
    sessions = np.array([one[1] for one in ids], dtype=np.uint64)
    rows = rows[np.isin(chunk.session[rows], sessions)]
    found = zip(chunk.server[rows].tolist(), chunk.session[rows].tolist(), chunk.instance[rows].tolist(), strict=True)
    chosen: Array = rows[np.fromiter((one in ids for one in found), dtype=bool, count=len(rows))]
    return chosen


def _rows_after_key(chunk: Chunk, rows: Array, criteria: Criteria, key: Key) -> Array:
    times = chunk.time if criteria.order_by is OrderBy.TIMESTAMP else chunk.source_time
    columns = [times[rows], chunk.server[rows], chunk.session[rows], chunk.instance[rows]]
    after = np.zeros(len(rows), dtype=bool)
    for column, value in zip(reversed(columns), reversed(key), strict=True):
        beyond = column < value if criteria.descending else column > value
        after = np.asarray(beyond, dtype=bool) | (np.asarray(column == value, dtype=bool) & after)
    chosen: Array = rows[after]
    return chosen
