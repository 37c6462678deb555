"""Due windows: what the passing of time alone, at ticks, makes of windows.

At a tick each key that has a window due gets, as it were, a row without values at the end of the last window due: it
closes windows like a row, and is tested and added to nothing. These rows come in the order of the values of their keys,
which does not depend on the order in which keys first appeared.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from actors.engine.arguments import CheckedSettings
from actors.engine.evaluated import Evaluated
from actors.engine.keys.numbers import KeyNumbers, logical
from actors.engine.report.output import Numbering
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.vector import Array
from actors.frames import polars_schema


def in_order(keys: KeyNumbers, numbers: Array) -> Array:
    """Return the positions of keys in the order of their values, NULL first."""
    columns = keys.values(numbers)
    if not columns or len(numbers) < 2:
        return np.arange(len(numbers))
    frame = pl.DataFrame({f"key{place}": column for place, column in enumerate(columns)})
    return frame.select(pl.arg_sort_by(frame.columns)).to_series().to_numpy().astype(np.int64)


def key_rows(settings: CheckedSettings, keys: KeyNumbers, numbers: Array, times: Array, offsets: Array) -> Batch:
    """Return a batch of one row without values for each key; `times` are those of the keys by ascending number."""
    order = np.argsort(numbers)
    of_row = np.empty_like(times)
    of_row[order] = times
    types = polars_schema(settings.schema)
    columns = [pl.Series(settings.time_column, of_row)]
    for name, values in zip(settings.key_columns, keys.values(numbers), strict=True):
        columns.append(logical(values, types[name]).alias(name))
    batch = Batch(pl.DataFrame(columns), offsets)
    batch.order = order
    return batch


def numbered(parts: Sequence[Evaluated], numbering: Numbering) -> tuple[list[Evaluated], Array]:
    """Number the anomalies of a tick one after the other; return its parts, and the ordinals."""
    counts = [len(part.anomalies.rows) for part in parts]
    ordinals = numbering.ordinals(0, sum(counts)).astype(np.int32)
    cut = np.split(ordinals, np.cumsum(counts)[:-1]) if parts else []
    return [
        part._replace(anomalies=part.anomalies._replace(ordinals=own)) for part, own in zip(parts, cut, strict=True)
    ], ordinals
