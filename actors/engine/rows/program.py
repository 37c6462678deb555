"""The generated function: all metrics of an engine as one Python function that tests rows one after the other.

It does for each row what `actors.engine.engine` describes: find the key, refuse a late row, close windows and test
their metrics, add the row to the open pane, test the metrics of rows. An engine has this function only if every call in
its metrics has a row form; otherwise all its batches go through the vectors.

Names in the source: `c3` is the row's value in the third column, `v7` the row's value of node 7 of the program, `h7`
the aggregate of the latest window, `p2_0` a place of slot 2 in the open pane, `j2_0` the same joined over panes, `w7`
the value of node 7 over a window that closes, `s7...` what sequence 7 keeps.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.engine.arguments import CheckedSettings
from actors.engine.functions.definition import Kind
from actors.engine.keys.per_key import PerKey
from actors.engine.language.program import Node, Program
from actors.engine.language.terms import MetricKind, contains
from actors.engine.report.comparisons import ComparedNulls
from actors.engine.report.details import Details
from actors.engine.rows.code import NoRowForm, Operand, RowCall, wrap
from actors.engine.rows.sequences import SequenceCall, SequenceCode
from actors.engine.rows.state import Field, PlainField
from actors.engine.rows.windows import WindowWriter, constant_operand, packed_text
from actors.engine.windows.windows import Windows
from actors.model import ColumnType

RowTest = Callable[..., None]
"""The generated function; see `RowProgram`."""

TUMBLING_ROWS_MAX = 400
"""Rows of a batch up to which the generated function is faster than vectors where windows do not overlap."""

SLIDING_ROWS_MAX = 200
"""The same where they do: row by row, each window is joined from its panes by itself."""


class RowFunction:
    """One variant of the generated function, compiled when it is first needed."""

    def __init__(self, name: str, source: str, scope: Mapping[str, Any]) -> None:
        self._name = name
        self._source = source
        self._scope = dict(scope)
        self._test: RowTest | None = None

    def compiled(self) -> RowTest:
        if self._test is None:
            exec(compile(self._source, f"<rows of {self._name}>", "exec"), self._scope)
            self._test = self._scope["test"]
        return self._test


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProgram:
    """An engine's metrics for one row at a time."""

    fields: tuple[Field, ...]
    """What is kept of each key, in the order of its tuple, after the key's number."""

    columns: tuple[str, ...]
    """The columns that the function wants, as lists."""

    tested_columns: tuple[str, ...]
    """Columns that metrics look at and that may hold NULL."""

    is_stateful: bool
    """Whether the function keeps anything of keys."""

    rows_max: int
    """Rows of a batch up to which the function is faster than vectors."""

    test: RowFunction
    """Tests rows whose tested columns may hold NULL, NaN and infinity.

    Arguments: the row numbers, the columns, a dictionary from keys to tuples, a function that makes the tuple of a key
    that is not in it, and functions that take what fired (a `Firing`), each late row's number with how late it
    is, and each row that closed windows with the key's tuple before it; and the split of the rows.
    """

    test_complete: RowFunction
    """The same for rows in which no tested column holds any of these."""


def row_program(
    settings: CheckedSettings,
    program: Program,
    nodes: Sequence[Node],
    windows: Windows | None,
    latest: PerKey,
    details: Details | None,
    compared: ComparedNulls,
) -> RowProgram | None:
    """Return the program of an engine, or `None` if something in its metrics has no row form."""
    if any(settings.schema[key].type is ColumnType.DOUBLE for key in settings.key_columns):
        return None
    try:
        writers = [
            _Writer(settings, program, nodes, windows, details, compared, complete) for complete in (False, True)
        ]
        tests = [writer.function(latest) for writer in writers]
    except NoRowForm:
        return None
    writer = writers[0]
    return RowProgram(
        fields=tuple(writer.fields),
        columns=tuple(writer.columns),
        tested_columns=tuple(sorted(writer.tested)),
        is_stateful=writer.is_stateful,
        rows_max=TUMBLING_ROWS_MAX if windows is None or windows.pane_count == 1 else SLIDING_ROWS_MAX,
        test=tests[0],
        test_complete=tests[1],
    )


