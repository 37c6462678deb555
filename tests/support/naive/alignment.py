"""Where the windows of a key start: the published tables of the alignment size."""

SECONDS = {2: 2, 3: 3, 5: 5, 10: 10, 15: 15, 20: 20, 30: 30}
SECONDS_ROUND = {60: 60, 120: 120, 180: 180, 300: 300, 600: 600, 900: 900, 1200: 1200, 1800: 1800}
MILLISECONDS = (
    {2: 2, 5: 5, 10: 10, 20: 20, 25: 25, 50: 50, 100: 100, 200: 200, 250: 250, 500: 500}
    | {1000: 1000, 2000: 2000, 3000: 3000, 5000: 5000}
    | {10_000: 10_000, 15_000: 15_000, 20_000: 20_000, 30_000: 30_000}
)
MILLISECONDS_ROUND = {minutes * 60_000: minutes * 60_000 for minutes in (1, 2, 5, 10, 15, 20, 30)}
NANOSECONDS = {2: 2, 5: 5, 10: 10, 20: 20, 25: 25, 50: 50, 100: 100, 200: 200, 250: 250, 500: 500}
NANOSECONDS_ROUND = {1000: 1000} | {
    ends: ends
    for ends in (
        *(10**6, 10**7, 10**8, 10**9),
        *(2 * 10**9, 3 * 10**9, 5 * 10**9, 10 * 10**9, 15 * 10**9, 20 * 10**9, 30 * 10**9),
    )
}
"""Each table: the largest step of a range, and the alignment size of that range."""


def alignment_size(kind: str, step: int, *, round_time: bool) -> int:
    """Return the alignment size for a step in ticks of a temporal type."""
    if kind == "MONTH":
        return 12
    if kind == "DATE":
        return 1
    if kind in ("DATETIME", "SECOND", "MINUTE"):
        return _look_up(SECONDS, SECONDS_ROUND, 60, 3600, step, round_time)
    if kind in ("TIMESTAMP", "TIME"):
        return _look_up(MILLISECONDS, MILLISECONDS_ROUND, 60_000, 3_600_000, step, round_time)
    if kind == "MICROTIMESTAMP":
        return max(1, alignment_size("NANOTIMESTAMP", step * 1000, round_time=round_time) // 1000)
    return _look_up(NANOSECONDS, NANOSECONDS_ROUND, 1000, 60 * 10**9, step, round_time)


def _look_up(
    fine: dict[int, int], coarse: dict[int, int], beyond_fine: int, beyond_all: int, step: int, round_time: bool
) -> int:
    ranges = fine | coarse if round_time else fine
    for largest, size in ranges.items():
        if step <= largest:
            return size
    return beyond_all if round_time else beyond_fine
