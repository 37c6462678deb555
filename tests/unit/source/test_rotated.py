"""Which files a log becomes when it is rotated, and what a job does when what it read is found nowhere."""

import os
from pathlib import Path
from typing import Any

import pytest

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from actors.source.transport.rotated import list_files, rotated_tail
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split


def open_log(path: Path, allowed: AllowedPaths | None = None, **source: Any) -> Source:
    job = make_trades_job({"type": "csv", "header": False, "path": str(path), "follow": True, **source})
    kept = path.parent / "kept"
    return open_source(job, path.parent, positions=kept, allowed=allowed or AllowedPaths())


@pytest.mark.parametrize(
    ("other", "tail"),
    [
        ("app.log.1", "1"),
        ("app.log.12.gz", "12"),
        ("app.log-20260101", "20260101"),
        ("app.log-20260101-1767225600.zst", "20260101-1767225600"),
        ("app.log.2026-01-01_12", "2026-01-01_12"),
        ("app-20260101.log", "20260101"),
        ("app.1.log", "1"),
        ("app.log", ""),
        ("app.log.gz", ""),
        ("app.log.bak", ""),
        ("app2.log", ""),
        ("other.log.1", ""),
    ],
)
def test_names_of_rotated_files(other: str, tail: str) -> None:
    assert rotated_tail("app.log", other) == tail


def test_greater_numbers_are_older_and_later_dates_newer(tmp_path: Path) -> None:
    for names in (["app.log.10", "app.log.2.gz", "app.log.1"], ["app.log-20251231", "app.log-20260101"]):
        for name in ("app.log", *names):
            (tmp_path / name).write_text("")
        assert [one.path.name for one in list_files(tmp_path / "app.log")] == [*names, "app.log"]
        for name in names:
            (tmp_path / name).unlink()


def test_rotated_files_elsewhere_are_found_by_a_pattern(tmp_path: Path) -> None:
    path, old = tmp_path / "app.log", tmp_path / "old"
    path.write_text("1,A,1\n2,A,2\n")
    pattern = str(old / "yesterday*")
    assert open_log(path, rotated=pattern).read(0, 0, 1).next_offset == 1
    old.mkdir()
    path.rename(old / "yesterday.txt")
    path.write_text("3,A,3\n")
    assert [row[0] for _, row in read_split(open_log(path, rotated=pattern)).rows] == [1, 2, 3]


def test_of_the_same_time_a_greater_number_is_older_elsewhere_too(tmp_path: Path) -> None:
    path, old = tmp_path / "app.log", tmp_path / "old"
    old.mkdir()
    for name in ("app.log.1", "app.log.2.gz", "app.log.10"):
        (old / name).write_text("")
        os.utime(old / name, ns=(10**18, 10**18))
    path.write_text("")
    names = [one.path.name for one in list_files(path, str(old / "app*"))]
    assert names == ["app.log.10", "app.log.2.gz", "app.log.1", "app.log"]


def test_a_rotated_file_that_a_job_may_not_read_is_refused(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("7,A,7\n")
    (folder / "app.log").write_text("1,A,1\n")
    os.symlink(outside, folder / "app.log.1")
    with pytest.raises(SourceError, match="may not be touched by a job"):
        open_log(folder / "app.log", AllowedPaths.below([folder])).read(0, 0, 9)


def test_what_is_found_nowhere_is_an_error_that_names_both_ways_out(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1,A,1\n2,A,2\n")
    source = open_log(path)
    assert read_split(source).next_offset == 2
    path.write_text("3,A,3\n")
    for again in (source, open_log(path)):
        with pytest.raises(SourceError, match=r"has become shorter.*begin anew.*`lost: gap`"):
            again.read(0, 2, 9)


def test_what_is_found_nowhere_may_be_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1,A,1\n2,A,2\n")
    source = open_log(path, lost="gap")
    assert read_split(source).next_offset == 2
    path.write_text("3,A,3\n")
    with pytest.raises(SourceError, match="record 2 is gone: the file of which 12 bytes were read"):
        source.read(0, 2, 9)
    for again in (source, open_log(path, lost="gap")):
        assert again.earliest_offset(0) == 3
        assert [row[0] for _, row in read_split(again, start=3).rows] == [3]


def test_records_of_a_rotated_file_that_is_deleted_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1,A,1\n2,A,2\n")
    assert read_split(open_log(path)).next_offset == 2
    path.rename(tmp_path / "app.log.1")
    path.write_text("3,A,3\n")
    assert read_split(open_log(path), start=2).next_offset == 3
    assert open_log(path).earliest_offset(0) == 0
    (tmp_path / "app.log.1").unlink()
    source = open_log(path)
    assert source.earliest_offset(0) == 2
    with pytest.raises(SourceError, match="in a rotated file that is gone"):
        source.read(0, 0, 9)
    assert [row[0] for _, row in read_split(source, start=2).rows] == [3]


def test_a_position_of_a_version_without_segments_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1,A,1\n2,A,2\n")
    assert read_split(open_log(path)).next_offset == 2
    (tmp_path / "kept" / "source.segments").unlink()
    path.rename(tmp_path / "app.log.1")
    path.write_text("3,A,3\n")
    assert [row[0] for _, row in read_split(open_log(path), start=2).rows] == [3]


def test_an_offset_means_nothing_to_one_who_has_no_notes_of_a_rotated_file(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1,A,1\n2,A,2\n")
    (tmp_path / "app.log.1").write_text("0,A,0\n")
    with pytest.raises(SourceError, match="nothing here tells which of its files has record 1: another node"):
        open_log(path).read(0, 1, 9)
    assert read_split(open_log(path)).next_offset == 2
    assert open_log(path).read(0, 1, 9).next_offset == 2
