"""What windows may be, as a job file says it, and what is said of those that cannot be."""

from typing import Any

import pytest

from config import ConfigError, make_job
from config.library_checks import library_faults
from config.metric_groups import group_specs
from tests.support.jobs import make_trades_job

LOAD = {"time": "TIMESTAMP", "host": "SYMBOL", "load": "DOUBLE"}


def job_with(window: dict[str, Any], kind: str = "TIMESTAMP", **settings: Any) -> Any:
    plain = {"job": "loads", "schema": LOAD | {"time": kind}, "time": "time", "key": "host", "source": {"rows": []}}
    return make_job(plain | {"metrics": ["avg(load) > 1"], "window": window} | settings)


@pytest.mark.parametrize(
    "window",
    [
        {"size": "10s", "step": "3s"},
        {"size": "10s", "step": "1m"},
        {"size": "1h", "offset": "15m"},
        {"rows": 100, "step": 10},
        {"gap": "5m"},
        {"align": "day"},
        {"size": "7d", "step": "1d", "align": "day", "timezone": "Europe/Berlin", "offset": "6h"},
        {"size": "2w", "align": "week", "timezone": "America/New_York"},
        {"size": "3mo", "step": "1mo", "align": "month", "timezone": "Asia/Kolkata"},
    ],
)
def test_a_window_may_begin_anywhere(window: dict[str, Any]) -> None:
    job = job_with(window)
    assert library_faults(job) == []
    assert type(job).from_bytes(job.to_bytes()) == job


@pytest.mark.parametrize(
    ("window", "kind", "said"),
    [
        ({}, "TIMESTAMP", "window: says nothing of a window; give `size: 5m`"),
        ({"size": "1h", "offset": "1h"}, "TIMESTAMP", "window.offset: '1h' is not below the step, 3600000 units"),
        (
            {"size": "1d", "timezone": "UTC"},
            "TIMESTAMP",
            "window.timezone: 'UTC' says where days begin, .* `align: day`",
        ),
        (
            {"align": "day", "timezone": "Berlin"},
            "TIMESTAMP",
            "window.timezone: there is no time zone 'Berlin'; ",
        ),
        ({"align": "hour"}, "TIMESTAMP", "window.align: .*'hour'"),
        ({"align": "day", "size": "8h"}, "TIMESTAMP", "window.size: '8h' is no number of days, .*; write 1d or 7d"),
        ({"align": "week", "step": "1d"}, "TIMESTAMP", "window.step: '1d' is no number of weeks, .*; write 1w or 4w"),
        ({"align": "month", "step": "30d"}, "TIMESTAMP", "window.step: '30d' is no number of months, .*; write 1mo or"),
        ({"align": "month", "size": 3}, "TIMESTAMP", "window.size: 3 is no number of months"),
        ({"align": "day", "offset": "1d"}, "TIMESTAMP", "window.offset: '1d' is a day or more; say how much later"),
        ({"align": "day"}, "MINUTE", "window.align: a time column of type MINUTE has no days"),
        ({"align": "month"}, "MONTH", "window.align: a time column of type MONTH has no days"),
        ({"align": "day", "timezone": "UTC"}, "DATE", "window.timezone: 'UTC' has no say in a DATE column"),
        (
            {"rows": 5, "size": "5s"},
            "TIMESTAMP",
            "window.size: '5s' says nothing here, as the window is 5 rows, .*; leave",
        ),
        ({"rows": 5, "gap": "5s"}, "TIMESTAMP", "window.gap: '5s' says nothing here, as the window is 5 rows"),
        ({"rows": 5, "align": "day"}, "TIMESTAMP", "window.align: 'day' says nothing here, as the window is 5 rows"),
        ({"rows": 5, "step": "5s"}, "TIMESTAMP", "window.step: '5s' is no number of rows; give one from 1 to"),
        (
            {"gap": "5s", "step": 3},
            "TIMESTAMP",
            "window.step: 3 says nothing here, as a session lasts until nothing comes",
        ),
        ({"gap": "5s", "offset": 3}, "TIMESTAMP", "window.offset: 3 says nothing here, as a session lasts"),
        ({"rows": 0}, "TIMESTAMP", "window.rows: must be more than 0"),
        ({"gap": "5s", "empty": "zero"}, "TIMESTAMP", "window.empty: 'zero' needs `ticks`"),
        ({"size": "5s", "empty": "none"}, "TIMESTAMP", "window.empty: "),
        ({"size": "3mo"}, "TIMESTAMP", "window.size: '3mo' is no duration"),
    ],
)
def test_a_window_that_cannot_be_is_refused(window: dict[str, Any], kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        job_with(window, kind)


def test_empty_windows_need_ticks_which_then_close_all() -> None:
    with pytest.raises(ConfigError, match=r"window.empty: 'zero' says nothing here, as a session lasts"):
        job_with({"gap": "5s", "empty": "zero"}, ticks="5s")
    job = job_with({"size": "5s", "empty": "zero"}, ticks="5s")
    assert library_faults(job) == []
    assert [spec.ticks_close_windows for _, spec in group_specs(job)] == [True]
    both = ["load > 1", {"when": "avg(load) > 1", "window": {"size": "5s", "empty": "zero"}}]
    job = job_with({"size": "5s"}, ticks="5s", metrics=both)
    assert library_faults(job) == []
    assert [spec.ticks_close_windows for _, spec in group_specs(job)] == [False, True]


def test_days_of_a_date_column_need_no_time_zone() -> None:
    assert library_faults(job_with({"align": "month", "size": "2mo"}, "DATE")) == []


def test_equal_windows_are_one_and_the_window_of_before_is_the_job_of_before() -> None:
    kind = job_with({"size": "60s"}).row_schema["time"].type
    arguments = [
        job_with(window).window.arguments(kind) for window in ({"size": "60s"}, {"size": 60_000, "step": "1m"})
    ]
    assert arguments[0] == arguments[1]
    before = make_trades_job({"rows": []}, metrics=["sum(qty) < 4"], window={"size": "4s", "step": "1s"})
    assert before.fingerprint == "d4888ce18861738736624c5efe780f7f"
