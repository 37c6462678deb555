"""Scalar functions of texts."""

from actors.engine.functions import scalars, texts
from actors.engine.functions.definition import (
    BOOL,
    INT,
    TEXT,
    Function,
    VectorsOnly,
    scalar,
    value,
    whole,
    word,
)
from actors.engine.rows import scalars as form
from actors.engine.vectors.vector import Type

_text = (value("text", "text"),)
_part = (value("text", "text"), value("part", "text"))
TEXTS: list[Function] = [
    scalar("strlen", _text, INT, (scalars.of_texts(len, Type.INT), form.text_length), "number of characters"),
    scalar("lower", _text, TEXT, (scalars.of_texts(str.lower, Type.TEXT), form.method("lower")), "in small letters"),
    scalar("upper", _text, TEXT, (scalars.of_texts(str.upper, Type.TEXT), form.method("upper")), "in capital letters"),
    scalar(
        "startsWith",
        _part,
        BOOL,
        (scalars.of_texts(str.startswith, Type.BOOL), form.method("startswith")),
        "whether the text starts with the part",
    ),
    scalar(
        "endsWith",
        _part,
        BOOL,
        (scalars.of_texts(str.endswith, Type.BOOL), form.method("endswith")),
        "whether the text ends with the part",
    ),
    scalar(
        "like",
        (*_text, word("pattern")),
        BOOL,
        (scalars.text_pattern, form.text_pattern),
        "whether the text fits; % is any characters",
    ),
    scalar(
        "contains",
        _part,
        BOOL,
        (texts.of_values(texts.contains, Type.BOOL), form.by_function(texts.contains)),
        "whether the part occurs in the text",
    ),
    scalar(
        "matches",
        (*_text, word("pattern")),
        BOOL,
        (texts.expression, VectorsOnly("regular expressions are those of Polars, which wants many texts at once")),
        "whether the regular expression fits somewhere in the text; `^` and `$` are its ends, `(?i)` ignores case",
    ),
    scalar(
        "substr",
        (*_text, whole("start"), whole("length", None, 0)),
        TEXT,
        (texts.of_values(texts.substring, Type.TEXT), form.by_function(texts.substring)),
        "the text from position `start` on, counted from 0, or from the end if negative; `length` characters at most",
    ),
    scalar(
        "split",
        (*_text, word("separator"), whole("index")),
        TEXT,
        (texts.of_values(texts.split_part, Type.TEXT), form.by_function(texts.split_part)),
        "the part of that index, from 0, or from the end if negative, of the text cut at each separator",
        "NULL if there are fewer parts.",
    ),
]
