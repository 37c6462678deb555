"""The reorder buffer row by row: what the engine's buffer is compared with."""

from collections.abc import Sequence
from typing import Any

Row = Sequence[Any]


def naive_order(rows: Sequence[Row], key_count: int, max_lateness: int) -> list[tuple[Row, int]]:
    """Return the rows that leave, each with the offset at which it does; a row is its time, its key, and the rest."""
    latest: dict[tuple[Any, ...], int] = {}
    waiting: dict[tuple[Any, ...], list[tuple[int, int, Row]]] = {}
    left: list[tuple[Row, int]] = []
    for offset, row in enumerate(rows):
        time, key = row[0], tuple(row[1 : 1 + key_count])
        if time is None:
            left.append((row, offset))
            continue
        latest[key] = max(latest.get(key, time), time)
        mine = waiting.setdefault(key, [])
        mine.append((time, offset, row))
        mine.sort(key=lambda one: one[:2])
        while mine and mine[0][0] <= latest[key] - max_lateness:
            left.append((mine.pop(0)[2], offset))
    return left
