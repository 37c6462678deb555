"""Drawing: the picture of a backtest, as PNG or SVG. The only module that knows the library of pictures."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from actors.model import SECONDS_PER_UNIT, UNITS_PER_SECOND, ColumnType
from cluster.backtest.series import Panel, Picture, Points, is_location, thinned
from cluster.backtest.summary import shown_metric
from cluster.show.text import show_cell

LINE_POINTS_MAX = 6000
MARKS_MAX = 1500
"""Anomalies drawn of each metric in a panel; the legend counts all, those of keys that are not drawn too."""

TEXT_LENGTH_MAX = 70

_LINE = "#7b93ab"
_WINDOW_LINES = ("#2b2b2b", "#8a6d3b", "#3b6d8a", "#6d3b8a")
_MARKS = ("#d62728", "#ff7f0e", "#2ca02c", "#9467bd", "#e377c2", "#17becf", "#bcbd22", "#8c564b")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")

FEW = 100
"""Points up to this number are marked one by one."""

MANY = 200
"""Anomalies from this number on are drawn small."""


def draw(picture: Picture, path: Path) -> None:
    """Write a picture as PNG, or as what the file's name ends with."""
    _figure(picture).savefig(path, dpi=110)


def draw_svg(picture: Picture) -> str:
    """Return a picture as the text of an SVG element."""
    buffer = io.StringIO()
    # Text stays text, and equal pictures are equal bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "tocsin"}):
        _figure(picture).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


# Dollars in keys and metrics are no formulas.
@rc_context({"text.parse_math": False})
def _figure(picture: Picture) -> Figure:
    panels = picture.panels
    figure = Figure(figsize=(13, 1.6 + 2.7 * len(panels)), layout="constrained")
    is_shared = _overlap(panels)
    axes = figure.subplots(len(panels), 1, sharex=is_shared, squeeze=False)[:, 0]
    for panel, axis in zip(panels, axes, strict=True):
        _draw_panel(picture, panel, axis)
    for axis in axes[-1:] if is_shared else axes:
        _set_dates(axis, _time_type(picture))
    handles = _legend(picture)
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=1, frameon=False, fontsize=9)
    return figure


def _overlap(panels: Sequence[Panel]) -> bool:
    """Return whether one axis of time suits all panels: most of it is filled in the longest of them."""
    reaches = [(int(p.rows.times[0]), int(p.rows.times[-1])) for p in panels if p.rows.row_count]
    if not reaches:
        return True
    whole = max(last for _, last in reaches) - min(first for first, _ in reaches)
    return whole <= 2 * max(last - first for first, last in reaches)


def _set_scale(axis: Axes) -> None:
    axis.margins(x=0.01, y=0.12)
    axis.tick_params(labelsize=8)
    low, high = axis.get_ylim()
    if max(abs(low), abs(high)) >= 1e5 or max(abs(low), abs(high)) < 1e-3:
        axis.yaxis.set_major_formatter(EngFormatter(sep=""))


def _draw_panel(picture: Picture, panel: Panel, axis: Axes) -> None:
    times, values = thinned(panel.rows.times, panel.rows.values, LINE_POINTS_MAX)
    marker = "." if len(times) <= FEW else ""
    axis.plot(*_with_gaps(_dates(picture, times), values), color=_LINE, linewidth=0.9, marker=marker, zorder=2)
    near = [text for text in panel.windows if is_location(text)]
    far = [text for text in panel.windows if text not in near]
    lines = _draw_windows(picture, panel, axis, near, 0)
    other = axis.twinx() if far else axis
    if far:
        lines += _draw_windows(picture, panel, other, far, len(near))
        _set_scale(other)
        other.spines[["top", "left"]].set_visible(False)
    if lines:
        # Beside the title, where it hides nothing.
        names = [*near, *(f"{text} (right axis)" for text in far)]
        place: Any = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}
        axis.legend(lines, names, **place, fontsize=8, frameon=False, ncols=len(lines))
    for index, points in panel.marks.items():
        _draw_marks(picture, other if panel.mark_windows.get(index) in far else axis, index, points)
    name = ", ".join(show_cell(value) for value in panel.key)
    axis.set_title(f"{name}: {panel.column}" if name else panel.column, loc="left", fontsize=10)
    axis.set_axisbelow(True)
    axis.grid(color="#e6e6e6", linewidth=0.6)
    axis.set_zorder(other.get_zorder() + 1 if not panel.mark_windows else 0)
    axis.patch.set_visible(False)
    _set_scale(axis)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_windows(picture: Picture, panel: Panel, axis: Axes, texts: Sequence[str], first_color: int) -> list[Line2D]:
    lines: list[Line2D] = []
    for number, text in enumerate(texts, first_color):
        points = panel.windows[text]
        times, values = thinned(points.times, points.values, LINE_POINTS_MAX)
        color, style = _WINDOW_LINES[number % len(_WINDOW_LINES)], ":" if first_color else "-"
        form: Any = {"color": color, "linestyle": style, "linewidth": 1.1, "alpha": 0.8}
        lines += axis.step(
            _dates(picture, times), values, where="post", marker="." if len(times) <= FEW else "", **form
        )
    return lines


