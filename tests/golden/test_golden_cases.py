"""The cases of `cases/`, in every way of running the engine.

With `--rewrite` the engine's output becomes the expected one: read the difference; the naive engine has to agree too.
"""

from pathlib import Path

import pytest

from actors.engine.errors import EngineError
from actors.frames import logical_type
from actors.model import ColumnType
from tests.support.engine_case import WAYS, create, in_batches, naive_output
from tests.support.golden_text import GoldenCase, read_golden, to_datetime
from tests.support.naive_engine import Refused

CASES = [read_golden(path) for path in sorted((Path(__file__).parent / "cases").glob("*.txt"))]


def outcome(golden: GoldenCase) -> list[str]:
    """Return what the engine makes of a case, as lines."""
    try:
        return golden.lines(in_batches(golden.case))
    except EngineError as error:
        return [f"refused: {error.code}"]


def naive_outcome(golden: GoldenCase) -> list[str]:
    try:
        return golden.lines(naive_output(golden.case))
    except Refused as refused:
        return [f"refused: {refused.code}"]


def is_accepted(golden: GoldenCase) -> bool:
    return not any(line.startswith("refused: ") for line in golden.output)


@pytest.mark.parametrize("golden", CASES, ids=lambda golden: golden.path.stem)
def test_the_engine_prints_what_is_expected(golden: GoldenCase, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        golden.rewrite(outcome(golden))
        return
    assert outcome(golden) == golden.output


@pytest.mark.parametrize("golden", CASES, ids=lambda golden: golden.path.stem)
def test_the_naive_engine_prints_it_too(golden: GoldenCase) -> None:
    assert naive_outcome(golden) == golden.output


@pytest.mark.parametrize("way", [way for way in WAYS if way != "batches"])
@pytest.mark.parametrize(
    "golden", [golden for golden in CASES if is_accepted(golden)], ids=lambda golden: golden.path.stem
)
def test_every_way_of_running_prints_it(golden: GoldenCase, way: str) -> None:
    assert golden.lines(WAYS[way](golden.case)) == golden.output


@pytest.mark.parametrize(
    "golden", [golden for golden in CASES if golden.has_dates], ids=lambda golden: golden.path.stem
)
def test_dates_go_in_and_come_out(golden: GoldenCase) -> None:
    case = golden.case
    kind = case.schema[case.time_column]
    place = list(case.schema).index(case.time_column)
    rows = [(*row[:place], to_datetime(row[place], kind), *row[place + 1 :]) for row in case.rows]
    found = create(case).append(rows)
    assert found.schema[case.time_column] == logical_type(ColumnType(kind))
    assert found.get_column(case.time_column).to_list() == [to_datetime(line.time, kind) for line in naive_output(case)]
