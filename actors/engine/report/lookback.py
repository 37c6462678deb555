"""What an engine still knows of its latest batch or tick: why anomalies were raised, and which windows closed.

Rows that took the short path are tested once more by vectors, from the states that their keys had before them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from actors.engine.core import Core
from actors.engine.errors import bad_argument, shown
from actors.engine.report.explain import Explanation, explanation
from actors.engine.rows.executor import RowByRow, TestedRows
from actors.engine.vectors.batch import Batch
from actors.engine.windows.closed import closed_frame, empty_closed, end_column


def explain(core: Core, offset: Any, ordinal: Any) -> Explanation:
    """Return why an anomaly of the latest batch was raised.

    Raises:
        ArgumentError: the latest batch raised no such anomaly.
    """
    for name, number in (("offset", offset), ("ordinal", ordinal)):
        if not isinstance(number, int | np.integer):
            raise bad_argument(f"the {name} is {shown(number)}; give a whole number")
    for last in core.latest:
        index = last.find(offset, ordinal)
        if index is not None:
            return explanation(core.settings, core.nodes, last, index)
    for tested in core.latest_rows:
        firing = tested.find(offset, ordinal)
        if firing is not None:
            return explain(_again(core, tested, [(firing[0], firing[3])]), offset, ordinal)
    raise bad_argument(f"the latest batch has no anomaly {ordinal} of offset {offset}; only its own can be explained")


def closed_windows(core: Core) -> pl.DataFrame:
    """Return the windows that the latest batch closed, by key: key columns, end, number of rows, each aggregate."""
    calls = core.program.aggregates
    frames = [empty_closed(core.settings, calls)]
    frames += [closed_frame(core.settings, last, calls) for last in core.latest if last.closings.count]
    for tested in core.latest_rows:
        found = [closed_windows(_again(core, tested, closings)) for closings in tested.closings_by_turn()]
        frames.append(_by_key(core, pl.concat([frames[0], *found])))
    return pl.concat(frames)


def _by_key(core: Core, windows: pl.DataFrame) -> pl.DataFrame:
    """Return closed windows in order of keys, and of one key in order of ends."""
    names = core.settings.key_columns
    keys = windows.select(names).rows() if names else [()] * windows.height
    numbers = [core.keys.number_of(key) for key in keys]
    ends = windows[end_column(core.settings)]
    order = sorted(range(windows.height), key=list(zip(numbers, ends, strict=True)).__getitem__)
    return windows[order]


def _again(core: Core, tested: TestedRows, rows: Sequence[tuple[int, Any]]) -> Core:
    """Return a core that has tested rows of different keys with vectors, from their states before."""
    twin = Core(replace(core.settings, snapshot_dir=None))
    if core.is_sorted:
        assert isinstance(twin.rows, RowByRow)
        twin.rows.write(np.arange(len(rows)), list(zip(*[state[1:] for _, state in rows], strict=True)))
    numbers = [number for number, _ in rows]
    with np.errstate(all="ignore"):
        twin.test(Batch(tested.batch.frame[numbers], tested.batch.offsets[numbers]), is_dated=False)
    return twin
