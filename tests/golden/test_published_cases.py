"""Published examples with their output, run in every way, on Tocsin's engine and on the naive one.

The cases are no part of this repository: they are looked for beside it; where they are absent the tests are skipped.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from actors.engine.errors import EngineError
from tests.support.engine_case import WAYS, EngineCase, create, create_naive, naive_output
from tests.support.naive_engine import Anomaly, Refused, alignment_size
from tests.support.repository import ROOT

FOLDER = ROOT.parent / "shared" / "golden"
KINDS = {"ns": "NANOTIMESTAMP", "ms": "TIMESTAMP", "s": "DATETIME", "m": "MINUTE"}


@cache
def documents() -> tuple[dict[str, Any], ...]:
    return tuple(document for path in sorted(FOLDER.glob("*.json")) for document in json.loads(path.read_text()))


def chosen(wanted: Callable[[dict[str, Any]], bool]) -> list[Any]:
    """Return the cases wanted as parameters, or one that is skipped where there are none."""
    if not documents():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no published cases in ../{FOLDER.name}"))]
    return [pytest.param(document, id=document["name"]) for document in documents() if wanted(document)]


def has_output(document: dict[str, Any]) -> bool:
    return "engine" in document and "error" not in document


def case_of(document: dict[str, Any]) -> EngineCase:
    arguments = document["engine"]
    return EngineCase(
        schema=document["schema"],
        metrics=arguments["metrics"],
        time_column=arguments["timeColumn"],
        key_columns=arguments.get("keyColumn", ()),
        window_size=arguments.get("windowSize"),
        step=arguments.get("step"),
        round_time=arguments.get("roundTime", True),
        anomaly_descriptions=arguments.get("anomalyDescription"),
        batches=document["batches"],
    )


def lines(found: list[Anomaly]) -> list[list[Any]]:
    """Return anomalies as the published cases write them."""
    return [[anomaly.time, *anomaly.key, anomaly.metric_index, anomaly.text] for anomaly in found]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("document", chosen(has_output))
def test_the_engine_prints_what_is_published(document: dict[str, Any], way: str) -> None:
    assert lines(WAYS[way](case_of(document))) == document["expected"]


@pytest.mark.parametrize("document", chosen(has_output))
def test_the_naive_engine_prints_what_is_published(document: dict[str, Any]) -> None:
    assert lines(naive_output(case_of(document))) == document["expected"]


@pytest.mark.parametrize("document", chosen(lambda document: "error" in document))
def test_the_engine_refuses_what_is_refused_there(document: dict[str, Any]) -> None:
    with pytest.raises(EngineError) as caught:
        create(case_of(document))
    assert caught.value.code == document["error"]


@pytest.mark.parametrize("document", chosen(lambda document: "error" in document))
def test_the_naive_engine_refuses_what_is_refused_there(document: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        create_naive(case_of(document))
    assert caught.value.code == document["error"]


@pytest.mark.parametrize("document", chosen(lambda document: "alignment" in document))
def test_the_naive_engine_aligns_as_published(document: dict[str, Any]) -> None:
    wrong = [
        [precision, round_time, step, size]
        for precision, round_time, step, size in document["alignment"]
        if alignment_size(KINDS[precision], step, round_time=round_time) != size
    ]
    assert wrong == []


@pytest.mark.parametrize("document", chosen(lambda document: "alignment" in document))
def test_the_engine_aligns_as_published(document: dict[str, Any]) -> None:
    wrong = []
    for precision, round_time, step, size in document["alignment"]:
        for start in (7 * size + size // 2, 1_234_567 * size + size - 1):
            end = first_end(precision, round_time, step, start)
            grid_start = start // size * size
            if end != grid_start + ((start - grid_start) // step + 1) * step:
                wrong.append([precision, round_time, step, size])
    assert wrong == []


def first_end(precision: str, round_time: bool, step: int, start: int) -> int:
    """Return the end of the first window that the engine computes for a row at that time."""
    case = EngineCase(
        schema={"time": KINDS[precision], "x": "INT"},
        metrics=["count(x) == 1"],
        time_column="time",
        window_size=step,
        step=step,
        round_time=round_time,
        batches=[[[start, 1], [start + step, 2]]],
    )
    return WAYS["batches"](case)[0].time
