"""Which of the words that exist somebody may have meant who wrote another one: one near to it, or beginning with it.

A slip is a letter too many, missing, or exchanged, or two letters in the wrong order. A word may have one for every
three letters, and three at most: what is farther away is another word, and to suggest it would be a guess.
"""

from collections.abc import Iterable

SLIPS_MAX = 3
"""Slips in a long word."""

LETTERS_PER_SLIP = 3
"""Letters of a word for each slip that it may have."""

BEGINNING_MIN = 3
"""Letters that stand for a word which begins with them."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a word is nearest to, whatever its case; `None` if it is near to none."""
    wanted, known = word.lower(), list(known)
    limit = min(len(wanted) // LETTERS_PER_SLIP, SLIPS_MAX)
    best, fewest = None, limit + 1
    for name in known:
        count = slips(wanted, name.lower(), fewest - 1) if abs(len(name) - len(wanted)) < fewest else fewest
        if count < fewest:
            best, fewest = name, count
    if best is None and len(wanted) >= BEGINNING_MIN:
        best = min((name for name in known if name.lower().startswith(wanted)), key=len, default=None)
    return best


def slips(left: str, right: str, most: int) -> int:
    """Return how many slips lie between two words, or some number above `most` if there are more."""
    older: list[int] = []
    before = list(range(len(right) + 1))
    for i, letter in enumerate(left, 1):
        row = [i]
        for j, other in enumerate(right, 1):
            count = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and left[i - 2] == other:
                count = min(count, older[j - 2] + 1)
            row.append(count)
        if min(row) > most:
            return most + 1
        older, before = before, row
    return before[-1]
