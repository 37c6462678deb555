import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from actors.persistency import ChunkedEventDataFrame, EventDataFrame, EventPersistency
from actors.persistency.errors import PersistencyLoadError

MIXED: list[dict[str, Any]] = [
    {"a": None},
    {"a": 1, "b": "x"},
    {"b": "y", "a": 2.5},
    {"c": [1, 2]},
    {"a": "text", "c": 7},
    {"d": {"k": 1}, "a": 10**30},
    {"e": True, "d": {"z", "y"}},
    {"e": 3},
]


def ingested(backend: Any, rows: list[dict[str, Any]], **arguments: Any) -> EventPersistency:
    persistency = EventPersistency(backend, event_data_kwargs=arguments)
    for time, row in enumerate(rows):
        persistency.ingest_event(1, "t", [], row, float(time))
    return persistency


@pytest.mark.parametrize(("max_rows", "expected"), [(0, []), (1, [9]), (3, [7, 8, 9]), (10, list(range(10)))])
def test_exactly_the_newest_rows_are_kept(max_rows: int, expected: list[int]) -> None:
    backend = ChunkedEventDataFrame(max_rows=max_rows)
    for start in range(0, 10, 2):
        backend.add_data(pl.DataFrame({"x": [start, start + 1]}))
    assert (backend.get_data()["x"].to_list() if expected else len(backend.get_data())) == (expected or 0)


def test_a_chunk_above_the_limit_is_trimmed() -> None:
    backend = ChunkedEventDataFrame(max_rows=2)
    backend.add_data(pl.DataFrame({"x": [1, 2, 3, 4]}))
    assert backend.get_data()["x"].to_list() == [3, 4]


def test_rows_are_kept_exactly_through_the_buffer_too() -> None:
    data = ingested(ChunkedEventDataFrame, [{"x": i} for i in range(1000)], max_rows=10).get_event_data(1)
    assert data["x"].to_list() == list(range(990, 1000))  # type: ignore[index]


def test_more_chunks_than_allowed_become_one() -> None:
    backend = ChunkedEventDataFrame(compact_every=3)
    counts = []
    for value in range(5):
        backend.add_data(pl.DataFrame({"x": [value]}))
        counts.append(len(backend.chunks))
    assert counts == [1, 2, 3, 1, 2]
    assert backend.chunks[0].n_chunks() == 1


def test_nothing_is_an_empty_frame_without_variables() -> None:
    backend = ChunkedEventDataFrame()
    backend.add_data(pl.DataFrame())
    assert (len(backend.get_data()), backend.get_variables()) == (0, [])


def test_lists_are_rows_when_handed_in_directly_and_cells_when_ingested() -> None:
    assert ChunkedEventDataFrame().to_data({"x": [1, 2], "y": [3, 4]}).rows() == [(1, 3), (2, 4)]
    assert ingested(ChunkedEventDataFrame, [{"x": [1, 2]}]).get_event_data(1).rows() == [([1, 2],)]  # type: ignore[union-attr]


@pytest.mark.parametrize("reads_between", [False, True])
def test_no_mixture_of_types_fails_a_read(reads_between: bool) -> None:
    persistency = EventPersistency(ChunkedEventDataFrame, event_data_kwargs={"compact_every": 2})
    for row in MIXED:
        persistency.ingest_event(1, "t", [], row)
        if reads_between:
            persistency.get_event_data(1)
    data = persistency.get_event_data(1)
    assert data is not None
    assert (len(data), data.columns) == (8, ["a", "b", "c", "d", "e"])
    assert data["b"].to_list() == [None, "x", "y", None, None, None, None, None]
    assert data["a"].to_list()[4:6] == ["text", str(10**30)]


def test_integers_and_floats_are_floats() -> None:
    data = ingested(ChunkedEventDataFrame, [{"x": 1}, {"x": None}, {"x": 2.5}]).get_event_data(1)
    assert data["x"].to_list() == [1.0, None, 2.5]  # type: ignore[index]


def test_times_are_kept_with_their_rows() -> None:
    backend = ingested(ChunkedEventDataFrame, [{"x": i} for i in range(5)], max_rows=2)[1]
    assert isinstance(backend, ChunkedEventDataFrame)
    assert backend.get_timestamps() == [3.0, 4.0]


def test_a_dump_restores_rows_times_and_settings() -> None:
    backend = ingested(ChunkedEventDataFrame, MIXED, max_rows=5, compact_every=7)[1]
    assert isinstance(backend, ChunkedEventDataFrame)
    again = ChunkedEventDataFrame.load(backend.dump())
    assert again.get_data().equals(backend.get_data())
    assert (again.max_rows, again.compact_every, again.get_timestamps()) == (5, 7, [3.0, 4.0, 5.0, 6.0, 7.0])


def test_an_empty_backend_survives_a_dump() -> None:
    assert len(ChunkedEventDataFrame.load(ChunkedEventDataFrame(max_rows=None).dump()).get_data()) == 0


def test_torn_rows_are_refused() -> None:
    with pytest.raises(PersistencyLoadError, match="cannot be read"):
        ChunkedEventDataFrame.load(ingested(ChunkedEventDataFrame, MIXED)[1].dump()[:-9])  # type: ignore[union-attr]


def test_merging_appends_rows() -> None:
    left, right = (ingested(ChunkedEventDataFrame, [{"x": value}]) for value in (1, 2))
    left.merge(right)
    assert left.get_event_data(1)["x"].to_list() == [1, 2]  # type: ignore[index]


def test_pandas_types_are_those_of_appending_rows() -> None:
    pytest.importorskip("pandas")
    rows: list[dict[str, Any]] = [
        {"i": 1, "f": 1, "o": 1, "n": None},
        {"i": 2, "f": 2.5, "o": "x", "new": 3, "n": "x"},
        {"l": [1]},
    ]
    data = ingested(EventDataFrame, rows).get_event_data(1)
    assert data is not None
    assert {name: str(kind) for name, kind in data.dtypes.items()} == {
        "i": "float64",
        "f": "float64",
        "o": "object",
        "n": "object",
        "new": "float64",
        "l": "object",
    }
    assert data["l"].tolist()[2] == [1]


def test_pandas_frames_handed_out_earlier_are_snapshots() -> None:
    pytest.importorskip("pandas")
    persistency = ingested(EventDataFrame, [{"x": 1}])
    before = persistency.get_event_data(1)
    persistency.ingest_event(1, "t", [], {"x": 2})
    assert before is not None
    assert before["x"].tolist() == [1]
    assert persistency.get_event_data(1)["x"].tolist() == [1, 2]  # type: ignore[index]


def test_a_pandas_backend_survives_a_dump_and_direct_rows() -> None:
    pytest.importorskip("pyarrow")
    backend = EventDataFrame()
    backend.add_data(backend.to_data({"x": 1}))
    backend.add_data(backend.to_data({"x": 2, "y": "a"}))
    again = EventDataFrame.load(backend.dump())
    assert again.get_data()["x"].tolist() == [1, 2]
    assert again.get_variables() == ["x", "y"]
    assert EventDataFrame().get_variables() == []


def test_without_pandas_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "import actors.persistency as p\n"
        "e = p.EventPersistency(p.EventDataFrame); e.ingest_event(1, 't', ['a'])\n"
        "p.ChunkedEventDataFrame().get_data()\n"
        "try: e.get_event_data(1)\n"
        "except ImportError as error: print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "extra 'pandas'" in shown
