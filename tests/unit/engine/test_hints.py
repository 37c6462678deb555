"""The way out that an error names works when it is followed."""

import pytest

from actors.engine import MetricError
from tests.unit.engine.support import engine


def hint_of(metric: str, schema: dict[str, str] | None = None) -> str:
    options = {"schema": schema} if schema else {}
    with pytest.raises(MetricError) as caught:
        engine(metric, window_size=10, step=10, **options)
    return str(caught.value).splitlines()[-1]


@pytest.mark.parametrize(
    ("metric", "hint", "followed"),
    [
        ("sym", "Compare it with something, such as `sym == 'A'`.", "sym == 'A'"),
        ("qty + 1", "Compare it with something, such as `(qty + 1) > 0`.", "(qty + 1) > 0"),
        ("not sym", "Compare it, as in `sym == 'A'`.", "not sym == 'A'"),
        ("sym and flag", "Compare it, as in `sym == 'A'`.", "sym == 'A' and flag"),
        ("iif(sym, 1, 2) > 1", "Compare it, as in `sym == 'A'`.", "iif(sym == 'A', 1, 2) > 1"),
        ("sym in [1]", "Write it in quotes: '1'.", "sym in ['1']"),
        ("in(items=[1], x=sym)", "Write it in quotes: '1'.", "in(items=['1'], x=sym)"),
        ("qty in ['a']", "Give a number without quotes.", "qty in [1]"),
        ("sum(avg(qty)) > 1", "Leave one of them out.", "sum(qty) > 1"),
        ("msum(qty, 5s) > 1", "Give a number, such as 5.", "msum(qty, 5) > 1"),
        ("tmsum(qty, qty, 7s) > 1", "Give a number, such as 7.", "tmsum(qty, qty, 7) > 1"),
        ("tmsum(time, qty, 5ns) > 1", "Give a multiple of 1ms.", "tmsum(time, qty, 2ms) > 1"),
        ("iif(flag, sym, 5) == 'A'", "Give two numbers, or two texts.", "iif(flag, sym, '5') == 'A'"),
        ("avgg(qty) > 1", "Did you mean `avg`?", "avg(qty) > 1"),
        ("qti > 1", "Did you mean `qty`?", "qty > 1"),
        ("qty = 3", "Use `==` to compare.", "qty == 3"),
        ("mavg(qty, 1) > 1", "Use a whole number from 2 to 102400.", "mavg(qty, 2) > 1"),
        ("next(qty) > 1", "Use `prev`, which looks at the row before.", "prev(qty) > 1"),
    ],
)
def test_a_hint_works_when_it_is_followed(metric: str, hint: str, followed: str) -> None:
    assert hint_of(metric) == hint
    engine(followed, window_size=10, step=10)


def test_a_word_that_is_no_column_may_be_a_text() -> None:
    assert hint_of("sym == Q7") == "Columns are time, sym, flag, qty, price; a text stands in quotes: 'A'."
    engine("sym == 'Q7'")


def test_nothing_far_away_is_suggested() -> None:
    assert "Did you mean" not in hint_of("zzz > 1")
    assert "Did you mean" not in hint_of("zzz(qty) > 1")


@pytest.mark.parametrize("metric", ["sym >= 500", "int(sym) > 3", "sym + 1 > 3", "max(sym, 3) > 1", "avg(sym) > 3"])
def test_a_text_where_a_number_is_wanted_names_the_schema(metric: str) -> None:
    assert "Give `sym` a type of numbers in the schema, such as INT or DOUBLE." in hint_of(metric)
    engine(metric, schema={"time": "TIMESTAMP", "sym": "INT"}, window_size=10, step=10)
