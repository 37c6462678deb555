"""Times as sources meet them: text, numbers and temporal values become ticks of a column's type.

Text follows one grammar, read the same way whatever stands beside it: `YYYY-MM-DD` (or with dots or slashes), then
optionally `T` or a blank and `HH:MM[:SS[.fraction]]`, then optionally `Z` or an offset such as `+02:00`. A time without
an offset is UTC. Finer parts than a tick are cut off. A whole number is in ticks unless the time format says otherwise.
What is no time, or outside the bounds, is marked by a *fault*; nothing raises.

The grammar is read here and not by Polars' `str.to_datetime`, which cannot hold it. With a format it takes `2018-1-8`
and second 60 and refuses commas and `t`; without one it infers a format from the first text, so the cut would decide.
All formats of the grammar one after the other take 1,200 ns for each distinct text where this takes 170 (7 times as
long); the one format that fits takes 1.6 times as long. Patterns with `%` are left to it.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from actors.frames import to_physical
from actors.model import SECONDS_PER_UNIT, TIMES_OF_DAY, UNITS_PER_SECOND, Column, ColumnType

Faults: TypeAlias = npt.NDArray[np.uint8]
"""One of the constants below for each value."""

Ticks: TypeAlias = npt.NDArray[np.int64]

FINE, UNREADABLE, OUT_OF_RANGE, WRONG_TYPE, NO_SUCH_HOUR, HOUR_TWICE = 0, 1, 2, 3, 4, 5

_DAY_NS = 86_400_000_000_000
_EPOCH_NS = {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
_SECOND_MAX = 253_402_300_800
"""Seconds from 1970 to the year 10000."""

_DAY_COUNT_MAX = 90_000_000
"""Days from 1970 that the calendar of Polars reaches."""

_DAYS_OF_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTimes:
    """Times by the clocks of a place, where text says no offset."""

    zone: str
    """Its name, such as `Europe/Zurich`."""

    repeated_hour: str = "first"
    """Which hour is meant where clocks were put back: `first`, `second`, or `refuse` for neither."""

    def to_utc(self, ticks: Ticks, kind: ColumnType) -> tuple[Ticks, Faults]:
        """Return the ticks in UTC of local ones, and the faults of those that are none."""
        tick_ns = tick_length_ns(kind)
        per_second = max(1_000_000_000 // tick_ns, 1)
        seconds = ticks // per_second * max(tick_ns // 1_000_000_000, 1)
        # Beyond the calendar it does not matter: bounds refuse it.
        seconds = np.clip(seconds, -_SECOND_MAX, _SECOND_MAX)
        clock = pl.Series(seconds * 1_000_000).cast(pl.Datetime("us"))
        side: Any = {"first": "earliest", "second": "latest"}.get(self.repeated_hour, "null")
        utc = clock.dt.replace_time_zone(self.zone, ambiguous=side, non_existent="null")
        missing = utc.is_null().to_numpy()
        faults = np.zeros(ticks.size, dtype=np.uint8)
        if missing.any():
            known = clock.dt.replace_time_zone(self.zone, ambiguous="earliest", non_existent="null")
            faults[missing] = np.where(known.is_null().to_numpy(), NO_SUCH_HOUR, HOUR_TWICE)[missing]
        ahead_s = seconds - utc.cast(pl.Int64).fill_null(0).to_numpy() // 1_000_000
        ahead = ahead_s * 1_000_000_000 // tick_ns
        return np.where(missing, 0, ticks - np.where(missing, 0, ahead)), faults


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """Times that a column may hold, in its ticks."""

    start: int
    """Earliest tick, inclusive."""

    end: int
    """First tick that is too late."""

    @classmethod
    def for_column(cls, kind: ColumnType, bounds: tuple[datetime, datetime] | None) -> "TimeRange":
        """Return the range of a temporal type; without bounds, what fits its 64 bits."""
        if kind in TIMES_OF_DAY:
            return cls(start=0, end=_DAY_NS // tick_length_ns(kind))
        if bounds is None:
            return cls(start=_INT64.min, end=_INT64.max)
        low, high = (_bound_ticks(kind, bound) for bound in bounds)
        return cls(start=max(low, _INT64.min), end=min(high, _INT64.max))


class TimeDecoder:
    """Turns the values of one temporal column into ticks."""

    def __init__(
        self,
        column: Column,
        time_format: str,
        bounds: tuple[datetime, datetime] | None,
        local: LocalTimes | None = None,
    ) -> None:
        self._column = column
        has_clock = column.type in UNITS_PER_SECOND and column.type.has_date
        self._local = local if has_clock else None
        self._kind = column.type
        self._time_format = time_format
        self._range = TimeRange.for_column(column.type, bounds)

    def decode(self, values: pl.Series) -> tuple[pl.Series, Faults]:
        """Return ticks (NULL where there is no good value) and faults of values of any type."""
        missing = values.is_null().to_numpy()
        ticks, faults = self._ticks(values)
        faults[(faults == FINE) & ((ticks < self._range.start) | (ticks >= self._range.end))] = OUT_OF_RANGE
        faults[missing] = FINE
        good = pl.Series(missing | (faults != FINE))
        result = pl.Series(self._column.name, ticks)
        return (result if not good.any() else pl.select(pl.when(~good).then(result)).to_series()), faults

    def _ticks(self, values: pl.Series) -> tuple[Ticks, Faults]:
        if values.dtype == pl.String:
            return self._from_text(values)
        if values.dtype.is_integer():
            return self._from_integers(values)
        if values.dtype.is_float():
            return self._from_floats(values)
        return self._from_temporal(values)

    def _from_temporal(self, values: pl.Series) -> tuple[Ticks, Faults]:
        numbers, unit_ns = np.zeros(len(values), dtype=np.int64), temporal_unit_ns(values.dtype, self._kind)
        if unit_ns is None:
            return numbers, np.full(len(values), WRONG_TYPE, dtype=np.uint8)
        numbers = values.cast(pl.Int64).fill_null(0).to_numpy()
        if self._kind is ColumnType.MONTH:
            days = numbers // (_DAY_NS // unit_ns)
            fine = np.abs(days) < _DAY_COUNT_MAX
            dates = pl.Series(np.where(fine, days, 0)).cast(pl.Int32).cast(pl.Date)
            months = (dates.dt.year().cast(pl.Int64) * 12 + dates.dt.month() - 1).to_numpy().copy()
            return months, np.where(fine, FINE, OUT_OF_RANGE).astype(np.uint8)
        return _scale(numbers, np.zeros(len(values), dtype=np.uint8), unit_ns, self._kind)

    def _from_integers(self, values: pl.Series) -> tuple[Ticks, Faults]:
        numbers = values.cast(pl.Int64, strict=False)
        faults = numbers.is_null().to_numpy().astype(np.uint8) * OUT_OF_RANGE
        return self._scaled(numbers.fill_null(0).to_numpy(), faults)

    def _from_floats(self, values: pl.Series) -> tuple[Ticks, Faults]:
        numbers = values.cast(pl.Float64).fill_null(0.0).to_numpy()
        faults = np.where(np.isfinite(numbers), FINE, UNREADABLE).astype(np.uint8)
        numbers = np.where(faults == FINE, numbers, 0.0)
        if self._time_format in _EPOCH_NS:
            # Micro-seconds are what a float holds of today's times; finer digits would be noise.
            numbers, unit_ns = np.round(numbers * (_EPOCH_NS[self._time_format] / 1000.0)), 1000
        else:
            unit_ns = 0
            faults[(numbers != np.floor(numbers)) & (faults == FINE)] = WRONG_TYPE
        large = np.abs(numbers) >= 2.0**63
        faults[large & (faults == FINE)] = OUT_OF_RANGE
        whole = np.where(large, 0.0, numbers).astype(np.int64)
        return self._scaled(whole, faults) if not unit_ns else _scale(whole, faults, unit_ns, self._kind)

    def _scaled(self, numbers: Ticks, faults: Faults) -> tuple[Ticks, Faults]:
        unit_ns = _EPOCH_NS.get(self._time_format)
        return (numbers.copy(), faults) if unit_ns is None else _scale(numbers, faults, unit_ns, self._kind)

    def _from_text(self, values: pl.Series) -> tuple[Ticks, Faults]:
        if "%" in self._time_format:
            return self._from_pattern(values)
        if self._time_format in _EPOCH_NS:
            return self._from_epoch_text(values)
        if self._time_format == "ticks":
            return self._from_tick_text(values)
        is_local = np.zeros(len(values), dtype=np.bool_)
        ticks, faults = parse_times(values.fill_null(""), self._kind, is_local)
        rest = np.flatnonzero(faults)
        if rest.size:
            stripped = values[rest].str.strip_chars()
            is_rest_local = np.zeros(rest.size, dtype=np.bool_)
            again, still = parse_times(stripped.fill_null(""), self._kind, is_rest_local)
            numbers, no_numbers = self._from_tick_text(stripped, still)
            ticks[rest], faults[rest] = np.where(still == FINE, again, numbers), no_numbers
            is_local[rest] = is_rest_local & (still == FINE)
        return self._in_utc(ticks, faults, is_local)

    def _in_utc(self, ticks: Ticks, faults: Faults, is_local: npt.NDArray[np.bool_]) -> tuple[Ticks, Faults]:
        if self._local is None:
            return ticks, faults
        rows = np.flatnonzero(is_local & (faults == FINE))
        if rows.size:
            ticks[rows], faults[rows] = self._local.to_utc(ticks[rows], self._kind)
        return ticks, faults

    def _from_tick_text(self, values: pl.Series, else_faults: Faults | None = None) -> tuple[Ticks, Faults]:
        numbers = values.str.strip_chars().cast(pl.Int64, strict=False)
        faults = np.full(len(values), UNREADABLE, dtype=np.uint8) if else_faults is None else else_faults
        ticks = numbers.fill_null(0).to_numpy().copy()
        return ticks, np.where(numbers.is_null().to_numpy(), faults, FINE).astype(np.uint8)

    def _from_epoch_text(self, values: pl.Series) -> tuple[Ticks, Faults]:
        stripped = values.str.strip_chars()
        whole = stripped.cast(pl.Int64, strict=False)
        ticks, faults = self._from_integers(whole.fill_null(0))
        rest = np.flatnonzero(whole.is_null().to_numpy())
        if rest.size:
            exact = stripped[rest].cast(pl.Decimal(38, 9), strict=False)
            unit_ns = _EPOCH_NS[self._time_format]
            faults[rest] = np.where(exact.is_null().to_numpy(), UNREADABLE, FINE)
            limit = _INT64.max // unit_ns
            for row, value in zip(rest, exact, strict=True):
                if self._kind is ColumnType.MONTH:
                    faults[row] = WRONG_TYPE
                elif value is not None and abs(value) < limit:
                    ticks[row] = int(value * unit_ns // tick_length_ns(self._kind))
                elif value is not None:
                    faults[row] = OUT_OF_RANGE
        return ticks, faults

    def _from_pattern(self, values: pl.Series) -> tuple[Ticks, Faults]:
        stripped = values.str.strip_chars()
        try:
            if self._kind in TIMES_OF_DAY:
                parsed: pl.Series = stripped.str.to_time(self._time_format, strict=False)
            else:
                fine = self._kind is ColumnType.NANOTIMESTAMP
                parsed = stripped.str.to_datetime(self._time_format, time_unit="ns" if fine else "us", strict=False)
        except pl.exceptions.PolarsError:
            return np.zeros(len(values), dtype=np.int64), np.full(len(values), UNREADABLE, dtype=np.uint8)
        faults = np.where(parsed.is_null().to_numpy(), UNREADABLE, FINE).astype(np.uint8)
        ticks = to_physical(parsed, self._column).fill_null(0).to_numpy().copy()
        has_offset = "%z" in self._time_format or "%:z" in self._time_format or "%#z" in self._time_format
        return self._in_utc(ticks, faults, np.full(len(values), not has_offset))


def likely_time_format(value: object, bounds: tuple[datetime, datetime]) -> tuple[str, datetime] | None:
    """Return the time format by which a number, or the text of one, is a time within bounds, and that time."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    for name, unit_ns in _EPOCH_NS.items():
        seconds = number * unit_ns / 1e9
        if 0 < seconds < _SECOND_MAX:
            time = datetime(1970, 1, 1) + timedelta(seconds=round(seconds))
            if bounds[0] <= time < bounds[1]:
                return name, time
    return None


