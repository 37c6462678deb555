"""Windows that begin anywhere: steps that do not divide the size, offsets, the calendar; as a naive engine has them."""

import json
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.engine.report.output import LATE_ORDINALS
from actors.engine.windows.calendar import Calendar
from actors.model import ColumnType
from tests.support.naive.calendar import NaiveCalendar
from tests.support.naive.numbers import Fragile
from tests.support.naive.other_windows import NaiveRowWindows, NaiveSessions, NaiveZero
from tests.support.naive_engine import NaiveEngine

SCHEMA = {"time": "DATETIME", "sym": "SYMBOL", "qty": "INT"}
METRICS = [
    "sum(qty) > 5",
    "count(qty) < 1",
    "isNull(qty) or size(qty) < qty",
    "nunique(qty) < 1",
    "count(qty) > 1 and max(qty) > 2",
    "qty > avg(qty)",
    "med(qty) > 1",
    "sum(deltas(qty)) >= 0",
]
ROW_FORMS = [one for one in METRICS if not one.startswith(("med", "sum(deltas", "nunique"))]
"""Those that may be tested row by row."""

HOUR = 3600

Row = tuple[int, str, int | None]


@st.composite
def lengths(draw: st.DrawFn) -> dict[str, Any]:
    """Windows by lengths of time that may have nothing to do with one another."""
    step = draw(st.integers(1, 9))
    return {
        "window_size": draw(st.integers(1, 25)),
        "step": step,
        "window_offset": draw(st.integers(0, step - 1)),
    }


CALENDARS = [
    ({"align": "day", "timezone": "Europe/Berlin"}, NaiveCalendar("day", "Europe/Berlin"), (1, 1)),
    ({"align": "day", "window_size": "2d", "step": "1d"}, NaiveCalendar("day"), (2, 1)),
    (
        {"align": "day", "timezone": "America/Sao_Paulo", "window_offset": "6h"},
        NaiveCalendar("day", "America/Sao_Paulo", timedelta(hours=6)),
        (1, 1),
    ),
    ({"align": "week", "timezone": "Asia/Kolkata"}, NaiveCalendar("week", "Asia/Kolkata"), (1, 1)),
    (
        {"align": "month", "timezone": "Europe/Berlin", "window_size": "3mo", "step": "2mo"},
        NaiveCalendar("month", "Europe/Berlin"),
        (3, 2),
    ),
]


def streams(start: int, widest: int) -> st.SearchStrategy[list[Row]]:
    rows = st.tuples(st.integers(-2, widest), st.sampled_from("AB"), st.none() | st.integers(0, 4))

    def placed(drawn: list[Row]) -> list[Row]:
        now, found = start, []
        for distance, sym, qty in drawn:
            now += distance
            found.append((now, sym, qty))
        return found

    return st.lists(rows, max_size=24).map(placed)


