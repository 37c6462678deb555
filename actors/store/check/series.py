"""The check of the series: what they count, and what the sorted runs of those by source timestamp hold."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from actors.store.check.findings import DAMAGE, StoreCheck, header_faults, id_at, ids_of
from actors.store.config import OrderBy
from actors.store.disk.blocks import Block
from actors.store.disk.criteria import Criteria, matching_rows, rows_after
from actors.store.disk.source_series import RunReader, sort_by_source
from actors.store.disk.state import BEFORE_ALL, Run, SeriesState
from actors.store.disk.type_table import TypeTable
from actors.store.events.columns import Array, Columns
from actors.store.query.reading import View

_SOURCE = OrderBy.SOURCE_TIMESTAMP
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(slots=True, kw_only=True, eq=False)
class Membership:
    """What the log says a series holds, to compare with the series itself."""

    count: int = 0
    """Events in it."""

    digest: int = 0
    """Sum of a number for each event, which does not depend on their order."""

    def add(self, columns: Columns, rows: Array) -> None:
        """Count some rows in."""
        self.count += len(rows)
        self.digest = (self.digest + _digest(columns, rows)) & ((1 << 64) - 1)


def member_rows(columns: Columns, series: SeriesState, mask: Array, server: int) -> Array:
    """Return the rows that a series holds, in a series by source time those it has never begun to give up."""
    by_source = series.order_by is _SOURCE
    criteria = Criteria(
        order_by=series.order_by,
        gaps=series.gaps,
        needs_source=by_source,
        after=series.ceiling if by_source else None,
    )
    rows = matching_rows(columns, mask[columns.type_id], criteria)
    return rows_after(columns, rows, series.dead.get(server, BEFORE_ALL)) if len(rows) else rows


def check_series(
    view: View, types: TypeTable, series: SeriesState, expected: Membership | None, check: StoreCheck
) -> None:
    """Compare a series with what the log says it holds; `expected` is `None` when the log is damaged."""
    place = f"series {series.number} by {series.order_by.value.lower()}"
    if series.order_by is not _SOURCE:
        if expected is not None and expected.count != series.count:
            check.add("event_meta", place, f"counts {series.count} events, the log has {expected.count} of them")
        return
    found = Membership()
    mask = types.mask(series.pattern_set).array()
    walks = [_RunWalk(view, series, mask, run, found, check) for run in series.runs]
    for walk in walks:
        walk.check()
    if sum(run.count for run in series.runs) != series.count:
        check.add(
            "event_meta", place, f"counts {series.count} events, its runs {sum(run.count for run in series.runs)}"
        )
    if expected is None or not all(walk.is_whole for walk in walks):
        return
    if (found.count, found.digest) != (expected.count, expected.digest):
        fault = f"its runs have {found.count} events to compare and the log {expected.count}, which are not the same"
        check.add("event_source", place, fault)


class _RunWalk:
    """Goes over the blocks of one sorted run."""

    def __init__(
        self, view: View, series: SeriesState, mask: Array, run: Run, found: Membership, check: StoreCheck
    ) -> None:
        self._reader = RunReader(view.txn, view.tables.runs, series.number, run)
        self._series = series
        self._mask = mask
        self._run = run
        self._found = found
        self._check = check
        self.is_whole = True

    def check(self) -> None:
        """Decode every block, and compare with the record and the log."""
        run, count, last = self._run, 0, None
        for number in range(run.first_block, run.last_block + 1):
            place = f"block {number} of run {run.number} of series {self._series.number}"
            try:
                block = self._reader.block(number)
                columns = block.to_columns()
            except DAMAGE as error:
                self.is_whole = False
                self._check.add("event_source", f"{place}, source times after {last}", str(error))
                continue
            self._check.block_count += 1
            for fault in self._faults(block, columns, last):
                self._check.add("event_source", f"{place} ({ids_of(block)})", fault)
            last = _key_at(columns, -1)
            skip = run.skip if number == run.first_block else 0
            count += len(columns) - skip
            self._note(columns, np.arange(skip, len(columns)))
        place = f"run {run.number} of series {self._series.number}"
        if self.is_whole and (count, last) != (run.count, run.last_key):
            fault = f"states {run.count} events up to {run.last_key}, it has {count} up to {last}"
            self._check.add("event_meta", place, fault)

    def _note(self, columns: Columns, rows: Array) -> None:
        criteria = Criteria(order_by=_SOURCE, after=self._series.ceiling)
        alive = np.zeros(len(columns), dtype=bool)
        alive[rows] = True
        self._found.add(columns, matching_rows(columns, alive, criteria))

    def _faults(self, block: Block, columns: Columns, last: tuple[int, ...] | None) -> Iterator[str]:
        yield from header_faults(block, columns)
        if not columns.has_source.all() or not self._mask[columns.type_id].all():
            yield "has events that do not belong into the series"
        if sort_by_source(columns) is not columns or (last is not None and _key_at(columns, 0) <= last):
            yield "is not in the order of source times"
        if _key_at(columns, 0)[0] < self._run.first_ticks and not self._run.skip:
            yield "begins before the run does"


def _digest(columns: Columns, rows: Array) -> int:
    """Return a number that does not depend on the order of rows, of their ids, source times and types."""
    total = np.zeros(len(rows), dtype=np.uint64)
    for column in (columns.server, columns.session, columns.instance, columns.type_id, columns.source_time):
        values = column[rows]
        wide = [int(one) & ((1 << 64) - 1) for one in values] if values.dtype == object else values
        total = (
            total ^ np.asarray(wide).astype(np.int64 if values.dtype == np.int64 else np.uint64).view(np.uint64)
        ) * _MIX
        total ^= total >> np.uint64(29)
    return int(total.sum(dtype=np.uint64))


def _key_at(columns: Columns, row: int) -> tuple[int, ...]:
    return (int(columns.source_time[row]), *id_at(columns, row))
