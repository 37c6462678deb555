"""What fields of specifications have in common: each is converted or refused where it enters."""

from collections.abc import Iterable, Sequence
from typing import Any

from actors.detectors.errors import DetectorSpecError


def check_count(owner: str, name: str, value: Any, *, at_least: int = 1, way: str = "") -> None:
    """Refuse what is no whole number of 64 bits, or one below a limit.

    Raises:
        DetectorSpecError: it is.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        end = f"; {way}" if way else ""
        raise DetectorSpecError(f"{name} {value!r} of {owner} must be a whole number of at least {at_least}{end}")
    check_integer(owner, name, value)


def check_integer(owner: str, name: str, value: Any) -> None:
    """Refuse what is no whole number of 64 bits, which saved state could not hold.

    Raises:
        DetectorSpecError: it is.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
        raise DetectorSpecError(f"{name} {value!r} of {owner} must be a whole number of 64 bits")


def check_text(owner: str, name: str, value: Any) -> None:
    """Refuse what is no text of Unicode, which saved state could not hold, or an empty one.

    Raises:
        DetectorSpecError: it is.
    """
    if not isinstance(value, str) or not value or value.encode("utf-8", "ignore").decode() != value:
        raise DetectorSpecError(f"{name} {value!r} of {owner} must be a text, and not empty")


def check_choice(owner: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Return a text that is one of several, also where an enum stands for it.

    Raises:
        DetectorSpecError: it is none of them.
    """
    meant = getattr(value, "value", value)
    if isinstance(meant, str) and meant in choices:
        return str(meant)
    raise DetectorSpecError(f"{name} {value!r} of {owner} is unknown; use one of {', '.join(map(repr, choices))}")


def as_names(owner: str, name: str, given: Any) -> tuple[str, ...]:
    """Return names as a tuple: of a single text, or of anything that gives texts.

    Raises:
        DetectorSpecError: it is neither.
    """
    found = (given,) if isinstance(given, str) else as_tuple(owner, name, given)
    for one in found:
        if not isinstance(one, str):
            raise DetectorSpecError(f"{name} of {owner} must be names of columns; {one!r} is none")
    if len({one.lower() for one in found}) < len(found):
        raise DetectorSpecError(f"{name} of {owner} names a column twice in {list(found)}")
    return found


def as_tuple(owner: str, name: str, given: Any) -> tuple[Any, ...]:
    """Return a list, or anything else that can be gone through, as a tuple.

    Raises:
        DetectorSpecError: it is a single value.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DetectorSpecError(f"{name} of {owner} must be a list; {given!r} is a single value")
    if isinstance(given, set | frozenset):
        raise DetectorSpecError(f"{name} of {owner} must be a list; {given!r} is a set, which has no order that stays")
    return tuple(given)


def as_numbers(owner: str, name: str, given: Any) -> tuple[float, ...]:
    """Return a list of numbers above 0, and of 64 bits, as a tuple.

    Raises:
        DetectorSpecError: it is none, or empty.
    """
    found = as_tuple(owner, name, given)
    if not found or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < 1 << 63 for one in found
    ):
        raise DetectorSpecError(f"{name} {list(found)} of {owner} must be numbers above 0, one for each segment")
    return found


def check_variables(owner: str, variables: Sequence[Any]) -> None:
    """Refuse an empty or repeated list of things to watch.

    Raises:
        DetectorSpecError: there is nothing to watch, or one thing twice.
    """
    if not variables:
        raise DetectorSpecError(f"detector {owner} watches no column; name at least one")
    if len(set(variables)) < len(variables):
        raise DetectorSpecError(f"detector {owner} names a column twice in {list(variables)}")
