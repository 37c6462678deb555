"""Templates: what they show, and what is none."""

import re
from typing import Any

import pytest

from actors.templates import NOTHING, SIZE_MAX, TemplateError, parse_template

VALUES: dict[str, Any] = {"sym": "A", "avg(qty)": 8.25, 'f(x,"a:b")': 3, "none": None, "list": [1], "zero": 0}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{sym}: {avg(qty):.1f}", "A: 8.2"),
        ("{ avg( qty ) }", "8.25"),
        ("{{{sym}}}", "{A}"),
        ("{{sym}}", "{sym}"),
        ('{f(x, "a:b")}|{f(x, "a:b"):>3}', "3|  3"),
        ("{none} {nobody:.2f} {zero}", f"{NOTHING} {NOTHING} 0"),
        ("{sym:.1f} {list:d}", "A [1]"),
        ("\u2028{sym}\0", "\u2028A\0"),
    ],
)
def test_values_stand_in_their_places(text: str, shown: str) -> None:
    assert parse_template(text).render(VALUES.get) == shown


def test_a_place_alone_is_the_value_itself() -> None:
    assert parse_template("{avg(qty)}").value(VALUES.get) == 8.25
    assert parse_template("{none}").value(VALUES.get) is None
    assert parse_template("{avg(qty):.0f}").value(VALUES.get) == "8"
    assert parse_template("{sym} ").value(VALUES.get) == "A "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the brace at letter 1 is not closed"),
        ("a {b", "the brace at letter 3 is not closed"),
        ("{a{b}}", "the brace at letter 1 is not closed"),
        ("a}", "a closing brace at letter 2 has no opening one"),
        ("{}", "a place {} is empty"),
        ("{ :.1f}", "a place {} is empty"),
        ("{a:nonsense}", "'nonsense' in {a:nonsense} is no format"),
        ("{a:c}", "'c' in {a:c} is no format"),
        ("{a:99999999}", "'99999999' in {a:99999999} is no format"),
        ("x" * (SIZE_MAX + 1), "a text of 4097 letters; write at most 4096"),
    ],
)
def test_what_is_no_template_is_refused(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(message)):
        parse_template(text)
