"""Parquet files of a sink: whole ones only, rolled by time and size, and every id in one of them whatever dies."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.allowed import AllowedPaths
from actors.errors import SinkError
from actors.sink.open import ChosenSink, SinkPlaces, open_sinks
from actors.sink.protocol import SinkRecord
from tests.support.partition_jobs import make_partition_job
from tests.support.sink_records import sink_records

RECORDS = sink_records(6, partition=1)


class Folder:
    """A folder of a sink, and the time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_s = 1000

    def open(self, places: SinkPlaces | None = None, **settings: Any) -> ChosenSink:
        metric = {"when": "qty > 8", "id": "big", "severity": "error", "labels": {"a": "{sym}"}, "for": "1s"}
        sink = {"type": "parquet", "path": str(self.path), **settings}
        job = make_partition_job(metrics=[metric], window=None, sinks=[sink])
        (found,) = open_sinks(job, places or SinkPlaces(now_s=lambda: self.now_s))
        assert isinstance(found, ChosenSink)
        return found

    @property
    def files(self) -> list[Path]:
        return sorted(self.path.glob("*.parquet"))

    def offsets(self) -> list[int]:
        return [offset for path in self.files for offset in pl.read_parquet(path)["offset"].to_list()]

    def waiting(self) -> Path:
        (path,) = self.path.glob(".*.waiting")
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "out")


def nothing() -> list[SinkRecord]:
    return []


def test_a_file_is_whole_when_its_first_record_has_waited_long_enough(folder: Folder) -> None:
    sink = folder.open(roll={"after": "10s"})
    sink.write(RECORDS[:2])
    folder.now_s += 9
    sink.write(RECORDS[2:3])
    sink.keep(nothing)
    assert folder.files == []
    folder.now_s += 1
    sink.keep(nothing)
    (path,) = folder.files
    assert path.name == "partition-0001-split-0000-0000000000000000002-0000000000.parquet"
    assert pl.read_parquet(path).row(0, named=True) == {
        "id": "trades/0-0-0", "time": pl.Series([1538960461003]).cast(pl.Datetime("ms"))[0], "sym": "A", "type": 0,
        "metric": "qty > 8", "detail": '{"values": {"qty": 9}}', "split": 0, "offset": 0, "ordinal": 0,
        "kind": "anomaly", "state": None, "rule": "big", "severity": "error", "summary": None, "runbook": None,
        "labels": '{"a": "A"}',
    }  # fmt: skip
    sink.write(RECORDS[3:4])
    folder.now_s += 10
    sink.keep(nothing)
    sink.keep(nothing)
    assert folder.offsets() == [0, 1, 2, 3]


def test_a_file_is_whole_when_there_is_enough_and_when_the_sink_is_closed(folder: Folder) -> None:
    sink = folder.open(roll={"size": 200})
    sink.write(RECORDS[:1])
    sink.write(RECORDS[1:3])
    assert len(folder.files) == 1
    sink.write(RECORDS[3:4])
    sink.close()
    assert (len(folder.files), folder.offsets()) == (2, [0, 1, 2, 3])
    folder.open(roll={"size": 200}).write(RECORDS)
    assert folder.offsets() == [0, 1, 2, 3]


def test_what_a_process_leaves_that_dies_becomes_a_file(folder: Folder) -> None:
    folder.open().write(RECORDS[:2])
    # It dies while it writes the next one.
    with folder.waiting().open("ab") as file:
        file.write(b"[2, 0, 0")
    folder.now_s += 600
    folder.open().keep(nothing)
    assert folder.offsets() == [0, 1]
    sink = folder.open()
    sink.write(RECORDS)
    sink.close()
    assert folder.offsets() == [0, 1, 2, 3, 4, 5]


def crash_before_beginning_anew(folder: Folder) -> None:
    left = folder.waiting().read_bytes()
    folder.open().keep(nothing)
    folder.waiting().write_bytes(left)


def crash_while_beginning_anew(folder: Folder) -> None:
    folder.open().keep(nothing)
    folder.waiting().write_bytes(folder.waiting().read_bytes()[:7])


def crash_while_the_file_is_written(folder: Folder) -> None:
    (folder.path / f".{'partition-0001-split-0000-0000000000000000002-0000000000.parquet'}.draft").write_bytes(b"PAR1")


@pytest.mark.parametrize(
    "crash", [crash_before_beginning_anew, crash_while_beginning_anew, crash_while_the_file_is_written]
)
def test_nothing_is_missing_or_doubled_after_a_crash(folder: Folder, crash: Callable[[Folder], None]) -> None:
    folder.open().write(RECORDS[:3])
    folder.now_s += 600
    crash(folder)
    # What was not marked comes again.
    sink = folder.open()
    sink.write(RECORDS[1:4])
    sink.close()
    assert folder.offsets() == [0, 1, 2, 3]
    assert folder.open().write(RECORDS[:4]) is None
    assert folder.offsets() == [0, 1, 2, 3]


def test_two_that_have_one_folder_make_one_file_of_what_waits(folder: Folder) -> None:
    """What one knows of the other's hidden file is old though the file is as long as before."""
    one, other = folder.open(roll={"after": "10s"}), folder.open(roll={"after": "10s"})
    one.write(RECORDS[:1])
    other.keep(nothing)
    folder.now_s += 10
    one.keep(nothing)
    one.write(RECORDS[1:2])
    other.keep(nothing)
    assert folder.offsets() == [0]
    folder.now_s += 10
    other.keep(nothing)
    one.keep(nothing)
    one.close()
    assert folder.offsets() == [0, 1]


def test_files_may_be_taken_away(folder: Folder) -> None:
    sink = folder.open(roll={"size": 100})
    sink.write(RECORDS[:2])
    folder.files[0].unlink()
    again = folder.open(roll={"size": 100})
    again.write(RECORDS[:3])
    assert folder.offsets() == [2]


def test_what_cannot_be_written_is_said_and_comes_later(folder: Folder, tmp_path: Path) -> None:
    folder.path.write_text("in the way")
    sink = folder.open()
    with pytest.raises(SinkError, match="out cannot be written"):
        sink.write(RECORDS)
    folder.path.unlink()
    sink.write(RECORDS)
    sink.close()
    assert folder.offsets() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(SinkError, match="may not be touched by a job"):
        folder.open(SinkPlaces(allowed=AllowedPaths.below([tmp_path / "elsewhere"]))).write(RECORDS)
    folder.waiting().write_text("lines\nof others\n")
    with pytest.raises(SinkError, match="is none of this sink's files"):
        folder.open().write(RECORDS)


def test_episodes_and_odd_texts_are_kept(folder: Folder) -> None:
    told = {"episode": {"state": "firing", "start": 1538960461000, "last_true": 1538960463500}}
    odd = replace(RECORDS[1], key=(None,), metric='"\n\u2028é\0', detail=json.dumps(told), time=None)
    sink = folder.open(only="both")
    sink.write([RECORDS[0], odd])
    sink.close()
    found = pl.read_parquet(folder.files[0])
    assert found["state"].to_list() == [None, "firing"]
    assert found["metric"][1] == '"\n\u2028é\0'
