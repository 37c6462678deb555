"""The catalogue: each function is declared once, has a naive form and an example, and says why it has no row form."""

import pytest

from actors.engine.functions.catalogue import FUNCTIONS
from actors.engine.functions.definition import Function, Kind, VectorsOnly
from actors.engine.report.reference import example_of
from tests.support.naive.functions import find_function
from tests.unit.engine.support import value_of, window_value

OWN_SYNTAX = ("between", "in")
"""Functions that the naive engine evaluates by themselves."""

KINDS = {Kind.SCALAR: "scalar", Kind.AGGREGATE: "aggregate", Kind.SEQUENCE: "ordered"}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: f"{function.name}-{len(function.values)}")
def test_every_function_has_a_naive_form_of_its_name(function: Function) -> None:
    if function.name not in OWN_SYNTAX:
        naive = find_function(function.name.lower(), len(function.parameters))
        assert (naive.kind, len(naive.series)) == (KINDS[function.kind], len(function.values))
        options = [option.name.lower() for option in naive.options]
        assert options == [p.name.lower() for p in function.parameters if p.is_constant]


def test_functions_without_a_row_form_are_these_and_say_why() -> None:
    own = [function for function in FUNCTIONS if not function.expansion]
    without = {function.name: function.rows.reason for function in own if isinstance(function.rows, VectorsOnly)}
    ranged = [f.name for f in own if "window" in [p.name for p in f.parameters] and f.name != "ema"]
    others = [
        "pow",
        "med",
        "percentile",
        "quantile",
        "nunique",
        "mode",
        "imax",
        "imin",
        "skew",
        "kurtosis",
        "mad",
    ]
    assert sorted(without) == sorted([*others, *ranged, "matches", "earlier"])
    assert all(len(reason) > 20 for reason in without.values())


def test_no_name_with_one_number_of_arguments_is_declared_twice() -> None:
    declared = [(function.name.lower(), len(function.values)) for function in FUNCTIONS]
    assert len(set(declared)) == len(declared)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: f"{function.name}-{len(function.values)}")
def test_every_function_has_an_example_that_is_true(function: Function) -> None:
    example = example_of(function)
    call = value_of if function.kind is not Kind.AGGREGATE else window_value
    found = call(example.expression, example.values, example.kind)
    assert found == (pytest.approx(example.value, rel=1e-6) if isinstance(example.value, float) else example.value)
    assert type(found) is type(example.value)
