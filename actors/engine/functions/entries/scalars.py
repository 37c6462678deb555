"""Scalar functions: of numbers, of conditions and NULL, and of texts."""

import math

import numpy as np

from actors.engine.functions import scalars
from actors.engine.functions.definition import (
    BOOL,
    INT,
    REAL,
    TEXT,
    XY,
    Function,
    VectorsOnly,
    branches,
    numeric,
    scalar,
    value,
    whole,
    word,
)
from actors.engine.rows import scalars as form
from actors.engine.vectors.vector import Type


def numbers() -> list[Function]:
    """Return the entries."""
    x = (value(),)
    undefined = "NULL where it is not defined."
    keep, whole_of, of_real = scalars.number_function, scalars.to_integer, scalars.real_function
    return [
        scalar("abs", x, numeric, (keep(np.abs), form.absolute), "absolute value"),
        scalar("sqrt", x, REAL, (of_real(np.sqrt), form.square_root), "square root", undefined),
        scalar(
            "floor",
            x,
            INT,
            (whole_of(np.floor), form.to_integer(math.floor)),
            "largest whole number that is not larger",
        ),
        scalar(
            "ceil", x, INT, (whole_of(np.ceil), form.to_integer(math.ceil)), "smallest whole number that is not smaller"
        ),
        scalar(
            "round",
            (value(), whole("precision", 0, -300, 300)),
            lambda types, constants: Type.REAL if constants["precision"] else Type.INT,
            (scalars.rounding, form.rounding),
            "rounded half away from zero; an integer without decimals",
        ),
        scalar("signum", x, INT, (scalars.sign_of, form.sign_of), "-1, 0 or 1"),
        scalar("exp", x, REAL, (of_real(np.exp), form.by_numpy(np.exp)), "e to the power of x", undefined),
        scalar(
            "log",
            x,
            REAL,
            (of_real(scalars.logarithm(math.e)), form.by_numpy(scalars.logarithm(math.e))),
            "natural logarithm",
            undefined,
        ),
        scalar(
            "log2",
            x,
            REAL,
            (of_real(scalars.logarithm(2.0)), form.by_numpy(scalars.logarithm(2.0))),
            "logarithm to base 2",
            undefined,
        ),
        scalar(
            "log10",
            x,
            REAL,
            (of_real(scalars.logarithm(10.0)), form.by_numpy(scalars.logarithm(10.0))),
            "logarithm to base 10",
            undefined,
        ),
        scalar(
            "pow",
            XY,
            REAL,
            (scalars.power, VectorsOnly("numpy's power of many numbers and its power of one differ in the last bit")),
            "x to the power of y",
            undefined,
        ),
        scalar("square", x, numeric, (scalars.square, form.square), "x * x"),
        scalar(
            "int",
            x,
            INT,
            (whole_of(scalars.half_away), form.to_integer(form.nearest)),
            "rounded to a whole number, half away from zero",
        ),
        scalar(
            "long",
            x,
            INT,
            (whole_of(scalars.half_away), form.to_integer(form.nearest)),
            "rounded to a whole number, half away from zero",
        ),
        scalar("double", x, REAL, (scalars.to_real, form.to_real), "as a real number"),
    ]


def conditions() -> list[Function]:
    """Return the entries."""
    never = "Never NULL."
    two = (value("x"), value("y"))
    smallest = "NULL is the smallest value."
    return [
        scalar(
            "iif",
            (value("condition"), value("x", "any"), value("y", "any")),
            branches,
            (scalars.conditional, form.conditional),
            "x where the condition is true, y where it is false",
            "NULL where the condition is.",
        ),
        scalar("isNull", (value("x", "any"),), BOOL, (scalars.is_null, form.is_null), "whether x is NULL", never),
        scalar(
            "isValid", (value("x", "any"),), BOOL, (scalars.is_valid, form.is_valid), "whether x is not NULL", never
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
            two,
            branches,
            (scalars.larger_of(True), form.larger_of(True)),
            "the larger of two values of a row",
            smallest,
        ),
        scalar(
            "min",
            two,
            branches,
            (scalars.larger_of(False), form.larger_of(False)),
            "the smaller of two values of a row",
            smallest,
        ),
    ]


def texts() -> list[Function]:
    """Return the entries."""
    text = (value("text", "text"),)
    part = (value("text", "text"), value("part", "text"))
    return [
        scalar("strlen", text, INT, (scalars.of_texts(len, Type.INT), form.text_length), "number of characters"),
        scalar("lower", text, TEXT, (scalars.of_texts(str.lower, Type.TEXT), form.method("lower")), "in small letters"),
        scalar(
            "upper", text, TEXT, (scalars.of_texts(str.upper, Type.TEXT), form.method("upper")), "in capital letters"
        ),
        scalar(
            "startsWith",
            part,
            BOOL,
            (scalars.of_texts(str.startswith, Type.BOOL), form.method("startswith")),
            "whether the text starts with the part",
        ),
        scalar(
            "endsWith",
            part,
            BOOL,
            (scalars.of_texts(str.endswith, Type.BOOL), form.method("endswith")),
            "whether the text ends with the part",
        ),
        scalar(
            "like",
            (*text, word("pattern")),
            BOOL,
            (scalars.text_pattern, form.text_pattern),
            "whether the text fits; % is any characters",
        ),
    ]