def is_point_in_time(value: object) -> bool:
    """Return whether a value is text with a date."""
    return isinstance(value, str) and not parse_times(pl.Series([value.strip()]), ColumnType.TIMESTAMP)[1].any()


def tick_length_ns(kind: ColumnType) -> int:
    """Return the length of a tick of a temporal type; a month has none."""
    if kind in UNITS_PER_SECOND:
        return 1_000_000_000 // UNITS_PER_SECOND[kind]
    return SECONDS_PER_UNIT[kind] * 1_000_000_000


def temporal_unit_ns(dtype: pl.DataType, kind: ColumnType) -> int | None:
    """Return the unit of a Polars type whose values can be times of a column type, or `None` when they cannot."""
    if kind in TIMES_OF_DAY:
        return 1 if dtype == pl.Time else None
    if isinstance(dtype, pl.Datetime):
        return {"ns": 1, "us": 1_000, "ms": 1_000_000}[dtype.time_unit]
    return _DAY_NS if dtype == pl.Date else None


def parse_times(
    values: pl.Series, kind: ColumnType, is_local: npt.NDArray[np.bool_] | None = None
) -> tuple[Ticks, Faults]:
    """Return ticks and faults of texts without NULL, by the grammar above; `is_local` is told which say no offset."""
    lengths = values.str.len_bytes().to_numpy()
    ticks = np.zeros(len(values), dtype=np.int64)
    faults = np.full(len(values), UNREADABLE, dtype=np.uint8)
    for length in np.unique(lengths):
        if not 4 <= length <= 35:
            continue
        rows = np.flatnonzero(lengths == length)
        group = values if rows.size == len(values) else values[rows]
        letters = np.frombuffer(str(group.str.join("").item()).encode(), dtype=np.uint8).reshape(-1, int(length))
        ticks[rows], faults[rows] = _parse_equal_lengths(np.ascontiguousarray(letters.T), kind)
        if is_local is not None:
            is_local[rows] = _have_no_offset(letters)
    return ticks, faults


