"""The engine's arguments, checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.engine.episodes.episode import Lifecycle, LifecycleSettings
from actors.engine.errors import ArgumentError
from actors.engine.language.analysis import Metric, MetricKind, analyse_metric
from actors.engine.report.details import LEVELS
from actors.model import Column, Schema

OUTPUT_COLUMNS = frozenset(("type", "metric", "offset", "ordinal", "detail"))
"""Columns that frames of anomalies have beside the time and the key."""

NULL_RULES = ("smallest", "unknown")
"""What NULL means in comparisons: the smallest value, or a comparison that is never true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Arguments of an engine, checked and completed."""

    name: str
    """Name of the engine and of its snapshot files: letters, digits, underscore, first a letter."""

    metrics: tuple[Metric, ...]
    """At least one; the position is the anomaly's `type`."""

    schema: Schema
    time_column: str
    """The schema's name of the temporal column."""

    key_columns: tuple[str, ...]
    """The schema's names of the columns that make the key; none for one key."""

    window_size: int | None
    """Length of windows in ticks of the time column, a multiple of `step`; `None` without aggregates."""

    step: int | None
    """Ticks from one window to the next; `None` without aggregates."""

    garbage_size: int
    """Entries of history per key above which memory may be given back; it never changes the output."""

    round_time: bool
    """Whether steps above one minute align windows to several minutes."""

    descriptions: tuple[str, ...]
    """The text of each metric in the output."""

    nulls: str
    """One of `NULL_RULES`."""

    explain: str
    """One of `LEVELS`: what the `detail` of each anomaly tells; with `none` there is no such column."""

    lifecycles: tuple[Lifecycle | None, ...]
    """For each metric how its anomalies become episodes; `None` for those that have none. Empty: none has."""

    max_lateness: int
    """Ticks for which rows wait to be put in the order of their times; 0 means that they do not."""

    ticks_close_windows: bool
    """Whether time that passes at ticks closes windows, and lets rows go that wait."""

    idle_key_ttl: int
    """Ticks without a row after which a key is forgotten, at the next tick; 0 means that none is."""

    late_rows_max: int
    """Late rows kept for `take_late`."""

    snapshot_dir: Path | None
    """Folder of snapshot files; `None` for none."""

    snapshot_interval_rows: int | None
    """Rows after which a snapshot file is written, at the end of a batch."""

    @property
    def follows_keys(self) -> bool:
        """Whether ticks need to know the split and the latest time of each key."""
        return self.ticks_close_windows or self.idle_key_ttl > 0


def checked_settings(
    *,
    name: str,
    metrics: Sequence[str],
    schema: Schema | Mapping[str, str],
    time_column: str,
    key_columns: Sequence[str] = (),
    window_size: int | None = None,
    step: int | None = None,
    garbage_size: int = 2000,
    round_time: bool = True,
    snapshot_dir: str | Path | None = None,
    snapshot_interval_rows: int | None = None,
    anomaly_descriptions: Sequence[str] | None = None,
    nulls: str = "smallest",
    explain: str = "none",
    late_rows_max: int = 10_000,
    lifecycles: Sequence[LifecycleSettings | None] = (),
    max_lateness: int = 0,
    ticks_close_windows: bool = False,
    idle_key_ttl: int = 0,
) -> EngineSettings:
    """Return the settings of an engine.

    Raises:
        ArgumentError: an argument cannot be used.
        MetricError: a metric cannot be used.
        SchemaError: the schema cannot be used or lacks a column.
    """
    _check_options(name, garbage_size, late_rows_max, nulls, explain)
    known = _as_schema(schema)
    texts = _checked_texts(metrics)
    time = _checked_time(known[time_column])
    analysed = tuple(analyse_metric(text, known) for text in texts)
    has_windows = any(metric.kind is not MetricKind.ROW for metric in analysed)
    if has_windows:
        _check_window(window_size, step)
    return EngineSettings(
        name=name,
        metrics=analysed,
        schema=known,
        time_column=time,
        key_columns=_checked_keys(known, time, _listed(key_columns)),
        window_size=window_size if has_windows else None,
        step=step if has_windows else None,
        garbage_size=garbage_size,
        round_time=round_time,
        descriptions=_checked_descriptions(anomaly_descriptions, analysed),
        nulls=nulls,
        explain=explain,
        lifecycles=_checked_lifecycles(lifecycles, analysed, known),
        max_lateness=_checked_ticks("max_lateness", max_lateness),
        ticks_close_windows=_checked_closing(ticks_close_windows, has_windows or bool(max_lateness)),
        idle_key_ttl=_checked_ttl(
            idle_key_ttl, ticks_close_windows, max_lateness, window_size if has_windows else None
        ),
        late_rows_max=late_rows_max,
        snapshot_dir=_checked_folder(snapshot_dir, snapshot_interval_rows),
        snapshot_interval_rows=snapshot_interval_rows,
    )


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise _bad(f"the name {name!r} must be letters, digits and underscores, first a letter")


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _checked_texts(metrics: str | Sequence[str]) -> tuple[str, ...]:
    if not metrics:
        raise _bad("there are no metrics; give at least one")
    return _listed(metrics)


