"""Fields of payloads that are kept as columns, as Polars columns.

Integers and floats make Float64, integers Int64, texts String, Booleans Boolean; what has another type is null. Other
Polars types are left to Polars' own conversion.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.store.disk.payload_columns import FieldValues, PayloadColumns, find_places
from actors.store.events.columns import Array
from actors.store.events.event import JsonPayload
from actors.store.events.payload_parsing import FALSE, FLOAT, INTEGER, TEXT, TRUE
from actors.store.events.payloads import decode_payload

_FITTING: dict[Any, frozenset[type]] = {
    pl.Float64: frozenset({int, float}),
    pl.Int64: frozenset({int}),
    pl.String: frozenset({str}),
    pl.Boolean: frozenset({bool}),
}
_NUMBERS = {pl.Float64: np.float64, pl.Int64: np.int64, pl.Boolean: np.bool_}


def read_packed_field(fields: PayloadColumns, kinds: Array, rows: Array, name: str, kind: Any) -> pl.Series:
    """Return a field of some rows, `kinds` being those of all payloads; null where it is missing or of another type."""
    key = msgpack.packb(name, unicode_errors="surrogatepass")
    if fields.layout_count == 1 and fields.rows_of(0) is None:
        found = fields.field(0, key)
        if found is None:
            return pl.Series(name, [None], dtype=kind).new_from_index(0, len(rows))
        column = _read_uniform(found, rows, name, kind)
        if column is not None:
            return column
    values: list[Any] = [None] * len(rows)
    for layout in range(fields.layout_count):
        found = fields.field(layout, key)
        if found is not None:
            places, positions = find_places(fields.rows_of(layout), rows)
            _scatter(values, places, found.to_list(positions))
    places, positions = find_places(fields.other_rows(), rows)
    if len(places):
        others = fields.other_payloads()
        picked = zip(kinds[rows[places]].tolist(), positions.tolist(), strict=True)
        _scatter(values, places, [field_of(one, others[position], name) for one, position in picked])
    return series_of(name, values, kind)


def field_of(kind: int, data: bytes, name: str) -> Any:
    """Return a field of a payload of that kind and those bytes, `None` when it has none."""
    payload = decode_payload(kind, data)
    return payload.data.get(name) if isinstance(payload, JsonPayload) and isinstance(payload.data, dict) else None


def is_everything(rows: Array, count: int) -> bool:
    """Return whether distinct rows in ascending or descending order are all rows in ascending order."""
    return len(rows) == count and (not count or bool(rows[0] == 0))


def series_of(name: str, values: Sequence[Any], kind: Any) -> pl.Series:
    """Return values as a column; null where one is of another type or has no place in it."""
    fitting = _FITTING.get(kind)
    if fitting is not None:
        values = [value if type(value) in fitting else None for value in values]
    try:
        return pl.Series(name, values, dtype=kind, strict=False)
    except UnicodeEncodeError:
        # Unpaired surrogates, which JSON has and Polars has not.
        return pl.Series(name, [value if _is_text(value) else None for value in values], dtype=kind, strict=False)


def _read_uniform(found: FieldValues, rows: Array, name: str, kind: Any) -> pl.Series | None:
    """Return a field that all rows of the block have, `None` when it takes more than array operations."""
    if kind in _NUMBERS:
        return _read_numbers(found, rows, name, kind)
    if kind == pl.String and isinstance(found.tags, int) and found.tags == TEXT and found.texts is not None:
        texts = series_of(name, found.texts, kind)
        index = rows if found.text_index is None else found.text_index[rows]
        return texts.gather(pl.Series(index, dtype=pl.UInt32))
    return None


def _read_numbers(found: FieldValues, rows: Array, name: str, kind: Any) -> pl.Series:
    sources = _SOURCES[kind]
    if isinstance(found.tags, int):
        if found.tags not in sources:
            return pl.Series(name, [None], dtype=kind).new_from_index(0, len(rows))
        values = sources[found.tags](found, len(rows))
        chosen = values if is_everything(rows, len(values)) else values[rows]
        return pl.Series(name, np.ascontiguousarray(chosen, dtype=_NUMBERS[kind]))
    everything: Array = np.zeros(len(found.tags), dtype=_NUMBERS[kind])
    for tag, source in sources.items():
        own = found.tags == tag
        if own.any():
            everything[own] = source(found, int(np.count_nonzero(own)))
    present = np.isin(found.tags, list(sources))[rows]
    column = pl.Series(name, everything[rows])
    return column.zip_with(pl.Series(present), pl.Series([None], dtype=kind))


def _integers(found: FieldValues, _: int) -> Array:
    assert found.integers is not None, "a tag of integers comes with integers"
    return found.integers


def _floats(found: FieldValues, _: int) -> Array:
    assert found.floats is not None, "a tag of floats comes with floats"
    return found.floats


_SOURCES: dict[Any, dict[int, Callable[[FieldValues, int], Array]]] = {
    pl.Float64: {INTEGER: _integers, FLOAT: _floats},
    pl.Int64: {INTEGER: _integers},
    pl.Boolean: {
        FALSE: lambda _, count: np.zeros(count, dtype=np.bool_),
        TRUE: lambda _, count: np.ones(count, dtype=np.bool_),
    },
}


def _scatter(values: list[Any], places: Array, found: Sequence[Any]) -> None:
    for place, value in zip(places.tolist(), found, strict=True):
        values[place] = value


def _is_text(value: Any) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