class _Writer:
    """Writes the source of one variant of the function."""

    def __init__(
        self,
        settings: CheckedSettings,
        program: Program,
        nodes: Sequence[Node],
        windows: Windows | None,
        details: Details | None,
        compared: ComparedNulls,
        is_complete: bool,
    ) -> None:
        self._settings = settings
        self._program = program
        self._roots = list(zip(settings.metrics, nodes, strict=True))
        self._windows = windows
        self._details = details
        self._compared = compared
        self._is_complete = is_complete
        self._bound: dict[str, Any] = {"wrap": wrap}
        self._values: dict[int, Operand] = {}
        self._use_counts = Counter(argument.index for node in program.nodes for argument in node.arguments)
        self._use_counts.update(node.index for node in nodes)
        self._plain_lines: list[str] = []
        self._mixed_lines: list[str] = []
        self.tested: set[str] = set()
        self.columns = [settings.time_column, *(k for k in settings.key_columns if k != settings.time_column)]
        self.is_stateful = windows is not None or any(node.state is not None for node in program.nodes)
        self._follows_keys = self.is_stateful and settings.follows_keys
        self.fields: list[Field] = []

    def function(self, latest: PerKey) -> RowFunction:
        """Return the function; `latest` holds the latest time of each key."""
        if self._windows is not None or self._follows_keys:
            self.fields.append(PlainField("latest", latest, "time"))
        if self._follows_keys:
            self.fields.append(PlainField("split", latest, "split"))
        body = self._row_lines()
        parameters = ", ".join(f"{self._column(name)}s" for name in self.columns)
        loop = ", ".join(self._column(name) for name in self.columns)
        source = [f"def test(numbers, {parameters}, states, load, fire, late, shut, current):", "    find = states.get"]
        source.append(f"    for i, {loop} in zip(numbers, {parameters}):")
        source += [f"        {line}" for line in body]
        return RowFunction(self._settings.name, "\n".join(source), self._bound)

    def _bind(self, value: object) -> str:
        name = f"bound{len(self._bound)}"
        self._bound[name] = value
        return name

    def _column(self, name: str) -> str:
        return f"c{self._settings.schema.names.index(name)}"

    def _row_lines(self) -> list[str]:
        closing_lines: list[str] = []
        fold_lines: list[str] = []
        if self._windows is not None:
            smallest = self._program.nulls_smallest
            writer = WindowWriter(
                self._windows, self._roots, self._details, smallest, self._compared, self._value, self._bind
            )
            self.fields += writer.fields()
            closing_lines = writer.lines(self._column(self._settings.time_column))
            fold_lines = writer.fold_lines()
        tests = [line for metric_index, node in self._row_metrics() for line in self._test_lines(metric_index, node)]
        lines = [*self._state_lines(), *self._null_lines(), *closing_lines, *self._plain_lines, *fold_lines]
        if self._mixed_lines:
            lines += ["if window_rows:", *(f"    {line}" for line in self._mixed_lines)]
        lines += tests
        if self.is_stateful:
            lines.append(f"states[{self._key()}] = ({', '.join(['number', *(field.name for field in self.fields)])},)")
        return lines

    def _row_metrics(self) -> list[tuple[int, Node]]:
        return [(i, node) for i, (metric, node) in enumerate(self._roots) if metric.kind is not MetricKind.WINDOW]

    def _key(self) -> str:
        names = [self._column(key) for key in self._settings.key_columns]
        return names[0] if len(names) == 1 else f"({', '.join(names)})"

    def _state_lines(self) -> list[str]:
        if not self.is_stateful:
            return ["state = None"]
        key = self._key()
        names = ", ".join(["number", *(field.name for field in self.fields)])
        lines = [f"state = find({key})", "if state is None:", f"    state = load({key})", f"({names},) = state"]
        time = self._column(self._settings.time_column)
        if self._windows is not None:
            lines += [f"if {time} < latest:", f"    late((i, latest - {time}))", "    continue", f"latest = {time}"]
        elif self._follows_keys:
            lines += [f"if {time} > latest: latest = {time}"]
        return [*lines, "split = current"] if self._follows_keys else lines

    def _null_lines(self) -> list[str]:
        """Return the lines that make NaN and infinity NULL."""
        if self._is_complete:
            return []
        names = [self._column(n) for n in sorted(self.tested) if self._settings.schema[n].type is ColumnType.DOUBLE]
        return [
            line
            for name in names
            for line in (f"if {name} is not None and {name} - {name} != 0.0:", f"    {name} = None")
        ]

    def _test_lines(self, metric_index: int, node: Node) -> list[str]:
        metric = self._settings.metrics[metric_index]
        condition = self._condition(node)
        if metric.kind is MetricKind.MIXED:
            condition = f"window_rows and {condition}"
        time = self._column(self._settings.time_column)
        return [f"if {condition}:", f"    fire((i, {metric_index}, {time}, state, {self._detail(metric_index)}))"]

    def _condition(self, node: Node) -> str:
        """Return the text of a metric that is tested; what nothing else looks at needs no name."""
        if self._use_counts[node.index] > 1 or node.apply is None:
            return self._value(node).text
        return self._scalar(node, tuple(self._value(argument) for argument in node.arguments)).text

    def _detail(self, metric_index: int) -> str:
        if self._details is None:
            return "None"
        values = [self._value(node).text for node in self._details.parts(metric_index)]
        is_mixed = self._settings.metrics[metric_index].kind is MetricKind.MIXED
        return packed_text([*(["window_end", "window_rows"] if is_mixed else []), *values])

    def _value(self, node: Node) -> Operand:
        """Return a node's value for a row; lines that make it have been written."""
        known = self._values.get(node.index)
        if known is None:
            known = self._values[node.index] = self._written(node)
        return known

    def _written(self, node: Node) -> Operand:
        term = node.term
        if node.constant is not None:
            return constant_operand(node)
        if term.column:
            return self._column_value(node)
        if term.is_aggregate:
            return Operand(text=f"h{node.index}", type=term.type, is_nullable=True)
        operands = tuple(self._value(argument) for argument in node.arguments)
        assert term.function is not None
        if term.is_sequence:
            return self._sequence(node, operands)
        result = self._scalar(node, operands)
        lines = self._mixed_lines if contains(term, Kind.AGGREGATE) else self._plain_lines
        lines.append(f"v{node.index} = {result.text}")
        return Operand(text=f"v{node.index}", type=result.type, is_nullable=result.is_nullable)

    def _column_value(self, node: Node) -> Operand:
        name = node.term.column
        if name not in self.columns:
            self.columns.append(name)
        is_time = name == self._settings.time_column
        if not is_time:
            self.tested.add(name)
        is_nullable = not is_time and not self._is_complete
        return Operand(text=self._column(name), type=node.term.type, is_nullable=is_nullable)

    def _scalar(self, node: Node, operands: tuple[Operand, ...]) -> Operand:
        term = node.term
        assert term.function is not None
        form = term.function.row_form
        call = RowCall(
            usage=term.usage(self._program.nulls_smallest),
            operands=operands,
            type=term.type,
            bind=self._bind,
            counted=lambda otherwise: self._compared.counted(node, False, otherwise),
        )
        result: Operand | None = form and form(call)
        if result is None:
            raise NoRowForm(term.source)
        return result

    def _sequence(self, node: Node, operands: tuple[Operand, ...]) -> Operand:
        term = node.term
        assert term.function is not None
        form = term.function.row_form
        usage = term.usage(self._program.nulls_smallest)
        prefix = f"s{node.index}"
        call = SequenceCall(
            state=node.state, usage=usage, operands=operands, type=term.type, prefix=prefix, bind=self._bind
        )
        code: SequenceCode | None = form and form(call)
        if code is None:
            raise NoRowForm(term.source)
        self.fields += code.fields
        self._plain_lines += code.lines
        if code.value.text.isidentifier():
            return code.value
        self._plain_lines.append(f"v{node.index} = {code.value.text}")
        return Operand(text=f"v{node.index}", type=term.type, is_nullable=code.value.is_nullable)
