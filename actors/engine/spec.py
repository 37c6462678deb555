"""The arguments of an engine as they are asked for; `actors.engine.arguments` checks and completes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from actors.durations import Duration
from actors.engine.episodes.episode import LifecycleSettings
from actors.engine.errors import bad_argument
from actors.model import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What an engine is made of; a length of time is a number of units of the time column, `"5m"` or a `timedelta`."""

    name: str
    """Name of the engine and of its snapshot files: letters, digits, underscore, first a letter."""

    metrics: str | Sequence[str]
    """At least one; the position is the anomaly's `type`."""

    schema: Schema | Mapping[str, Any]
    """The columns of the rows: types by name, or the schema of a Polars frame."""

    time_column: str
    """The temporal column by which rows are ordered."""

    key_columns: str | Sequence[str] = ()
    """The columns that make the key; none for one key."""

    let: Mapping[str, str] = field(default_factory=dict)
    """Named parts: expressions that metrics may use by name."""

    window_size: Duration | None = None
    """Length of windows; needed with an aggregate, unless there is `align`, and ignored without."""

    step: Duration | None = None
    """From the end of one window to that of the next; needed with a size, and ignored without an aggregate."""

    garbage_size: int = 2000
    """Accepted for compatibility; memory is given back as soon as no window needs a row."""

    round_time: bool = True
    """Whether steps above one minute align windows to several minutes."""

    window_offset: Duration = 0
    """How far after the usual moments windows begin: less than the step, and with `align`, by clocks, than a day."""

    align: str | None = None
    """`day`, `week` or `month`: windows are so many of the calendar, one unless said (months as in `3mo`)."""

    timezone: str | None = None
    """Time zone of that calendar; `None` means UTC."""

    window_rows: int | None = None
    """In place of a size: windows are so many rows of a key, and `step` counts rows; `None` for other windows."""

    window_gap: Duration | None = None
    """In place of a size: windows are sessions, which end so long after their last row; `None` for other windows."""

    empty_windows: str = "skip"
    """What becomes of windows of known keys without rows: `skip`, or `zero`, which computes them (at ticks too)."""

    anomaly_descriptions: Sequence[str] | None = None
    """For each metric the text that is shown in its place; `None`: the metric itself."""

    nulls: str = "smallest"
    """What NULL means in comparisons: `smallest`, or `unknown`, which is never true."""

    explain: str = "none"
    """What the `detail` of each anomaly says: `none`, `windows` or `all`."""

    lifecycles: Sequence[LifecycleSettings | None] = ()
    """For each metric how its anomalies become episodes; `None` for those that have none. Empty: none has."""

    max_lateness: Duration = 0
    """How long rows wait to be put in the order of their times; 0 means that they do not."""

    ticks_close_windows: bool = False
    """Whether time that passes at ticks closes windows, and lets rows go that wait."""

    idle_key_ttl: Duration = 0
    """How long a key may be without rows before a tick forgets it; 0 means that none is."""

    absent_after: Duration = 0
    """How far apart rows of a key may be for a pending episode to go on; 0 means any distance."""

    late_rows_max: int = 10_000
    """Late rows kept for `take_late`."""

    snapshot_dir: str | Path | None = None
    """Folder of snapshot files; `None` for none."""

    snapshot_interval_rows: int | None = None
    """Rows after which a snapshot file is written, at the end of a batch."""


class EngineOptions(TypedDict, total=False):
    """The fields of `EngineSpec` that are given by name only."""

    let: Mapping[str, str]
    garbage_size: int
    round_time: bool
    window_offset: Duration
    align: str | None
    timezone: str | None
    window_rows: int | None
    window_gap: Duration | None
    empty_windows: str
    anomaly_descriptions: Sequence[str] | None
    nulls: str
    explain: str
    lifecycles: Sequence[LifecycleSettings | None]
    max_lateness: Duration
    ticks_close_windows: bool
    idle_key_ttl: Duration
    absent_after: Duration
    late_rows_max: int
    snapshot_dir: str | Path | None
    snapshot_interval_rows: int | None


def spec_of(**arguments: Any) -> EngineSpec:
    """Return a specification, given its fields by name.

    Raises:
        ArgumentError: there is no such field.
    """
    unknown = arguments.keys() - EngineSpec.__dataclass_fields__.keys()
    if unknown:
        names = ", ".join(EngineSpec.__dataclass_fields__)
        raise bad_argument(f"there is no argument {min(unknown)!r}; the arguments are {names}")
    return EngineSpec(**arguments)
