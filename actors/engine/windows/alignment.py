"""Where windows start: the alignment size of each time precision and step.

The first window of a key ends at the key's first time, rounded down to the alignment size, plus the step.
"""

from bisect import bisect_left

from actors.model import ColumnType

_SECONDS = ([2, 3, 5, 10, 15, 20, 30], [60, 120, 180, 300, 600, 900, 1200, 1800, 3600], 60)
_MILLISECONDS = (
    [2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 3000, 5000, 10_000, 15_000, 20_000, 30_000],
    [60_000, 120_000, 300_000, 600_000, 900_000, 1_200_000, 1_800_000, 3_600_000],
    60_000,
)
_MS = 1_000_000
_S = 1_000 * _MS
_NANOSECONDS = (
    [2, 5, 10, 20, 25, 50, 100, 200, 250, 500],
    [1000, _MS, 10 * _MS, 100 * _MS, _S, 2 * _S, 3 * _S, 5 * _S, 10 * _S, 15 * _S, 20 * _S, 30 * _S, 60 * _S],
    1000,
)
_TABLES = {
    ColumnType.DATETIME: _SECONDS,
    ColumnType.SECOND: _SECONDS,
    ColumnType.MINUTE: _SECONDS,
    ColumnType.TIMESTAMP: _MILLISECONDS,
    ColumnType.TIME: _MILLISECONDS,
    ColumnType.NANOTIMESTAMP: _NANOSECONDS,
    ColumnType.NANOTIME: _NANOSECONDS,
}


def alignment_size(kind: ColumnType, step: int, round_time: bool) -> int:
    """Return the alignment size, in units of the time column, of windows that advance by `step` units."""
    if kind is ColumnType.DATE:
        return 1
    if kind is ColumnType.MONTH:
        return 12
    if kind is ColumnType.MICROTIMESTAMP:
        return max(1, alignment_size(ColumnType.NANOTIMESTAMP, step * 1000, round_time) // 1000)
    fine, coarse, plain = _TABLES[kind]
    if step <= fine[-1]:
        return fine[bisect_left(fine, step)]
    if not round_time:
        return plain
    return coarse[min(bisect_left(coarse, step), len(coarse) - 1)]
