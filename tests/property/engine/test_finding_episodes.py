"""Episodes of what detectors find are those of a metric that is true at the same rows, however rows are cut."""

import random
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import LifecycleSettings
from actors.engine.episodes.tracker import Notice
from actors.engine.report.output import Numbering
from actors.partition.finding_episodes import FindingEpisodes
from actors.partition.metrics import cut_at_ticks
from actors.partition.ticks import SeenTick
from config import JobSettings
from tests.support.partition_jobs import make_partition_job

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "flag": "INT"}
KIND = 2
"""Type of what is found; the job has two metrics."""


def make_job(seed: int) -> tuple[JobSettings, dict[str, Any]]:
    rng = random.Random(seed)
    rule = {"for": rng.choice((0, 0, 1, 4, 15)), "keep_firing": rng.choice((0, 0, 2, 9, 30))}
    more: dict[str, Any] = {"absent": rng.choice((11, 25))} if rng.random() < 0.5 else {}
    if rng.random() < 0.3:
        more["engine"] = {"idle_key_ttl": 37}
    given = {name: ticks for name, ticks in rule.items() if ticks}
    more["sinks"] = [] if given else [{"type": "ndjson", "path": "out", "only": "episodes"}]
    detectors = [{"type": "new_value", "watch": ["user"], "learn": {"rows": 2}, **given}]
    return make_partition_job(window=None, metrics=["qty > 1", "qty > 2"], detectors=detectors, ticks=10, **more), rule


def make_rows(rng: random.Random) -> pl.DataFrame:
    time, rows = 1000, []
    for _ in range(rng.randint(5, 60)):
        time += rng.choice((0, 0, 1, 1, 2, 5, 11, 40))
        rows.append((time - rng.choice((0, 0, 0, 0, 3)), rng.choice(("A", "A", "B", None)), rng.choice((0, 0, 1))))
    return pl.DataFrame(rows, schema={"ts": pl.Int64, "sym": pl.String, "flag": pl.Int32}, orient="row")


def followed(
    seed: int, job: JobSettings, frame: pl.DataFrame, ticks: list[SeenTick], cuts: list[int]
) -> tuple[dict[Any, Any], list[Notice], bytes]:
    """Return episodes, notices and state of a run whose state is carried to a fresh part after each batch."""
    known: dict[Any, Any] = {}
    notices: list[Notice] = []
    part, brought = FindingEpisodes(job, [1], known.update), {}
    for start, stop in pairwise(cuts):
        rows, offsets = frame[start:stop], np.arange(start, stop)
        hits = rows.with_columns(offset=pl.Series(offsets)).filter(pl.col("flag") == 1)
        found = hits.select("offset", *job.key_columns, type=pl.lit(KIND, pl.Int32))
        passed = [one for one in ticks if start <= one.offset < stop]
        changes = part.observe(0, rows, offsets, [found], passed)
        known |= changes.changed
        notices += changes.notices
        part.validate()
        brought = part.snapshot()
        if random.Random(f"{seed}/{start}").random() < 0.5:
            part = FindingEpisodes(job, [1], known.update)
            part.restore(brought)
    return {place: one for place, one in known.items() if one is not None}, notices, repr(brought).encode()


def check(seed: int) -> None:
    job, rule = make_job(seed)
    rng = random.Random(seed)
    frame = make_rows(rng).rename({"ts": job.time_column})
    settings = LifecycleSettings(hold=rule["for"], keep_firing=rule["keep_firing"])
    schema = {job.time_column: "TIMESTAMP", "sym": "SYMBOL", "flag": "INT"}
    absent = 0 if job.absent is None else int(job.absent)
    ttl = 0 if job.engine.idle_key_ttl is None else int(job.engine.idle_key_ttl)
    engine = AnomalyDetectionEngine(
        "test",
        schema=schema,
        metrics=["flag == 1"],
        time_column=job.time_column,
        key_columns=["sym"],
        lifecycles=[settings],
        absent_after=absent,
        idle_key_ttl=ttl,
    )
    ticks, now, given = [], 990, []
    for offset, time in enumerate(frame[job.time_column]):
        if time // 10 * 10 > now and rng.random() < 0.8:
            now = time // 10 * 10
            gone = {(key,): now - 7 for key in ("A", "B", None) if absent and rng.random() < 0.2}
            ticks.append(SeenTick(offset=offset, time=now, absent_since=gone))
            given.append((offset, now))
    expected: dict[Any, Any] = {}
    notices: list[Notice] = []
    count = frame.height
    for rows, offsets, tick in cut_at_ticks(frame, np.arange(count), given):
        engine.append_physical(rows, offsets)
        if tick is not None:
            engine.advance_physical(tick[1], tick[0], Numbering(0, 1))
            engine.note_absent(next(one.absent_since for one in ticks if one.offset == tick[0]), tick[0])
        changes = engine.take_episodes()
        expected |= changes.changed
        notices += changes.notices
    some = sorted({0, count, *(rng.randint(0, count) for _ in range(4))})
    results = [followed(seed, job, frame, ticks, cuts) for cuts in ([0, count], some, list(range(count + 1)))]
    assert results[0] == results[1] == results[2]
    found, told, _ = results[0]
    assert sorted(plain(one) for one in found.values()) == sorted(plain(one) for one in expected.values() if one)
    assert sorted((one.offset, *plain(one.episode)) for one in told) == sorted(
        (one.offset, *plain(one.episode)) for one in notices
    )


def plain(one: Any) -> tuple[Any, ...]:
    key = tuple(str(part) for part in one.key)
    times = [-1 if time is None else time for time in (one.fired_at, one.end, one.turned_at)]
    return (one.offset, one.start, key, str(one.state), *times, one.last_true, one.count)


@pytest.mark.parametrize("seed", range(25))
def test_episodes_of_findings_are_those_of_a_metric(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 4000))
def test_episodes_of_findings_are_those_of_a_metric_in_many_cases(seed: int) -> None:
    check(seed)
