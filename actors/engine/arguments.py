"""The engine's arguments, checked: whatever is given, the settings of an engine or an error that names the value."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import index
from pathlib import Path
from typing import Any

from actors.durations import Duration, duration_units
from actors.engine.episodes.episode import Lifecycle, LifecycleSettings
from actors.engine.errors import ArgumentError, EngineSchemaError, bad_argument, shown
from actors.engine.language.analysis import analyse_metric
from actors.engine.language.grammar import RESERVED_WORDS
from actors.engine.language.parts import Let
from actors.engine.language.terms import Metric, MetricKind
from actors.engine.spec import EngineSpec
from actors.engine.windows.asked import AskedWindow, WindowFault, longest, made_grid
from actors.engine.windows.grid import Grid
from actors.errors import SchemaError
from actors.frames import schema_of
from actors.model import Column, ColumnType, Schema

OUTPUT_COLUMNS = frozenset(("type", "metric", "offset", "ordinal", "detail"))
"""Columns that frames of anomalies have beside the time and the key."""

NULL_RULES = ("smallest", "unknown")
"""What NULL means in comparisons: the smallest value, or a comparison that is never true."""

EMPTY = ("skip", "zero")
"""What becomes of windows without rows."""

LEVELS = ("none", "windows", "all")
"""How much the details of anomalies say: nothing, the windows, or the windows and all values."""

DURATION_MAX = 1 << 60
"""Longest duration, in units of the time column: sums of a few stay whole numbers of 64 bits."""

_LOOK_BACK_MAX = 1 << 61
"""Longest window of a function over time, such as `tmsum`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSettings:
    """Arguments of an engine, checked and completed."""

    name: str
    metrics: tuple[Metric, ...]
    schema: Schema
    time_column: str
    """The schema's name of the temporal column."""

    key_columns: tuple[str, ...]
    """The schema's names of the columns that make the key; none for one key."""

    grid: Grid | None
    """How time is cut into windows; `None` without aggregates."""

    window_size: int | None
    """Length of windows in units of the time column, or something above; `None` without aggregates."""

    round_time: bool

    descriptions: tuple[str, ...]
    """The text of each metric in the output."""

    nulls: str
    """One of `NULL_RULES`."""

    explain: str
    """One of `LEVELS`."""

    lifecycles: tuple[Lifecycle | None, ...]
    """For each metric how its anomalies become episodes; `None` for those that have none. Empty: none has."""

    max_lateness: int
    ticks_close_windows: bool
    idle_key_ttl: int
    absent_after: int
    """How far apart rows of a key may be for a pending episode to go on; 0 means any distance."""

    late_rows_max: int
    snapshot_dir: Path | None
    snapshot_interval_rows: int | None

    @property
    def follows_keys(self) -> bool:
        """Whether ticks need to know the split and the latest time of each key."""
        return self.ticks_close_windows or self.idle_key_ttl > 0

    @property
    def time_range(self) -> tuple[int, int]:
        """First and last time, in units, that all that is computed of a time fits into 64 bits with."""
        lifetimes = (rule.hold + rule.keep_firing for rule in self.lifecycles if rule is not None)
        grid = self.grid
        reach = 2 * (self.window_size or 0) + self.max_lateness + self.idle_key_ttl
        reach += 0 if grid is None else grid.alignment + grid.offset
        reach += self.absent_after if self.lifecycles else 0
        reach += max(lifetimes, default=0)
        low, high = -(1 << 63) + _LOOK_BACK_MAX + reach, (1 << 63) - 1 - reach
        if grid is None or grid.calendar is None:
            return low, high
        first, last = grid.calendar.time_range
        return max(low, first + reach), min(high, last - reach)


def checked_settings(spec: EngineSpec) -> CheckedSettings:
    """Return the settings of an engine.

    Raises:
        ArgumentError: an argument cannot be used.
        MetricError: a metric cannot be used.
        EngineSchemaError: the schema cannot be used or lacks a column.
    """
    schema = _checked_schema(spec.schema)
    time, keys = _checked_columns(schema, spec)
    texts = _texts("metrics", spec.metrics)
    if not texts:
        raise bad_argument("there are no metrics; give at least one")
    let = _checked_let(spec.let)
    metrics = tuple(analyse_metric(text, schema, time.name, let) for text in texts)
    has_windows = any(metric.kind is not MetricKind.ROW for metric in metrics)
    max_lateness = _units("max_lateness", spec.max_lateness, time.type, 0)
    closes = _flag("ticks_close_windows", spec.ticks_close_windows)
    round_time = _flag("round_time", spec.round_time)
    grid = _checked_window(spec, time.type, round_time, closes) if has_windows else None
    _count("garbage_size", spec.garbage_size)
    folder, interval = _checked_folder(spec.snapshot_dir, spec.snapshot_interval_rows)
    settings = CheckedSettings(
        name=_checked_name(spec.name),
        metrics=metrics,
        schema=schema,
        time_column=time.name,
        key_columns=keys,
        grid=grid,
        window_size=None if grid is None else longest(grid, time.type),
        round_time=round_time,
        descriptions=_checked_descriptions(spec.anomaly_descriptions, metrics),
        nulls=_choice("nulls", spec.nulls, NULL_RULES),
        explain=_choice("explain", spec.explain, LEVELS),
        lifecycles=_checked_lifecycles(spec.lifecycles, metrics, schema, time, let),
        max_lateness=max_lateness,
        ticks_close_windows=closes,
        idle_key_ttl=_units("idle_key_ttl", spec.idle_key_ttl, time.type, 0),
        absent_after=_units("absent_after", spec.absent_after, time.type, 0),
        late_rows_max=_count("late_rows_max", spec.late_rows_max),
        snapshot_dir=folder,
        snapshot_interval_rows=interval,
    )
    _check_together(settings)
    return settings


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise bad_argument(f"{name} is {shown(value)}; give a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad_argument(f"{name} is {shown(value)}, which holds half a letter; give a text of Unicode") from None
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_text(name, value),)
    return tuple(_text(f"{name}[{i}]", text) for i, text in enumerate(_listed(name, value)))


