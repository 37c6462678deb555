"""Series by source timestamp: sorted runs of blocks, each with copies of its events.

Source timestamps arrive in any order. The *main* run, the one that reaches furthest, takes what comes after its tail or
falls into it; what is older goes into a small run of its own. When enough runs of about one size exist they are merged
into one, within the flush and up to a bounded number of rows. Giving up the oldest events moves the beginning of the
runs: whole blocks are deleted, and in the first block that stays some rows are skipped.
"""

import bisect
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from actors.shard import Table, Txn
from actors.store.config import OrderBy
from actors.store.disk.blocks import DEFLATED, RAW, Block, encode_block
from actors.store.disk.criteria import Criteria, matching_rows
from actors.store.disk.log import BLOCK_PAYLOAD_BYTES, BLOCK_ROW_COUNT, Written
from actors.store.disk.merging import Part, Source, key_at, search_key
from actors.store.disk.payload_writing import PayloadEncoder
from actors.store.disk.state import Key, Run, SeriesState
from actors.store.errors import BlockDamagedError
from actors.store.events.columns import (
    Columns,
    cut_rows,
    empty_columns,
    join_columns,
    slice_columns,
    sort_rows,
    take_columns,
)

RUNS_PER_LEVEL = 16
"""Runs of about one size that are merged into one."""

RECENT_BLOCKS_MAX = 32
"""Blocks that a reader keeps while single keys are looked for."""

MERGE_ROW_COUNT_MAX = 1 << 18
"""Rows beyond which runs are not merged any more."""

_KEY = struct.Struct(">HII")
_SOURCE = OrderBy.SOURCE_TIMESTAMP


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunsAppend:
    """What appending changed."""

    series: SeriesState
    """The series with its runs; sizes are the caller's to set."""

    tail: Columns
    """Rows of the main run's last block, when it is not full."""

    written: list[Written]
    """Blocks that were written."""


def sort_by_source(columns: Columns) -> Columns:
    """Return the rows in the order of a series by source timestamp."""
    order = sort_rows([columns.source_time, columns.server, columns.session, columns.instance])
    return columns if order is None else take_columns(columns, order)


def append_runs(txn: Txn, table: Table, series: SeriesState, tail: Columns, rows: Columns) -> RunsAppend:
    """Write rows, which are sorted, into the runs of a series and return what changed."""
    main = find_main(series)
    written: list[Written] = []
    if main is None:
        run, tail = _write_run(txn, table, series, rows, written)
        return RunsAppend(series=_with_new_run(series, run), tail=tail, written=written)
    split = _count_late(main, tail, rows)
    late, rest = slice_columns(rows, 0, split), slice_columns(rows, split, len(rows))
    if len(rest):
        main, tail = _extend_run(txn, table, series, main, tail, rest, written)
        series = replace(series, runs=tuple(main if run.number == main.number else run for run in series.runs))
    if len(late):
        run, _ = _write_run(txn, table, series, late, written, deflate_all=True)
        series = _merge_level(txn, table, _with_new_run(series, run))
    return RunsAppend(series=series, tail=tail, written=written)


def load_tail(txn: Txn, table: Table, series: SeriesState) -> Columns:
    """Return the rows of the main run's last block when it is being filled, given up ones included."""
    main = find_main(series)
    if main is None:
        return empty_columns()
    block = RunReader(txn, table, series.number, main).block(main.last_block)
    return block.to_columns() if block.codec == RAW else empty_columns()


def find_main(series: SeriesState) -> Run | None:
    """Return the run that reaches furthest."""
    return max(series.runs, key=lambda run: run.last_key, default=None)


def delete_runs(txn: Txn, table: Table, number: int) -> None:
    """Delete every block of a series."""
    prefix = _KEY.pack(number, 0, 0)[:2]
    with txn.cursor(table) as cursor:
        found = cursor.set_range(prefix)
        while found and cursor.key().startswith(prefix):
            found = cursor.delete()