def _have_no_offset(letters: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which texts of one length end without an offset; `letters[i]` holds the i-th of them."""
    length = letters.shape[1]
    none = np.ones(letters.shape[0], dtype=np.bool_)
    if length >= 16:
        none &= (letters[:, -1] != ord("Z")) & (letters[:, -1] != ord("z"))
    for size in (5, 6):
        if length >= 16 + size:
            none &= (letters[:, -size] != ord("+")) & (letters[:, -size] != ord("-"))
    return none


def _parse_equal_lengths(letters: npt.NDArray[np.uint8], kind: ColumnType) -> tuple[Ticks, Faults]:
    """Parse texts of one length; `letters[i]` holds the i-th byte of each."""
    count = letters.shape[1]
    if kind in TIMES_OF_DAY:
        nanoseconds, fine = _parse_clock(letters)
        return nanoseconds // tick_length_ns(kind), np.where(fine, FINE, UNREADABLE).astype(np.uint8)
    if kind is ColumnType.MONTH and letters.shape[0] in (7, 8):
        return _parse_month(letters)
    ticks, faults = np.zeros(count, dtype=np.int64), np.full(count, UNREADABLE, dtype=np.uint8)
    if letters.shape[0] < 10:
        return ticks, faults
    for rows, body, offset_ns, fine in _without_zone(letters):
        days, months, good_date = _parse_date(body[:10])
        nanoseconds, good_clock = (
            _parse_clock(body[11:]) if body.shape[0] > 10 else (np.zeros(days.size, np.int64), True)
        )
        good = good_date & good_clock & fine
        if body.shape[0] > 10:
            good &= (body[10] == ord("T")) | (body[10] == ord(" ")) | (body[10] == ord("t"))
        ticks[rows], overflow = _compose(kind, days, nanoseconds - offset_ns, months)
        faults[rows] = np.where(good, np.where(overflow, OUT_OF_RANGE, FINE), UNREADABLE)
    return ticks, faults


def _without_zone(
    letters: npt.NDArray[np.uint8],
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8], Ticks, npt.NDArray[np.bool_]]]:
    """Split texts by how they end; return rows, texts without the zone, offset from UTC, whether it is good."""
    length, count = letters.shape
    zone = np.zeros(count, dtype=np.uint8)
    if length >= 16:
        zone[(letters[-1] == ord("Z")) | (letters[-1] == ord("z"))] = 1
    for size in (5, 6):
        if length >= 16 + size:
            zone[(letters[-size] == ord("+")) | (letters[-size] == ord("-"))] = size
    parts = []
    for size in (0, 1, 5, 6):
        if length < 16 and size:
            break
        rows = np.flatnonzero(zone == size)
        if not rows.size:
            continue
        texts = letters if rows.size == count else np.ascontiguousarray(letters[:, rows])
        offset, fine = np.zeros(rows.size, dtype=np.int64), np.ones(rows.size, dtype=np.bool_)
        if size > 1:
            hours, good_hours = _number(texts[-size + 1 : -size + 3])
            minutes, good_minutes = _number(texts[-2:])
            fine = good_hours & good_minutes & (hours < 24) & (minutes < 60)
            if size == 6:
                fine &= texts[-3] == ord(":")
            offset = (hours * 60 + minutes) * 60_000_000_000 * np.where(texts[-size] == ord("-"), -1, 1)
        parts.append((rows, texts[: length - size], offset, fine))
    return parts


def _parse_date(letters: npt.NDArray[np.uint8]) -> tuple[Ticks, Ticks, npt.NDArray[np.bool_]]:
    # Neighbouring rows mostly have one date, so each run of equal dates is worked out once.
    same = np.ones(letters.shape[1] - 1, dtype=np.bool_)
    for letter in letters:
        same &= letter[1:] == letter[:-1]
    starts = np.concatenate(([0], np.flatnonzero(~same) + 1))
    days, months, good = _parse_distinct_dates(np.ascontiguousarray(letters[:, starts]))
    lengths = np.diff(np.append(starts, letters.shape[1]))
    return np.repeat(days, lengths), np.repeat(months, lengths), np.repeat(good, lengths)


def _parse_distinct_dates(letters: npt.NDArray[np.uint8]) -> tuple[Ticks, Ticks, npt.NDArray[np.bool_]]:
    year, good_year = _number(letters[:4])
    month, good_month = _number(letters[5:7])
    day, good_day = _number(letters[8:10])
    good = good_year & good_month & good_day & (letters[4] == letters[7])
    good &= (letters[4] == ord("-")) | (letters[4] == ord(".")) | (letters[4] == ord("/"))
    good &= (month >= 1) & (month <= 12) & (day >= 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= day <= _DAYS_OF_MONTH[np.where(good, month, 0)] + (leap & (month == 2))
    # Days from the civil date, counting years from March so that the leap day comes last.
    shifted = year - (month <= 2)
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days = era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
    return days, year * 12 + month - 1, good


def _parse_clock(letters: npt.NDArray[np.uint8]) -> tuple[Ticks, npt.NDArray[np.bool_]]:
    length, count = letters.shape
    nanoseconds = np.zeros(count, dtype=np.int64)
    if length not in (5, 8) and not 10 <= length <= 18:
        return nanoseconds, np.zeros(count, dtype=np.bool_)
    hour, good = _number(letters[:2])
    minute, good_minute = _number(letters[3:5])
    good &= good_minute & (letters[2] == ord(":")) & (hour < 24) & (minute < 60)
    nanoseconds = (hour * 60 + minute) * 60_000_000_000
    if length >= 8:
        second, good_second = _number(letters[6:8])
        good &= good_second & (letters[5] == ord(":")) & (second < 60)
        nanoseconds += second * 1_000_000_000
    if length >= 10:
        fraction, good_fraction = _number(letters[9:])
        good &= good_fraction & ((letters[8] == ord(".")) | (letters[8] == ord(",")))
        nanoseconds += fraction * 10 ** (18 - length)
    return nanoseconds, good


def _parse_month(letters: npt.NDArray[np.uint8]) -> tuple[Ticks, Faults]:
    year, good_year = _number(letters[:4])
    month, good_month = _number(letters[5:7])
    good = good_year & good_month & (month >= 1) & (month <= 12) & ((letters[4] == ord("-")) | (letters[4] == ord(".")))
    if letters.shape[0] == 8:
        good &= letters[7] == ord("M")
    return year * 12 + month - 1, np.where(good, FINE, UNREADABLE).astype(np.uint8)


def _number(letters: npt.NDArray[np.uint8]) -> tuple[Ticks, npt.NDArray[np.bool_]]:
    """Return numbers of decimal digits and whether they are digits."""
    digits = letters - np.uint8(48)
    good = digits.max(axis=0) <= 9
    value = digits[0].astype(np.int64)
    for digit in digits[1:]:
        value *= 10
        value += digit
    return value, good


def _compose(kind: ColumnType, days: Ticks, nanoseconds: Ticks, months: Ticks) -> tuple[Ticks, npt.NDArray[np.bool_]]:
    """Return ticks of days and of nanoseconds (a day's, give or take a zone), and where they do not fit 64 bits."""
    if kind is ColumnType.MONTH:
        return months, np.zeros(days.size, dtype=np.bool_)
    tick_ns = tick_length_ns(kind)
    per_day = _DAY_NS // tick_ns
    limit = _INT64.max // per_day - 2
    overflow = np.abs(days) > limit
    return np.where(overflow, 0, days) * per_day + nanoseconds // tick_ns, overflow


def _scale(numbers: Ticks, faults: Faults, unit_ns: int, kind: ColumnType) -> tuple[Ticks, Faults]:
    """Return ticks of whole numbers of a unit."""
    if kind is ColumnType.MONTH:
        return numbers, np.full(numbers.size, WRONG_TYPE, dtype=np.uint8)
    tick_ns = tick_length_ns(kind)
    if tick_ns >= unit_ns:
        return numbers // (tick_ns // unit_ns), faults
    factor = unit_ns // tick_ns
    overflow = np.abs(numbers) > _INT64.max // factor
    faults = np.where(overflow & (faults == FINE), OUT_OF_RANGE, faults).astype(np.uint8)
    return np.where(overflow, 0, numbers) * factor, faults


def _bound_ticks(kind: ColumnType, bound: datetime) -> int:
    if kind is ColumnType.MONTH:
        return bound.year * 12 + bound.month - 1
    passed = bound - datetime(1970, 1, 1)
    nanoseconds = (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1_000
    return nanoseconds // tick_length_ns(kind)
