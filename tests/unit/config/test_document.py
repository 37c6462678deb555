"""YAML read without surprises, and where things stand in it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config.document
from config.document import read_document
from config.errors import ConfigError


def test_values_are_what_they_look_like() -> None:
    text = "[no, on, 012, 1_0, 01:01:01, 2018-10-08, 0x1, 5, -5, 1.5, 1e3, .inf, true, ~, '5', null]"
    assert read_document(text, "f").data == [
        "no", "on", 12, "1_0", "01:01:01", "2018-10-08", "0x1", 5, -5, 1.5, 1000.0, float("inf"), True, None, "5", None,
    ]  # fmt: skip


def test_every_key_and_item_has_its_line() -> None:
    document = read_document("a: 1\nb:\n  c: [1,\n      2]\n", "f")
    assert document.line_of(("b", "c")) == 3
    assert document.line_of(("b", "c", 1)) == 4
    assert document.line_of(("b", "missing", 5)) == 2
    assert document.line_of(()) == 1


def test_aliases_are_unfolded() -> None:
    assert read_document("a: &x [1, 2]\nb: *x", "f").data == {"a": [1, 2], "b": [1, 2]}


def test_an_empty_file_is_nothing() -> None:
    assert read_document("", "f").data is None
    assert read_document("# only words\n", "f").data is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"f: a \(line 3\): given twice \(first on line 1\); keep one"),
        ("a: [1,", "f: line 1: this is no YAML"),
        ("a: 1\n b: 2", "f: line 2: this is no YAML"),
        ("&a [*a]", "aliases that contain themselves"),
        ("? [1]\n: 2", "a key must be plain text"),
        ("a: !!int q", r"f: a \(line 1\): this value cannot be read"),
        ("a: !!python/object/apply:os.system [x]", r"f: a \(line 1\): no tag .* can be used"),
        ("a: !!set {x}", r"f: a \(line 1\): no tag .* can be used"),
        ("a: \x00", "this is no YAML"),
        ("a: " + "9" * 5000, "cannot be read"),
        ("a: 1\n---\nb: 2", "this is no YAML"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_document(text, "f")


def test_aliases_cannot_unfold_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.document, "NODE_COUNT_MAX", 10_000)
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="too large or too deep"):
        read_document("\n".join(lines), "f")


@given(st.text(alphabet="ab:[]{}&*!|>-'\"#, \n\t%@`?~1.\\\x85", max_size=40))
def test_any_text_is_data_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read_document(text, "f")
