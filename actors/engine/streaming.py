"""Small stream tables in memory, and the engine under the names and in the manner of the system it follows.

Meant for trying metrics out; a job's streams are durable and live elsewhere. A table is append-only and numbers its
rows from 0. A subscription hands new rows to its handler before `append` returns. The argument names of
`create_anomaly_detection_engine` are those of the original, so that its examples can be typed nearly as they stand.
"""

# ruff: noqa: N803 -- the argument names of the original

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from actors.engine.engine import AnomalyDetectionEngine
from actors.engine.errors import bad_argument, shown
from actors.engine.language.text import split_list
from actors.engine.report.stat import EngineStat
from actors.frames import polars_schema, present_times, schema_of
from actors.given_rows import Rows, to_frame
from actors.model import ColumnType

Handler = Callable[..., object]
"""Takes a batch, or a batch and the number of its last row."""


class StreamTable:
    """An append-only table in memory that others may subscribe to."""

    def __init__(self, names: Sequence[str] | Mapping[str, str], types: Sequence[str] | None = None) -> None:
        if (
            not isinstance(names, Mapping | Sequence)
            or isinstance(names, str)
            or not isinstance(types, Sequence | None)
        ):
            raise bad_argument(f"the columns are {shown(names)}; give a mapping of names to types, or names and types")
        given = names if isinstance(names, Mapping) else _paired(names, types or ())
        self.schema = schema_of(given)
        self._frames: list[pl.DataFrame] = []
        self._row_count = 0
        self._subscriptions: dict[str, Callable[[pl.DataFrame, int], None]] = {}

    @property
    def row_count(self) -> int:
        """Rows ever appended."""
        return self._row_count

    def append(self, rows: Rows) -> int:
        """Append rows, hand them to all subscriptions and return the number of the first one."""
        frame = to_frame(self.schema, rows)
        first = self._row_count
        if frame.height:
            self._frames.append(frame)
            self._row_count += frame.height
            for deliver in list(self._subscriptions.values()):
                deliver(frame, first)
        return first

    def select(self) -> pl.DataFrame:
        """Return all rows, with times as Polars dates and times."""
        return present_times(self.schema, self.read(0))

    def read(self, offset: int) -> pl.DataFrame:
        """Return the rows from an offset on, as a canonical frame."""
        empty = pl.DataFrame(schema=polars_schema(self.schema))
        return pl.concat([empty, *self._frames])[offset:]

    def subscribe(self, action_name: str, deliver: Callable[[pl.DataFrame, int], None]) -> None:
        """Hand every batch appended from now on to `deliver`, with the number of its first row."""
        if action_name in self._subscriptions:
            raise bad_argument(f"there is a subscription {action_name!r} already; unsubscribe it first")
        self._subscriptions[action_name] = deliver

    def unsubscribe(self, action_name: str) -> None:
        """End a subscription."""
        if self._subscriptions.pop(action_name, None) is None:
            raise bad_argument(f"there is no subscription {action_name!r}")


def _paired(names: Sequence[str], types: Sequence[str]) -> dict[str, str]:
    if len(names) != len(types):
        raise bad_argument(f"there are {len(names)} names and {len(types)} types of columns; give a type for each name")
    return dict(zip(names, types, strict=True))


def subscribe_table(
    table: StreamTable,
    action_name: str,
    offset: int = -1,
    handler: Any = None,
    msg_as_table: bool = True,
    handler_need_msg_id: bool = False,
) -> str:
    """Hand the rows of a table to a handler, from an offset on, and return the subscription's name.

    `offset` is the first row wanted; -1 means new rows only, -3 the oldest there is. The handler is a function of a
    batch (a frame, or with `msg_as_table=False` a list of rows), with `handler_need_msg_id` also of the number of the
    batch's last row; or it is something with `append`, such as a table or an engine.

    Raises:
        ArgumentError: the offset is beyond the table, or the action name is taken.
    """
    if not isinstance(table, StreamTable) or not isinstance(action_name, str):
        raise bad_argument(f"{shown(table)} and {shown(action_name)} are no table and name of a subscription")
    if not isinstance(offset, int):
        raise bad_argument(f"the offset is {shown(offset)}; give a whole number")
    first = {-1: table.row_count, -3: 0}.get(offset, offset)
    if not 0 <= first <= table.row_count:
        raise bad_argument(f"offset {offset} is not among the {table.row_count} rows of the table, nor after them")
    action = _action(handler, handler_need_msg_id)

    def deliver(frame: pl.DataFrame, start: int) -> None:
        batch = frame if msg_as_table else frame.rows()
        if handler_need_msg_id:
            action(batch, start + frame.height - 1)
        else:
            action(batch)

    table.subscribe(action_name, deliver)
    if first < table.row_count:
        deliver(table.read(first), first)
    return action_name


