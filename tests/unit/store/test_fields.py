"""Fields of payloads as columns: fast where payloads are alike, right everywhere."""

import random
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.store.events.columns import make_columns
from actors.store.events.event import BinaryPayload, JsonPayload
from actors.store.events.payloads import encode_payload
from actors.store.query.fields import read_field


def read(payloads: list[Any], kind: Any = pl.Float64, name: str = "v") -> list[Any]:
    encoded = [encode_payload(one) for one in payloads]
    count = len(encoded)
    ones = [1] * count
    columns = make_columns(
        ones, ones, ones, ones, ones, ones, [kind for kind, _ in encoded], [data for _, data in encoded]
    )
    return read_field(columns, np.arange(count), name, kind).to_list()


def test_numbers_of_every_size_are_read() -> None:
    numbers = [0, 1, -1, 127, 128, -32, -33, 255, 256, 65_536, -129, -40_000, 1 << 40, -(1 << 40), 1.5, 1 << 63]
    payloads = [JsonPayload({"v": one}) for one in numbers]
    assert read(payloads) == [float(one) for one in numbers]
    whole = [one for one in numbers if isinstance(one, int) and one < 1 << 63]
    assert read([JsonPayload({"v": one}) for one in whole], pl.Int64) == whole


def test_what_is_no_number_or_missing_is_null() -> None:
    payloads = [JsonPayload({"v": 1}), JsonPayload({"v": None}), JsonPayload({"w": 2}), JsonPayload(3), None]
    assert read([*payloads, JsonPayload({"v": "x"}), BinaryPayload("v", b"\x01")]) == [1.0] + [None] * 6
    assert read([JsonPayload({"v": 1 << 70}), JsonPayload({"v": 2})]) == [float(1 << 70), 2.0]


def test_text_fields_are_read_too() -> None:
    assert read([JsonPayload({"v": "a"}), JsonPayload({})], pl.String) == ["a", None]


@pytest.mark.parametrize("seed", range(20))
def test_mixed_layouts_give_what_decoding_gives(seed: int) -> None:
    rng = random.Random(seed)
    values: list[Any] = [None, True, 1, -5, 300, 1.25, "", "v", "\xa1v\xcb" * 3, "x" * 40, [1], {"v": 9}]

    def draw() -> dict[str, Any]:
        keys = rng.sample(["a", "v", "vv", "k" * 40], rng.randrange(5))
        return {key: rng.choice(values) for key in keys}

    payloads = [draw() for _ in range(200)]
    expected = [one.get("v") for one in payloads]
    kept = [float(one) if isinstance(one, int | float) and not isinstance(one, bool) else None for one in expected]
    found = read([JsonPayload(one) for one in payloads])
    assert [one for one, true in zip(found, expected, strict=True) if not isinstance(true, bool)] == [
        one for one, true in zip(kept, expected, strict=True) if not isinstance(true, bool)
    ]
