"""Patterns of event types."""

import random

import pytest

from actors.store.errors import StoreConfigError
from actors.store.events.patterns import PatternSet
from tests.support.naive_store import can_overlap, type_matches


@pytest.mark.parametrize(
    ("pattern", "event_type", "expected"),
    [
        ((), (), True),
        ((), ("a",), False),
        (("*",), (), True),
        (("*",), ("a", "b"), True),
        (("a", "*"), ("a",), True),
        (("a", "*"), ("a", "b", "c"), True),
        (("a", "*"), (), False),
        (("?",), ("a",), True),
        (("?",), (), False),
        (("?",), ("a", "b"), False),
        (("a", "?", "c"), ("a", "b", "c"), True),
        (("a",), ("a", "b"), False),
        (("é", "*"), ("é", "ü"), True),
    ],
)
def test_a_question_mark_is_one_word_and_a_star_any_number(
    pattern: tuple[str, ...], event_type: tuple[str, ...], expected: bool
) -> None:
    assert PatternSet([pattern]).matches(event_type) is expected


def test_a_star_before_the_end_is_refused() -> None:
    with pytest.raises(StoreConfigError, match="'a/\\*/b' has '\\*' before its end"):
        PatternSet([("a", "*", "b")])


def test_patterns_are_reduced_and_sorted() -> None:
    patterns = PatternSet([("b",), ("a", "b"), ("a", "*"), ("a",), ("b",), ("?", "x")])
    assert patterns.patterns == (("?", "x"), ("a", "*"), ("b",))
    assert PatternSet([("*",), ("a",), ()]).patterns == (("*",),)
    assert PatternSet([("a", "*"), ("b",)]) == PatternSet([("b",), ("a", "b"), ("a", "*")])


def test_an_empty_set_matches_nothing() -> None:
    assert not PatternSet([]).matches(())
    assert PatternSet([]).isdisjoint(PatternSet([("*",)]))


def test_union_and_intersection_are_sets_of_patterns() -> None:
    left, right = PatternSet([("a", "*")]), PatternSet([("?", "x"), ("b",)])
    assert left.union(right).patterns == (("?", "x"), ("a", "*"), ("b",))
    assert left.intersection(right).patterns == (("a", "x"),)


def test_a_leaf_and_a_longer_branch_do_not_overlap() -> None:
    assert PatternSet([("a", "x")]).isdisjoint(PatternSet([("a", "x", "1")]))
    assert not PatternSet([("a", "x", "*")]).isdisjoint(PatternSet([("a", "x", "1")]))


def test_twenty_thousand_random_pairs_are_disjoint_exactly_when_no_type_matches_both() -> None:
    rng = random.Random(5)

    def draw() -> tuple[str, ...]:
        words = tuple(rng.choice("ab?") for _ in range(rng.randrange(4)))
        return (*words, "*") if rng.random() < 0.3 else words

    for _ in range(20_000):
        left, right = draw(), draw()
        overlaps = can_overlap(left, right)
        assert PatternSet([left]).isdisjoint(PatternSet([right])) is not overlaps
        assert PatternSet([left]).intersection(PatternSet([right])).patterns != () or not overlaps


def test_matching_agrees_with_its_definition_on_random_types() -> None:
    rng = random.Random(6)
    for _ in range(5_000):
        pattern = (*(rng.choice("ab?") for _ in range(rng.randrange(4))), *(["*"] if rng.random() < 0.4 else []))
        event_type = tuple(rng.choice("ab") for _ in range(rng.randrange(5)))
        assert PatternSet([pattern]).matches(event_type) is type_matches(pattern, event_type)
