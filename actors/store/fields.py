"""Fields: one top-level field of many JSON payloads as a column."""

from typing import Any

import polars as pl

from actors.store.columns import Array, Chunk
from actors.store.events import JsonPayload
from actors.store.payloads import decode_payload


def read_field(chunk: Chunk, rows: Array, name: str, kind: Any) -> pl.Series:
    """Return a field of the payloads of some rows; null where it is missing or of another type."""
    data, offsets = chunk.data, chunk.offsets
    begins, ends, kinds = offsets[rows].tolist(), offsets[rows + 1].tolist(), chunk.kind[rows].tolist()
    payloads = zip(kinds, begins, ends, strict=True)
    values = [_value(decode_payload(one, data[begin:end]), name) for one, begin, end in payloads]
    return pl.Series(name, values, dtype=kind, strict=False)


def _value(payload: Any, name: str) -> Any:
    if isinstance(payload, JsonPayload) and isinstance(payload.data, dict):
        return payload.data.get(name)
    return None