def _as_schema(given: Schema | Mapping[str, str]) -> Schema:
    return given if isinstance(given, Schema) else Schema.from_mapping(given)


def _checked_time(column: Column) -> str:
    if not column.type.is_temporal:
        raise _bad(f"the time column {column.name!r} is {column.type}; it must be temporal")
    return column.name


def _bad(message: str) -> ArgumentError:
    return ArgumentError("bad_argument", message)


def _check_positive(name: str, value: int | None) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _bad(f"{name} is {value!r}; give a positive whole number")


def _checked_ticks(name: str, ticks: int) -> int:
    if not isinstance(ticks, int) or isinstance(ticks, bool) or ticks < 0:
        raise _bad(f"{name} is {ticks!r}; give a whole number of ticks, at least 0")
    return ticks


def _checked_closing(ticks_close_windows: bool, is_possible: bool) -> bool:
    if not isinstance(ticks_close_windows, bool):
        raise _bad(f"ticks_close_windows is {ticks_close_windows!r}; use True or False")
    if ticks_close_windows and not is_possible:
        text = "there is nothing that ticks could close: no metric has an aggregate, and no row waits; leave it out"
        raise ArgumentError("nothing_to_close", text)
    return ticks_close_windows


def _checked_ttl(ttl: int, ticks_close_windows: bool, max_lateness: int, window_size: int | None) -> int:
    _checked_ticks("idle_key_ttl", ttl)
    problem = ""
    if ttl and (window_size or max_lateness) and not ticks_close_windows:
        problem = "needs ticks_close_windows, or keys would be forgotten with open windows or rows that wait"
    elif ttl and ttl < (window_size or 0):
        problem = f"is {ttl}, less than the window, {window_size}; give at least as much"
    if problem:
        raise ArgumentError("idle_key_ttl", f"idle_key_ttl {problem}")
    return ttl


def _check_options(name: str, garbage_size: int, late_rows_max: int, nulls: str, explain: str) -> None:
    _check_name(name)
    _check_positive("garbage_size", garbage_size)
    _check_positive("late_rows_max", late_rows_max)
    _check_choice("nulls", nulls, NULL_RULES)
    _check_choice("explain", explain, LEVELS)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise _bad(f"{name} is {value!r}; use one of {', '.join(choices)}")


def _check_window(window_size: int | None, step: int | None) -> None:
    if window_size is None or step is None:
        raise ArgumentError("window_required", "a metric has an aggregate; give window_size and step")
    _check_positive("window_size", window_size)
    _check_positive("step", step)
    if window_size % step:
        raise _bad(f"window_size {window_size} is no multiple of step {step}; make it one")


def _checked_keys(schema: Schema, time: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(schema[key].name for key in keys)
    for name in (time, *names):
        if name in OUTPUT_COLUMNS:
            raise _bad(f"anomalies have a column {name!r} of their own; name the time or key column otherwise")
    if len(set(names)) < len(names):
        raise _bad(f"a key column occurs twice in {', '.join(names)}; name each once")
    return names


def _checked_descriptions(given: Sequence[str] | None, metrics: tuple[Metric, ...]) -> tuple[str, ...]:
    if given is None:
        return tuple(metric.text for metric in metrics)
    if len(given) != len(metrics) or isinstance(given, str):
        raise _bad(f"there are {len(given)} anomaly_descriptions for {len(metrics)} metrics; give one for each")
    return tuple(given)


def _checked_lifecycles(
    given: Sequence[LifecycleSettings | None], metrics: tuple[Metric, ...], schema: Schema
) -> tuple[Lifecycle | None, ...]:
    if all(one is None for one in given):
        return ()
    if len(given) != len(metrics):
        raise _bad(f"there are {len(given)} lifecycles for {len(metrics)} metrics; give one, or None, for each")
    has_windows = any(metric.kind is not MetricKind.ROW for metric in metrics)
    return tuple(None if one is None else _checked_lifecycle(one, schema, has_windows) for one in given)


def _checked_lifecycle(given: LifecycleSettings, schema: Schema, has_windows: bool) -> Lifecycle:
    hold, keep_firing = _checked_ticks("hold", given.hold), _checked_ticks("keep_firing", given.keep_firing)
    clear = None if given.clear is None else analyse_metric(given.clear, schema)
    if clear is not None and clear.kind is not MetricKind.ROW and not has_windows:
        # It would change what the metrics themselves say: with windows, late rows are discarded.
        raise _bad(f"clear is {clear.text!r}, which has an aggregate, but no metric has one; leave it out of clear too")
    return Lifecycle(hold=hold, keep_firing=keep_firing, clear=clear)


def _checked_folder(folder: str | Path | None, interval: int | None) -> Path | None:
    if (folder is None) != (interval is None):
        raise _bad("snapshot_dir and snapshot_interval_rows belong together; give both or neither")
    if folder is None:
        return None
    _check_positive("snapshot_interval_rows", interval)
    path = Path(folder)
    if not path.is_dir():
        raise _bad(f"the snapshot_dir {str(path)!r} does not exist; make it first")
    return path
