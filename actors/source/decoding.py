"""From raw columns to a canonical frame: which records become rows, and what is wrong with the others.

A *raw* column holds what a file gave: text, numbers, temporal values. Each record is judged by itself, so it does not
matter beside which others it is read. A value that does not fit its column makes the whole record bad; NULL fits every
column but the time column. A number that is not finite is NULL in a DOUBLE column and does not fit an integer one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import inf
from typing import Any

import numpy as np
import polars as pl

from actors.errors import SchemaError
from actors.frames import physical_type, to_physical
from actors.model import TIMES_OF_DAY, Column, ColumnType, Schema
from actors.source.records import DecodedRows, value_at
from actors.source.times import (
    FINE,
    HOUR_TWICE,
    NO_SUCH_HOUR,
    OUT_OF_RANGE,
    UNREADABLE,
    WRONG_TYPE,
    Faults,
    LocalTimes,
    TimeDecoder,
    is_point_in_time,
    likely_time_format,
    temporal_unit_ns,
)

MISSING_TIME, UNCLEAR_TIME = 6, 7

_USUAL_TIMES = (datetime(1980, 1, 1), datetime(2100, 1, 1))
"""Where a number is taken for a time, in hints about columns without bounds."""

_WORDS = ("nan", "inf", "+inf", "-inf", "infinity", "-infinity")
"""Texts that are numbers in any notation."""

_TRUE = ("true", "1", "t", "yes")
_FALSE = ("false", "0", "f", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """What makes a record of a source a row."""

    schema: Schema
    """Columns of the rows."""

    time_column: str
    """Name of the time column; a row without a time is bad."""

    time_format: str = "auto"
    """How times are written; see `actors.source.times`."""

    has_time_format: bool = True
    """Whether the source may be given a time format."""

    time_bounds: tuple[datetime, datetime] | None = None
    """Earliest time and first too late one of the time column; `None` means any time."""

    parse_text: bool = True
    """Whether text may stand for numbers and Booleans (in files without types)."""

    local: LocalTimes | None = None
    """Of which zone times without an offset are; `None` means UTC."""

    decimal: str = "."
    """What stands before the fraction of a number that is text."""

    thousands: str | None = None
    """What may stand between groups of three digits of a number that is text."""


class RowDecoder:
    """Decodes raw columns by the rules of one source."""

    def __init__(self, rules: RowRules) -> None:
        self._rules = rules
        time_column = rules.schema[rules.time_column].name
        self._columns = {
            column.name: _ColumnDecoder(column, rules, column.name == time_column) for column in rules.schema.columns
        }

    def decode(self, columns: Mapping[str, pl.Series | Sequence[Any]]) -> DecodedRows:
        """Return the rows of raw columns of one length: typed, or of plain values of any types, such as JSON gives."""
        raw: dict[str, pl.Series] = {}
        odd: dict[int, str] = {}
        for name in self._columns:
            values = columns[name]
            if isinstance(values, pl.Series):
                raw[name] = values
                continue
            raw[name], strange = series_of_values(values, is_real=self._columns[name].is_real)
            for row, value in strange.items():
                odd.setdefault(row, self._columns[name].explain(value, WRONG_TYPE))
        if any(series.dtype == pl.Object for series in raw.values()):
            return self._decode_mixed({name: columns[name] for name in self._columns})
        return self._decode_typed(raw).without(odd)

    def _decode_typed(self, raw: Mapping[str, pl.Series]) -> DecodedRows:
        decoded = {name: column.decode(raw[name]) for name, column in self._columns.items()}
        frame = pl.DataFrame([values for values, _ in decoded.values()])
        bad = np.zeros(frame.height, dtype=np.bool_)
        for _, faults in decoded.values():
            bad |= faults != FINE
        if not bad.any():
            return DecodedRows(frame=frame, rows=np.arange(frame.height, dtype=np.int64), faults={})
        reasons: dict[int, str] = {}
        for name, (_, faults) in decoded.items():
            for row in np.flatnonzero(faults).tolist():
                if row not in reasons:
                    reasons[row] = self._columns[name].explain(value_at(raw[name], row), int(faults[row]))
        good = np.flatnonzero(~bad)
        return DecodedRows(frame=frame[good], rows=good.astype(np.int64), faults=reasons)

    def _decode_mixed(self, columns: Mapping[str, pl.Series | Sequence[Any]]) -> DecodedRows:
        """Decode records whose columns mix types: each group of records with the same types by itself."""
        groups: dict[tuple[type, ...], list[int]] = {}
        plain = {name: list(values) for name, values in columns.items()}
        for row, values in enumerate(zip(*plain.values(), strict=True)):
            groups.setdefault(tuple(map(type, values)), []).append(row)
        parts = []
        for rows in groups.values():
            part = self.decode({name: [values[row] for row in rows] for name, values in plain.items()})
            parts.append(part.among(np.array(rows, dtype=np.int64), {}))
        return DecodedRows.joined(parts, {})


class _ColumnDecoder:
    """Decodes the values of one column."""

    def __init__(self, column: Column, rules: RowRules, is_time_column: bool) -> None:
        self._column = column
        self._parse_text = rules.parse_text
        self._has_time_format = rules.has_time_format
        self._is_time_column = is_time_column
        self._bounds = rules.time_bounds if is_time_column else None
        is_temporal = column.type.is_temporal
        self._times = TimeDecoder(column, rules.time_format, self._bounds, rules.local) if is_temporal else None
        self._local = rules.local
        self._decimal, self._thousands = rules.decimal, rules.thousands
        # Nanoseconds since midnight look like seconds or milliseconds since 1970, and nobody would see the mistake.
        may_be_unclear = rules.has_time_format and rules.time_format == "auto"
        self._are_numbers_unclear = may_be_unclear and is_time_column and column.type is ColumnType.NANOTIME

    @property
    def is_real(self) -> bool:
        """Whether the column is of real numbers, so that whole ones beyond 64 bits have a place in it."""
        return self._column.type is ColumnType.DOUBLE

    def decode(self, values: pl.Series) -> tuple[pl.Series, Faults]:
        """Return the physical values (NULL where there is no good one) and the fault of each."""
        decoded, faults = self._decode_present(values)
        if self._is_time_column:
            missing = values.is_null().to_numpy()
            if self._are_numbers_unclear:
                is_text = values.dtype == pl.String
                numbers = (
                    (~values.str.contains(":", literal=True)).fill_null(False).to_numpy()
                    if is_text
                    else values.dtype.is_numeric()
                )
                faults = np.where(numbers & (faults == FINE), UNCLEAR_TIME, faults).astype(np.uint8)
            if missing.any():
                faults = np.where(missing, MISSING_TIME, faults).astype(np.uint8)
        return decoded.alias(self._column.name), faults

    def explain(self, value: Any, fault: int) -> str:
        """Return what is wrong with one value."""
        name, kind = self._column.name, self._column.type
        if fault == MISSING_TIME:
            return f"the time, column {name!r}, is empty"
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
        way = self._way_to_time(value) if self._times is not None else None
        if fault == UNCLEAR_TIME:
            ways = f"give the source `time_format: ticks` if it is nanoseconds since midnight{way and f'; {way}'}"
            return f"the time, column {name!r}, is {shown}, a number that may count from midnight or from 1970: {ways}"
        if fault in (NO_SUCH_HOUR, HOUR_TWICE) and self._local is not None:
            what = "did not exist" if fault == NO_SUCH_HOUR else "was there twice"
            put = "forward" if fault == NO_SUCH_HOUR else "back"
            return f"column {name!r} is {shown}, a time that {what} in {self._local.zone}, where clocks were put {put}"
        if fault == OUT_OF_RANGE and self._bounds is not None and self._column.type.has_date:
            low, high = (bound.isoformat(sep=" ") for bound in self._bounds)
            way = way or "if it is right, change `limits.time_min` or `limits.time_max`"
            return f"the time, column {name!r}, is {shown}, outside {low} to {high}; {way}"
        return f"column {name!r} is {kind}, which cannot hold {shown}" + (f"; {way}" if way else "")

    def _way_to_time(self, value: Any) -> str:
        """Return how the value becomes a time, empty if nobody knows."""
        kind, found = self._column.type, likely_time_format(value, self._bounds or _USUAL_TIMES)
        if found is None:
            is_dated = kind in TIMES_OF_DAY and (isinstance(value, date) or is_point_in_time(value))
            return f"{kind} is a time of day and this has a date: make the column a TIMESTAMP" if is_dated else ""
        time_format, time = found
        meant = f"as {time_format} it would be {time}"
        if kind in TIMES_OF_DAY or kind is ColumnType.MONTH:
            given = f" and give the source `time_format: {time_format}`" if self._has_time_format else ""
            return f"{meant}, which {kind} does not hold: make the column a TIMESTAMP{given}"
        if self._has_time_format:
            return f"{meant}: give the source `time_format: {time_format}`"
        return f"{meant}, but {kind} counts in its own unit: convert it first"

    def _decode_present(self, values: pl.Series) -> tuple[pl.Series, Faults]:
        if values.dtype == pl.Null:
            empty = pl.Series(self._column.name, [None] * len(values), dtype=physical_type(self._column.type))
            return empty, _no_faults(values)
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        if self._times is not None:
            return self._times.decode(values)
        if values.dtype == pl.String and not self._column.type.is_text:
            return self._from_text(values) if self._parse_text else self._all_wrong(values)
        return self._from_typed(values)

    def _from_text(self, given: pl.Series) -> tuple[pl.Series, Faults]:
        values = self._plain_numbers(given)
        if self._column.type is ColumnType.BOOL:
            lower = values.str.strip_chars().str.to_lowercase()
            decoded = pl.select(
                pl.when(lower.is_in(_TRUE))
                .then(pl.lit(True))
                .when(lower.is_in(_FALSE))
                .then(pl.lit(False))
                .otherwise(None)
            ).to_series()
        else:
            decoded = values.cast(physical_type(self._column.type), strict=False)
            if decoded.null_count() > values.null_count():
                decoded = values.str.strip_chars().cast(physical_type(self._column.type), strict=False)
        faults = (decoded.is_null() & given.is_not_null()).to_numpy().astype(np.uint8) * UNREADABLE
        return to_physical(decoded, self._column), faults

    def _plain_numbers(self, values: pl.Series) -> pl.Series:
        """Return texts of numbers in the notation of programs, NULL where they are none in that of the source."""
        if (self._decimal, self._thousands) == (".", None) or self._column.type is ColumnType.BOOL:
            return values
        decimal, thousands = re.escape(self._decimal), re.escape(self._thousands or "")
        texts = pl.col("").str.strip_chars()
        whole = rf"(?:\d+|\d{{1,3}}(?:{thousands}\d{{3}})+)" if thousands else r"\d+"
        number = rf"^[+-]?(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?$"
        plain = texts.str.replace_all(self._thousands, "", literal=True) if self._thousands else texts
        plain = plain.str.replace(self._decimal, ".", literal=True)
        is_word = texts.str.to_lowercase().is_in(_WORDS)
        chosen = pl.when(texts.str.contains(number)).then(plain).when(is_word).then(texts)
        return values.alias("").to_frame().select(chosen).to_series()

    def _from_typed(self, values: pl.Series) -> tuple[pl.Series, Faults]:
        kind, wanted = self._column.type, physical_type(self._column.type)
        if values.dtype == wanted:
            return to_physical(values, self._column), _no_faults(values)
        if kind is ColumnType.DOUBLE and values.dtype.is_numeric():
            return to_physical(values.cast(pl.Float64), self._column), _no_faults(values)
        if kind.is_integer and values.dtype.is_numeric():
            numbers = values.cast(pl.Float64) if values.dtype.is_float() or values.dtype.is_decimal() else values
            whole = numbers.cast(pl.Int64, strict=False)
            wrong = whole.is_null() & values.is_not_null()
            if numbers.dtype == pl.Float64:
                wrong = wrong | (whole.cast(pl.Float64) != numbers).fill_null(False)
            decoded = pl.select(pl.when(~wrong).then(whole)).to_series()
            return decoded, wrong.to_numpy().astype(np.uint8) * WRONG_TYPE
        if kind.is_text and values.dtype.is_integer() and self._parse_text:
            return values.cast(pl.String), _no_faults(values)
        return self._all_wrong(values)

    def _all_wrong(self, values: pl.Series) -> tuple[pl.Series, Faults]:
        empty = pl.Series(self._column.name, [None] * len(values), dtype=physical_type(self._column.type))
        return empty, values.is_not_null().to_numpy().astype(np.uint8) * WRONG_TYPE


def series_of_values(values: Sequence[Any], *, is_real: bool = False) -> tuple[pl.Series, dict[int, Any]]:
    """Return plain values as a series, and those that no column can hold; a series of objects when types are mixed.

    Where the column is real, whole numbers beyond 64 bits are real numbers, as they are in CSV.
    """
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1:
        return pl.Series([object()], dtype=pl.Object), {}
    kind = next(iter(kinds), None)
    if kind is int:
        large = {row: value for row, value in enumerate(values) if value is not None and not -(2**63) <= value < 2**63}
        if large and is_real:
            return pl.Series([None if value is None else _real(value) for value in values], dtype=pl.Float64), {}
        fitting = [None if row in large else value for row, value in enumerate(values)] if large else values
        return pl.Series(fitting, dtype=pl.Int64), large
    if kind in (float, bool, str):
        try:
            return pl.Series(values, dtype={float: pl.Float64, bool: pl.Boolean, str: pl.String}[kind]), {}
        except UnicodeEncodeError:
            return _text_without_surrogates(values)
    odd = {row: value for row, value in enumerate(values) if value is not None}
    return pl.Series([None] * len(values), dtype=pl.Null), odd


def _real(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def check_can_hold(name: str, dtype: pl.DataType, column: Column) -> None:
    """Check that a typed column of a file can be read as a column of the schema at all.

    Raises:
        SchemaError: no value of the type fits.
    """
    text = dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null)
    kind = column.type
    fits = text or (
        temporal_unit_ns(dtype, kind) is not None or dtype.is_integer() or dtype.is_float()
        if kind.is_temporal
        else dtype.is_integer()
        if kind.is_text
        else dtype == pl.Boolean
        if kind is ColumnType.BOOL
        else dtype.is_numeric()
    )
    if not fits:
        raise SchemaError(f"its column {name!r} holds {dtype}, which cannot be read as {kind}; convert it first")


def _text_without_surrogates(values: Sequence[Any]) -> tuple[pl.Series, dict[int, Any]]:
    odd: dict[int, Any] = {}
    for row, value in enumerate(values):
        if value is not None:
            try:
                value.encode()
            except UnicodeEncodeError:
                odd[row] = value
    return pl.Series([None if row in odd else value for row, value in enumerate(values)], dtype=pl.String), odd


def _no_faults(values: pl.Series) -> Faults:
    return np.zeros(len(values), dtype=np.uint8)
