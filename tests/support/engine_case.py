"""One case for an engine: what it is created with, its rows in batches, and how the engines are run on it.

Outputs are lists of `Anomaly`, with times as integers, whatever engine made them. `Ways` are the ways of running the
engine that must all give one output.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.engine import AnomalyDetectionEngine
from actors.given_rows import to_frame
from actors.model import Schema
from tests.support.naive_engine import Anomaly, NaiveEngine

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCase:
    """What an engine is created with, and what it is given."""

    schema: Mapping[str, str]
    """Type name of each column, in the order of a row's values."""

    metrics: Sequence[str]
    time_column: str
    key_columns: Sequence[str] = ()
    window_size: int | None = None
    step: int | None = None
    round_time: bool = True
    anomaly_descriptions: Sequence[str] | None = None
    nulls: str = "smallest"
    garbage_size: int = 2000
    """Rows kept before old ones are dropped; it must not show, so the naive engine does not know it."""

    batches: Sequence[Rows] = field(default=())

    @property
    def rows(self) -> Rows:
        """All rows, in order; a row's offset is its position here."""
        return [row for batch in self.batches for row in batch]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that both engines know by the same name."""
        return {
            "metrics": list(self.metrics),
            "time_column": self.time_column,
            "key_columns": tuple(self.key_columns),
            "window_size": self.window_size,
            "step": self.step,
            "round_time": self.round_time,
            "anomaly_descriptions": self.anomaly_descriptions,
            "nulls": self.nulls,
        }

    def key_of(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return the values of a row's key columns."""
        by_name = {name.lower(): value for name, value in zip(self.schema, row, strict=True)}
        return tuple(by_name[name.lower()] for name in self.key_columns)


def create(case: EngineCase) -> AnomalyDetectionEngine:
    """Return a new engine of Tocsin's for a case."""
    return AnomalyDetectionEngine(
        "checked", schema=Schema.from_mapping(case.schema), garbage_size=case.garbage_size, **case.arguments()
    )


def create_naive(case: EngineCase) -> NaiveEngine:
    """Return a new naive engine for a case."""
    return NaiveEngine(schema=case.schema, **case.arguments())


def naive_output(case: EngineCase) -> list[Anomaly]:
    """Return the anomalies that the naive engine finds."""
    return create_naive(case).append(case.rows)


def feed(engine: AnomalyDetectionEngine, case: EngineCase, offsets: Sequence[int]) -> list[Anomaly]:
    """Append the rows of these offsets to an engine, in one batch, and return its anomalies."""
    rows = case.rows
    frame = to_frame(Schema.from_mapping(case.schema), [rows[offset] for offset in offsets])
    found = engine.append_physical(frame, np.array(offsets, dtype=np.int64))
    engine.validate()
    width = len(case.key_columns)
    return [
        Anomaly(line[-2], line[-1], line[0], tuple(line[1 : 1 + width]), line[1 + width], line[2 + width])
        for line in found.rows()
    ]


def cuts_of(case: EngineCase) -> list[list[int]]:
    """Return the offsets of each batch."""
    cuts, start = [], 0
    for batch in case.batches:
        cuts.append(list(range(start, start + len(batch))))
        start += len(batch)
    return cuts


def in_batches(case: EngineCase) -> list[Anomaly]:
    """Run as the case is cut."""
    engine = create(case)
    return [anomaly for cut in cuts_of(case) for anomaly in feed(engine, case, cut)]


def in_one_batch(case: EngineCase) -> list[Anomaly]:
    """Run with all rows at once, by vectors; the other ways test most batches row by row."""
    engine = create(case)
    engine.few_rows_max = 0
    return feed(engine, case, range(len(case.rows)))


def row_by_row(case: EngineCase) -> list[Anomaly]:
    """Run with a batch per row."""
    engine = create(case)
    return [anomaly for offset in range(len(case.rows)) for anomaly in feed(engine, case, [offset])]


def through_snapshots(case: EngineCase) -> list[Anomaly]:
    """Run with a fresh engine for every batch, restored from the one before."""
    engine, found = create(case), []
    for cut in cuts_of(case):
        found += feed(engine, case, cut)
        snapshot = engine.snapshot()
        engine = create(case)
        engine.restore(snapshot)
    return found


def over_three_engines(case: EngineCase) -> list[Anomaly]:
    """Run with the keys spread over three engines, and put their outputs in order."""
    numbers: dict[tuple[Any, ...], int] = {}
    placed = [numbers.setdefault(case.key_of(row), len(numbers)) % 3 for row in case.rows]
    found: list[Anomaly] = []
    for place in range(3):
        engine = create(case)
        for cut in cuts_of(case):
            found += feed(engine, case, [offset for offset in cut if placed[offset] == place])
    return sorted(found, key=lambda anomaly: (anomaly.offset, anomaly.ordinal))


WAYS: Mapping[str, Callable[[EngineCase], list[Anomaly]]] = {
    "batches": in_batches,
    "one-batch": in_one_batch,
    "row-by-row": row_by_row,
    "snapshots": through_snapshots,
    "three-engines": over_three_engines,
}
"""All ways of running the engine; each must give the output of the naive engine."""
