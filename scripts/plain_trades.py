"""The tumbling rules on trades as a plain Python loop over dictionaries, from frames of rows to frames of anomalies.

It is what the engine is compared with when rows come in small batches: it gets the same frames, keeps its state from
one to the next, and returns the same anomalies in the same columns.
"""

from typing import Any

import polars as pl

_TYPES: dict[str, Any] = {
    "time": pl.Datetime("ms"),
    "sym": pl.String,
    "type": pl.Int32,
    "metric": pl.String,
    "offset": pl.Int64,
    "ordinal": pl.Int32,
}


class PlainTrades:
    """The rules with their state."""

    def __init__(self, metrics: list[str], window: int, limit: int) -> None:
        self._metrics = metrics
        self._window = window
        self._limit = limit
        # A list of mixed types is the fastest state a plain loop can have, and no type says which place holds what.
        self._states: dict[str, list[Any]] = {}
        self._next_offset = 0

    def append(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the anomalies of some rows."""
        found = self._found(frame.rows())
        if not found:
            return pl.DataFrame(schema=_TYPES)
        times, keys, types, offsets = zip(*found, strict=True)
        ordinals = [0] * len(found)
        for place in range(1, len(found)):
            if offsets[place] == offsets[place - 1]:
                ordinals[place] = ordinals[place - 1] + 1
        texts = [self._metrics[index] for index in types]
        columns = zip(_TYPES, (times, keys, types, texts, offsets, ordinals), strict=True)
        return pl.DataFrame({name: list(values) for name, values in columns}, schema=_TYPES)

    def _found(self, rows: list[tuple[Any, ...]]) -> list[tuple[int, str, int, int]]:
        states, window, limit = self._states, self._window, self._limit
        found: list[tuple[int, str, int, int]] = []
        for offset, (now, key, price, quantity) in enumerate(rows, self._next_offset):
            state = states.get(key)
            pane = now // window
            if state is None:
                state = states[key] = [now, pane, 0, 0, None, None]
            elif now < state[0]:
                continue
            elif pane != state[1]:
                total, count, ended = state[2], state[3], state[1]
                state[4] = total / count
                if total > limit:
                    found.append(((ended + 1) * window, key, 1, offset))
                state[1], state[2], state[3] = pane, 0, 0
            state[0] = now
            state[2] += quantity
            state[3] += 1
            if quantity < 4:
                found.append((now, key, 0, offset))
            if state[4] is not None and state[4] > quantity:
                found.append((now, key, 2, offset))
            if state[5] is None or price > 1.05 * state[5]:
                found.append((now, key, 3, offset))
            state[5] = price
        self._next_offset += len(rows)
        return found
