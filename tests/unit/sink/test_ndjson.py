"""The file of each partition and split: its lines, and what is repaired after a crash."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SinkError
from actors.model import AnomalyId
from actors.sink.ndjson import NdjsonSink
from actors.sink.open import open_sinks
from actors.sink.protocol import SinkRecord
from config import make_job
from tests.support.jobs import make_trades_job
from tests.support.partition_jobs import PLAIN, SCHEMA, make_partition_job

JOB = make_partition_job()

FILE = "partition-0000-split-0001.ndjson"


def record(offset: int, detail: str | None = None) -> SinkRecord:
    return SinkRecord(
        partition=0,
        id=AnomalyId(split=1, offset=offset, ordinal=2),
        time=1538960461003,
        key=("A",),
        type=0,
        metric="sum(qty) > 5",
        detail=detail,
    )


def offsets(path: Path) -> list[int]:
    return [json.loads(line)["offset"] for line in path.read_text().splitlines()]


def test_a_line_has_all_fields(tmp_path: Path) -> None:
    NdjsonSink(tmp_path, JOB).write([record(7, '{"value": 6}')])
    assert (tmp_path / FILE).read_text() == (
        '{"time": "2018-10-08T01:01:01.003Z", "key": {"sym": "A"}, "type": 0, "metric": "sum(qty) > 5", '
        '"detail": {"value": 6}, "split": 1, "offset": 7, "ordinal": 2}\n'
    )


@pytest.mark.parametrize(
    "torn",
    [
        b'{"offset": 2',
        b"{",
        b"\x00" * 5000,
        b"\x00\n\x00",
        b'{"offset": 2\n',
        b"x\ny\nz\n",
        b"\xff\n",
        b"\n",
        b"\n\n",
    ],
)
def test_a_torn_end_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    NdjsonSink(tmp_path, JOB).write([record(0), record(1)])
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole + torn)
    NdjsonSink(tmp_path, JOB).write([record(1), record(2)])
    assert (tmp_path / FILE).read_bytes().startswith(whole)
    assert offsets(tmp_path / FILE) == [0, 1, 2]


def test_a_file_cut_anywhere_is_completed(tmp_path: Path) -> None:
    records = [record(offset) for offset in range(3)]
    NdjsonSink(tmp_path, JOB).write(records)
    whole = (tmp_path / FILE).read_bytes()
    for size in range(0, len(whole), 13):
        (tmp_path / FILE).write_bytes(whole[:size])
        NdjsonSink(tmp_path, JOB).write(records)
        assert (tmp_path / FILE).read_bytes() == whole


def test_long_lines_are_found_again(tmp_path: Path) -> None:
    long = json.dumps({"text": "x" * 200_000})
    NdjsonSink(tmp_path, JOB).write([record(0), record(1, long)])
    NdjsonSink(tmp_path, JOB).write([record(1, long), record(2)])
    assert offsets(tmp_path / FILE) == [0, 1, 2]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"name": "other"}\n')
    with pytest.raises(SinkError, match="has other lines than anomalies"):
        NdjsonSink(tmp_path, JOB).write([record(0)])
    assert (tmp_path / FILE).read_text() == '{"name": "other"}\n'


@pytest.mark.parametrize("content", [b"no JSON\n", b"a\nb\n", b"\xff\xfe\n", b"text without an end"])
def test_a_file_without_any_line_of_ours_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SinkError, match=r"sink ndjson: .* give the sink a folder of its own"):
        NdjsonSink(tmp_path, JOB).write([record(0)])
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("content", [b"\0" * 500, b'{"time": "2018-10', b"{", b'{"time": \0\0\0'])
def test_what_a_crash_has_left_of_the_first_write_is_cut_off(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    NdjsonSink(tmp_path, JOB).write([record(0)])
    assert offsets(tmp_path / FILE) == [0]


def test_a_folder_that_cannot_be_written_is_an_error_and_may_be_tried_again(tmp_path: Path) -> None:
    sink = NdjsonSink(tmp_path / "out", JOB)
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(SinkError, match=r"sink ndjson: .*/out cannot be written: File exists\. .* the anomalies wait"):
        sink.write([record(0)])
    os.unlink(tmp_path / "out")
    sink.write([record(0)])
    assert offsets(tmp_path / "out" / FILE) == [0]


def move_away(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def cut_short(path: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize(
    ("change", "fault"), [(move_away, "moved away"), (Path.unlink, "moved away"), (cut_short, "cut")]
)
def test_a_file_that_is_no_longer_as_it_was_left_is_an_error_once(
    tmp_path: Path, change: Callable[[Path], None], fault: str
) -> None:
    sink, path = NdjsonSink(tmp_path / "out", JOB), tmp_path / "out" / FILE
    sink.write([record(0)])
    change(path)
    with pytest.raises(SinkError, match=rf"sink ndjson: .*/{FILE} was {fault} .*: its lines are not written again"):
        sink.write([record(1)])
    sink.write([record(1)])
    assert offsets(path) == [1]


def test_a_failed_write_is_taken_back_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = NdjsonSink(tmp_path, JOB)
    sink.write([record(0)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(SinkError, match="No space left"):
            sink.write([record(1)])
    sink.write([record(1), record(2)])
    assert offsets(tmp_path / FILE) == [0, 1, 2]


def test_a_job_names_its_sinks(tmp_path: Path) -> None:
    job = make_trades_job({"rows": []}, sinks=[{"type": "ndjson", "path": str(tmp_path)}])
    (sink,) = open_sinks(job)
    sink.write([record(0)])
    assert offsets(tmp_path / FILE) == [0]


def test_times_keep_all_their_digits(tmp_path: Path) -> None:
    one = replace(record(7), time=1_700_000_000_123_456_789)
    job = make_job(PLAIN | {"schema": {**SCHEMA, "time": "NANOTIMESTAMP", "sym": "MONTH"}})
    NdjsonSink(tmp_path, job).write([replace(one, key=(24225,), detail='{"learned_since": 1700000000123456789}')])
    found = json.loads((tmp_path / FILE).read_text())
    assert (found["time"], found["key"]["sym"]) == ("2023-11-14T22:13:20.123456789Z", "2018-10")
    assert found["detail"] == {"learned_since": "2023-11-14T22:13:20.123456789Z"}


@pytest.mark.parametrize(("kind", "value", "pattern"), [
    ("DATE", 20454, "2026-01-01"), ("TIMESTAMP", 0, "1970-01-01T*"), ("SECOND", 36000, "10:*"), ("LONG", 5, "5"),
    ("BOOL", True, "True"), ("DOUBLE", 1.5, "1.*"),
])  # fmt: skip
def test_a_sink_looks_at_keys_as_they_are_printed(tmp_path: Path, kind: str, value: Any, pattern: str) -> None:
    job = make_job(
        {
            "job": "keys",
            "schema": {"time": "TIMESTAMP", "at": kind, "load": "DOUBLE"},
            "time": "time",
            "key": "at",
            "metrics": ["load > 1"],
            "source": {"type": "stream", "name": "loads"},
            "sinks": [{"path": str(tmp_path / "out"), "where": {"key": {"at": pattern}}}],
        }
    )
    (sink,) = open_sinks(job)
    sink.write([replace(record(0), key=(value,), type=0)])
    sink.close()
    assert list((tmp_path / "out").rglob("*.ndjson"))
