"""Payloads of whole columns are those that msgpack makes of each row."""

from itertools import pairwise
from typing import Any

import msgpack
import polars as pl
import pytest

from actors.partition.row_payloads import FEW_ROWS, pack_rows

EDGES = [0, 31, 32, 33, 127, 128, 129, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32]
NUMBERS = [sign * edge + step for edge in EDGES for sign in (1, -1) for step in (0, -1)]
TEXTS = ["", "é", "x" * 31, "x" * 32, "日" * 20, "\0", "a"]


def cut(data: bytes, offsets: Any) -> list[bytes]:
    places = offsets.tolist()
    return [data[start:end] for start, end in pairwise(places)]


def rows_of(frame: pl.DataFrame) -> list[bytes]:
    return [msgpack.packb(row) for row in frame.to_dicts()]


@pytest.mark.parametrize(
    "values",
    [
        [*NUMBERS, 2**63 - 1, -(2**63), None],
        [None],
        [0.0, -0.0, 1.5, float("inf"), 1e300, None],
        [True, False, None],
        [*TEXTS, None],
        ["x" * 300, "", None] + ["a"] * 30,
        ["y" * 70_000, "short"],
    ],
)
@pytest.mark.parametrize("count", [1, FEW_ROWS, 1000])
def test_values_of_one_column(values: list[Any], count: int) -> None:
    kind = next((pl.Int64 for one in values if type(one) is int), None)
    column = pl.Series("a", (values * count)[: max(count, len(values))], dtype=kind)
    frame = pl.DataFrame([column if column.dtype != pl.Null else column.cast(pl.Int64)])
    assert cut(*pack_rows(frame, ["a"])) == rows_of(frame)


def test_rows_of_many_columns_in_the_order_that_is_wanted() -> None:
    count = 300
    columns = {f"column {n}": [n * row if (row + n) % 7 else None for row in range(count)] for n in range(17)}
    frame = pl.DataFrame({"ü": [f"S{row % 50}" for row in range(count)], **columns, "z": [0.5] * count})
    names = ["z", *columns, "ü"]
    assert cut(*pack_rows(frame, names)) == rows_of(frame.select(names))


def test_no_rows_and_no_columns() -> None:
    frame = pl.DataFrame({"a": [1] * 200})
    assert cut(*pack_rows(frame[:0], ["a"])) == []
    assert cut(*pack_rows(frame[:1], ["a"])) == [msgpack.packb({"a": 1})]
