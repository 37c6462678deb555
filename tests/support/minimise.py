"""Making a failing case of an engine small: fewer metrics, rows, batches, keys, and shorter expressions.

Hypothesis does this for the cases it draws; this is for cases made from a seed or found elsewhere. A smaller case is
kept if it still fails, until none does.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import takewhile

from tests.support.engine_case import EngineCase, create_naive
from tests.support.naive.text import tokens_of
from tests.support.naive_engine import Refused

SECONDS_MAX = 20
CUT_LENGTHS = (12, 8, 6, 5, 4, 3, 2, 1)
"""Numbers of neighbouring words of an expression that are left out together, to try."""


def minimise(case: EngineCase, fails: Callable[[EngineCase], bool]) -> EngineCase:
    """Return a small case that fails like the one given; after a while, the smallest one found by then."""
    deadline = time.monotonic() + SECONDS_MAX
    found: EngineCase | None = case
    while found is not None:
        case = found
        tried = takewhile(lambda _: time.monotonic() < deadline, _smaller(case))
        found = next((smaller for smaller in tried if _is_valid(smaller) and fails(smaller)), None)
    return case


def _is_valid(case: EngineCase) -> bool:
    try:
        create_naive(case)
    except Refused:
        return False
    return True


def _smaller(case: EngineCase) -> Iterator[EngineCase]:
    """Yield cases that are a little smaller."""
    if len(case.metrics) > 1:
        yield from (replace(case, metrics=[metric]) for metric in case.metrics)
    if len(case.batches) > 1:
        yield replace(case, batches=[case.rows])
    for name in case.key_columns:
        yield replace(case, key_columns=tuple(other for other in case.key_columns if other != name))
    length = max((len(batch) for batch in case.batches), default=0)
    while length:
        yield from _with_fewer_rows(case, length)
        length //= 2
    for i, metric in enumerate(case.metrics):
        for shorter in _shorter(metric):
            yield replace(case, metrics=[*case.metrics[:i], shorter, *case.metrics[i + 1 :]])
    yield from _with_simpler_values(case)


def _with_fewer_rows(case: EngineCase, length: int) -> Iterator[EngineCase]:
    for i, batch in enumerate(case.batches):
        for start in range(0, len(batch) - length + 1, max(1, length // 2)):
            rest = [*batch[:start], *batch[start + length :]]
            yield replace(case, batches=[*case.batches[:i], rest, *case.batches[i + 1 :]])


def _shorter(metric: str) -> Iterator[str]:
    words = [token.text for token in tokens_of(metric)]
    for length in CUT_LENGTHS:
        for start in range(len(words) - length + 1):
            yield " ".join(words[:start] + words[start + length :])


def _with_simpler_values(case: EngineCase) -> Iterator[EngineCase]:
    """Yield cases in which a value is NULL in all rows."""
    for column, name in enumerate(case.schema):
        if name != case.time_column and any(row[column] is not None for row in case.rows):
            blank = [[[*row[:column], None, *row[column + 1 :]] for row in batch] for batch in case.batches]
            yield replace(case, batches=blank)
