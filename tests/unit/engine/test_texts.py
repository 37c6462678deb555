"""Functions of texts: edges, hostile patterns, and numbers in texts."""

from typing import Any

import pytest

from actors.engine import MetricError
from actors.engine.functions.texts import to_real, to_whole
from tests.unit.engine.support import engine, value_of

BIG = (1 << 63) - 1


@pytest.mark.parametrize(
    ("text", "real", "whole"),
    [
        ("17", 17.0, 17),
        (" -2.5 ", -2.5, -3),
        ("+.5", 0.5, 1),
        ("5.", 5.0, 5),
        ("1e3", 1000.0, 1000),
        ("9223372036854775807", 9.223372036854775807e18, BIG),
        ("-9223372036854775809", -9.223372036854775807e18, -BIG - 1),
        ("9" * 5000, None, BIG),
        ("1e999", None, BIG),
        ("-1e999", None, -BIG - 1),
        ("1e-999", 0.0, 0),
        ("", None, None),
        (" ", None, None),
        ("abc", None, None),
        ("1,5", None, None),
        ("1_000", None, None),
        ("0x10", None, None),
        ("nan", None, None),
        ("inf", None, None),
        ("\u0663", None, None),
        ("1 2", None, None),
        ("--1", None, None),
        ("1e", None, None),
    ],
)
def test_a_text_is_a_number_or_null(text: str, real: float | None, whole: int | None) -> None:
    assert (to_real(text), to_whole(text)) == (real, whole)


@pytest.mark.parametrize(
    ("expression", "text", "value"),
    [
        ("substr(x, 0)", "abc", "abc"),
        ("substr(x, 3)", "abc", ""),
        ("substr(x, 9, 2)", "abc", ""),
        ("substr(x, -2)", "abc", "bc"),
        ("substr(x, -9, 2)", "abc", "ab"),
        ("substr(x, 1, 0)", "abc", ""),
        ("substr(x, 1)", None, None),
        ("split(x, ',', 0)", "", ""),
        ("split(x, ',', 1)", "a,,b", ""),
        ("split(x, ',', 3)", "a,,b", None),
        ("split(x, ',', -3)", "a,,b", "a"),
        ("split(x, ',', -4)", "a,,b", None),
        ("split(x, '||', 1)", "a||b", "b"),
        ("contains(x, '')", "abc", True),
        ("contains(x, 'C')", "abc", False),
        ("contains(x, NULL)", "abc", None),
        ("matches(x, '')", "", True),
        ("matches(x, '^b')", "ab\nb", False),
        ("matches(x, '(?m)^b')", "a\nb", True),
        ("matches(x, '(?i)STRASSE|straße')", "STRAßE", True),
        ("matches(x, '\\\\d{3}')", "ab123", True),
        ("matches(x, 'a.c')", None, None),
        ("matches(x, '^$')", "\0", False),
        ("matches('abc', 'b') == matches(x, 'b')", "b", True),
        ("text(x) == x", "ab", True),
        ("isNull(text(NULL))", "a", True),
        ("isNull(matches(NULL, 'a'))", "a", True),
        ("isNull(substr(NULL, 0))", "a", True),
        ("long('12') + 1", "a", 13),
        ("strlen(text(1 / 0))", "a", None),
    ],
)
def test_edges_of_texts(expression: str, text: str | None, value: Any) -> None:
    assert value_of(expression, [text], "STRING") == value


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0, "0.0"), (2.5, "2.5"), (1e300, "1e+300"), (0.1, "0.1"), (7.0, "7.0"), (None, None)]
)
def test_a_real_number_as_text_has_its_fewest_digits(value: float | None, text: str | None) -> None:
    assert value_of("text(x)", [value], "DOUBLE") == text


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*.*.*)*b$", "([a-z]+)*[0-9]"])
def test_a_pattern_that_others_never_end_with_takes_no_time(pattern: str) -> None:
    assert value_of(f"matches(x, '{pattern}')", ["a" * 100_000 + "!"], "STRING") is False


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "unclosed group"),
        ("[a", "unclosed character class"),
        ("a{1000}{1000}", "size limit"),
        ("(?=a)", "look-around"),
        ("(a)\\\\1", "backreferences are not supported"),
        ("a" * 1001, "1000 are the most"),
        ("a**{", "repetition"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(MetricError, match=problem):
        engine(f"matches(sym, '{pattern}')")
