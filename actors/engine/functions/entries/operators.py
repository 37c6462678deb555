"""Operators, and the comparisons that are functions alone: `between` and `in`."""

import numpy as np

from actors.engine.functions import scalars
from actors.engine.functions.definition import (
    ANY_NULL,
    BOOL,
    REAL,
    XY,
    Function,
    Parameter,
    keeping_units,
    numeric,
    scalar,
    signed,
    value,
)
from actors.engine.rows import scalars as form

_order = "NULL is smaller than every value; with `unknown` NULL if any operand is."
_equal = "NULL equals NULL alone; with `unknown` NULL if any operand is."
_anything = (value("x", "any"), value("y", "any"))
_compare = scalars.comparison
OPERATORS: list[Function] = keeping_units(
    [
        signed(
            "or",
            scalar(
                "or",
                XY,
                BOOL,
                (scalars.disjunction, form.disjunction),
                "x or y",
                "The other operand; with `unknown` see above.",
            ),
        ),
        signed(
            "and",
            scalar(
                "and",
                XY,
                BOOL,
                (scalars.conjunction, form.conjunction),
                "x and y",
                f"{ANY_NULL[:-1]}; with `unknown` see above.",
            ),
        ),
        scalar("xor", XY, BOOL, (scalars.exclusive, form.exclusive), "exactly one of x and y"),
        signed("not", scalar("not", (value(),), BOOL, (scalars.negation, form.negation), "the opposite of x")),
        signed(
            "<", scalar("lt", _anything, BOOL, (_compare("<"), form.comparison("<")), "x < y", _order), compares=True
        ),
        signed(
            "<=",
            scalar("le", _anything, BOOL, (_compare("<="), form.comparison("<=")), "x <= y", _order),
            compares=True,
        ),
        signed(
            ">", scalar("gt", _anything, BOOL, (_compare(">"), form.comparison(">")), "x > y", _order), compares=True
        ),
        signed(
            ">=",
            scalar("ge", _anything, BOOL, (_compare(">="), form.comparison(">=")), "x >= y", _order),
            compares=True,
        ),
        signed(
            "==",
            scalar("eq", _anything, BOOL, (_compare("=="), form.comparison("==")), "x == y", _equal),
            compares=True,
        ),
        signed(
            "!=",
            scalar("ne", _anything, BOOL, (_compare("!="), form.comparison("!=")), "x != y", _equal),
            compares=True,
        ),
        signed("+", scalar("add", XY, numeric, (scalars.arithmetic(np.add), form.arithmetic("+")), "x + y")),
        signed("-", scalar("sub", XY, numeric, (scalars.arithmetic(np.subtract), form.arithmetic("-")), "x - y")),
        signed("*", scalar("mul", XY, numeric, (scalars.arithmetic(np.multiply), form.arithmetic("*")), "x * y")),
        signed(
            "/",
            scalar(
                "div",
                XY,
                numeric,
                (scalars.division, form.division),
                "x / y, rounded down between integers",
                "NULL by zero.",
            ),
        ),
        signed(
            "\\",
            scalar(
                "ratio", XY, REAL, (scalars.real_division, form.real_division), "x \\ y, always real", "NULL by zero."
            ),
        ),
        signed(
            "%",
            scalar(
                "mod", XY, numeric, (scalars.remainder, form.remainder), "x % y, with the sign of y", "NULL by zero."
            ),
        ),
        signed("neg", scalar("neg", (value(),), numeric, (scalars.minus, form.minus), "-x")),
        signed(
            "",
            scalar(
                "between",
                (value("x", "any"), value("low", "any"), value("high", "any")),
                BOOL,
                (scalars.between, form.between),
                "`between(x, low:high)`, both ends included",
                _order,
            ),
            compares=True,
        ),
        signed(
            "in",
            scalar(
                "in",
                (value("x", "any"), Parameter(name="items", accepts="list", is_constant=True)),
                BOOL,
                (scalars.membership, form.membership),
                "whether x is one of a list of constants: `x in [1, 2]`",
                "NULL is in the list only if the list has it; with `unknown` see above.",
            ),
            compares=True,
        ),
    ],
    "add",
    "sub",
    "mod",
    "neg",
)
