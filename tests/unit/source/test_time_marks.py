"""Time marks: an idle split's time goes on, and whoever reads it again finds the same marks at the same places."""

import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SnapshotError, SourceError
from actors.source.open import open_source
from actors.source.surroundings import Surroundings
from actors.source.time_marks import IdleRules, MarkedSource, TimeMarks
from cluster.local.embedded import EmbeddedJob
from config import ConfigError, JobSettings, make_job
from config.idle import PLACE_COUNT
from tests.sim.shaky import ShakySource
from tests.support.list_source import ListSource
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job()
SECOND_US = 1_000_000
RULES = IdleRules(time_column="time", tick=5_000, unit_ns=1_000_000, after_us=30 * SECOND_US)


class Clock:
    now_us = 0

    def __call__(self) -> int:
        return self.now_us


def growing(times: list[int], end: int) -> ShakySource:
    rows: list[tuple[object, ...]] = [(time, "A", 1, "ann") for time in times]
    source = ShakySource(ListSource(JOB.row_schema, [rows]), random.Random(1))
    source.ends = {0: end}
    return source


def read_from(source: MarkedSource, offset: int) -> tuple[list[tuple[int, str]], int]:
    """Return offsets of rows, and of marks with their times, in order, and the offset after all."""
    found: list[tuple[int, str]] = []
    while True:
        batch = source.read(0, offset, 3)
        batch.validate()
        if batch.next_offset == offset:
            return found, offset
        found += sorted(
            [(one, "row") for one in batch.offsets.tolist()] + [(one, str(time)) for one, time in batch.time_marks]
        )
        offset = batch.next_offset


def test_an_idle_split_goes_on_from_the_time_of_its_rows_at_each_tick() -> None:
    clock, under = Clock(), growing([1_000, 9_000, 4_000], 3)
    source = MarkedSource(under, RULES, TimeMarks(), clock)
    rows, offset = read_from(source, 0)
    assert [one for one, _ in rows] == [PLACE_COUNT - 1, 2 * PLACE_COUNT - 1, 3 * PLACE_COUNT - 1]
    found = []
    for _ in range(45):
        clock.now_us += SECOND_US
        marks, offset = read_from(source, offset)
        found += marks
    assert found == [(3 * PLACE_COUNT + at, str(time)) for at, time in enumerate([39_000, 40_000, 45_000, 50_000])]


def test_marks_come_where_they_were_wherever_reading_begins_and_however_it_is_cut(tmp_path: Path) -> None:
    rng, clock = random.Random(7), Clock()
    times, now = [], 1_000
    for _ in range(40):
        now += rng.choice((10, 900, 70_000))
        times.append(now)
    under = growing(times, 1)
    place = tmp_path / "marks"
    source, offset, given = MarkedSource(under, RULES, TimeMarks(place), clock), 0, []
    for _ in range(400):
        clock.now_us += rng.choice((1, 5, 40)) * SECOND_US
        if rng.random() < 0.1:
            under.ends[0] = min(len(times), under.ends[0] + 1)
        if rng.random() < 0.1:
            source._marks.close()
            source = MarkedSource(under, RULES, TimeMarks(place), clock)
        new, offset = read_from(source, offset)
        given += new
    assert len([1 for _, what in given if what != "row"]) > 30
    source._marks.close()
    for start in [0, *rng.sample([one for one, _ in given], 20)]:
        again = MarkedSource(under, RULES, TimeMarks(place), None)
        assert read_from(again, start) == ([one for one in given if one[0] >= start], offset)
        again._marks.close()


