"""Every function that has a row form gives, row by row, the bits that its function of vectors gives."""

import struct
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine.functions.catalogue import FUNCTIONS
from actors.engine.functions.definition import Function, Kind
from actors.engine.functions.scalars import Usage
from actors.engine.rows.code import Operand, RowCall, wrap
from actors.engine.rows.summing import join_reals
from actors.engine.vectors.vector import DTYPES, Type, Vector, as_array, filler
from actors.model import ColumnType

SCALARS = [function for function in FUNCTIONS if function.kind is Kind.SCALAR and function.row_form is not None]

BIG = (1 << 63) - 1
WHOLE = st.sampled_from([0, 1, -1, 3, 7, -5, BIG, -BIG - 1, 1 << 53, (1 << 53) + 1]) | st.integers(-BIG - 1, BIG)
REALS = st.sampled_from([0.0, -0.5, 0.5, 2.5, -2.5, 3.0, 7.0, 1e308, -1e308, 1e-320]) | st.floats(
    allow_nan=False, allow_infinity=False
)
VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.BOOL: st.booleans(),
    Type.INT: WHOLE,
    Type.REAL: REALS,
    Type.TEXT: st.sampled_from(["", "A", "b", "AB", "Ab%", "straße", "7", " -2.5e3 ", "1e999", "0x1", "9" * 30]),
}
CONSTANTS: dict[str, list[Any]] = {
    "precision": [0, 2, -1],
    "items": [(), (3,), (1, 2.5, None), (True, 7), (None,)],
    "pattern": ["%", "A%", "%b"],
    "zone": ["UTC", "Europe/Berlin", "Asia/Kathmandu"],
    "start": [0, 1, -2, 300],
    "length": [None, 0, 2],
    "separator": ["b", "A"],
    "index": [0, 1, -1, -2],
}


def kinds_of(function: Function) -> list[tuple[Type, ...]]:
    """Return the types of arguments that analysis lets through."""
    numbers = (Type.BOOL, Type.INT, Type.REAL)
    accepted = [parameter.accepts for parameter in function.values]
    if "moment" in accepted:
        return [(Type.INT,)]
    if "text" in accepted:
        return [tuple(Type.TEXT for _ in accepted)]
    combinations = list(product(numbers, repeat=len(accepted)))
    if "any" in accepted and function.name not in ("iif", "in"):
        combinations.append(tuple(Type.TEXT for _ in accepted))
    return combinations


@st.composite
def calls(draw: st.DrawFn, function: Function) -> tuple[Usage, list[list[Any]]]:
    """Draw a usage of a function and rows of arguments, some of them NULL."""
    kinds = draw(st.sampled_from(kinds_of(function)))
    constants = {
        parameter.name: draw(st.sampled_from(CONSTANTS[parameter.name]))
        for parameter in function.parameters
        if parameter.is_constant
    }
    if any(parameter.accepts == "moment" for parameter in function.parameters):
        constants["unit"] = draw(st.sampled_from([ColumnType.TIMESTAMP, ColumnType.DATETIME, ColumnType.NANOTIMESTAMP]))
    usage = Usage(types=kinds, constants=constants, nulls_smallest=draw(st.booleans()))
    row = st.tuples(*(st.none() | VALUES[kind] for kind in kinds))
    rows = draw(st.lists(row, min_size=1, max_size=6))
    return usage, [list(column) for column in zip(*rows, strict=True)]


def by_vectors(function: Function, usage: Usage, columns: list[list[Any]], kind: Type) -> list[Any]:
    vectors = []
    for of, values in zip(usage.types, columns, strict=True):
        filled = np.array([filler(of) if value is None else value for value in values], dtype=DTYPES[of])
        valid = None if None not in values else np.array([value is not None for value in values])
        vectors.append(Vector(filled, valid))
    with np.errstate(all="ignore"):
        found = as_array(function.build(usage)(*vectors), kind, len(columns[0]))
    valid = [True] * len(columns[0]) if found.valid is None else found.valid.tolist()
    return [value if is_there else None for value, is_there in zip(found.values.tolist(), valid, strict=True)]


def row_by_row(function: Function, usage: Usage, columns: list[list[Any]], kind: Type) -> list[Any]:
    scope: dict[str, Any] = {"wrap": wrap}

    def bind(value: object) -> str:
        scope[f"bound{len(scope)}"] = value
        return f"bound{len(scope) - 1}"

    operands = tuple(
        Operand(text=f"x{i}", type=of, is_nullable=None in values)
        for i, (of, values) in enumerate(zip(usage.types, columns, strict=True))
    )
    assert function.row_form is not None
    made = function.row_form(RowCall(usage=usage, operands=operands, type=kind, bind=bind))
    names = ", ".join(operand.text for operand in operands)
    exec(f"def apply({names}):\n    return {made.text}", scope)
    found = [scope["apply"](*row) for row in zip(*columns, strict=True)]
    assert made.is_nullable or None not in found
    return found


def bits(value: Any) -> Any:
    """Return a value that is equal for equal bits alone; the sign of zero is left out."""
    return struct.pack("d", value + 0.0) if isinstance(value, float) else (type(value), value)


@pytest.mark.parametrize("function", SCALARS, ids=lambda function: f"{function.name}-{len(function.values)}")
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_row_form_gives_the_bits_of_the_vectors(function: Function, data: st.DataObject) -> None:
    usage, columns = data.draw(calls(function))
    kind = function.result(usage.types, usage.constants)
    expected = by_vectors(function, usage, columns, kind)
    assert [bits(v) for v in row_by_row(function, usage, columns, kind)] == [bits(v) for v in expected]


def test_sums_of_panes_are_added_in_the_order_of_numpy() -> None:
    generator = np.random.default_rng(3)
    for count in (1, 2, 7, 8, 9, 10, 16, 17, 65, 129, 130, 300):
        values = generator.normal(0, 1, count) * 10.0 ** generator.integers(-8, 8, count)
        assert join_reals(values.tolist()) == np.add.reduceat(values, [0])[0]
