"""Times as text, numbers and temporal values."""

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from actors.model import Column, ColumnType
from actors.source.times import FINE, OUT_OF_RANGE, UNREADABLE, WRONG_TYPE, TimeDecoder

BOUNDS = (datetime(1900, 1, 1), datetime(2100, 1, 1))
MS = 1538960461002
"""2018-10-08 01:01:01.002."""


def decode(values: list[Any], kind: str = "TIMESTAMP", time_format: str = "auto") -> list[tuple[int | None, int]]:
    decoder = TimeDecoder(Column(name="t", type=ColumnType(kind)), time_format, BOUNDS)
    ticks, faults = decoder.decode(pl.Series(values))
    return list(zip(ticks.to_list(), faults.tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("2018-10-08T01:01:01.002", MS),
        ("2018-10-08 01:01:01.002", MS),
        ("2018.10.08T01:01:01.002", MS),
        ("2018/10/08 01:01:01,002", MS),
        (" 2018-10-08T01:01:01.002 ", MS),
        ("2018-10-08T01:01:01.002999999", MS),
        ("2018-10-08T01:01:01.002Z", MS),
        ("2018-10-08T03:01:01.002+02:00", MS),
        ("2018-10-07T20:31:01.002-0430", MS),
        ("1538960461002", MS),
        ("2018-10-08T01:01", MS - 1002),
        ("2018-10-08", 1538956800000),
        ("1969-12-31T23:59:59.9999", -1),
        ("2000-02-29", 951782400000),
        ("1900-01-01", -2208988800000),
    ],
)
def test_a_text_is_a_time(text: str, ticks: int) -> None:
    assert decode([text]) == [(ticks, FINE)]


@pytest.mark.parametrize(
    "text",
    ["", "x", "2018-13-08", "2018-02-29", "1900-02-29", "2018-10-00", "2018-10-08T24:00:00", "2018-10-08T23:59:60",
     "2018-10-08T01:60", "2018-1-8", "2018-10/08", "2018-10-08X01:01:01", "2018-10-08T01:01:01.", "2018-10-08T1:01:01",
     "2018-10-08T01:01:01+25:00", "2018-10-08T01:01:01+0260", "٢٠١٨-10-08", "2018-10-08T01:01:01.0000000001", "1.5"],
)  # fmt: skip
def test_a_text_is_no_time(text: str) -> None:
    assert decode([text]) == [(None, UNREADABLE)]


@pytest.mark.parametrize("text", ["1899-12-31T23:59:59.999", "2100-01-01", "9999-12-31", "0001-01-01", "9999999999999"])
def test_a_time_outside_the_bounds_is_out_of_range(text: str) -> None:
    assert decode([text]) == [(None, OUT_OF_RANGE)]


def test_a_text_means_the_same_beside_any_other() -> None:
    texts = ["2018-10-08", "x", "2018-10-08T01:01:01.002", None, "1538960461002", "2018-10-08T03:01:01.002+02:00"]
    assert decode(texts) == [pair for text in texts for pair in decode(pl.Series([text], dtype=pl.String).to_list())]


@pytest.mark.parametrize(
    ("kind", "text", "ticks"),
    [
        ("NANOTIMESTAMP", "2018-10-08T01:01:01.002000003", MS * 1_000_000 + 3),
        ("MICROTIMESTAMP", "2018-10-08T01:01:01.002003", MS * 1000 + 3),
        ("DATETIME", "2018-10-08T01:01:01.002", MS // 1000),
        ("DATE", "2018-10-08T23:00:00-02:00", 17813),
        ("MONTH", "2018.10M", 24225),
        ("MONTH", "2018-10", 24225),
        ("MONTH", "2018-10-08", 24225),
        ("NANOTIME", "01:01:01.000000002", 3661000000002),
        ("TIME", "01:01:01.002", 3661002),
        ("SECOND", "23:59:59", 86399),
        ("MINUTE", "23:59", 1439),
    ],
)
def test_each_type_has_its_tick(kind: str, text: str, ticks: int) -> None:
    assert decode([text], kind) == [(ticks, FINE)]


def test_years_beyond_nanoseconds_do_not_wrap_around() -> None:
    wide = (datetime(1, 1, 1), datetime(9999, 1, 1))
    decoder = TimeDecoder(Column(name="t", type=ColumnType.NANOTIMESTAMP), "auto", wide)
    assert decoder.decode(pl.Series(["2500-01-01", "1600-01-01"]))[1].tolist() == [OUT_OF_RANGE, OUT_OF_RANGE]


def test_a_time_of_day_is_within_a_day() -> None:
    assert decode([0, 86_399_999, 86_400_000, -1], "TIME") == [
        (0, FINE), (86_399_999, FINE), (None, OUT_OF_RANGE), (None, OUT_OF_RANGE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("time_format", "value", "ticks"),
    [
        ("epoch_s", 1538960461, MS - 2),
        ("epoch_s", 1538960461.002, MS),
        ("epoch_s", "1538960461.002", MS),
        ("epoch_ms", "1538960461002", MS),
        ("epoch_us", 1538960461002999, MS),
        ("epoch_ns", 1538960461002000000, MS),
        ("ticks", "1538960461002", MS),
        ("%d.%m.%Y %H:%M", "08.10.2018 01:01", MS - 1002),
    ],
)
def test_a_time_format_says_what_values_mean(time_format: str, value: Any, ticks: int) -> None:
    assert decode([value], time_format=time_format) == [(ticks, FINE)]


@pytest.mark.parametrize("time_format", ["epoch_s", "epoch_ns", "ticks", "%d.%m.%Y", "auto"])
def test_any_format_refuses_what_it_cannot_read(time_format: str) -> None:
    assert decode(["no time"], time_format=time_format) == [(None, UNREADABLE)]
    assert decode([None], time_format=time_format) == [(None, FINE)]
    assert decode([True], time_format=time_format) == [(None, WRONG_TYPE)]
    assert decode([2**62], time_format=time_format) == [(None, OUT_OF_RANGE)]
    assert decode([float("nan")], time_format=time_format) == [(None, UNREADABLE)]
    assert decode([1e300], time_format=time_format) == [(None, OUT_OF_RANGE)]


def test_ticks_are_whole_numbers() -> None:
    assert decode([5.0, 5.5]) == [(5, FINE), (None, WRONG_TYPE)]


def test_temporal_values_are_converted() -> None:
    assert decode([datetime(2018, 10, 8, 1, 1, 1, 2000), None]) == [(MS, FINE), (None, FINE)]
