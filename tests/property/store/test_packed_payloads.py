"""Payloads kept as columns come back as they were, whatever they are."""

import itertools
import math
import struct
from typing import Any

import msgpack
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.store.disk.blocks import BY_FIELD, DEFLATED, Block, encode_block
from actors.store.disk.packing import (
    Section,
    SectionWriter,
    pack_floats,
    pack_integers,
    unpack_floats,
    unpack_integers,
)
from actors.store.disk.payload_writing import PayloadEncoder
from actors.store.events.columns import Columns, make_columns
from actors.store.events.event import JsonPayload
from actors.store.events.payloads import encode_payload
from actors.store.query.fields import read_field
from actors.store.query.reading import events_of

INTEGERS = st.one_of(st.integers(-3, 300), st.integers(-(1 << 63), (1 << 63) - 1))
FLOATS = st.one_of(st.floats(), st.integers(-(10**9), 10**9).map(lambda one: one / 100))
TEXTS = st.one_of(st.sampled_from(["", "good", "bad"]), st.text(max_size=40), st.just("x" * 300), st.just("\ud800"))
VALUES = st.one_of(st.none(), st.booleans(), INTEGERS, FLOATS, TEXTS, st.integers(1 << 63, 1 << 70), st.just([1]))
KEYS = st.one_of(st.sampled_from(["v", "w", "unit"]), st.text(max_size=20), st.just("k" * 40))


@st.composite
def payloads(draw: st.DrawFn) -> list[Any]:
    """Payloads of a few layouts, with one kind of value per key mostly, and odd ones between them."""
    kinds = [INTEGERS, FLOATS, TEXTS, st.booleans(), VALUES]
    layouts = draw(st.lists(st.lists(KEYS, unique=True, max_size=18), min_size=1, max_size=3))
    made: dict[tuple[int, str], Any] = {}
    for number, keys in enumerate(layouts):
        made |= {(number, key): draw(st.sampled_from(kinds)) for key in keys}
    rows = draw(st.lists(st.integers(0, len(layouts) + 1), min_size=1, max_size=30))
    return [{key: draw(made[row, key]) for key in layouts[row]} if row < len(layouts) else draw(VALUES) for row in rows]


def columns_of(values: list[Any]) -> Columns:
    encoded = [encode_payload(None if one is ... else JsonPayload(one)) for one in values]
    ones = [1] * len(values)
    kinds, data = [kind for kind, _ in encoded], [data for _, data in encoded]
    return make_columns(ones, ones, ones, ones, list(range(1, len(values) + 1)), [0] * len(values), kinds, data)


def bits(value: Any) -> Any:
    """A value whose equality also tells types, signs of zero and the order of keys."""
    if isinstance(value, dict):
        return [(key, bits(one)) for key, one in value.items()]
    return (type(value), struct.pack("d", value) if isinstance(value, float) else value)


def packed(columns: Columns) -> Block | None:
    fields = PayloadEncoder(columns).encode(0, len(columns))
    return None if fields is None else Block(encode_block(columns, DEFLATED, fields=fields), "it")


@given(payloads())
def test_payloads_come_back_exactly(values: list[Any]) -> None:
    columns = columns_of(values)
    block = packed(columns)
    if block is None:
        return
    assert block.codec == BY_FIELD
    rows = np.arange(len(values))[::-1]
    found = [event.payload for event in events_of(block, rows, [("t",)])]
    assert [bits(one.data) for one in found if isinstance(one, JsonPayload)] == [bits(one) for one in values[::-1]]
    assert block.to_columns().data == columns.data
    assert block.offsets.tolist() == columns.offsets.tolist()


@given(payloads(), KEYS, st.sampled_from([pl.Float64, pl.Int64, pl.String, pl.Boolean]))
def test_fields_are_read_as_from_bytes(values: list[Any], key: str, kind: Any) -> None:
    columns = columns_of(values)
    block = packed(columns)
    if block is None:
        return
    rows = np.arange(0, len(values), 2)
    assert read_field(block, rows, key, kind).equals(read_field(columns, rows, key, kind), null_equal=True)


@given(st.lists(INTEGERS, min_size=1, max_size=200))
def test_integers_come_back(values: list[int]) -> None:
    writer = SectionWriter()
    form = msgpack.unpackb(msgpack.packb(pack_integers(np.array(values, dtype=np.int64), writer)))
    assert unpack_integers(form, len(values), Section(writer.to_bytes(), ValueError)).tolist() == values  # type: ignore[arg-type]


@given(st.lists(FLOATS, min_size=1, max_size=200))
def test_floats_come_back_bit_by_bit(values: list[float]) -> None:
    array, writer = np.array(values), SectionWriter()
    form = msgpack.unpackb(msgpack.packb(pack_floats(array.view(np.uint64), writer)))
    found = unpack_floats(form, len(values), Section(writer.to_bytes(), ValueError))  # type: ignore[arg-type]
    assert found.view(np.uint64).tolist() == array.view(np.uint64).tolist()


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_bytes_that_are_no_payloads_are_kept(noise: bytes, cuts: list[int]) -> None:
    good = msgpack.packb({"v": 1, "text": "abc"})
    ends = [0, *sorted(min(one, len(noise)) for one in cuts), len(noise)]
    pieces = [noise[start:end] for start, end in itertools.pairwise(ends)]
    data = [good] * (len(pieces) + 2) + pieces + [good[:-1], good + b"\0"]
    ones = [1] * len(data)
    columns = make_columns(ones, ones, ones, ones, list(range(1, len(data) + 1)), ones, ones, data)
    block = packed(columns)
    assert block is not None
    assert block.to_columns().data == columns.data


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x81",
        b"\x82\xa1a\x01",
        b"\x81\xd9",
        b"\x81\xa1a",
        b"\x81\xa1a\xdb\xff\xff\xff\xff",
        b"\xde\0",
        b"\xde\0\1\xa1a\xc4",
    ],
)
def test_torn_payloads_are_kept_wherever_they_stand(payload: bytes) -> None:
    good = msgpack.packb({"a": 1})
    ones = [1] * 5
    columns = make_columns(ones, ones, ones, ones, [1, 2, 3, 4, 5], ones, ones, [payload, good, payload, good, good])
    block = packed(columns)
    assert block is not None
    assert block.to_columns().data == columns.data


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -0.0, 5e-324, 1e300, 0.1, 1e16])
def test_single_floats_come_back(value: float) -> None:
    block = packed(columns_of([{"v": value}, {"v": 1.5}]))
    assert block is not None
    (first, _) = events_of(block, np.arange(2), [("t",)])
    assert isinstance(first.payload, JsonPayload)
    assert bits(first.payload.data) == bits({"v": value})
