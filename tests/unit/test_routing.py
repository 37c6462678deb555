"""Keys and the partitions they belong to."""

from typing import Any

import polars as pl
import pytest

from actors.errors import SchemaError
from actors.routing import Router, encode_key, hash_key, partition_of_key


def partition_of(frame: pl.DataFrame, key_columns: list[str], partition_count: int) -> Any:
    return Router(key_columns, partition_count).route(frame)


def test_the_hash_of_a_key_never_changes() -> None:
    assert encode_key(["A"]) == b"\x91\xa1A"
    assert hash_key(["A"]) == 0x4C5EA23963277D78
    assert hash_key([None]) == 0x2B894577DE785E7E
    assert hash_key([5, 1.5, True, "é"]) == 0x59DFEB2652AFA630


def test_different_keys_have_different_encodings() -> None:
    keys = [[None], [""], ["0"], [0], [0.0], [False], ["a", "b"], ["ab", ""], ["", "ab"], [None, "ab"], ["None"], []]
    assert len({encode_key(key) for key in keys}) == len(keys)


def test_minus_zero_is_zero() -> None:
    assert encode_key([-0.0]) == encode_key([0.0])
    frame = pl.DataFrame({"k": [-0.0, 0.0]})
    assert len(set(partition_of(frame, ["k"], 97).tolist())) == 1


@pytest.mark.parametrize(
    "values",
    [
        ["A", None, "B", "A", "", "é\x00"],
        [1, None, -1, 2**62, 0, 1],
        [1.5, None, -0.0, 0.0, 1e300, 5e-324],
        [True, None, False, True, None, False],
    ],
)
def test_whole_columns_are_routed_like_single_keys(values: list[object]) -> None:
    frame = pl.DataFrame({"k": values, "other": ["x", "y", None, "x", "y", None]})
    assert partition_of(frame, ["k"], 8).tolist() == [partition_of_key([value], 8) for value in values]
    expected = [partition_of_key(row, 8) for row in frame.rows()]
    assert partition_of(frame, ["k", "other"], 8).tolist() == expected


def test_two_columns_are_not_confused_with_each_other() -> None:
    frame = pl.DataFrame({"a": ["1:x", "1", None, "-"], "b": ["y", ":xy", "-", None]})
    router = Router(["a", "b"], 4096)
    expected = [partition_of_key(row, 4096) for row in frame.rows()]
    assert router.route(frame).tolist() == expected
    assert router.key_count == 4


def test_without_key_columns_all_rows_belong_to_partition_0() -> None:
    assert partition_of(pl.DataFrame({"k": ["A", "B"]}), [], 8).tolist() == [0, 0]


def test_an_empty_frame_has_no_partitions() -> None:
    frame = pl.DataFrame(schema={"k": pl.String})
    assert partition_of(frame, ["k"], 8).tolist() == []
    assert Router(["k"], 8).split_by_partition(frame) == {}


def test_a_router_remembers_keys_within_its_limit() -> None:
    router = Router(["k"], 8, key_count_max=10)
    for start in range(0, 100, 5):
        frame = pl.DataFrame({"k": [f"key {number}" for number in range(start, start + 5)]})
        expected = [partition_of_key(row, 8) for row in frame.rows()]
        assert router.route(frame).tolist() == expected
        assert router.key_count <= 15


def test_rows_are_grouped_by_partition_in_order() -> None:
    frame = pl.DataFrame({"k": [number % 50 for number in range(200)]})
    groups = Router(["k"], 4).split_by_partition(frame)
    partitions = partition_of(frame, ["k"], 4)
    assert sorted(groups) == [0, 1, 2, 3]
    for partition, rows in groups.items():
        assert rows.tolist() == [row for row in range(200) if partitions[row] == partition]


def test_a_text_is_no_key_of_its_letters() -> None:
    with pytest.raises(ValueError, match="the key 'AB' is a single value"):
        partition_of_key("AB", 4)
    assert Router("sym", 4).route(pl.DataFrame({"sym": ["AB"]})).tolist() == [partition_of_key(["AB"], 4)]


def test_keys_spread_evenly() -> None:
    frame = pl.DataFrame({"k": [f"S{number}" for number in range(8000)]})
    counts = [partition_of(frame, ["k"], 8).tolist().count(partition) for partition in range(8)]
    assert min(counts) > 900
    assert max(counts) < 1100


def test_a_missing_key_column_is_refused() -> None:
    with pytest.raises(SchemaError, match="no key column 'k'"):
        partition_of(pl.DataFrame({"a": [1]}), ["k"], 8)


@pytest.mark.parametrize("arguments", [{"partition_count": 0}, {"partition_count": 2, "key_count_max": 0}])
def test_counts_below_one_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Router(["k"], **arguments)
