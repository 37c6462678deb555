"""Arguments: what callers give, converted to what it means, or refused where it enters.

What is refused here would otherwise fail later, when rows that wait are folded, or would be taken for something else: a
single text for a list of its letters, a generator for a list that can be gone through twice.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Any

from actors.persistency.errors import PersistencyTypeError, PersistencyValueError


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return a text that is one of several, also where a member of an enumeration stands for it.

    Raises:
        PersistencyValueError: it is none of them.
    """
    meant = getattr(value, "value", value)
    if not isinstance(meant, str) or meant not in choices:
        raise PersistencyValueError(f"{name} {value!r} is unknown; use one of {', '.join(choices)}")
    return str(meant)


def whole(name: str, value: Any, at_least: int) -> int:
    """Return a whole number.

    Raises:
        PersistencyValueError: it is none, or below a limit.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < at_least:
        raise PersistencyValueError(f"{name} {value!r} must be a whole number of at least {at_least}")
    return number


def number(name: str, value: Any) -> float:
    """Return a finite number.

    Raises:
        PersistencyValueError: it is none.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value):
        raise PersistencyValueError(f"{name} {value!r} must be a number")
    return value if isinstance(value, int | float) else float(value)


def numbers(name: str, values: Any) -> list[float]:
    """Return a list of finite numbers.

    Raises:
        PersistencyValueError: it is none.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise PersistencyValueError(f"{name} {values!r} must be a list of numbers")
    return [number(name, value) for value in values]


def event_id(value: Any) -> int | str:
    """Return an event id.

    Raises:
        PersistencyTypeError: it is neither a whole number nor a text.
    """
    if isinstance(value, int | str):
        return value
    try:
        return operator.index(value)
    except TypeError:
        raise PersistencyTypeError(f"the event id {value!r} must be a whole number or a text") from None


def positional(values: Any) -> Sequence[Any]:
    """Return the positional variables of an event.

    Raises:
        PersistencyTypeError: they have no order, or are a single value.
    """
    if values is None:
        return ()
    if isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(values, Iterable):
        raise PersistencyTypeError(f"variables {values!r} must be a list of values; named ones go to named_variables")
    # Arrays and series give their own kinds of numbers one by one, and plain ones all at once.
    plain = getattr(values, "tolist", None) or getattr(values, "to_list", None)
    return tuple(values) if plain is None else tuple(plain())


def named(values: Any) -> Mapping[str, Any]:
    """Return the named variables of an event.

    Raises:
        PersistencyTypeError: they are no mapping.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise PersistencyTypeError(f"named_variables {values!r} must be a mapping of names to values")
    return values


def check_names(names: Iterable[Any]) -> None:
    """Refuse names of variables that are no texts.

    Raises:
        PersistencyTypeError: one is none.
    """
    for name in names:
        if not isinstance(name, str):
            raise PersistencyTypeError(f"the variable {name!r} must be named by a text")


def check_columns(names: Iterable[Any]) -> None:
    """Refuse names of columns that are no texts.

    Raises:
        PersistencyValueError: one is none.
    """
    for name in names:
        if not isinstance(name, str):
            raise PersistencyValueError(f"the column {name!r} must be named by a text")


def seconds(value: Any) -> float | None:
    """Return the time of an event.

    Raises:
        PersistencyTypeError: it is no number of seconds.
    """
    if value is None:
        return None
    if not isinstance(value, Real) or isinstance(value, bool):
        raise PersistencyTypeError(f"the timestamp {value!r} must be a number of seconds, or None")
    return float(value)


def blacklist(values: Any) -> list[str | int]:
    """Return names and indexes of variables that are not kept; one stands for itself.

    Raises:
        PersistencyTypeError: something else is among them.
    """
    found = (
        []
        if values is None
        else [values]
        if isinstance(values, str | int)
        else list(_each("variable_blacklist", values))
    )
    for value in found:
        if not isinstance(value, str | int):
            raise PersistencyTypeError(f"variable_blacklist has {value!r}; give names of variables, and indexes")
    return found


def names(values: Any) -> list[str]:
    """Return names of columns; a single one stands for itself.

    Raises:
        PersistencyTypeError: something else is among them.
    """
    found = [values] if isinstance(values, str) else list(_each("variables", values))
    for value in found:
        if not isinstance(value, str):
            raise PersistencyTypeError(f"variables have {value!r}, which is no name of a column")
    return found


def events(values: Any) -> Iterable[Any]:
    """Return many events.

    Raises:
        PersistencyTypeError: it is one, or none.
    """
    if isinstance(values, Mapping):
        raise PersistencyTypeError("these events are one mapping; give a list of events, or use ingest_event")
    return _each("events", values)


def _each(name: str, values: Any) -> Iterable[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise PersistencyTypeError(f"{name} must be a list; {values!r} is a single value")
    return values
