"""Conversions: numbers of numbers, as always, and numbers of texts, one after the other."""

from actors.engine.functions import scalars, texts
from actors.engine.functions.scalars import Evaluate, Usage
from actors.engine.vectors.vector import Type


def to_whole(usage: Usage) -> Evaluate:
    """A number rounded, or a text read, to a whole number."""
    if usage.types[0] is Type.TEXT:
        return texts.of_values(texts.always(texts.to_whole), Type.INT)(usage)
    return scalars.to_integer(scalars.half_away)(usage)


def to_real(usage: Usage) -> Evaluate:
    """A number, or a text read, as a real number."""
    if usage.types[0] is Type.TEXT:
        return texts.of_values(texts.always(texts.to_real), Type.REAL)(usage)
    return scalars.to_real(usage)
