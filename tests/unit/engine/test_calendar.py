"""What clocks and calendars show: zones, changes of clocks, times before 1970 and at the ends of what there is."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from actors.engine import AnomalyDetectionEngine, MetricError
from actors.engine.functions.zones import zone_of
from tests.unit.engine.support import value_of

BIG = (1 << 63) - 1


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("expression", "time", "value"),
    [
        # Berlin puts its clocks forward from 2 to 3, and back from 3 to 2, at 1 o'clock UTC.
        ("hour(x, 'Europe/Berlin')", "2026-03-29T00:59:59.999", 1),
        ("hour(x, 'Europe/Berlin')", "2026-03-29T01:00", 3),
        ("hour(x, 'Europe/Berlin')", "2026-10-25T00:59:59.999", 2),
        ("hour(x, 'Europe/Berlin')", "2026-10-25T01:00", 2),
        ("hour(x, 'Europe/Berlin')", "2026-10-25T02:00", 3),
        ("minute_of_day(x, 'Asia/Kathmandu')", "2026-01-01T18:14", 23 * 60 + 59),
        ("minute_of_day(x, 'Asia/Kathmandu')", "2026-01-01T18:15", 0),
        ("date(x, 'Pacific/Kiritimati')", "2026-12-31T10:00", "2027-01-01"),
        ("date(x, 'Pacific/Pago_Pago')", "2027-01-01T10:59", "2026-12-31"),
        ("weekday(x)", "2026-12-06T23:59", 7),
        ("weekday(x)", "2026-12-07T00:00", 1),
        ("weekday(x, 'Asia/Tokyo')", "2026-12-06T15:00", 1),
        ("hour(x)", "1969-12-31T23:30", 23),
        ("date(x)", "1969-12-31T23:30", "1969-12-31"),
        ("date(x)", "0001-01-01T00:00", "0001-01-01"),
    ],
)
def test_clocks_show_what_they_do_there(expression: str, time: str, value: Any) -> None:
    assert value_of(expression, [moment(time)], "TIMESTAMP") == value


@pytest.mark.parametrize(
    ("kind", "expression", "value", "shown"),
    [
        ("DATETIME", "hour(x, 'Europe/Berlin')", BIG, 16),
        ("DATETIME", "isNull(date(x))", BIG, True),
        ("DATETIME", "weekday(x)", -BIG - 1, 7),
        ("NANOTIMESTAMP", "date(x)", BIG, "2262-04-11"),
        ("DATE", "date(x)", 0, "1970-01-01"),
        ("DATE", "weekday(x)", -1, 3),
        ("DATE", "isNull(date(x))", BIG, True),
        ("MINUTE", "hour(x)", 61, 1),
        ("TIME", "minute_of_day(x)", 86_399_999, 1439),
        ("SECOND", "hour(x)", -1, 23),
    ],
)
def test_every_type_of_time_has_its_clock(kind: str, expression: str, value: int, shown: Any) -> None:
    metric = f"isNull({expression}) or isValid({expression})"
    engine = AnomalyDetectionEngine("t", [metric], {"t": "TIMESTAMP", "x": kind}, "t")
    found = []
    for few_rows_max in (0, 100):
        engine.few_rows_max = few_rows_max
        engine.append_physical(engine_frame(engine, value))
        found.append(engine.explain(few_rows_max // 100).values[expression])
    assert found == [shown, shown]


def engine_frame(engine: AnomalyDetectionEngine, value: int) -> Any:
    from actors.given_rows import to_frame

    return to_frame(engine.settings.schema, [(0, value)])


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("hour(day) > 1", "a DATE has no time of day"),
        ("weekday(clock) > 1", "a TIME has no date"),
        ("date(month) > 'a'", "a MONTH has no days"),
        ("weekday(day, 'Europe/Berlin') > 1", "a DATE has no time of day, and so no time zone"),
        ("hour(time, '') > 1", "there is no time zone ''"),
        ("hour(time, 'utc+1') > 1", "there is no time zone 'utc\\+1'"),
        ("hour(n) > 1", "needs a time here"),
        ("hour(1) > 1", "needs a time here"),
        ("hour(time * 2) > 1", "needs a time here"),
        ("hour(time, n) > 1", "`zone` must be a constant"),
    ],
)
def test_a_clock_that_does_not_exist_is_refused(metric: str, message: str) -> None:
    schema = {"time": "TIMESTAMP", "day": "DATE", "clock": "TIME", "month": "MONTH", "n": "INT"}
    with pytest.raises(MetricError, match=message):
        AnomalyDetectionEngine("t", [metric], schema, "time")


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_a_zone_agrees_with_the_database_around_all_its_changes(name: str) -> None:
    zone, there = zone_of(name), ZoneInfo(name)
    last = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    changes = zone.changes[zone.changes < last]
    assert len(changes) > 50
    seconds = np.unique(np.concatenate([changes, changes - 1, changes + 3600]))
    ahead = zone.offsets[np.searchsorted(zone.changes, seconds, side="right")]
    for second, offset in zip(seconds.tolist(), ahead.tolist(), strict=True):
        clock = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).astimezone(there)
        assert clock.utcoffset() == timedelta(seconds=offset), clock