def _draw_marks(picture: Picture, axis: Axes, index: int, points: Points) -> None:
    times, values = points.times, points.values
    if len(times) > MARKS_MAX:
        chosen = np.linspace(0, len(times) - 1, MARKS_MAX).astype(np.int64)
        times, values = times[chosen], values[chosen]
    if index in picture.window_sizes:
        for start, stop in _joined(times - picture.window_sizes[index], times):
            span = _dates(picture, np.array([start, stop]))
            axis.axvspan(span[0], span[1], color=_color(index), alpha=0.10, linewidth=0, zorder=1)
    # A NULL has no place on the axis: it is marked at the foot.
    foot = np.nanmin(values) if np.isfinite(values).any() else 0.0
    axis.scatter(
        _dates(picture, times),
        np.where(np.isnan(values), foot, values),
        s=22 if len(times) < MANY else 9,
        marker=_SHAPES[index % len(_SHAPES)],
        color=_color(index),
        edgecolors="white" if len(times) < MANY else "none",
        linewidths=0.4,
        zorder=4,
    )


def _joined(starts: np.ndarray, stops: np.ndarray) -> list[tuple[int, int]]:
    """Return spans, of which those that touch are one."""
    spans: list[tuple[int, int]] = []
    for start, stop in sorted(zip(starts.tolist(), stops.tolist(), strict=True)):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans


def _legend(picture: Picture) -> list[Line2D]:
    result = picture.result
    drawn = {index for panel in picture.panels for index in panel.marks}
    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker=_SHAPES[index % len(_SHAPES)],
            color=_color(index),
            label=f"{_shortened(shown_metric(result, index), TEXT_LENGTH_MAX)}  ({result.count_of(index)})",
        )
        for index in sorted(drawn)
    ]


def _color(index: int) -> str:
    return _MARKS[index % len(_MARKS)]


def _shortened(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[: length_max - 3] + "..."


def _time_type(picture: Picture) -> ColumnType:
    return picture.result.job.row_schema[picture.result.job.time].type


def _dates(picture: Picture, ticks: np.ndarray) -> np.ndarray:
    """Return ticks of the time column as dates; times of day are those of one day."""
    kind = _time_type(picture)
    if kind is ColumnType.MONTH:
        return (ticks - 1970 * 12).astype("datetime64[M]").astype("datetime64[us]")
    if kind in SECONDS_PER_UNIT:
        return (ticks * SECONDS_PER_UNIT[kind]).astype("datetime64[s]").astype("datetime64[us]")
    per_second = UNITS_PER_SECOND[kind]
    unit = {1: "s", 1_000: "ms", 1_000_000: "us", 1_000_000_000: "ns"}[per_second]
    return ticks.astype(f"datetime64[{unit}]")


def _with_gaps(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a line that is broken where no rows came for long."""
    if len(times) < 3:
        return times, values
    between = np.diff(times).astype(np.int64)
    usual = max(int(np.median(between)), 1)
    gaps = np.flatnonzero(between > 25 * usual) + 1
    return np.insert(times, gaps, times[gaps - 1]), np.insert(values, gaps, np.nan)


def _set_dates(axis: Axes, kind: ColumnType) -> None:
    # The library gives no types for what it makes of dates.
    locator = AutoDateLocator(minticks=4, maxticks=12)  # type: ignore[no-untyped-call]
    hours = DateFormatter("%H:%M:%S")  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    dates = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_formatter(dates if kind.has_date else hours)