def check(
    arguments: dict[str, Any],
    naive: dict[str, Any],
    rows: list[Row],
    cuts: set[int],
    ticks: bool,
    engine: type[NaiveEngine] = NaiveEngine,
) -> None:
    expected: list[tuple[Any, ...]] = []
    found: list[tuple[Any, ...]] = []
    plain = {
        "metrics": METRICS if len(rows) % 2 else ROW_FORMS,
        "schema": SCHEMA,
        "time_column": "time",
        "key_columns": ["sym"],
    }
    slow = engine(**plain, **naive)
    engines = [
        AnomalyDetectionEngine(
            "grids",
            **plain,
            **arguments,
            ticks_close_windows=ticks and "window_rows" not in arguments,
            explain="windows",
        )
        for _ in "ab"
    ]
    tick_size = 15 * HOUR if "align" in arguments else 4
    stops = sorted({*cuts, len(rows)} - {0})
    greatest, start, details = -(10**12), 0, []
    for stop in [stop for stop in stops if stop <= len(rows)]:
        batch, shown = rows[start:stop], []
        try:
            expected += [(one.offset, one.ordinal, one.time, *one.key, one.metric_index) for one in slow.append(batch)]
        except Fragile:
            reject()
        shown.append(engines[0].append(batch))
        reached = max([greatest, *(row[0] for row in batch)])
        if ticks and reached // tick_size > greatest // tick_size:
            closed = slow.advance(reached // tick_size * tick_size, stop - 1)
            expected += [
                (one.offset, LATE_ORDINALS + one.ordinal, one.time, *one.key, one.metric_index) for one in closed
            ]
            shown.append(engines[0].advance(reached // tick_size * tick_size))
            slow.forget(reached // tick_size * tick_size, arguments.get("idle_key_ttl", 10**12))
        greatest = reached
        start = stop
        for frame in shown:
            times = frame["time"].dt.epoch("s") if frame.height else []
            found += list(zip(frame["offset"], frame["ordinal"], times, frame["sym"], frame["type"], strict=True))
            details += frame["detail"].to_list()
        engines[0].validate()
        engines[1].restore(engines[0].snapshot())
        assert engines[1].snapshot() == engines[0].snapshot()
        engines.reverse()
    assert found == expected
    check_starts(details, found, slow)


def check_starts(details: list[str], found: list[tuple[Any, ...]], slow: NaiveEngine) -> None:
    """Check where the windows of anomalies of rows begin."""
    told = [json.loads(text)["window"]["start"] if "window" in text else None for text in details]
    wanted = [(at, slow.reasons[one[0], one[1]].window) for at, one in enumerate(found) if one[1] < LATE_ORDINALS]
    assert [told[at] for at, _ in wanted] == [None if window is None else window[0] for _, window in wanted]


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(lengths(), streams(1_000_003, 12), st.sets(st.integers(0, 24), max_size=4), st.booleans())
def test_windows_of_any_lengths_and_offset_are_those_of_a_naive_engine(
    arguments: dict[str, Any], rows: list[Row], cuts: set[int], ticks: bool
) -> None:
    check(arguments, arguments, rows, cuts, ticks)


@pytest.mark.parametrize(("arguments", "calendar", "lengths"), CALENDARS, ids=[str(one[0]) for one in CALENDARS])
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), cuts=st.sets(st.integers(0, 24), max_size=4), ticks=st.booleans())
def test_windows_of_the_calendar_are_those_of_a_naive_engine(
    arguments: dict[str, Any],
    calendar: NaiveCalendar,
    lengths: tuple[int, int],
    data: st.DataObject,
    cuts: set[int],
    ticks: bool,
) -> None:
    widest = 20 * HOUR * (1 if "day" in arguments["align"] else 20)
    start = data.draw(st.sampled_from([1_774_000_000, 1_540_000_000, 951_000_000, 4_100_000_000]))
    rows = data.draw(streams(start, widest))
    naive = {"window_size": lengths[0], "step": lengths[1], "calendar": calendar}
    check(arguments, naive, rows, cuts, ticks)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe"]
)
@pytest.mark.parametrize("unit", ["day", "week", "month"])
def test_every_day_of_a_zone_begins_where_its_clocks_say(unit: str, zone: str) -> None:
    calendar, naive = Calendar(unit, zone, 0, ColumnType.DATETIME), NaiveCalendar(unit, zone)
    numbers = range(naive.number(1_300_000_000), naive.number(1_800_000_000))
    starts = calendar.starts(pl.Series(numbers).to_numpy())
    assert starts.tolist() == [naive.start(number) for number in numbers]
    places = starts.repeat(3) + pl.Series([-1, 0, 1] * len(starts)).to_numpy()
    found = calendar.numbers(places).reshape(-1, 3)
    assert (found[:, 1] == found[:, 2]).all()
    # A day that a zone leaves out has no time at all.
    assert [int(number) for number in found[:, 1]] == [naive.number(int(at)) for at in starts]


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 9), st.integers(1, 9), streams(1_000_003, 12), st.sets(st.integers(0, 24), max_size=4), st.booleans()
)
def test_windows_of_rows_are_those_of_a_naive_engine(
    count: int, step: int, rows: list[Row], cuts: set[int], ticks: bool
) -> None:
    given, naive = {"window_rows": count, "step": step}, {"rows": count, "row_step": step}
    check(given, naive, rows, cuts, ticks, NaiveRowWindows)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(lengths(), streams(1_000_003, 40), st.sets(st.integers(0, 24), max_size=4), st.none() | st.integers(25, 60))
def test_windows_without_rows_are_those_of_a_naive_engine(
    arguments: dict[str, Any], rows: list[Row], cuts: set[int], ttl: int | None
) -> None:
    more: dict[str, Any] = {"empty_windows": "zero"} | ({} if ttl is None else {"idle_key_ttl": ttl})
    check(arguments | more, arguments, rows, cuts, True, NaiveZero)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 15), streams(1_000_003, 12), st.sets(st.integers(0, 24), max_size=4), st.booleans())
def test_sessions_are_those_of_a_naive_engine(gap: int, rows: list[Row], cuts: set[int], ticks: bool) -> None:
    check({"window_gap": gap}, {"gap": gap}, rows, cuts, ticks, NaiveSessions)
