"""The reorder buffer row by row: what the engine's buffer is compared with."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Sequence[Any]


def naive_order(
    rows: Sequence[Row], key_count: int, max_lateness: int, ticks: Mapping[int, int] | None = None
) -> list[tuple[Row, int]]:
    """Return the rows that leave, each with the offset at which it does; a row is its time, its key, and the rest.

    `ticks` are times by the offset of the row after which they come; each makes a row `()` after those that leave then.
    """
    reached: int | None = None
    latest: dict[tuple[Any, ...], int] = {}
    waiting: dict[tuple[Any, ...], list[tuple[int, int, Row]]] = {}
    left: list[tuple[Row, int]] = []
    for offset, row in enumerate(rows):
        time, key = row[0], tuple(row[1 : 1 + key_count])
        if time is None:
            left.append((row, offset))
        else:
            latest[key] = max(latest.get(key, time), time)
            mine = waiting.setdefault(key, [])
            mine.append((time, offset, row))
            mine.sort(key=lambda one: one[:2])
            seen = latest[key] if reached is None else max(latest[key], reached)
            while mine and mine[0][0] <= seen - max_lateness:
                left.append((mine.pop(0)[2], offset))
        if ticks and offset in ticks:
            reached = ticks[offset]
            due = [one for mine in waiting.values() for one in mine if one[0] <= reached - max_lateness]
            waiting = {key: [one for one in mine if one not in due] for key, mine in waiting.items()}
            left += [(one[2], offset) for one in sorted(due, key=lambda one: one[:2])] + [((), offset)]
    return left
