"""Advice about metrics that cannot mean what they say; following it works."""

import re

import pytest

from actors.engine.language.advice import warnings_of
from actors.engine.language.analysis import analyse_metric
from actors.model import Schema

SCHEMA = Schema.from_mapping({"time": "TIMESTAMP", "errors": "INT", "total": "INT", "price": "DOUBLE"})


def warnings(text: str) -> tuple[str, ...]:
    return warnings_of(analyse_metric(text, SCHEMA))


@pytest.mark.parametrize(
    "text",
    [
        "errors / total > 0.1",
        "0.1 <= errors / total",
        "sum(errors) / sum(total) > 0.05",
        "avg(errors / total) > 0.1",
        "100 * (errors / (total + 1)) > 12.5",
        "double(errors / total) > 1 \\ 10",
        "prev(errors / total) != 0.5 * 3",
        "between(errors / total, 0.1:2)",
        "errors / total in [0.5, 2]",
        "errors / total - 0.1 > 0",
        "errors / total > total * 0.1",
        "count(iif(errors / total > 0.1, 1, NULL)) > 3",
    ],
)
def test_a_division_of_whole_numbers_compared_with_a_fraction_is_warned_of(text: str) -> None:
    found = warnings(text)[0]
    division, instead = re.findall(r"`([^`]+)`", found)
    assert "rounds down" in found
    assert not any("rounds down" in one for one in warnings(text.replace(division, instead)))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("errors == 0.5", "`errors == 0.5` is never true: `errors` is whole"),
        ("0.5 != errors", "`0.5 != errors` is always true: `errors` is whole"),
        ("errors in [0.5, 2]", "0.5 in `errors in [0.5, 2]` is never found: `errors` is whole"),
        (
            "between(errors, 0.1:0.9)",
            "`between(errors, 0.1:0.9)` is never true: no whole number lies between 0.1 and 0.9",
        ),
    ],
)
def test_what_a_whole_number_never_is_is_warned_of(text: str, warning: str) -> None:
    assert warnings(text) == (warning,)


@pytest.mark.parametrize(
    "text",
    [
        "errors / total > 1",
        "errors / total > 1.0",
        "errors \\ total > 0.1",
        "price / total > 0.1",
        "errors > 0.5",
        "avg(errors) > 0.5",
        "between(errors, 0.5:1.5)",
        "errors in [1, 2]",
        "errors / total > price",
        "percentile(errors / total, 99.5) > 3",
    ],
)
def test_what_can_be_meant_is_not_warned_of(text: str) -> None:
    assert warnings(text) == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("errors == NULL", "`errors == NULL` is never true, because NULL is unknown; write `isNull(errors)`"),
        ("NULL != errors", "`NULL != errors` is never true, because NULL is unknown; write `not isNull(errors)`"),
        (
            "errors in [1, NULL]",
            "NULL in `errors in [1, NULL]` is never found, because it is unknown; write `isNull(errors)` beside it",
        ),
    ],
)
def test_a_comparison_with_null_itself_is_warned_of_where_it_is_unknown(text: str, warning: str) -> None:
    assert warnings_of(analyse_metric(text, SCHEMA), nulls_smallest=False) == (warning,)
    assert warnings(text) == ()


@pytest.mark.parametrize(
    "function", ["mavg(price, 3, {})", "mcount(errors, 3, {})", "mpercentile(price, 5, 3, minPeriods={})"]
)
def test_more_values_than_a_moving_window_has_rows_are_warned_of(function: str) -> None:
    (found,) = warnings(f"{function.format(4)} > 1")
    assert found.endswith("is always NULL: 3 rows never have 4 values; give at most 3")
    assert warnings(f"{function.format(3)} > 1") == ()
    assert warnings("zscore(price, 4, 9) > 3")
    assert warnings("zscore(price, 4, 4) > 3") == ()
