"""Scalar functions of numbers, of conditions and of NULL."""

import math

import numpy as np

from actors.engine.functions import conversions, scalars, texts
from actors.engine.functions.definition import (
    BOOL,
    INT,
    REAL,
    TEXT,
    XY,
    Function,
    VectorsOnly,
    branches,
    keeping_units,
    numeric,
    scalar,
    value,
    whole,
)
from actors.engine.rows import scalars as form
from actors.engine.vectors.vector import Type

_x = (value(),)
_anything = (value("x", "any"),)
_LIMIT = "; beyond 64 bits the nearest integer"
_undefined = "NULL where it is not defined."
_no_number = "NULL for a text that is no decimal number; blanks around it do not matter."
_keep, _whole_of, _of_real = scalars.number_function, scalars.to_integer, scalars.real_function
NUMBERS: list[Function] = keeping_units(
    [
        scalar("abs", _x, numeric, (_keep(np.abs), form.absolute), "absolute value"),
        scalar("sqrt", _x, REAL, (_of_real(np.sqrt), form.square_root), "square root", _undefined),
        scalar(
            "floor",
            _x,
            INT,
            (_whole_of(np.floor), form.to_integer(math.floor)),
            f"largest whole number that is not larger{_LIMIT}",
        ),
        scalar(
            "ceil",
            _x,
            INT,
            (_whole_of(np.ceil), form.to_integer(math.ceil)),
            f"smallest whole number that is not smaller{_LIMIT}",
        ),
        scalar(
            "round",
            (value(), whole("precision", 0, -300, 300)),
            lambda types, constants: Type.REAL if constants["precision"] else Type.INT,
            (scalars.rounding, form.rounding),
            f"rounded half away from zero; an integer without decimals{_LIMIT}",
        ),
        scalar("signum", _x, INT, (scalars.sign_of, form.sign_of), "-1, 0 or 1"),
        scalar("exp", _x, REAL, (_of_real(np.exp), form.by_numpy(np.exp)), "e to the power of x", _undefined),
        scalar(
            "log",
            _x,
            REAL,
            (_of_real(scalars.logarithm(math.e)), form.by_numpy(scalars.logarithm(math.e))),
            "natural logarithm",
            _undefined,
        ),
        scalar(
            "log2",
            _x,
            REAL,
            (_of_real(scalars.logarithm(2.0)), form.by_numpy(scalars.logarithm(2.0))),
            "logarithm to base 2",
            _undefined,
        ),
        scalar(
            "log10",
            _x,
            REAL,
            (_of_real(scalars.logarithm(10.0)), form.by_numpy(scalars.logarithm(10.0))),
            "logarithm to base 10",
            _undefined,
        ),
        scalar(
            "pow",
            XY,
            REAL,
            (scalars.power, VectorsOnly("numpy's power of many numbers and its power of one differ in the last bit")),
            "x to the power of y",
            _undefined,
        ),
        scalar("square", _x, numeric, (scalars.square, form.square), "x * x; an integer for integers"),
        scalar(
            "int",
            _anything,
            INT,
            (conversions.to_whole, form.to_whole),
            f"rounded to a whole number, half away from zero{_LIMIT}; of a text the number that it is",
            _no_number,
        ),
        scalar(
            "long",
            _anything,
            INT,
            (conversions.to_whole, form.to_whole),
            f"rounded to a whole number, half away from zero{_LIMIT}; of a text the number that it is",
            _no_number,
        ),
        scalar(
            "double",
            _anything,
            REAL,
            (conversions.to_real, form.to_real),
            "as a real number; of a text the number that it is",
            _no_number,
        ),
        scalar(
            "text",
            _anything,
            TEXT,
            (texts.of_values(texts.always(texts.shown), Type.TEXT), form.by_function(texts.always(texts.shown))),
            "as text: `2.5`, `true`; a real number has a point or an exponent, a time is a number",
        ),
    ],
    "abs",
    "floor",
    "ceil",
    "round",
    "int",
    "long",
    "double",
)

_never = "Never NULL."
_two = (value("x"), value("y"))
_smallest = "NULL is the smallest value."
CONDITIONS: list[Function] = keeping_units(
    [
        scalar(
            "iif",
            (value("condition"), value("x", "any"), value("y", "any")),
            branches,
            (scalars.conditional, form.conditional),
            "x where the condition is true, y where it is false",
            "NULL where the condition is.",
        ),
        scalar("isNull", (value("x", "any"),), BOOL, (scalars.is_null, form.is_null), "whether x is NULL", _never),
        scalar(
            "isValid", (value("x", "any"),), BOOL, (scalars.is_valid, form.is_valid), "whether x is not NULL", _never
        ),
        scalar(
            "nullFill",
            (value("x", "any"), value("filling", "any")),
            branches,
            (scalars.null_fill, form.null_fill),
            "the filling where x is NULL",
            "NULL if both are.",
        ),
        scalar(
            "max",
            _two,
            branches,
            (scalars.larger_of(True), form.larger_of(True)),
            "the larger of two values of a row",
            _smallest,
        ),
        scalar(
            "min",
            _two,
            branches,
            (scalars.larger_of(False), form.larger_of(False)),
            "the smaller of two values of a row",
            _smallest,
        ),
    ],
    "iif",
    "nullFill",
    "max",
    "min",
)
