"""Errors of the engine.

The tree::

    EngineError                 root, with a `code` that programs can test
    ├── MetricError             a metric that cannot be used; points at the fault     (ValueError)
    ├── ArgumentError           another argument of the engine that cannot be used    (ValueError)
    ├── EngineSchemaError       a schema that cannot be used, or rows that do not fit (SchemaError)
    ├── ConcurrencyError        two threads in one engine                             (RuntimeError)
    └── EngineSnapshotError     bytes that are no snapshot of this engine             (SnapshotError)

Codes of metrics: `parse`, `unknown_function`, `unknown_column`, `forbidden_function`, `aggregate_in_order_sensitive`,
`nested_aggregate`, `not_boolean`, `bad_type`, `bad_argument`. Codes of arguments: `window_required`, `bad_argument`.
Codes of snapshots: `damaged_snapshot`, `foreign_snapshot`. Others: `schema`, `two_threads`.
"""

from typing import Any

from actors.errors import SchemaError, SnapshotError, TocsinError

SHOWN_MAX = 160
"""Characters of a metric that an error shows, of a longer one those around the fault; names in words are cut too."""


MESSAGE_MAX = 480
"""Characters of a message of one line; the values in a longer one are cut."""


class EngineError(TocsinError):
    """Root of the engine's errors."""

    code = "engine"


class MetricError(EngineError, ValueError):
    """A metric that cannot be used: what is wrong, the expression with a caret under the fault, and the way out."""

    def __init__(self, code: str, problem: str, expression: str, position: int, way_out: str) -> None:
        super().__init__(code, problem, expression, position, way_out)
        self.code = code
        self.problem = problem
        self.expression = expression
        self.position = position
        self.way_out = way_out

    def __str__(self) -> str:
        shown, position = _around(self.expression, self.position)
        problem = self.problem if len(self.problem) <= SHOWN_MAX else f"{self.problem[:SHOWN_MAX]}..."
        return f"{problem}\n  {shown}\n  {' ' * position}^\n{self.way_out}"


def _around(expression: str, position: int) -> tuple[str, int]:
    """Return the part of an expression around a position as one line, and the position in it."""
    line = "".join(letter if letter.isprintable() else " " for letter in expression)
    first = max(position - SHOWN_MAX // 2, 0) if len(line) > SHOWN_MAX else 0
    shown = line[first : first + SHOWN_MAX]
    before, after = "..." if first else "", "..." if first + SHOWN_MAX < len(line) else ""
    return f"{before}{shown}{after}", position - first + len(before)


def _cut(message: str) -> str:
    """Return a message, of which a very long one keeps its beginning and its end, where the way out stands."""
    half = MESSAGE_MAX // 2
    return message if len(message) <= MESSAGE_MAX else f"{message[:half]} ... {message[-half:]}"


class ArgumentError(EngineError, ValueError):
    """An argument of the engine that cannot be used."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code

    def __str__(self) -> str:
        return _cut(str(self.args[1]))


def bad_argument(message: str) -> ArgumentError:
    """Return the error of an argument that nobody asks the code of."""
    return ArgumentError("bad_argument", message)


def shown(value: Any) -> str:
    """Return a value as an error shows it: short, whatever it is."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


class EngineSchemaError(EngineError, SchemaError):
    """A schema that cannot be used, or rows that do not fit it."""

    code = "schema"

    def __str__(self) -> str:
        return _cut(str(self.args[0]))


class ConcurrencyError(EngineError, RuntimeError):
    """A call of an engine while another thread is in a call of it."""

    code = "two_threads"


class EngineSnapshotError(EngineError, SnapshotError):
    """Bytes that are torn, foreign, or a snapshot of an engine with other metrics, keys, window or schema."""

    def __init__(self, message: str, code: str = "damaged_snapshot") -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])
