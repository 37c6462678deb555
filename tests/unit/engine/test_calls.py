"""What calls of an engine must keep to: offsets that ascend, time that goes on, one thread."""

from dataclasses import replace
from random import Random
from threading import Thread
from typing import Any

import msgpack
import numpy as np
import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine, ArgumentError, EngineSnapshotError, LifecycleSettings
from actors.engine.episodes.absence import AbsenceWatch
from actors.engine.errors import ConcurrencyError
from actors.engine.snapshot import EngineCapture

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}


def make(*metrics: str, **options: Any) -> AnomalyDetectionEngine:
    given = {"key_columns": ["sym"], "window_size": 5, "step": 5} | options
    return AnomalyDetectionEngine("calls", metrics or ["sum(qty) > 5"], SCHEMA, "time", **given)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([1], "there are 1 offsets for 2 rows; give one for each"),
        ([2, 1], "offset 1 comes after 2; give offsets that ascend"),
        ([1, 1], "offset 1 comes after 1"),
        ([-1, 1], "the offsets are from -1 to 1; give them from 0 on"),
        ([0, 2**63 - 1], "the offsets are from 0 to 9223372036854775807"),
        ([0.0, 1.0], "give whole numbers"),
        ([[0, 1]], "give whole numbers"),
        ("ab", "give whole numbers"),
        (5, "give whole numbers"),
    ],
)
def test_offsets_that_fit_no_rows_are_refused(offsets: Any, message: str) -> None:
    engine = make()
    before = engine.snapshot()
    with pytest.raises(ArgumentError, match=message):
        engine.append([(1, "A", 3), (2, "B", 4)], offsets)
    assert engine.snapshot() == before


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_tick_that_is_not_beyond_the_one_before_changes_nothing(is_restored: bool) -> None:
    engine = make(ticks_close_windows=True)
    engine.append([(1, "A", 9)])
    assert engine.advance(10).height == 1
    engine.append([(2, "B", 9)])
    if is_restored:
        snapshot, engine = engine.snapshot(), make(ticks_close_windows=True)
        engine.restore(snapshot)
    before = engine.snapshot()
    assert (engine.advance(8).height, engine.advance(10).height) == (0, 0)
    assert engine.snapshot() == before
    assert engine.advance(11)["sym"].to_list() == ["B"]


def test_a_tick_that_goes_back_ends_no_episode_and_forgets_no_key() -> None:
    engine = make("qty > prev(qty)", lifecycles=[LifecycleSettings()], idle_key_ttl=5, nulls="unknown")
    engine.append([(1, "A", 1), (2, "A", 2)])
    engine.advance(3)
    engine.take_episodes()
    engine.append([(-90, "B", 1)])
    assert engine.advance(2).height == 0
    assert len(engine.open_episodes()) == 1
    assert engine.append([(-89, "B", 2)]).height == 1


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("options", [{}, {"max_lateness": 2}])
def test_what_stays_set_aside_does_not_depend_on_the_cut(cut: int, options: dict[str, int]) -> None:
    engine = make(late_rows_max=1, **options)
    engine.append([(9, "A", 3), (20, "A", 3)])
    rows = [(6, "A", 3), (None, "A", 2)]
    for start in range(0, 2, cut):
        engine.append(rows[start : start + cut])
    assert engine.take_late().rows() == [(None, "A", 2, 3, None)]
    assert (engine.stat().late_row_count, engine.stat().timeless_row_count) == (1, 1)


def test_late_rows_come_in_the_order_of_their_offsets() -> None:
    engine = make()
    engine.append([(9, "A", 1), (None, "A", 2), (3, "A", 3), (None, "B", 4), (4, "A", 5)])
    assert engine.take_late().select("qty", "offset").rows() == [(2, 1), (3, 2), (4, 3), (5, 4)]


def test_rows_that_wait_beside_one_without_a_time_keep_every_digit() -> None:
    schema = {"time": "NANOTIMESTAMP", "sym": "SYMBOL", "qty": "INT"}
    engine = AnomalyDetectionEngine(
        "calls", ["qty > prev(qty)"], schema, "time", ["sym"], max_lateness=50, nulls="unknown"
    )
    base = 1_700_000_000_000_000_000
    engine.append([(base + 3, "A", 2), (base + 1, "A", 1), (None, "A", 0), (base + 99, "A", 0)])
    assert engine.stat().anomaly_count == 1


