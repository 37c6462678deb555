"""Times as people type them."""

import pytest

from cluster.client.typed_times import TypedTime, check_range, read_time, read_whole
from cluster.errors import ClusterError

MIDNIGHT = 1_769_817_600
"""2026-01-31 in seconds since 1970."""

NOW_US = (MIDNIGHT + 12 * 3600) * 1_000_000
"""Noon of that day."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31T00:00:01", MIDNIGHT + 1),
        ("2026-01-31 00:00", MIDNIGHT),
        ("2026-01-31T00:00:00Z", MIDNIGHT),
        ("2026-01-31t01:00:00.5+01:00", MIDNIGHT + 0.5),
        ("1969-12-31T23:59:59", -1),
        ("1769817600s", MIDNIGHT),
        ("1769817600000ms", MIDNIGHT),
        ("1769817600000000us", MIDNIGHT),
        ("-5000000us", -5),
        ("0us", 0),
    ],
)
def test_moments_do_not_depend_on_the_clock(text: str, seconds: float) -> None:
    expected = TypedTime(start_us=round(seconds * 1_000_000))
    assert read_time(text, NOW_US) == read_time(f" {text} ", 0) == expected
    assert expected.last_us == expected.start_us


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [
        ("now", 0),
        ("15m", 900),
        ("2h", 7200),
        ("3d", 259_200),
        ("1w ago", 604_800),
        ("1.5h", 5400),
        ("30s ago", 30),
        ("500ms ago", 0.5),
    ],
)
def test_what_is_so_long_ago_is_counted_from_now(text: str, ago_s: float) -> None:
    assert read_time(text, NOW_US) == TypedTime(start_us=NOW_US - round(ago_s * 1_000_000))


@pytest.mark.parametrize(("text", "days"), [("2026-02-01", 1), ("today", 0), ("Yesterday", -1)])
def test_a_day_begins_a_range_with_its_beginning_and_ends_one_with_its_end(text: str, days: int) -> None:
    found = read_time(text, NOW_US)
    assert found.start_us == (MIDNIGHT + 86_400 * days) * 1_000_000
    assert found.last_us == found.start_us + 86_400_000_000 - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "'soon' is no time; write it like 2026-01-31, "),
        ("", "'' is no time"),
        ("2026-13-01", "'2026-13-01' is no time"),
        ("15 minutes", "is no time"),
        ("9" * 400 + "h", "is no time"),
        ("9" * 5000 + "us", "is no time"),
        ("1767225600", "'1767225600' is a number without a unit; say which, as 1767225600s, "),
        ("30s", "'30s' could be seconds ago or since 1970; write '30s ago', or 30000ms since 1970"),
    ],
)
def test_other_text_is_refused_with_examples(text: str, message: str) -> None:
    with pytest.raises(ClusterError) as raised:
        read_time(text, NOW_US)
    assert message in str(raised.value)


@pytest.mark.parametrize("text", ["99999999999h", "-9999999999999s", "9999999999999999d"])
def test_a_time_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(ClusterError, match="farther away than times of 64 bits reach"):
        read_time(text, NOW_US)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        ("-5", -5),
        ("--5", None),
        ("\u00b2", None),
        ("\u0663", None),
        ("9" * 19, None),
        ("", None),
        ("-", None),
    ],
)
def test_a_whole_number_is_one_of_64_bits(text: str, number: int | None) -> None:
    assert read_whole(text) == number


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    for first, last in ((1, 1), (1, 2), (None, 1), (1, None)):
        check_range(first, last)
    with pytest.raises(ClusterError, match="--from and --to are the wrong way round"):
        check_range(2, 1)
