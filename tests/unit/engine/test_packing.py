"""What is packed comes back bit for bit, in few bytes."""

from typing import Any

import msgpack
import numpy as np
import polars as pl
import pytest

from actors.engine.snapshot import pieces_of
from actors.engine.vectors.packing import pack, pack_series, unpack, unpack_series


def packed(array: Any) -> bytes:
    return b"".join(pieces_of(msgpack.Packer(), pack(array)))


def through(array: Any) -> Any:
    return unpack(msgpack.unpackb(packed(array)))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [7],
        [-(2**63), 2**63 - 1, 0],
        [1_700_000_000_000 + i for i in range(300)],
    ],
)
def test_whole_numbers_come_back(values: list[int]) -> None:
    back = through(np.array(values, dtype=np.int64))
    assert back.dtype == np.int64
    assert back.tolist() == values


@pytest.mark.parametrize(
    "values",
    [[], [0.0, -0.0], [1.25, -3.5, 0.1], [1 / 3, 2.5], [float("inf"), 1.0], [1e300, 1e-300], [4503599627370497.0]],
)
def test_real_numbers_come_back_with_their_bits(values: list[float]) -> None:
    given = np.array(values, dtype=np.float64)
    assert through(given).view(np.int64).tolist() == given.view(np.int64).tolist()


@pytest.mark.parametrize("count", [16_383, 16_384, 50_000])
def test_long_arrays_come_back_whatever_of_them_is_noise(count: int) -> None:
    random = np.random.default_rng(1)
    for given in (
        random.normal(100, 5, count),
        random.integers(0, 1 << 40, count) << 20,
        np.concatenate((random.random(count - 9_000), np.zeros(9_000))),
        np.full(count, 7),
    ):
        assert through(given).view(np.int64).tolist() == given.view(np.int64).tolist()


def test_noise_takes_no_more_than_its_own_bytes_and_its_company_is_deflated() -> None:
    given = np.random.default_rng(1).normal(100, 5, 50_000)
    size = len(packed(given))
    assert 6 * 50_000 < size < 7 * 50_000


def test_prices_are_stored_as_whole_cents() -> None:
    prices = np.round(np.random.default_rng(1).random(10_000) * 100, 2)
    assert pack(prices)[:2] == ["decimal", 2]
    assert len(packed(prices)) < 20_000


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["a", "b"],
        ["", "", ""],
        ["a", "longer", ""],
        ["grün", "rot", "日本"],
        ["grün", "abcde"],
        [None],
        ["a", None, ""],
    ],
)
def test_texts_come_back(texts: list[str | None]) -> None:
    given = pack_series(pl.Series(texts, dtype=pl.String))
    assert unpack_series(msgpack.unpackb(msgpack.packb(given))).to_list() == texts


def test_whole_keys_come_back_with_null() -> None:
    values = pl.Series([3, None, -1], dtype=pl.Int64)
    assert unpack_series(pack_series(values)).to_list() == [3, None, -1]


def test_many_keys_of_noise_come_back() -> None:
    keys = pl.Series(np.random.default_rng(2).integers(0, 1 << 60, 20_000))
    given = b"".join(pieces_of(msgpack.Packer(), pack_series(keys)))
    assert unpack_series(msgpack.unpackb(given)).equals(keys)


def test_truth_values_and_text_arrays_come_back() -> None:
    assert through(np.array([True, False, True])).tolist() == [True, False, True]
    assert through(np.array(["x", "", "yz"], dtype=object)).tolist() == ["x", "", "yz"]
