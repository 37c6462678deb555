"""Routing: which partition a row belongs to, by a stable hash of its key.

The *encoding* of a key is the msgpack array of its values, in the order of the key columns: nil for NULL, a Boolean,
the shortest form of an integer, a float as eight bytes (minus zero is zero), a string as UTF-8. Lengths are part of
it, so two keys never have one encoding. The partition is the 64-bit XXH3 hash (seed 0) of the encoding modulo the
number of partitions. All of this is written to disk by way of where rows are kept: it may never change.

Hashing happens once per distinct key. A `Router` also remembers keys from batch to batch, within a limit. Rows
without key columns all belong to partition 0.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from actors.errors import SchemaError

KeyValue = str | int | float | bool | None
"""One value of a key, in its physical type."""

Partitions = npt.NDArray[np.int64]
"""A partition number for every row."""

Rows = npt.NDArray[np.int64]
"""Positions of rows."""

KEY_COUNT_MAX = 1_000_000
"""Distinct keys that a router remembers unless told otherwise."""


def encode_key(values: Sequence[KeyValue]) -> bytes:
    """Return the stable encoding of a key: different keys have different encodings.

    Raises:
        ValueError: a single text, which would be taken for a key of its letters.
    """
    if isinstance(values, str | bytes):
        raise ValueError(f"the key {values!r} is a single value; give a list of one for each key column")
    plain = [value + 0.0 if isinstance(value, float) else value for value in values]
    encoded: bytes = msgpack.packb(plain, use_bin_type=True)
    return encoded


def hash_key(values: Sequence[KeyValue]) -> int:
    """Return the 64-bit hash of a key; it never changes."""
    return xxhash.xxh3_64_intdigest(encode_key(values))


def partition_of_key(values: Sequence[KeyValue], partition_count: int) -> int:
    """Return the partition of one key; a key without columns belongs to partition 0."""
    return hash_key(values) % partition_count if values else 0


def order_by_partition(partitions: Partitions, partition_count: int) -> tuple[Rows, Rows]:
    """Return the order that sorts rows by partition, and where each partition, and the end, begins in that order."""
    counts = np.bincount(partitions, minlength=partition_count)
    # Numbers of 16 bits are sorted by counting, in a tenth of the time.
    narrow = partitions.astype(np.uint16) if partition_count <= 1 << 16 else partitions
    return narrow.argsort(kind="stable"), np.concatenate(([0], np.cumsum(counts)))


class Router:
    """Routes batch after batch and remembers the partitions of the keys it has seen.

    Raises:
        ValueError: a partition count below 1, or a limit below 1.
    """

    def __init__(self, key_columns: Sequence[str], partition_count: int, *, key_count_max: int = KEY_COUNT_MAX) -> None:
        if partition_count < 1:
            raise ValueError(f"partition_count is {partition_count}; give at least 1")
        if key_count_max < 1:
            raise ValueError(f"key_count_max is {key_count_max}; give at least 1")
        self._key_columns = (key_columns,) if isinstance(key_columns, str) else tuple(key_columns)
        self._partition_count = partition_count
        self._key_count_max = key_count_max
        self._forget()

    @property
    def partition_count(self) -> int:
        """Number of partitions that rows are routed to."""
        return self._partition_count

    @property
    def key_count(self) -> int:
        """Distinct keys remembered now."""
        return int(np.count_nonzero(self._partitions[: self._code_count] >= 0))

    def route(self, frame: pl.DataFrame) -> Partitions:
        """Return the partition of every row of a canonical frame.

        Raises:
            SchemaError: the frame lacks a key column.
        """
        if not self._key_columns or self._partition_count == 1:
            return np.zeros(frame.height, dtype=np.int64)
        for name in self._key_columns:
            if name not in frame.columns:
                raise SchemaError(f"the rows have no key column {name!r}; they have {', '.join(frame.columns)}")
        if self._code_count > self._key_count_max:
            self._forget()
        codes = self._codes(frame)
        self._make_room(int(codes.max(initial=-1)) + 1)
        found = self._partitions.take(codes)
        fresh = np.flatnonzero(found < 0)
        if fresh.size:
            self._learn(frame, codes, fresh)
            found = self._partitions.take(codes)
        return found

    def split_by_partition(self, frame: pl.DataFrame) -> dict[int, npt.NDArray[np.int64]]:
        """Return the row numbers of each partition that has any, ascending, in order of the partitions."""
        order, bounds = order_by_partition(self.route(frame), self._partition_count)
        places = enumerate(pairwise(bounds.tolist()))
        return {number: order[start:stop] for number, (start, stop) in places if start < stop}

    def _forget(self) -> None:
        self._dictionary = pl.Categorical(pl.Categories.random())
        # Polars numbers texts anew once no series of the dictionary is left, so one is kept.
        self._anchor = pl.Series([None], dtype=self._dictionary)
        self._partitions = np.full(1024, -1, dtype=np.int64)
        self._code_count = 0

    def _codes(self, frame: pl.DataFrame) -> npt.NDArray[np.int64]:
        """Number every row's key; a number is good for as long as the dictionary lives, and 0 is the single NULL."""
        text = frame.select(_key_text(frame, self._key_columns)).to_series()
        numbers = text.cast(self._dictionary).to_physical().cast(pl.Int64) + 1
        return numbers.fill_null(0).to_numpy()

    def _learn(self, frame: pl.DataFrame, codes: npt.NDArray[np.int64], fresh: Rows) -> None:
        """Note the partitions of keys, given rows that have one of which nothing is known."""
        numbers, first = np.unique(codes[fresh], return_index=True)
        keys = frame.select(self._key_columns)[fresh[first]].rows()
        self._partitions[numbers] = [partition_of_key(key, self._partition_count) for key in keys]

    def _make_room(self, code_count: int) -> None:
        self._code_count = max(self._code_count, code_count)
        if code_count > self._partitions.size:
            bigger = np.full(max(code_count, 2 * self._partitions.size), -1, dtype=np.int64)
            bigger[: self._partitions.size] = self._partitions
            self._partitions = bigger


def _key_text(frame: pl.DataFrame, key_columns: Sequence[str]) -> pl.Expr:
    """Return text that is equal for equal keys only; NULL stays NULL when the key is a single column."""
    texts = [_value_text(name, frame.schema[name]) for name in key_columns]
    if len(texts) == 1:
        return texts[0]
    with_length = [
        pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text).fill_null("-") for text in texts
    ]
    return pl.concat_str(with_length).alias("key")


def _value_text(name: str, kind: Any) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.String:
        return column
    if kind == pl.Float64:
        return (column + 0.0).reinterpret(signed=True).cast(pl.String)
    return column.cast(pl.String)
