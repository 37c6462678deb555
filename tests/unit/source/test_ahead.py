"""Rows ahead of most keys are set aside, the same ones however and from wherever a split is read."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from actors.source.ahead import VOICE_COUNT_MAX, AheadSource
from actors.source.protocol import Source
from cluster.local.embedded import open_job
from config import ConfigError, JobSettings, make_job
from config.specs import ahead_limit
from tests.support.list_source import ListSource
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job()
LOOK_BACK = 40


def records(seed: int) -> list[tuple[Any, ...]]:
    """Return rows of few or many keys, with gaps, some of them with a wrong clock."""
    rng = random.Random(seed)
    keys = [f"K{number}" for number in range(rng.choice((1, 2, 3, 7, 30)))]
    wrong = {key: rng.choice((60, 500)) for key in keys if rng.random() < 0.15}
    time, rows = 1000, []
    for _ in range(150):
        time += rng.choice((0, 1, 2, 5)) if rng.random() < 0.97 else rng.choice((45, 300))
        key = rng.choice(keys)
        rows.append((time + wrong.get(key, 0) - rng.choice((0, 0, 8)), key, 1, "ann"))
    return rows


def naive(rows: list[tuple[Any, ...]], ahead_max: int) -> list[int]:
    """Return the offsets of the rows that are ahead."""
    found = []
    for offset, (time, *_) in enumerate(rows):
        claims: dict[str, int] = {}
        for before in range(offset, max(0, offset - LOOK_BACK) - 1, -1):
            if len(claims) < VOICE_COUNT_MAX:
                claims.setdefault(rows[before][1], rows[before][0])
        if time - sorted(claims.values())[(len(claims) - 1) // 2] > ahead_max:
            found.append(offset)
    return found


def source_of(rows: list[tuple[Any, ...]]) -> AheadSource:
    listed: Source = ListSource(JOB.row_schema, [rows])
    return AheadSource(listed, ("time", "sym"), 30, "30ms", LOOK_BACK)


def read_from(source: Source, offset: int, end: int, rng: random.Random) -> tuple[list[int], list[int]]:
    kept: list[int] = []
    ahead: list[int] = []
    while offset < end:
        batch = source.read(0, offset, rng.randint(1, 60))
        batch.validate()
        kept += batch.offsets.tolist()
        ahead += [one.offset for one in batch.dead_letters]
        offset = batch.next_offset
    return kept, ahead


@pytest.mark.parametrize("seed", range(30))
def test_the_same_rows_are_ahead_however_they_are_read(seed: int) -> None:
    rng, rows = random.Random(seed), records(seed)
    expected = naive(rows, 30)
    kept, ahead = read_from(source_of(rows), 0, len(rows), rng)
    assert ahead == expected
    assert sorted(kept + ahead) == list(range(len(rows)))
    source = source_of(rows)
    for start in (rng.randrange(150), rng.randrange(150)):
        assert read_from(source, start, len(rows), rng)[1] == [one for one in expected if one >= start]


def test_many_rows_at_once_are_looked_at_as_one_by_one() -> None:
    rows = [(1000 + number // 10 + 500 * (number % 977 == 5), f"K{number % 9}", 1, "ann") for number in range(6000)]
    source = AheadSource(ListSource(JOB.row_schema, [rows]), ("time", "sym"), 30, "30ms")
    ahead = [one.offset for one in source.read(0, 0, 6000).dead_letters]
    assert ahead == [number for number in range(6000) if number % 977 == 5]
    assert source.remarks()[-1].startswith(f"{len(ahead)} rows are ahead of most keys by more than 30ms")


PUMPS = {
    "job": "pumps",
    "schema": {"time": "TIMESTAMP", "pump": "SYMBOL", "level": "INT"},
    "time": "time",
    "key": ["pump"],
    "metrics": ["sum(level) > 100"],
    "window": {"size": "10s"},
    "ticks": "10s",
    "absent": "5m",
    "engine": {"ticks_close_windows": True},
    "partitions": 3,
}


def pumps_job(directory: Path, wrong: dict[int, str], **settings: Any) -> JobSettings:
    rows = [
        {"time": f"2026-03-01T00:{number // 60:02}:{number % 60:02}", "pump": "abcd"[number % 4], "level": 1}
        | ({"time": wrong[number]} if number in wrong else {})
        for number in range(600)
    ]
    (directory / "rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make_job(PUMPS | {"source": {"path": str(directory / "rows.ndjson")}} | settings)


def test_one_wrong_clock_makes_nobody_absent_and_nothing_late(tmp_path: Path) -> None:
    wrong = {100: "2027-01-01T00:00:00", 300: "2027-01-01T00:05:00"}
    job = pumps_job(tmp_path, wrong)
    with open_job(job, tmp_path / "kept", lambda: 0) as running:
        running.run()
        assert running.new_anomalies(9) == []
        assert sum(one.late_row_count for one in running.host.stat()) == 0
        letters = running.ask("dead_letters", count_max=9)
        assert [one.offset for one in letters] == [100, 300]
        times = "2027-01-01T00:00:00.000Z, and that of most keys 2026-03-01T00:01:38.000Z"
        assert letters[0].reason.startswith(f"ahead: the time, column 'time', is {times}; ")
        assert json.loads(letters[0].raw) == {"time": "2027-01-01T00:00:00.000Z", "pump": "a", "level": 1}
        assert running.times is not None
        assert "2 rows are ahead" in running.remarks()[-1]
    job = pumps_job(tmp_path, wrong, limits={"ahead_max": "off"})
    with open_job(job, tmp_path / "off", lambda: 0) as running:
        running.run()
        assert {one.metric for one in running.new_anomalies(99)} == {"absent for 5m"}
        assert sum(one.late_row_count for one in running.host.stat()) > 100


def test_the_limit_is_an_hour_or_what_the_job_looks_at(tmp_path: Path) -> None:
    def limit(**settings: Any) -> Any:
        return ahead_limit(pumps_job(tmp_path, {}, **settings))

    assert limit() == (3_600_000, "1h")
    assert limit(absent="3h") == (21_600_000, "6h")
    assert limit(limits={"ahead_max": "10m"}) == (600_000, "10m")
    assert limit(limits={"ahead_max": False}) is limit(limits={"ahead_max": "off"}) is None
    without = {"ticks": None, "absent": None, "engine": {}}
    assert limit(**without) is None
    assert limit(**without, limits={"ahead_max": "2h"}) == (7_200_000, "2h")
    with pytest.raises(ConfigError, match=r"limits.*ahead_max"):
        limit(limits={"ahead_max": "soon"})
