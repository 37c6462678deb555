"""What is suggested: a word a few slips away or a beginning, and no other."""

import pytest

from actors.nearness import nearest, slips

KNOWN = ["strlen", "sqrt", "avg", "percentile", "temperature", "Host"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("strlenn", "strlen"),
        ("srtlen", "strlen"),
        ("sort", "sqrt"),
        ("agv", "avg"),
        ("HOTS", "Host"),
        ("persentil", "percentile"),
        ("perc", "percentile"),
        ("temp", "temperature"),
        ("te", None),
        ("len", None),
        ("x", None),
        ("", None),
        ("average", None),
        ("prcetnlei", None),
    ],
)
def test_a_word_is_near_if_it_is_a_few_slips_away_or_a_beginning(word: str, meant: str | None) -> None:
    assert nearest(word, KNOWN) == meant


def test_slips_are_counted_up_to_a_limit() -> None:
    assert [slips("abcd", other, 4) for other in ("abcd", "abdc", "abd", "xbcdy", "")] == [0, 1, 1, 2, 4]
    assert slips("abcdefgh", "zzzzzzzz", 2) > 2