def drop_oldest(txn: Txn, table: Table, series: SeriesState, taken: dict[int, list[Part]]) -> SeriesState:
    """Give up rows at the beginning of runs; `taken` holds the parts given up, by run number."""
    runs: list[Run] = []
    ceiling = series.ceiling
    for run in series.runs:
        parts = taken.get(run.number)
        if not parts:
            runs.append(run)
            continue
        last = parts[-1]
        key = key_at(last.chunk, int(last.rows[-1]), _SOURCE)
        ceiling = key if ceiling is None else max(ceiling, key)
        count = run.count - sum(len(part.rows) for part in parts)
        stop = run.last_block + 1 if count == 0 else last.block
        skip = int(last.rows[-1]) + 1
        if count and skip == len(last.chunk.type_id):
            stop, skip = stop + 1, 0
        for block in range(run.first_block, stop):
            txn.delete(_KEY.pack(series.number, run.number, block), db=table)
        if count:
            runs.append(replace(run, first_block=stop, skip=skip, count=count, first_ticks=key[0]))
    return replace(series, runs=tuple(runs), ceiling=ceiling)


class RunReader:
    """One run as of a transaction."""

    def __init__(self, txn: Txn, table: Table, series: int, run: Run) -> None:
        self._txn = txn
        self._table = table
        self._series = series
        self._run = run
        self._recent: dict[int, Block] = {}

    def block(self, number: int) -> Block:
        """Return a block.

        Raises:
            BlockDamagedError: it is not there, or its header is damaged.
        """
        name = f"block {number} of run {self._run.number} of series {self._series}"
        raw = self._txn.get(_KEY.pack(self._series, self._run.number, number), db=self._table)
        if raw is None:
            raise BlockDamagedError(f"{name} is missing; restore the shard from a copy")
        return Block(raw, name)

    def source(self, criteria: Criteria) -> Source | None:
        """Return the rows that the criteria allow, `None` when the run lies outside their range."""
        first, last = self._run.first_ticks, self._run.last_key[0]
        if criteria.source_to is not None and first > criteria.source_to:
            return None
        if criteria.source_from is not None and last < criteria.source_from:
            return None
        return Source(self.parts(criteria), last if criteria.descending else first)

    def parts(self, criteria: Criteria) -> Iterator[Part]:
        """Yield the rows that the criteria allow, in their direction."""
        run = self._run
        start, end = run.first_block, run.last_block + 1
        low, high = criteria.source_from, criteria.source_to
        if low is not None:
            start = self._first_where(lambda block: block.source_max >= low)
        if high is not None:
            end = self._first_where(lambda block: block.source_min > high)
        for number in range(end - 1, start - 1, -1) if criteria.descending else range(start, end):
            block = self.block(number)
            mask = None if criteria.types is None else block.mask_types(criteria.types)
            if (criteria.types is not None and mask is None) or criteria.excludes_block(block):
                continue
            rows = matching_rows(block, mask, criteria)
            if number == run.first_block and run.skip:
                rows = rows[rows >= run.skip]
            if len(rows):
                yield Part(block, rows, run.number, number)

    def find(self, key: Key) -> tuple[Block, int] | None:
        """Return the block and row with a key, `None` when the run has it not or no longer."""
        if not self._run.first_ticks <= key[0] <= self._run.last_key[0]:
            return None
        numbers = range(self._run.first_block, self._run.last_block + 1)
        number = numbers.start + bisect.bisect_left(numbers, key, key=self._last_key)
        if number > self._run.last_block:
            return None
        block = self._recent_block(number)
        at = search_key(Part(block, np.arange(len(block))), key, _SOURCE, "left")
        if at == len(block) or key_at(block, at, _SOURCE) != key:
            return None
        return None if number == self._run.first_block and at < self._run.skip else (block, at)

    def _last_key(self, number: int) -> Key:
        block = self._recent_block(number)
        return key_at(block, len(block) - 1, _SOURCE)

    def _recent_block(self, number: int) -> Block:
        """Return a block, kept for some time: who looks for one key mostly looks for its neighbours too."""
        block = self._recent.get(number)
        if block is None:
            if len(self._recent) >= RECENT_BLOCKS_MAX:
                self._recent.clear()
            block = self._recent[number] = self.block(number)
        return block

    def _first_where(self, holds: Callable[[Block], bool]) -> int:
        numbers = range(self._run.first_block, self._run.last_block + 1)
        return numbers.start + bisect.bisect_left(numbers, True, key=lambda number: holds(self.block(number)))


def _count_late(main: Run, tail: Columns, rows: Columns) -> int:
    """Return how many of the sorted rows come before what the main run can still take."""
    bound = key_at(tail, 0, _SOURCE) if len(tail) else main.last_key
    return search_key(Part(rows, np.arange(len(rows))), bound, _SOURCE, "left")


