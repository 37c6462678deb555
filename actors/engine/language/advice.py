"""Advice about metrics that are allowed and yet cannot mean what they say, such as `errors / total > 0.1`.

A division of whole numbers is rounded down, so it is hardly ever meant where it is compared with a fraction; and a
whole number equals no fraction. Nothing equals NULL where comparisons with it are unknown.
"""

from collections.abc import Iterator
from math import ceil, floor
from typing import Any

from actors.engine.language.terms import Metric, Term
from actors.engine.vectors.vector import Type

_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def warnings_of(metric: Metric, *, nulls_smallest: bool = True) -> tuple[str, ...]:
    """Return what about a metric should be looked at again: sentences, none for most."""
    found = [warning for term in _terms(metric.term) for warning in _warnings(term)]
    if not nulls_smallest:
        found += [warning for term in _terms(metric.term) for warning in _about_null(term)]
    return tuple(dict.fromkeys(found))


def _terms(term: Term) -> Iterator[Term]:
    yield term
    for argument in term.arguments:
        yield from _terms(argument)


def _warnings(term: Term) -> Iterator[str]:
    name = "" if term.function is None else term.function.name
    percent: Any = dict(term.constants).get("percent")
    if _is_fraction(percent) and 0 < percent < 1:
        yield f"`{term.source}` is below the first hundredth: percents go from 0 to 100; write {percent * 100:g}"
    if name == "div" and all(type(argument.constant) is int for argument in term.arguments):
        above, below = (argument.constant for argument in term.arguments)
        if below and above % below:
            yield f"`{term.source}` is {above // below}, because whole numbers are divided; write `{above}.0 / {below}`"
    window, least = (dict(term.constants).get(given) for given in ("window", "minPeriods"))
    if type(window) is int and type(least) is int and least > window:
        yield f"`{term.source}` is always NULL: {window} rows never have {least} values; give at most {window}"
    if name in _COMPARISONS:
        left, right = term.arguments
        for side, other in ((left, right), (right, left)):
            if _has_fraction(other) or _is_computed_real(other):
                yield from _about_division(side, other.source)
            elif _has_fraction(side):
                yield from _about_division(side, f"{other.source} beside a fraction")
            if name in ("eq", "ne") and _is_fraction(other.constant) and _is_whole(side):
                yield f"`{term.source}` is {'never' if name == 'eq' else 'always'} true: `{side.source}` is whole"
    elif name == "between":
        value, low, high = term.arguments
        for bound in (low, high):
            if _is_fraction(bound.constant):
                yield from _about_division(value, bound.source)
        bounds = (low.constant, high.constant)
        if _is_whole(value) and all(_is_number(bound) for bound in bounds) and ceil(bounds[0]) > floor(bounds[1]):
            yield f"`{term.source}` is never true: no whole number lies between {low.source} and {high.source}"
    elif name == "in":
        (value,) = term.arguments
        for item in dict(term.constants)["items"]:
            if _is_fraction(item):
                yield from _about_division(value, str(item))
                if _is_whole(value):
                    yield f"{item} in `{term.source}` is never found: `{value.source}` is whole"


def _about_null(term: Term) -> Iterator[str]:
    """Yield what is wrong with a comparison with NULL itself where that is unknown."""
    name = "" if term.function is None else term.function.name
    if name in _COMPARISONS:
        for side, other in (term.arguments, term.arguments[::-1]):
            if _is_null(other):
                instead = f"not isNull({side.source})" if name == "ne" else f"isNull({side.source})"
                yield f"`{term.source}` is never true, because NULL is unknown; write `{instead}`"
    elif name == "in" and None in dict(term.constants)["items"]:
        value = term.arguments[0].source
        yield f"NULL in `{term.source}` is never found, because it is unknown; write `isNull({value})` beside it"


def _is_null(term: Term) -> bool:
    return term.function is None and not term.column and term.constant is None


def _about_division(side: Term, other: str) -> Iterator[str]:
    for term in _terms(side):
        if term.function is not None and term.function.name == "div" and _is_whole(term):
            text = " \\ ".join(_bracketed(argument) for argument in term.arguments)
            yield (
                f"`{term.source}` divides whole numbers and rounds down, and is compared with {other}; write `{text}`"
                " for the real quotient"
            )


def _bracketed(term: Term) -> str:
    return f"({term.source})" if term.function is not None and term.function.sign else term.source


def _is_whole(term: Term) -> bool:
    return term.type is Type.INT and _has_column(term)


def _has_column(term: Term) -> bool:
    return any(part.column for part in _terms(term))


def _is_computed_real(term: Term) -> bool:
    """Return whether a term is computed of constants alone, and real: it is seldom without a fraction."""
    return term.function is not None and term.type is Type.REAL and not _has_column(term)


def _has_fraction(term: Term) -> bool:
    """Return whether a term is a fraction, or arithmetic with one."""
    if term.function is None or not term.function.sign:
        return _is_fraction(term.constant)
    return term.type is Type.REAL and any(_has_fraction(argument) for argument in term.arguments)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()
