"""Trimming: giving up the oldest events of a series, exactly as many as its limit asks for.

The series is passed over from its oldest event, in whole blocks, until the limit has enough; the decision itself is
`actors.store.events.limits`. Series by timestamp only move their mark, series by source timestamp delete their own
blocks, and log blocks that nobody needs any more are deleted as a whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from actors.shard import Table, Txn
from actors.store.config import OrderBy
from actors.store.disk.criteria import Criteria, matching_rows, rows_after
from actors.store.disk.log import LogReader, delete_block
from actors.store.disk.merging import Part, Selection, Source, key_at, key_times, merge_sources, search_time
from actors.store.disk.source_series import RunReader, drop_oldest
from actors.store.disk.state import BEFORE_ALL, SeriesState, ServerState
from actors.store.errors import BlockDamagedError
from actors.store.events.columns import Array
from actors.store.events.limits import Limit, entry_cap, excess_entries, oldest_allowed_ticks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrimView:
    """Where trimming reads."""

    txn: Txn
    """The write transaction."""

    log: Table
    """Table of the log."""

    runs: Table
    """Table of the sorted runs."""

    servers: Mapping[int, ServerState]
    """Logs, the rows of this flush included."""


def trim_series(view: TrimView, series: SeriesState, limit: Limit, types: Array, now_us: int) -> SeriesState:
    """Give up what a limit no longer allows; `types` tells which types are in the series."""
    if limit.is_unlimited or not series.count:
        return series
    cap = entry_cap(limit, series.entry_size_bytes)
    oldest = oldest_allowed_ticks(limit, now_us)
    taken: dict[int, list[Part]] = {}
    removed = 0
    for selection in _oldest_first(view, series, types, oldest if cap >= series.count else None):
        times = _times(selection, series.order_by)
        expired = 0 if oldest is None else search_time(times, oldest, "left")
        excess = excess_entries(series.count - removed, cap, expired, limit.min_entries or 0)
        number = min(excess, len(times))
        _collect(selection, number, taken)
        removed += number
        if number < len(times):
            break
    if not removed:
        return series
    left = (series.count - removed) / series.count
    series = replace(
        series, count=series.count - removed, full_rows=series.full_rows * left, full_bytes=series.full_bytes * left
    )
    if series.order_by is OrderBy.TIMESTAMP:
        return replace(series, dead={**series.dead, **{server: _last(parts) for server, parts in taken.items()}})
    return drop_oldest(view.txn, view.runs, series, taken)


def oldest_ticks(view: TrimView, series: SeriesState, types: Array) -> int | None:
    """Return the time of the oldest event of a series, `None` without any."""
    for selection in _oldest_first(view, series, types, None) if series.count else ():
        return int(_times(selection, series.order_by)[0])
    return None


def delete_unneeded(
    view: TrimView, all_series: Sequence[tuple[SeriesState, Array]], servers: Mapping[int, ServerState]
) -> dict[int, ServerState]:
    """Delete the log's oldest blocks of which no series holds a row, and return where the logs begin now."""
    changed: dict[int, ServerState] = {}
    for server, state in servers.items():
        reader = LogReader(view.txn, view.log, server, state)
        first = state.first_block
        # The tail stays: the next flush fills it.
        while first < state.tail_block and not _is_needed(view, reader, first, server, all_series):
            delete_block(view.txn, view.log, server, first)
            first += 1
        if first != state.first_block:
            changed[server] = replace(state, first_block=first)
    return changed


def live_rows(txn: Txn, runs: Table, part: Part, server: int, all_series: Sequence[tuple[SeriesState, Array]]) -> Array:
    """Return those rows of a part, all of one server, that some series holds."""
    chunk = part.chunk
    alive = np.zeros(len(chunk.type_id), dtype=bool)
    for series, types in all_series:
        by_time = series.order_by is OrderBy.TIMESTAMP
        rows = part.rows[types[chunk.type_id[part.rows]]]
        criteria = Criteria(order_by=series.order_by, gaps=series.gaps, needs_source=not by_time)
        if len(rows):
            member = np.zeros(len(alive), dtype=bool)
            member[rows] = True
            rows = matching_rows(chunk, member & ~alive, criteria)
        rows = rows_after(chunk, rows, series.dead.get(server, BEFORE_ALL)) if len(rows) else rows
        if not by_time and len(rows):
            rows = _alive_by_source(txn, runs, Part(chunk, rows), series)
        alive[rows] = True
    kept: Array = part.rows[alive[part.rows]]
    return kept