def _listed(name: str, value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise bad_argument(f"{name} is {shown(value)}; give a list")
    if isinstance(value, set | frozenset):
        raise bad_argument(f"{name} is {shown(value)}, a set, which has no order that stays; give a list")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise bad_argument(f"{name} is {shown(value)}; use True or False")
    return value


def _choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise bad_argument(f"{name} is {shown(value)}; use one of {', '.join(choices)}")
    return value


def _count(name: str, value: Any) -> int:
    if not _is_whole(value) or index(value) < 1:
        raise bad_argument(f"{name} is {shown(value)}; give a positive whole number")
    return index(value)


def _is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, of Python or of numpy."""
    try:
        index(value)
    except Exception:
        return False
    return not isinstance(value, bool)


def _units(name: str, value: Duration, kind: ColumnType, least: int) -> int:
    """Return a duration in units of the time column."""
    if not _is_whole(value) and not isinstance(value, str | timedelta):
        raise bad_argument(f"{name} is {shown(value)}; give a whole number, a text such as 5m, or a timedelta")
    try:
        units = duration_units(value if isinstance(value, str | timedelta) else index(value), kind)
    except ValueError as error:
        raise bad_argument(f"{name}: {error}") from None
    if least <= units <= DURATION_MAX:
        return units
    unit = f"units of the {kind} column"
    if units > DURATION_MAX:
        raise bad_argument(f"{name} is {shown(value)}, more than 2**60 {unit}; give a shorter time")
    if least:
        raise bad_argument(f"{name} is {shown(value)}; give a positive whole number of {unit}")
    raise bad_argument(f"{name} is {shown(value)}; give a whole number of {unit}, at least 0")


def _checked_name(name: Any) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", _text("name", name)):
        raise bad_argument(f"the name {shown(name)} must be letters, digits and underscores, first a letter")
    return str(name)


def _checked_schema(given: Any) -> Schema:
    try:
        schema = schema_of(given)
    except SchemaError as error:
        raise EngineSchemaError(str(error)) from None
    for name in schema.names:
        if name.lower() in RESERVED_WORDS:
            raise bad_argument(
                f"the column {name!r} has the name of a constant of metrics, where it would mean that; rename it"
            )
    return schema


def _checked_columns(schema: Schema, spec: EngineSpec) -> tuple[Column, tuple[str, ...]]:
    """Return the time column and the names of the key columns."""
    try:
        time = schema[_text("time_column", spec.time_column)]
        keys = tuple(schema[key].name for key in _texts("key_columns", spec.key_columns))
    except SchemaError as error:
        raise EngineSchemaError(str(error)) from None
    if not time.type.is_temporal:
        raise bad_argument(f"the time column {time.name!r} is {time.type}; it must be temporal")
    for name in (time.name, *keys):
        if name in OUTPUT_COLUMNS:
            raise bad_argument(f"anomalies have a column {name!r} of their own; name the time or key column otherwise")
    if time.name in keys:
        raise bad_argument(f"{time.name!r} is the time column and a key column; name another key, or none")
    if len(set(keys)) < len(keys):
        raise bad_argument(f"a key column occurs twice in {', '.join(keys)}; name each once")
    return time, keys


_FIELDS = {
    "size": "window_size",
    "step": "step",
    "offset": "window_offset",
    "align": "align",
    "timezone": "timezone",
    "rows": "window_rows",
    "gap": "window_gap",
    "empty": "empty_windows",
}
"""The arguments that say what a window is, by the names of their fields."""


def _checked_window(spec: EngineSpec, kind: ColumnType, round_time: bool, closes: bool) -> Grid:
    for name in ("align", "timezone"):
        if (given := getattr(spec, name)) is not None:
            _text(name, given)
    is_other = any(one is not None for one in (spec.align, spec.window_rows, spec.window_gap))
    size, step = spec.window_size, spec.step
    if not is_other and (size is None or step is None):
        raise ArgumentError("window_required", "a metric has an aggregate; give window_size and step")
    if not is_other:
        assert size is not None
        assert step is not None
        _units("window_size", size, kind, 1)
        _units("step", step, kind, 1)
    _units("window_offset", spec.window_offset, kind, 0)
    asked = AskedWindow(
        size=spec.window_size,
        step=spec.step,
        offset=spec.window_offset or None,
        align=spec.align,
        timezone=spec.timezone,
        rows=spec.window_rows,
        gap=spec.window_gap,
        empty=None if _choice("empty_windows", spec.empty_windows, EMPTY) == "skip" else spec.empty_windows,
    )
    try:
        return made_grid(asked, kind, round_time=round_time, closes_at_ticks=closes)
    except WindowFault as fault:
        raise bad_argument(f"{_FIELDS[fault.field]}: {fault.text}") from None


def _checked_descriptions(given: Any, metrics: tuple[Metric, ...]) -> tuple[str, ...]:
    if given is None:
        return tuple(metric.text for metric in metrics)
    found = tuple(_text(f"anomaly_descriptions[{i}]", t) for i, t in enumerate(_listed("anomaly_descriptions", given)))
    if len(found) != len(metrics):
        raise bad_argument(f"there are {len(found)} anomaly_descriptions for {len(metrics)} metrics; give one for each")
    return found


def _checked_lifecycles(
    given: Any, metrics: tuple[Metric, ...], schema: Schema, time: Column, let: Let
) -> tuple[Lifecycle | None, ...]:
    found = tuple(_listed("lifecycles", given))
    if found and len(found) != len(metrics):
        raise bad_argument(f"there are {len(found)} lifecycles for {len(metrics)} metrics; give one, or None, for each")
    has_windows = any(metric.kind is not MetricKind.ROW for metric in metrics)
    for i, one in enumerate(found):
        if not isinstance(one, LifecycleSettings | None):
            raise bad_argument(f"lifecycles[{i}] is {shown(one)}; give LifecycleSettings, or None")
    if all(one is None for one in found):
        return ()
    return tuple(None if one is None else _checked_lifecycle(one, schema, time, let, has_windows) for one in found)


def _checked_lifecycle(
    given: LifecycleSettings, schema: Schema, time: Column, let: Let, has_windows: bool
) -> Lifecycle:
    hold, keep_firing = _units("hold", given.hold, time.type, 0), _units("keep_firing", given.keep_firing, time.type, 0)
    clear = None if given.clear is None else analyse_metric(_text("clear", given.clear), schema, time.name, let)
    if clear is not None and clear.kind is not MetricKind.ROW and not has_windows:
        # It would change what the metrics themselves say: with windows, late rows are discarded.
        text = f"clear is {clear.text!r}, which has an aggregate, but no metric has one; leave it out of clear too"
        raise bad_argument(text)
    return Lifecycle(hold=hold, keep_firing=keep_firing, clear=clear, is_implied=given.is_implied)


def _check_together(settings: CheckedSettings) -> None:
    """Check what settings mean for one another."""
    ttl, window_size, closes = settings.idle_key_ttl, settings.window_size or 0, settings.ticks_close_windows
    if settings.grid is not None and settings.grid.computes_empty and not closes:
        text = (
            "empty_windows is 'zero', and what comes after a key's last row only ticks can show; close windows at ticks"
        )
        raise bad_argument(text)
    if closes and not (window_size or settings.max_lateness):
        text = "there is nothing that ticks could close: no metric has an aggregate over time, and no row waits"
        raise ArgumentError("nothing_to_close", f"{text}; leave it out")
    problem = ""
    if ttl and (window_size or settings.max_lateness) and not closes:
        problem = "needs ticks_close_windows, or keys would be forgotten with open windows or rows that wait"
    elif ttl and ttl < window_size:
        problem = f"is {ttl}, less than the window, {window_size}; give at least as much"
    if problem:
        raise ArgumentError("idle_key_ttl", f"idle_key_ttl {problem}")


def _checked_let(given: Any) -> Let:
    if not isinstance(given, Mapping):
        raise bad_argument(f"let is {shown(given)}; give a mapping of names to expressions")
    return tuple((_text("a name in let", name), _text(f"let[{name!r}]", text)) for name, text in given.items())


def _checked_folder(folder: Any, interval: Any) -> tuple[Path | None, int | None]:
    if (folder is None) != (interval is None):
        raise bad_argument("snapshot_dir and snapshot_interval_rows belong together; give both or neither")
    if folder is None:
        return None, None
    if not isinstance(folder, str | Path) or folder == "":
        raise bad_argument(f"snapshot_dir is {shown(folder)}; give the path of a folder")
    try:
        is_there = Path(folder).is_dir()
    except (OSError, ValueError):
        is_there = False
    if not is_there:
        raise bad_argument(f"the snapshot_dir {str(folder)!r} does not exist; make it first")
    return Path(folder), _count("snapshot_interval_rows", interval)
