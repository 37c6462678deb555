"""Key numbers: dense, in order of first appearance, and never shared by two keys."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.engine.keys.numbers import ColumnKeys, KeyNumbers
from actors.engine.keys.table import FingerprintTable
from actors.engine.keys.values import TextValues


def same_fingerprint(self: TextValues, values: pl.Series) -> Any:
    return np.full(len(values), 7, dtype=np.uint64)


def test_texts_with_one_fingerprint_are_still_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextValues, "fingerprints", same_fingerprint)
    keys = ColumnKeys(is_text=True)
    assert keys.number(pl.Series(["a", "b"] * 100)).tolist() == [0, 1] * 100
    assert keys.number(pl.Series(["c", None, "b", "a"] * 100)).tolist() == [2, 3, 1, 0] * 100
    assert keys.values() == ["a", "b", "c", None]


def test_keys_learned_in_small_batches_are_known_in_large_ones() -> None:
    keys = ColumnKeys(is_text=True)
    keys.number(pl.Series(["a", "b"]))
    assert keys.number(pl.Series(["c", "b"] * 100)).tolist() == [2, 1] * 100
    keys.number(pl.Series(["d", None]))
    assert keys.number(pl.Series([None, "e", "d"] * 100)).tolist() == [4, 5, 3] * 100
    assert keys.number(pl.Series(["e", "f"])).tolist() == [5, 6]


def test_a_table_that_grew_still_knows_all_keys() -> None:
    keys = ColumnKeys(is_text=True)
    names = pl.Series([f"key {i} with a name longer than a dozen letters" for i in range(5_000)])
    for start in range(0, 5_000, 500):
        keys.number(names[start : start + 500])
    assert (keys.number(names.reverse()) == np.arange(5_000)[::-1]).all()


def test_a_fingerprint_table_finds_what_was_inserted() -> None:
    table = FingerprintTable()
    fingerprints = np.random.default_rng(3).integers(0, 1 << 63, 10_000).astype(np.uint64) * np.uint64(2)
    table.clear(10_000)
    for start in range(0, 10_000, 1_000):
        table.insert(fingerprints[start : start + 1_000], np.arange(start, start + 1_000))
    assert (table.find(fingerprints) == np.arange(10_000)).all()
    assert (table.find(fingerprints + np.uint64(1)) == -1).all()


def test_a_null_number_is_a_key_of_its_own_in_large_batches() -> None:
    keys = ColumnKeys(is_text=False)
    assert keys.number(pl.Series([0, None, 5] * 100)).tolist() == [0, 1, 2] * 100
    assert keys.number(pl.Series([None, 0] * 100)).tolist() == [1, 0] * 100
    assert keys.values() == [0, None, 5]


def test_keys_of_several_columns_are_numbered_by_all_of_them() -> None:
    keys = KeyNumbers([True, False])
    columns = [pl.Series(["a", "a", "b", None] * 50), pl.Series([1, None, 1, 1] * 50)]
    assert keys.number(columns, 200).tolist() == [0, 1, 2, 3] * 50
    assert keys.number([column[1:3] for column in columns], 2).tolist() == [1, 2]


def test_key_values_that_were_loaded_keep_their_numbers() -> None:
    before, after = ColumnKeys(is_text=False), ColumnKeys(is_text=False)
    before.number(pl.Series([9, None, 4] * 100))
    after.load(before.state())
    assert after.number(pl.Series([4, None, 9, 8] * 100)).tolist() == [2, 1, 0, 3] * 100
    assert after.number(pl.Series([8, 4])).tolist() == [3, 2]


def test_texts_that_came_lately_are_found_beside_the_others() -> None:
    values = TextValues()
    values.extend([f"S{i}" for i in range(50_000)])
    values.extend(["late", None])
    values.extend(["later"])
    given = pl.Series(["S7", "later", None, "late", "S49999"])
    assert values.are(given, np.array([7, 50_002, 50_001, 50_000, 49_999]))
    assert not values.are(given, np.array([7, 50_000, 50_001, 50_002, 49_999]))
    assert not values.are(given, np.array([8, 50_002, 50_001, 50_000, 49_999]))
    assert values.series(50_001).to_list() == [None, "later"]
    values.shorten(50_001)
    assert values.series().to_list()[-2:] == ["S49999", "late"]
