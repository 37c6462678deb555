"""Ticks follow from the rows of a split alone, wherever somebody begins to look and however rows are cut."""

import random
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from actors.partition.metrics import Tick
from actors.partition.ticks import TickFinder


def ticks_of(times: list[int | None], cuts: list[int], size: int = 10) -> list[Tick]:
    """Return the ticks of rows from the first cut on."""
    finder, found = TickFinder("time", size), []
    for start, end in pairwise(cuts):
        frame = pl.DataFrame({"time": pl.Series(times[start:end], dtype=pl.Int64)})
        found += finder.find(0, frame, np.arange(start, end))
    return found


def test_a_tick_is_at_the_row_with_which_time_reaches_a_multiple() -> None:
    times = [3, 9, 10, 12, 8, None, 35, 20, 40]
    assert ticks_of(times, [0, 9]) == [(0, 0), (2, 10), (6, 30), (8, 40)]


def test_splits_have_times_of_their_own() -> None:
    finder = TickFinder("time", 10)
    rows = pl.DataFrame({"time": [25]})
    assert finder.find(0, rows, np.array([0])) == finder.find(1, rows, np.array([0])) == ((0, 20),)


def test_a_job_without_ticks_has_none() -> None:
    assert TickFinder("time", None).find(0, pl.DataFrame({"time": [25]}), np.array([0])) == ()


@pytest.mark.parametrize("seed", range(30))
def test_who_begins_in_the_middle_finds_the_same_ticks_but_for_old_ones(seed: int) -> None:
    rng, time, times = random.Random(seed), 1000, []
    for _ in range(40):
        time += rng.choice((0, 1, 4, 25))
        times.append(None if rng.random() < 0.1 else time - rng.choice((0, 0, 7, 60)))
    everything = ticks_of(times, [0, 40])
    start = rng.randrange(40)
    cuts = sorted({start, 40, *(rng.randint(start, 40) for _ in range(3))})
    known = max((moment for offset, moment in everything if offset < start), default=-1)
    fresh = []
    for offset, moment in ticks_of(times, cuts):
        if moment > known:
            fresh.append((offset, moment))
            known = moment
    assert fresh == [tick for tick in everything if tick[0] >= start]