def _alive_by_source(txn: Txn, table: Table, part: Part, series: SeriesState) -> Array:
    if series.ceiling is None:
        return part.rows
    chunk, ceiling = part.chunk, series.ceiling
    times = chunk.source_time[part.rows]
    above = times > ceiling[0]
    # Of what lies below, runs are asked only for rows in their range, and few runs begin below the ceiling.
    doubtful = np.zeros(len(times), dtype=bool)
    for run in series.runs:
        doubtful |= (times >= run.first_ticks) & (times <= run.last_key[0])
    doubtful = (doubtful & ~above) | (times == ceiling[0])
    readers = [RunReader(txn, table, series.number, run) for run in series.runs]
    for place in np.flatnonzero(doubtful).tolist():
        key = key_at(chunk, int(part.rows[place]), OrderBy.SOURCE_TIMESTAMP)
        above[place] = key > ceiling or any(reader.find(key) for reader in readers)
    kept: Array = part.rows[above]
    return kept


def _is_needed(
    view: TrimView, reader: LogReader, number: int, server: int, all_series: Sequence[tuple[SeriesState, Array]]
) -> bool:
    try:
        block = reader.block(number)
        part = Part(block, np.arange(len(block)))
        return _holds_rows(view, part, server, all_series)
    except BlockDamagedError:
        # What cannot be judged is kept; queries name the damage.
        return True


def _holds_rows(view: TrimView, part: Part, server: int, all_series: Sequence[tuple[SeriesState, Array]]) -> bool:
    block = part.chunk
    if not any(series.count and types[block.type_id].any() for series, types in all_series):
        return False
    return len(live_rows(view.txn, view.runs, part, server, all_series)) > 0


def _oldest_first(view: TrimView, series: SeriesState, types: Array, expired_before: int | None) -> Iterator[Selection]:
    """Yield the rows of a series from the oldest; only expired ones when it is known that no others have to go."""
    criteria = Criteria(order_by=series.order_by, gaps=series.gaps)
    if series.order_by is OrderBy.TIMESTAMP:
        before = None if expired_before is None else expired_before - 1
        criteria = Criteria(types=types, gaps=series.gaps, time_to=before)
        sources = [
            Source(
                LogReader(view.txn, view.log, server, state).parts(
                    criteria, series.dead.get(server, BEFORE_ALL), source=server
                )
            )
            for server, state in view.servers.items()
        ]
    else:
        readers = (RunReader(view.txn, view.runs, series.number, run) for run in series.runs)
        sources = [source for reader in readers if (source := reader.source(criteria)) is not None]
    return merge_sources(sources, series.order_by, False)


def _times(selection: Selection, order_by: OrderBy) -> Array:
    if selection.which is None:
        times: Array = key_times(selection.parts[0].chunk, order_by)[selection.rows]
        return times
    values = [key_times(part.chunk, order_by) for part in selection.parts]
    listed = [values[part][row] for part, row in zip(selection.which.tolist(), selection.rows.tolist(), strict=True)]
    return np.array(listed, dtype=object if any(one.dtype == object for one in values) else np.int64)


def _collect(selection: Selection, number: int, taken: dict[int, list[Part]]) -> None:
    for position, part in enumerate(selection.parts):
        rows = selection.rows[:number]
        if selection.which is not None:
            rows = rows[selection.which[:number] == position]
        if len(rows):
            taken.setdefault(part.source, []).append(Part(part.chunk, rows, part.source, part.block))


def _last(parts: Sequence[Part]) -> tuple[int, int]:
    chunk, row = parts[-1].chunk, int(parts[-1].rows[-1])
    return int(chunk.session[row]), int(chunk.instance[row])
