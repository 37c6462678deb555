"""History: long ranges as frames, in batches."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.shard import ShardOwnedError
from actors.store import EventStore, OrderBy, Timestamp
from actors.store.errors import QueryError
from actors.store.query.history import HistoryParams, read_history
from tests.support.store_setup import event, open_store, small_blocks


def fill(store: EventStore) -> None:
    store.register([event(n, "a" if n % 2 else "b", source=20 - n, data={"v": n / 2, "n": n}) for n in range(1, 11)])
    store.flush()
    store.register([event(n, "a", source=30 - n, data={"v": n / 2, "n": n}) for n in range(11, 14)])


def values(store: EventStore, **options: Any) -> list[list[int]]:
    frames = store.read_history(HistoryParams(fields={"n": pl.Int64}, columns=("timestamp",), **options))
    return [frame["n"].to_list() for frame in frames]


@pytest.mark.parametrize("batch_row_count", [1, 3, 4, 13, 100])
def test_every_row_comes_once_whatever_the_batches(tmp_path: Path, batch_row_count: int) -> None:
    with small_blocks(4), open_store(tmp_path) as store:
        fill(store)
        batches = values(store, batch_row_count=batch_row_count)
        assert [one for batch in batches for one in batch] == list(range(1, 14))
        assert all(len(batch) == batch_row_count for batch in batches[:-1])


def test_history_takes_ranges_types_and_servers(tmp_path: Path) -> None:
    with small_blocks(4), open_store(tmp_path) as store:
        fill(store)
        store.register([event(n, "a", server=2, time=5, data={"n": -n}) for n in (1, 2)])
        assert values(store, server=2) == [[-1, -2]]
        assert values(store, event_types=(("b",),), t_from=Timestamp(3, 0), t_to=Timestamp(8, 0)) == [[4, 6, 8]]
        assert values(store, order_by=OrderBy.SOURCE_TIMESTAMP, t_to=Timestamp(12, 0)) == [[10, 9, 8]]
        assert values(store, instance=2) == [[2, -2]]
        assert values(store, event_types=(("c",),)) == [[]]


def test_what_comes_after_the_first_batch_is_left_out(tmp_path: Path) -> None:
    with small_blocks(4), open_store(tmp_path) as store:
        fill(store)
        frames = store.read_history(HistoryParams(fields={"n": pl.Int64}, batch_row_count=5))
        found = next(frames)["n"].to_list()
        store.register([event(n, "a", data={"n": n}) for n in range(14, 20)])
        store.flush()
        assert store.query_frame(HistoryParams().query()).height == 19
        assert found + [n for frame in frames for n in frame["n"].to_list()] == list(range(1, 14))


def test_a_slow_reader_keeps_no_transaction_open(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store)
        frames = store.read_history(HistoryParams(batch_row_count=5))
        next(frames)
        assert store._shard.stat().reader_count == 0


def test_a_closed_shard_is_read_without_a_store(tmp_path: Path) -> None:
    params = HistoryParams(fields={"v": pl.Float64}, columns=("type", "timestamp"), event_types=(("a",),))
    with open_store(tmp_path) as store:
        fill(store)
        with pytest.raises(ShardOwnedError):
            next(read_history(tmp_path, params))
    (frame,) = read_history(tmp_path, params)
    assert frame.columns == ["type", "timestamp", "v"]
    assert frame["v"].to_list() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.0, 6.5]
    assert frame["timestamp"].to_list()[:2] == [1_000_000, 3_000_000]


def test_columns_that_there_are_not_are_refused() -> None:
    with pytest.raises(QueryError, match="no column 'offset'; its columns are server, session"):
        HistoryParams(columns=("offset",))
    with pytest.raises(QueryError, match="batch_row_count is 0"):
        HistoryParams(batch_row_count=0)
