"""Plain values and typed columns of any kind: rows or faults, each record judged by itself."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model import ColumnType, Schema
from actors.source.decoding import RowDecoder, RowRules
from actors.source.open import open_source
from tests.support.canonical import is_canonical
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["2018-10-08", "5", "1e5", "nan"]),
    st.lists(st.none(), max_size=1),
    st.dictionaries(st.text(max_size=1), st.none(), max_size=1),
)
"""What rows in a job may have; a job with longer numbers or halves of letters is refused as a whole."""

TICKS = st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**13), 10**13) | st.integers(-(10**16), 10**16)

SERIES = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=6).map(lambda v: pl.Series(v, dtype=pl.Int64)),
    st.lists(st.none() | st.integers(0, 2**64 - 1), max_size=6).map(lambda v: pl.Series(v, dtype=pl.UInt64)),
    st.lists(st.none() | st.integers(-(2**127), 2**127 - 1), max_size=6).map(lambda v: pl.Series(v, dtype=pl.Int128)),
    st.lists(st.none() | st.floats(), max_size=6).map(lambda v: pl.Series(v, dtype=pl.Float64)),
    st.lists(st.none() | st.floats(width=32), max_size=6).map(lambda v: pl.Series(v, dtype=pl.Float32)),
    st.lists(st.none() | st.booleans(), max_size=6).map(lambda v: pl.Series(v, dtype=pl.Boolean)),
    st.lists(st.none() | st.text("0123456789-:.TZ+ eE\n", max_size=30), max_size=6).map(
        lambda v: pl.Series(v, dtype=pl.String)
    ),
    st.tuples(st.lists(st.none() | TICKS, max_size=6), st.sampled_from(["ms", "us", "ns"])).map(
        lambda given: pl.Series(given[0], dtype=pl.Int64).cast(pl.Datetime(given[1]))
    ),
    st.lists(st.none() | st.dates(), max_size=6).map(lambda v: pl.Series(v, dtype=pl.Date)),
    st.lists(st.none() | st.times(), max_size=6).map(lambda v: pl.Series(v, dtype=pl.Time)),
    st.lists(st.none() | st.timedeltas(timedelta(-5), timedelta(5)), max_size=6).map(
        lambda v: pl.Series(v, dtype=pl.Duration("us"))
    ),
    st.lists(st.none() | st.decimals(-(10**9), 10**9, places=3), max_size=6).map(
        lambda v: pl.Series(v, dtype=pl.Decimal(20, 3))
    ),
)


def decoder_of(kind: ColumnType, time_format: str, parse_text: bool) -> RowDecoder:
    schema = Schema.from_mapping({"time": "TIMESTAMP", "value": kind})
    bounds = (datetime(1900, 1, 1), datetime(2100, 1, 1))
    column = "value" if kind.is_temporal else "time"
    rules = RowRules(
        schema=schema, time_column=column, time_format=time_format, time_bounds=bounds, parse_text=parse_text
    )
    return RowDecoder(rules)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=8), st.integers(1, 4))
def test_inline_values_of_any_kind(rows: list[tuple[object, ...]], batch: int) -> None:
    whole = read_split(open_source(make_trades_job({"rows": rows}), None), batch=batch)  # type: ignore[arg-type]
    letters = {letter.offset: letter.reason for letter in whole.dead_letters}
    found = dict(whole.rows)
    assert sorted([*found, *letters]) == list(range(len(rows)))
    for offset, row in enumerate(rows):
        alone = read_split(open_source(make_trades_job({"rows": [row]}), None))  # type: ignore[arg-type]
        assert [one for _, one in alone.rows] == ([found[offset]] if offset in found else [])
        assert [letter.reason for letter in alone.dead_letters] == ([letters[offset]] if offset in letters else [])


@pytest.mark.parametrize("kind", list(ColumnType))
@settings(max_examples=25)
@given(
    values=SERIES,
    time_format=st.sampled_from(["auto", "ticks", "epoch_s", "epoch_ns", "%Y-%m-%d"]),
    parse_text=st.booleans(),
)
def test_columns_of_any_type(kind: ColumnType, values: pl.Series, time_format: str, parse_text: bool) -> None:
    decoder = decoder_of(kind, time_format, parse_text)
    times = pl.Series([0] * len(values), dtype=pl.Int64)
    whole = decoder.decode({"time": times, "value": values})
    assert sorted([*whole.rows.tolist(), *whole.faults]) == list(range(len(values)))
    schema = Schema.from_mapping({"time": "TIMESTAMP", "value": kind})
    assert is_canonical(schema, whole.frame)
    found = dict(zip(whole.rows.tolist(), whole.frame.rows(), strict=True))
    for row in range(len(values)):
        alone = decoder.decode({"time": times[:1], "value": values[row : row + 1]})
        assert [repr(one) for one in alone.frame.rows()] == ([repr(found[row])] if row in found else [])