def test_nan_is_null_in_what_is_set_aside() -> None:
    schema = {"time": "TIMESTAMP", "price": "DOUBLE"}
    engine = AnomalyDetectionEngine("calls", ["max(price) > 5"], schema, "time", (), 5, 5)
    frame = pl.DataFrame({"time": [9, 1, 2], "price": [1.0, float("nan"), float("inf")]})
    engine.append_physical(frame)
    assert engine.take_late()["price"].to_list() == [None, None]


def test_keys_of_nan_and_null_are_one() -> None:
    schema = {"time": "TIMESTAMP", "price": "DOUBLE"}
    engine = AnomalyDetectionEngine("calls", ["time > prev(time)"], schema, "time", ["price"], nulls="unknown")
    found = engine.append_physical(pl.DataFrame({"time": [1, 2], "price": [float("nan"), None]}))
    assert found["price"].to_list() == [None]


def test_a_second_thread_is_refused_and_takes_nothing_away() -> None:
    engine, refused = make("qty > 0"), []

    def append(name: str) -> None:
        for number in range(200):
            try:
                engine.append([(0, f"{name} {number} {key}", 1) for key in range(20)])
            except ConcurrencyError as error:
                refused.append(str(error))

    threads = [Thread(target=append, args=(name,)) for name in "ABC"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.validate()
    assert engine.stat().row_count == 20 * (600 - len(refused))
    assert all("give each thread an engine" in text for text in refused)


def test_a_call_within_a_call_is_refused() -> None:
    engine = make()
    with engine._alone, pytest.raises(ConcurrencyError, match="has not returned"):
        engine.append([(0, "A", 1)])
    assert engine.append([(0, "A", 1)]).height == 0


def test_bytes_that_are_no_snapshot_leave_the_state_as_it_was() -> None:
    options = {"max_lateness": 3, "ticks_close_windows": True, "explain": "all"}
    engine = make("sum(qty) > 5", "qty > prev(qty)", **options)
    engine.append([(at, "AB"[at % 2], at) for at in range(20)])
    engine.advance(16)
    snapshot, choices = engine.snapshot(), Random(3)
    for _ in range(300):
        torn = bytearray(snapshot[: choices.randrange(len(snapshot))] if choices.random() < 0.3 else snapshot)
        for _ in range(choices.randrange(1, 4) if torn else 0):
            torn[choices.randrange(len(torn))] ^= 1 << choices.randrange(8)
        if bytes(torn) != snapshot:
            with pytest.raises(EngineSnapshotError):
                engine.restore(bytes(torn))
    assert engine.snapshot() == snapshot


def test_a_snapshot_file_that_cannot_be_written_takes_no_anomaly_away(tmp_path: Any) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    engine = make("qty > 0", snapshot_dir=folder, snapshot_interval_rows=1)
    folder.rename(tmp_path / "elsewhere")
    assert engine.append([(0, "A", 1)]).height == 1
    assert engine.stat().snapshot_offset == -1
    (tmp_path / "elsewhere").rename(folder)
    engine.append([(0, "A", 1)])
    assert engine.stat().snapshot_offset == 1


def test_a_time_beyond_64_bits_says_nothing_about_silence() -> None:
    watch = AbsenceWatch("time", ["sym"], 10)
    watch.see(0, pl.DataFrame({"time": [2**63 - 1, 5], "sym": ["A", "A"]}), np.arange(2))
    assert watch.tick(0, 20) == [(("A",), 5)]
    assert watch.tick(0, 20) == []


def test_a_snapshot_with_ticks_beside_the_rows_that_wait_is_taken_over() -> None:
    options = {"max_lateness": 3, "ticks_close_windows": True}
    engine = make(**options)
    engine.append([(1, "A", 9)])
    engine.advance(20)
    state = engine._core.state()
    parts = {name: dict(part) for name, part in state.parts.items()}
    parts["reorder"] |= parts.pop("ticks")
    other = make(**options)
    other.restore(b"".join(EngineCapture(engine.fingerprint, replace(state, parts=parts)).pieces()))
    assert other.snapshot() == engine.snapshot()


def test_a_snapshot_in_pieces_is_what_msgpack_makes_of_the_whole() -> None:
    engine = make("sum(qty) > 5")
    engine.append([(n, "ABC"[n % 3], n) for n in range(20)])
    whole = engine.snapshot()
    magic, version, fingerprint, checksum, body = msgpack.unpackb(whole)
    assert whole == msgpack.packb([magic, version, fingerprint, checksum, body])
    assert body == msgpack.packb(msgpack.unpackb(body))
