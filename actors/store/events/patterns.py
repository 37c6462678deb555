"""Type patterns: which event types a subscription, a condition or a query means.

In a pattern `?` stands for exactly one word and `*`, only at the end, for any number of words, none included; any other
word stands for itself. The empty pattern matches the empty type only. A set of patterns is kept *reduced*: patterns
that another one swallows are left out, and the rest is sorted, so that equal sets look equal.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from actors.store.errors import StoreConfigError
from actors.store.events.event import EventType

ONE, ANY = "?", "*"
"""The words that stand for one word, and for any number of words at the end."""


class PatternSet:
    """Patterns that select event types."""

    __slots__ = ("_everything", "_exact", "_patterns", "_types")

    def __init__(self, patterns: Iterable[EventType]) -> None:
        """Reduce the patterns.

        Raises:
            StoreConfigError: they are no list of patterns, or a pattern has `*` before its end.
        """
        if isinstance(patterns, str | bytes | Mapping) or not isinstance(patterns, Iterable):
            raise StoreConfigError(f"patterns are {patterns!r}; give a list of patterns such as [('a', '*')]")
        distinct = {check_pattern(pattern) for pattern in patterns}
        kept = list(distinct)
        if len(kept) > 1:
            kept = [p for p in kept if not any(p != q and _swallows(q, p) for q in _swallowers(p, distinct))]
        self._patterns = tuple(sorted(kept))
        self._everything = self._patterns == ((ANY,),)
        self._exact = all(ONE not in p and ANY not in p for p in kept)
        self._types = frozenset(kept) if self._exact else frozenset()

    @property
    def patterns(self) -> tuple[EventType, ...]:
        """The reduced patterns, sorted."""
        return self._patterns

    @property
    def is_exact(self) -> bool:
        """Whether every pattern means one type only."""
        return self._exact

    @property
    def is_everything(self) -> bool:
        """Whether every type matches."""
        return self._everything

    def matches(self, event_type: EventType) -> bool:
        """Return whether a type matches one of the patterns."""
        if self._exact:
            return event_type in self._types
        if self._everything:
            return True
        return any(_matches(pattern, event_type) for pattern in self._patterns)

    def union(self, other: "PatternSet") -> "PatternSet":
        """Return the patterns that match what either set matches."""
        return PatternSet((*self._patterns, *other._patterns))

    def intersection(self, other: "PatternSet") -> "PatternSet":
        """Return the patterns that match what both sets match."""
        common = (_intersect(p, q) for p in self._patterns for q in other._patterns)
        return PatternSet(pattern for pattern in common if pattern is not None)

    def isdisjoint(self, other: "PatternSet") -> bool:
        """Return whether no type can match both sets."""
        return not any(_intersect(p, q) is not None for p in self._patterns for q in other._patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PatternSet) and self._patterns == other._patterns

    def __hash__(self) -> int:
        return hash(self._patterns)

    def __repr__(self) -> str:
        return f"PatternSet({list(self._patterns)!r})"


def check_pattern(pattern: Any) -> EventType:
    """Return a pattern that is well formed, as a tuple.

    Raises:
        StoreConfigError: it is no list of words, a word is no string, or `*` stands before the end.
    """
    if not isinstance(pattern, tuple | list):
        example = tuple(pattern.split("/")) if isinstance(pattern, str) else ("a", "*")
        raise StoreConfigError(f"pattern {pattern!r} is no list of words; write it as {example!r}")
    words = tuple(pattern)
    for word in words:
        if not isinstance(word, str):
            raise StoreConfigError(f"pattern {pattern!r} has the word {word!r}; words are strings")
    if ANY in words[:-1]:
        raise StoreConfigError(f"pattern {'/'.join(words)!r} has '*' before its end; '*' may only be the last word")
    return words


def _swallowers(pattern: EventType, distinct: set[EventType]) -> Iterable[EventType]:
    # Sets of many exact types are common: only patterns with a wildcard can swallow another one.
    return (other for other in distinct if ONE in other or ANY in other)


def _matches(pattern: EventType, event_type: EventType) -> bool:
    if pattern and pattern[-1] == ANY:
        head = pattern[:-1]
        if len(event_type) < len(head):
            return False
        event_type = event_type[: len(head)]
        pattern = head
    return len(pattern) == len(event_type) and all(
        p in (ONE, word) for p, word in zip(pattern, event_type, strict=True)
    )


def _swallows(wide: EventType, narrow: EventType) -> bool:
    wide_head, wide_open = (wide[:-1], True) if wide and wide[-1] == ANY else (wide, False)
    narrow_head, narrow_open = (narrow[:-1], True) if narrow and narrow[-1] == ANY else (narrow, False)
    if len(narrow_head) < len(wide_head) or (not wide_open and (narrow_open or len(narrow_head) != len(wide_head))):
        return False
    return all(w in (ONE, n) for w, n in zip(wide_head, narrow_head, strict=False))


def _intersect(left: EventType, right: EventType) -> EventType | None:
    left_head, left_open = (left[:-1], True) if left and left[-1] == ANY else (left, False)
    right_head, right_open = (right[:-1], True) if right and right[-1] == ANY else (right, False)
    length = max(len(left_head), len(right_head))
    if (len(left_head) < length and not left_open) or (len(right_head) < length and not right_open):
        return None
    words: list[str] = []
    for position in range(length):
        l_word = left_head[position] if position < len(left_head) else ONE
        r_word = right_head[position] if position < len(right_head) else ONE
        if l_word != r_word and ONE not in (l_word, r_word):
            return None
        words.append(r_word if l_word == ONE else l_word)
    return (*words, ANY) if left_open and right_open else tuple(words)