def _action(handler: Any, needs_number: bool) -> Handler:
    if needs_number and hasattr(handler, "append_message"):
        return handler.append_message  # type: ignore[no-any-return]  # checked to be there
    if hasattr(handler, "append"):
        return handler.append  # type: ignore[no-any-return]  # checked to be there
    if not callable(handler):
        raise bad_argument(f"the handler {shown(handler)} is neither a function nor a table nor an engine")
    return handler  # type: ignore[no-any-return]  # checked to be callable


class EngineTable:
    """An engine that writes its anomalies to an output table."""

    def __init__(self, engine: AnomalyDetectionEngine, output: StreamTable) -> None:
        self.engine = engine
        self._output = output

    def append(self, rows: Rows) -> int:
        """Test rows, write their anomalies to the output table and return how many there are."""
        return self._write(rows, None)

    def append_message(self, rows: Rows, message_id: int) -> int:
        """Test rows, the last of which has the number `message_id`, so that snapshots know where they are."""
        frame = to_frame(self.engine.settings.schema, rows)
        return self._write(frame, range(message_id - frame.height + 1, message_id + 1))

    def stat(self) -> EngineStat:
        """Return the engine's counters."""
        return self.engine.stat()

    def _write(self, rows: Rows, offsets: range | None) -> int:
        # As integers, because some times have no Polars time: the output table keeps them all the same.
        found = self.engine.append_physical(rows, offsets).drop("offset", "ordinal")
        self._output.append(found.rename(dict(zip(found.columns, self._output.schema.names, strict=True))))
        return found.height


_ENGINES: dict[str, EngineTable] = {}


def create_anomaly_detection_engine(
    name: str,
    metrics: str | Sequence[str],
    dummyTable: StreamTable,
    outputTable: StreamTable,
    timeColumn: str,
    keyColumn: str | Sequence[str] = (),
    windowSize: int | None = None,
    step: int | None = None,
    garbageSize: int = 2000,
    roundTime: bool = True,
    snapshotDir: str | None = None,
    snapshotIntervalInMsgCount: int | None = None,
    raftGroup: int | None = None,
    anomalyDescription: Sequence[str] | None = None,
) -> EngineTable:
    """Return an engine that reads rows like those of `dummyTable` and writes anomalies to `outputTable`.

    `metrics` is a list of expressions, or one text such as `"<[sum(qty) > 5, qty < 4]>"`.

    Raises:
        ArgumentError: an argument cannot be used, such as a name that is taken.
        MetricError: a metric cannot be used.
    """
    for argument, table in (("dummyTable", dummyTable), ("outputTable", outputTable)):
        if not isinstance(table, StreamTable):
            raise bad_argument(f"{argument} is {shown(table)}; give a StreamTable")
    if isinstance(name, str) and name in _ENGINES:
        raise bad_argument(f"there is an engine {name!r} already; drop it or choose another name")
    if raftGroup is not None:
        raise bad_argument("raftGroup needs a cluster; submit the metrics as a job to replicate them")
    engine = AnomalyDetectionEngine(
        name,
        split_list(metrics) if isinstance(metrics, str) else metrics,
        dummyTable.schema,
        timeColumn,
        keyColumn,
        windowSize,
        step,
        garbage_size=garbageSize,
        round_time=roundTime,
        snapshot_dir=snapshotDir,
        snapshot_interval_rows=snapshotIntervalInMsgCount,
        anomaly_descriptions=anomalyDescription,
    )
    _check_output(engine, outputTable)
    _ENGINES[name] = EngineTable(engine, outputTable)
    return _ENGINES[name]


def drop_stream_engine(name: str) -> None:
    """Forget an engine, so that its name may be used again."""
    if not isinstance(name, str) or _ENGINES.pop(name, None) is None:
        raise bad_argument(f"there is no engine {shown(name)}; there are {', '.join(_ENGINES) or 'none'}")


def get_snapshot_message_id(engine: EngineTable) -> int:
    """Return the number of the last row in the latest snapshot file, -1 before the first."""
    return engine.stat().snapshot_offset


def _check_output(engine: AnomalyDetectionEngine, output: StreamTable) -> None:
    settings = engine.settings
    given = [column.type for column in output.schema.columns]
    width = 3 + len(settings.key_columns)
    if len(given) != width:
        raise bad_argument(f"the output table has {len(given)} columns; it needs {width}")
    time_type = settings.schema[settings.time_column].type
    if given[0] is not time_type:
        raise bad_argument(f"the output table's first column is {given[0]}; it must be {time_type}")
    if given[-2] is not ColumnType.INT or not given[-1].is_text:
        raise bad_argument("the output table's last columns must be INT and STRING")
