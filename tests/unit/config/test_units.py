"""Durations, moments and sizes as people write them."""

import pytest

from actors.durations import duration_units, parse_duration, show_duration
from actors.model import ColumnType
from config.units import parse_size, time_units


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("5ns", 5),
        ("3 us", 3_000),
        ("250ms", 250_000_000),
        ("3s", 3_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1w", 7 * 86_400 * 10**9),
    ],
)
def test_a_duration_is_numbers_and_units(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 x", "-5s", "1.5s", "5s!", "\u0665s", "5S", "9" * 20 + "s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write a number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "kind", "ticks"),
    [
        (3, "TIMESTAMP", 3),
        ("3s", "TIMESTAMP", 3_000),
        ("3s", "DATETIME", 3),
        ("2h", "MINUTE", 120),
        ("2d", "DATE", 2),
        ("1us", "NANOTIMESTAMP", 1000),
        (2, "MONTH", 2),
    ],
)
def test_units_depend_on_the_time_column(duration: int | str, kind: str, ticks: int) -> None:
    assert duration_units(duration, ColumnType(kind)) == ticks


@pytest.mark.parametrize(("duration", "kind"), [("1us", "TIMESTAMP"), ("90s", "MINUTE"), ("30d", "MONTH")])
def test_a_duration_that_is_no_whole_number_of_units_is_refused(duration: str, kind: str) -> None:
    with pytest.raises(ValueError, match=r"whole number of units|months"):
        duration_units(duration, ColumnType(kind))


@pytest.mark.parametrize(
    ("text", "kind", "ticks"),
    [
        ("1970-01-02", "TIMESTAMP", 86_400_000),
        ("1970-01-01T02:00:00+02:00", "TIMESTAMP", 0),
        ("1969-12-31T23:59:59.5", "DATETIME", -1),
        ("2018-10-08", "DATE", 17812),
        ("2018-10-08", "MONTH", 24225),
    ],
)
def test_a_moment_becomes_units(text: str, kind: str, ticks: int) -> None:
    assert time_units(text, ColumnType(kind)) == ticks


def test_a_time_of_day_is_no_moment() -> None:
    with pytest.raises(ValueError, match="has no date"):
        time_units("2018-10-08", ColumnType.TIME)


@pytest.mark.parametrize(
    ("text", "size"), [("5", 5), ("64MiB", 64 << 20), ("10 mb", 10_000_000), ("1 GiB", 1 << 30), ("7B", 7)]
)
def test_a_size_is_a_number_and_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "5ib", "5 PB", "-5", "1.5GB"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(("nanoseconds", "text"), [(0, "0s"), (250_000_000, "250ms"), (5_400_000_000_000, "1h30m")])
def test_a_length_of_time_is_shown_in_few_units(nanoseconds: int, text: str) -> None:
    assert show_duration(nanoseconds) == text
