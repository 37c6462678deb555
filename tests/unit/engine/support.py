"""Short ways to run an engine on a few rows."""

from collections.abc import Sequence
from typing import Any

from actors.engine import AnomalyDetectionEngine
from actors.given_rows import to_frame

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "flag": "BOOL", "qty": "INT", "price": "DOUBLE"}


def engine(*metrics: str, **options: Any) -> AnomalyDetectionEngine:
    """Return an engine over `SCHEMA`, or over the `schema` given."""
    arguments: dict[str, Any] = {"schema": SCHEMA, "time_column": "time", **options}
    return AnomalyDetectionEngine("test", metrics, **arguments)


def fire(subject: AnomalyDetectionEngine, rows: Sequence[Any], offsets: Any = None) -> list[tuple[Any, ...]]:
    """Append rows and return time, key columns and metric index of the anomalies."""
    frame = to_frame(subject.settings.schema, rows)
    return subject.append_physical(frame, offsets).drop("metric", "offset", "ordinal").rows()


def quantities(*values: int | None) -> list[dict[str, Any]]:
    """Return rows with the given quantities, one a millisecond from 0."""
    return [{"time": i, "sym": "A", "flag": True, "qty": v, "price": 1.0} for i, v in enumerate(values)]


def times_fired(metric: str, values: Sequence[int | None], **options: Any) -> list[int]:
    """Return the times at which a metric fires over quantities, one a millisecond from 0."""
    return [row[0] for row in fire(engine(metric, **options), quantities(*values))]


def value_of(expression: str, values: Sequence[Any], kind: str = "DOUBLE") -> Any:
    """Return the value of an expression at the last of several rows of a column `x`."""
    subject = AnomalyDetectionEngine(
        "test", [f"isNull({expression}) or isValid({expression})"], {"t": "TIMESTAMP", "x": kind}, "t"
    )
    subject.append([(i, value) for i, value in enumerate(values)])
    return subject.explain(len(values) - 1).values[expression]


def window_value(expression: str, values: Sequence[Any], kind: str = "DOUBLE") -> Any:
    """Return the value of an aggregate over one window that holds several rows of a column `x`."""
    metric = f"isNull({expression}) or isValid({expression})"
    subject = AnomalyDetectionEngine("test", [metric], {"t": "TIMESTAMP", "x": kind}, "t", (), 100, 100)
    subject.append([(i, value) for i, value in enumerate(values)])
    subject.append([(100, None)], [1000])
    return subject.explain(1000).values[expression]