def test_a_silence_of_years_has_room_and_marks_get_further_apart() -> None:
    clock, under = Clock(), growing([1_000], 1)
    source = MarkedSource(under, RULES, TimeMarks(), clock)
    _, offset = read_from(source, 0)
    found: list[tuple[int, str]] = []
    while clock.now_us < 10 * 365 * 86_400 * SECOND_US:
        clock.now_us += max(5 * SECOND_US, clock.now_us // 100)
        marks, offset = read_from(source, offset)
        found += marks
    moments = [int(time) for _, time in found]
    assert len(moments) < PLACE_COUNT - 1
    assert max(later / earlier for earlier, later in pairwise(moments[100:])) < 1.05


def test_without_any_row_there_is_no_time_to_go_on_from() -> None:
    clock = Clock()
    source = MarkedSource(growing([1_000], 0), RULES, TimeMarks(), clock)
    for _ in range(3):
        clock.now_us += 60 * SECOND_US
        assert read_from(source, 0) == ([], 0)


def test_a_reader_that_begins_at_the_end_looks_back_for_the_time() -> None:
    clock, under = Clock(), growing([1_000, 9_000], 2)
    source = MarkedSource(under, RULES, TimeMarks(), clock)
    assert read_from(source, 2 * PLACE_COUNT) == ([], 2 * PLACE_COUNT)
    clock.now_us += 31 * SECOND_US
    assert read_from(source, 2 * PLACE_COUNT)[0] == [(2 * PLACE_COUNT, "40000")]


def test_marks_that_are_noted_elsewhere_are_missed() -> None:
    source = MarkedSource(growing([1_000], 1), RULES, TimeMarks(), None)
    with pytest.raises(SourceError, match="2 time marks have been given out before record 1, and 0 are noted here"):
        source.read(0, PLACE_COUNT + 2, 3)


def test_a_torn_line_was_given_to_nobody_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    place = tmp_path / "marks"
    marks = TimeMarks(place)
    marks.add(0, 4, 100)
    marks.add(0, 4, 200)
    marks.close()
    whole = place.read_bytes()
    place.write_bytes(whole[:-3])
    again = TimeMarks(place)
    assert again.at(0, 4) == [100]
    again.add(0, 4, 300)
    again.close()
    assert TimeMarks(place).at(0, 4) == [100, 300]
    place.write_bytes(whole.replace(b"200", b"201"))
    (tmp_path / "marks.lock").unlink()
    with pytest.raises(SourceError, match="line 2 is damaged"):
        TimeMarks(place)


def test_two_processes_do_not_note_marks_of_one_source(tmp_path: Path) -> None:
    first = TimeMarks(tmp_path / "marks")
    with pytest.raises(SourceError, match="still reads this source"):
        TimeMarks(tmp_path / "marks")
    first.close()
    TimeMarks(tmp_path / "marks").close()


def test_a_mark_that_may_be_on_disk_is_taken_back_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, under = Clock(), growing([1_000, 60_000], 1)
    source = MarkedSource(under, RULES, TimeMarks(tmp_path / "marks"), clock)
    _, offset = read_from(source, 0)
    clock.now_us += 31 * SECOND_US
    real, failing = os.fsync, [True]

    def sync(descriptor: int) -> None:
        if failing:
            raise OSError(5, "the disk is gone")
        real(descriptor)

    source.read(0, offset, 3)
    clock.now_us += 5 * SECOND_US
    monkeypatch.setattr("actors.source.time_marks.os.fsync", sync)
    with pytest.raises(SourceError, match="the disk is gone"):
        source.read(0, offset + 1, 3)
    failing.clear()
    under.ends[0] = 2
    given = read_from(source, offset)
    source._marks.close()
    again = MarkedSource(under, RULES, TimeMarks(tmp_path / "marks"), None)
    assert read_from(again, offset) == given
    assert [what for _, what in given[0]] == ["32000", "row"]


def idle_job(path: Path, **settings: Any) -> JobSettings:
    base: dict[str, Any] = {
        "job": "levels",
        "schema": {"time": "TIMESTAMP", "tank": "SYMBOL", "level": "INT"},
        "time": "time",
        "key": ["tank"],
        "metrics": ["sum(level) > 5"],
        "window": {"size": "10s", "step": "10s"},
        "source": {"path": str(path), "follow": True},
        "ticks": "5s",
        "absent": "1m",
        "idle_after": "30s",
        "engine": {"ticks_close_windows": True},
    }
    return make_job(base | settings)


def test_windows_close_and_absence_is_found_though_nothing_comes(tmp_path: Path) -> None:
    path, clock = tmp_path / "levels.csv", Clock()
    path.write_text("time,tank,level\n1767225600000,A,4\n1767225602000,A,5\n")
    job = idle_job(path)

    def opened() -> EmbeddedJob:
        places = tmp_path / "partitions"
        source = open_source(
            job, tmp_path, positions=places, around=Surroundings(now_s=lambda: clock.now_us / SECOND_US)
        )
        return EmbeddedJob(job, source, places, lambda: clock.now_us)

    running = opened()
    running.run()
    assert running.anomalies(10) == []
    for _ in range(20):
        clock.now_us += 5 * SECOND_US
        running.run()
    found = running.anomalies(10)
    assert [one.metric for one in found] == ["sum(level) > 5", "absent for 1m"]
    # A row of before is late now, and the key is back.
    with path.open("a") as file:
        file.write("1767225603000,A,1\n1767225690000,A,1\n")
    running.run()
    assert [stat.late_row_count for stat in running.host.stat()].count(1) == 1
    assert running.anomalies(10) == found


def test_jobs_whose_offsets_mean_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "levels.csv"
    path.write_text("time,tank,level\n1767225600000,A,4\n")
    for settings in ({}, {"idle_after": None}):
        job = idle_job(path, **settings)
        source = open_source(job, tmp_path)
        if settings:
            with pytest.raises(SnapshotError, match="were 4 by key, with time marks and are 4 by key in the job file"):
                EmbeddedJob(job, source, tmp_path / "partitions", lambda: 0)
        else:
            running = EmbeddedJob(job, source, tmp_path / "partitions", lambda: 0)
            running.run()
            running.close()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ticks": None, "absent": None, "engine": {}}, "idle_after: needs `ticks`"),
        ({"idle_after": "500ms"}, "0.5 seconds are less than pauses between rows mostly are"),
        ({"source": {"path": "/a.csv"}}, "a source of type csv has an end, and is never idle before it; set `follow"),
        ({"source": {"path": "/a.parquet"}}, "a source of type parquet has an end"),
        ({"source": {"rows": []}}, "a source of type inline has an end"),
        (
            {"source": {"type": "redis", "url": "redis://a/0", "streams": ["a"], "format": "fields"}},
            "write `sequence_bits: 10`",
        ),
        (
            {"standby": 1, "partition_by": "split", "partitions": 2}
            | {"source": {"type": "kafka", "brokers": ["a:1"], "topic": "a", "format": "json"}},
            "time marks are noted where a split is read",
        ),
    ],
)
def test_what_means_nothing_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as error:
        idle_job(Path("/a.csv"), **settings)
    assert reason in str(error.value)