def _extend_run(
    txn: Txn, table: Table, series: SeriesState, run: Run, tail: Columns, rows: Columns, written: list[Written]
) -> tuple[Run, Columns]:
    number, skip = run.last_block, run.skip
    if not len(tail):
        number += 1
    elif run.first_block == run.last_block:
        # Rows may be inserted between rows that were given up, so these leave the block first.
        tail, skip = slice_columns(tail, skip, len(tail)), 0
    columns = sort_by_source(join_columns([tail, rows]))
    last_block, left = _write_blocks(txn, table, (series.number, run.number, number), columns, written, False)
    first = key_at(rows, 0, _SOURCE)[0]
    last_key = max(run.last_key, key_at(rows, len(rows) - 1, _SOURCE))
    count = run.count + len(rows)
    grown = replace(run, last_block=last_block, skip=skip, count=count, last_key=last_key)
    return replace(grown, first_ticks=min(run.first_ticks, first)), left


def _write_run(
    txn: Txn,
    table: Table,
    series: SeriesState,
    rows: Columns,
    written: list[Written],
    deflate_all: bool = False,
) -> tuple[Run, Columns]:
    place = (series.number, series.next_run, 0)
    last_block, left = _write_blocks(txn, table, place, rows, written, deflate_all)
    run = Run(
        number=series.next_run,
        first_block=0,
        last_block=last_block,
        skip=0,
        count=len(rows),
        first_ticks=key_at(rows, 0, _SOURCE)[0],
        last_key=key_at(rows, len(rows) - 1, _SOURCE),
    )
    return run, left


def _write_blocks(
    txn: Txn,
    table: Table,
    place: tuple[int, int, int],
    columns: Columns,
    written: list[Written],
    deflate_all: bool,
) -> tuple[int, Columns]:
    """Write rows as blocks from a place on; return the last block's number and, when it is not full, its rows."""
    series, run, number = place
    left = slice_columns(columns, len(columns), len(columns))
    encoder = None
    for start, end in cut_rows(columns, BLOCK_ROW_COUNT, BLOCK_PAYLOAD_BYTES):
        block = slice_columns(columns, start, end)
        is_full = deflate_all or end < len(columns) or end - start == BLOCK_ROW_COUNT
        fields = None
        if is_full:
            encoder = encoder or PayloadEncoder(columns)
            fields = encoder.encode(start, end)
        raw = encode_block(block, DEFLATED if is_full else RAW, fields=fields)
        txn.put(_KEY.pack(series, run, number), raw, db=table)
        written.append(Written(columns=block, size_bytes=len(raw), is_full=is_full))
        left = left if is_full else block
        number += 1
    return number - 1, left


def _with_new_run(series: SeriesState, run: Run) -> SeriesState:
    return replace(series, runs=(*series.runs, run), next_run=series.next_run + 1)


def _merge_level(txn: Txn, table: Table, series: SeriesState) -> SeriesState:
    """Merge the runs of one level, the main one excepted, when there are enough and they are not too many rows."""
    main = find_main(series)
    levels: dict[int, list[Run]] = {}
    for run in series.runs:
        if run is not main:
            levels.setdefault(run.count.bit_length() // 4, []).append(run)
    for runs in levels.values():
        if len(runs) >= RUNS_PER_LEVEL and sum(run.count for run in runs) <= MERGE_ROW_COUNT_MAX:
            try:
                return _merge_runs(txn, table, series, runs)
            except BlockDamagedError:
                # Runs with damage stay as they are; queries name it.
                return series
    return series


def _merge_runs(txn: Txn, table: Table, series: SeriesState, runs: Sequence[Run]) -> SeriesState:
    everything: list[Columns] = []
    for run in runs:
        parts = RunReader(txn, table, series.number, run).parts(Criteria(order_by=_SOURCE))
        everything += [take_columns(join_columns([part.chunk]), part.rows) for part in parts]
    for run in runs:
        for block in range(run.first_block, run.last_block + 1):
            txn.delete(_KEY.pack(series.number, run.number, block), db=table)
    rows = sort_by_source(join_columns(everything))
    merged, _ = _write_run(txn, table, series, rows, [], deflate_all=True)
    kept = tuple(run for run in series.runs if run not in runs)
    return _with_new_run(replace(series, runs=kept), merged)
