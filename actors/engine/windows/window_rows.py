"""The rows of windows, for aggregates that need all of them at once."""

from collections.abc import Sequence

import numpy as np

from actors.engine.functions.sequences import EXPANSION_ROWS_MAX
from actors.engine.keys.log import KeyedLog
from actors.engine.language.program import Context, Node, no_aggregate
from actors.engine.vectors.segments import Layout, chunks, expand, layout_of
from actors.engine.vectors.vector import DTYPES, Array, Vector, filler, simplified, validity
from actors.engine.windows.plan import Call

COUNTING = frozenset(("count", "size", "nunique"))
"""Functions whose value over no rows is 0; that of others is NULL."""


class WindowRows:
    """Of each key the rows of its open pane and of the closed panes that a window may still hold, oldest first."""

    def __init__(self, stored: Sequence[Node]) -> None:
        self._stored = stored
        # Two columns for each stored vector: its values, and whether they are there.
        self.log = KeyedLog([dtype for node in stored for dtype in (DTYPES[node.term.type], np.bool_)])

    def append(self, layout: Layout, context: Context) -> Array | None:
        """Add the rows of a batch; return the position of each key's first new row, `None` if no rows are kept."""
        if not self._stored:
            return None
        vectors = [context.rows(node) for node in self._stored]
        return self.log.append(layout, [array for vector in vectors for array in (vector.values, validity(vector))])

    def stops(self, numbers: Array) -> Array | None:
        """Return the position after each key's last row, `None` if no rows are kept."""
        return self.log.stops_for(numbers) if self._stored else None

    def trim(self, numbers: Array, counts: Array) -> None:
        """Keep so many rows of keys, which ascend."""
        if self._stored:
            self.log.keep_last(numbers, counts)

    def aggregate(self, call: Call, starts: Array, lengths: Array) -> Vector:
        """Return a call's value over ranges of positions."""
        if not len(lengths):
            return Vector(np.zeros(0, dtype=DTYPES[call.node.term.type]), None)
        parts = []
        for part in chunks(lengths, EXPANSION_ROWS_MAX):
            positions = expand(starts[part], lengths[part])
            vectors = [
                simplified(self.log.columns[2 * i][positions], self.log.columns[2 * i + 1][positions])
                for i in call.stored
            ]
            if call.is_replayed:
                vectors = self._replay(call, vectors, lengths[part])
            parts.append(call.aggregate.reduce(vectors, lengths[part]))
        if len(parts) == 1:
            return parts[0]
        values = np.concatenate([part.values for part in parts])
        return simplified(values, np.concatenate([validity(part) for part in parts]))

    def aggregate_some(self, call: Call, starts: Array, lengths: Array) -> Vector:
        """Return a call's value over ranges of positions that may be empty, which have no value but a count of 0."""
        filled = lengths > 0
        if filled.all():
            return self.aggregate(call, starts, lengths)
        kind = call.node.term.type
        function = call.node.term.function
        counts = function is not None and function.name in COUNTING
        values, valid = np.full(len(lengths), filler(kind), dtype=DTYPES[kind]), np.full(len(lengths), counts)
        if filled.any():
            some = self.aggregate(call, starts[filled], lengths[filled])
            values[filled], valid[filled] = some.values, validity(some)
        return simplified(values, valid)

    def _replay(self, call: Call, vectors: list[Vector], lengths: Array) -> list[Vector]:
        columns = {self._stored[i].term.column: vector for i, vector in zip(call.stored, vectors, strict=True)}
        layout = layout_of(np.arange(len(lengths)), lengths)
        context = Context(layout.row_count, columns.__getitem__, no_aggregate, layout, {})
        return [context.rows(argument) for argument in call.node.arguments]
