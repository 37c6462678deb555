"""What `tocsin check` says about a job: its metrics with the state they keep and the work they are, and its detectors.

Pure: settings in, plain values and text out. What metrics keep and cost is the engine's knowledge, asked of it here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from actors.detectors import Detector
from actors.engine import AnomalyDetectionEngine
from actors.engine.keys.kept import Work
from actors.engine.language.advice import warnings_of
from actors.engine.language.terms import MetricKind
from actors.engine.report.costs import EngineCosts, MetricCost, StateCost
from actors.engine.windows.asked import made_grid
from actors.engine.windows.grid import Grid
from actors.partition.absences import absence_text
from actors.partition.assembly import build_detectors, build_engine
from actors.partition.metric_groups import MetricGroups
from cluster.backtest.sample import Sample
from cluster.show.policy_report import policy_lines, policy_report
from cluster.show.present import show_null_comparisons, shown_ticks
from config.metric_groups import MetricGroup, group_specs
from config.settings import JobSettings
from config.windows import WindowSettings

Report = Mapping[str, Any]


def job_report(job: JobSettings) -> dict[str, Any]:
    """Return what a job will do and keep, as plain values."""
    groups = [(group, AnomalyDetectionEngine.from_spec(spec).costs()) for group, spec in group_specs(job)]
    is_one = not isinstance(build_engine(job), MetricGroups)
    metrics = [_metric(job, group, cost) for group, costs in groups for cost in costs.metrics]
    return {
        "job": job.name,
        "partitions": job.partitions,
        "partition_by": job.partition_by,
        "key": list(job.key_columns),
        "routed_by": list(job.route_columns),
        "window": _window(job, job.window),
        "metrics": sorted(metrics, key=lambda metric: int(metric["index"])),
        "detectors": _detectors(job, build_detectors(job)),
        "each_key": _each_key(groups[0][1]) if groups and is_one else None,
        "groups": [] if is_one else [_group(job, group, costs) for group, costs in groups],
        "idle_sinks": _idle_sinks(job),
        "policy": policy_report(job),
    }


def _group(job: JobSettings, group: MetricGroup, costs: EngineCosts) -> dict[str, Any]:
    """Return what metrics with one window and one key have in common."""
    return {
        "metrics": list(group.metrics),
        "key": list(group.key_columns),
        "window": _window(job, group.window)
        if any(one.metric.kind is not MetricKind.ROW for one in costs.metrics)
        else None,
        "each_key": _each_key(costs),
    }


def _idle_sinks(job: JobSettings) -> list[str]:
    """Return the sinks that no metric or detector has anything for."""
    metrics = [(one.severity, one.id or one.describe or one.when, job.makes_episodes(one)) for one in job.metrics]
    others: list[tuple[str | None, str, bool]] = []
    for settings, detector in zip(job.detectors, build_detectors(job), strict=True):
        episodes = job.makes_episodes(settings)
        others += [(settings.severity, settings.id or text, episodes) for text in detector.metrics]
    if (text := absence_text(job)) is not None:
        others.append((None, text, True))
    return [
        sink.identity
        for sink in job.sinks
        if not any(
            sink.where.takes_rule(severity, text) and (job.sink_takes(sink)[0] or has_episodes)
            for severity, text, has_episodes in metrics + others
        )
    ]


def _window(job: JobSettings, window: WindowSettings | None) -> dict[str, Any] | None:
    if window is None:
        return None
    grid = made_grid(
        window.asked, job.row_schema[job.time].type, round_time=job.engine.round_time, closes_at_ticks=False
    )
    size, step = grid.window_size, grid.step
    found = {
        "size": _shown_length(job, grid, size),
        "step": _shown_length(job, grid, step),
        "size_ticks": size if window.has_one_length else None,
        "step_ticks": step if window.has_one_length else None,
        "rows": window.rows,
        "gap": None if grid.gap is None else shown_ticks(job, grid.gap),
        "panes": grid.pane_count,
    }
    offset = None if window.offset is None else str(window.offset)
    others = {"align": window.align, "timezone": window.timezone, "empty": window.empty or "skip"}
    return found | {"offset": offset, **others}


def _shown_length(job: JobSettings, grid: Grid, length: int) -> str:
    if grid.counts_rows:
        return _count(length, "row")
    if grid.calendar is None:
        return shown_ticks(job, length)
    return f"{length} {grid.calendar.unit}{'' if length == 1 else 's'}"


def _metric(job: JobSettings, group: MetricGroup, cost: MetricCost) -> dict[str, Any]:
    index = group.metrics[cost.metric_index]
    return {
        "index": index,
        "kind": str(cost.metric.kind),
        "metric": cost.metric.text,
        "describe": job.metrics[index].describe,
        "keeps": [_state(state) | {"shared_with": _others(group, state, cost)} for state in cost.states],
        "warnings": [
            *warnings_of(cost.metric, nulls_smallest=job.engine.nulls != "unknown"),
            *_window_warnings(job, group, cost),
        ],
        "work": [{"order": work.order, "per": work.per, "why": work.why} for work in cost.work],
    }


def _window_warnings(job: JobSettings, group: MetricGroup, cost: MetricCost) -> list[str]:
    if group.window is not None and group.window.empty == "zero" and job.engine.idle_key_ttl is None:
        return ["windows of keys that never come again are computed for ever; let them be forgotten by `idle_key_ttl`"]
    has_rows = any(state.kept.entry == "row" and state.kept.entry_count_max is None for state in cost.states)
    if group.window is None or group.window.gap is None or not has_rows:
        return []
    return ["a session keeps all its rows until it ends: one that is never interrupted grows for ever"]


def _others(group: MetricGroup, state: StateCost, cost: MetricCost) -> list[int]:
    return [group.metrics[index] for index in state.metrics if index != cost.metric_index]


def _state(state: StateCost) -> dict[str, Any]:
    kept = state.kept
    return {
        "what": kept.what,
        "of": kept.of or None,
        "key_size_bytes": kept.key_size_bytes,
        "entry": kept.entry or None,
        "entry_size_bytes": kept.entry_size_bytes,
        "entry_count_max": kept.entry_count_max,
    }


def _each_key(costs: EngineCosts) -> dict[str, Any]:
    own = [state for cost in costs.metrics for state in cost.states]
    return {
        "keeps": [_state(state) for state in costs.states if state not in own],
        "size_bytes": costs.key_size_bytes,
        "row_size_bytes": costs.row_size_bytes,
    }


def _detectors(job: JobSettings, detectors: Sequence[Detector]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    index = len(job.metrics)
    for settings, detector in zip(job.detectors, detectors, strict=True):
        found.append(
            {
                "name": detector.name,
                "type": settings.type,
                "metrics": [
                    {"index": index + number, "metric": metric} for number, metric in enumerate(detector.metrics)
                ],
                "learns_per": list(detector.group_columns),
                "learned_max": getattr(detector.spec, "distinct_count_max", None),
            }
        )
        index += len(detector.metrics)
    return found


def show_report(report: Report) -> str:
    """Return a report as text."""
    counts = [
        _count(len(report["metrics"]), "metric"),
        _count(len(report["detectors"]), "detector"),
        _count(report["partitions"], "partition"),
    ]
    lines = [f"job {report['job']}: {', '.join(counts)}"]
    if report["partition_by"] == "split":
        lines.append("each split is a partition: a key that is in several splits is a series of its own in each")
    lines += _window_lines(report["window"]) if not report["groups"] else []
    for metric in report["metrics"]:
        lines += ["", *_metric_lines(metric)]
    for detector in report["detectors"]:
        lines += ["", *_detector_lines(detector)]
    if report["each_key"] is not None and report["each_key"]["keeps"]:
        lines += ["", *_key_lines(report["each_key"])]
    for group in report["groups"]:
        lines += ["", *_group_lines(group)]
    if report["groups"] and report["partition_by"] == "key" and report["partitions"] > 1:
        lines += ["", f"rows are in the partition of their {', '.join(report['routed_by'])}, which all keys have"]
    for sink in report["idle_sinks"]:
        lines += ["", f"sink {sink} gets nothing: no metric or detector fits its `only` and `where`"]
    if report["policy"] is not None:
        lines += ["", *policy_lines(report["policy"])]
    return "\n".join(lines)


def _window_lines(window: Mapping[str, Any] | None) -> list[str]:
    if window is None:
        return []
    if window["gap"] is not None:
        return [f"sessions, which end {window['gap']} after their last row"]
    text = f"windows of {window['size']}"
    if window["step"] != window["size"]:
        text += f", a new one every {window['step']} ({_count(window['panes'], 'pane')})"
    if window["align"] is not None:
        text += f" of {window['timezone'] or 'UTC'}"
    text += "" if window["offset"] is None else f", {window['offset']} later"
    return [f"{text}, also those without rows" if window["empty"] == "zero" else text]


def _group_lines(group: Mapping[str, Any]) -> list[str]:
    numbers = ", ".join(map(str, group["metrics"]))
    word = "metric" if len(group["metrics"]) == 1 else "metrics"
    key = f"for each {', '.join(group['key'])}" if group["key"] else "over all rows together"
    lines = [f"{word} {numbers}: {', '.join([*_window_lines(group['window']), key])}"]
    return lines + (_key_lines(group["each_key"]) if group["each_key"]["keeps"] else [])


def show_sample(job: JobSettings, sample: Sample) -> str:
    """Return what the first records of a job are as text."""
    if sample.trouble is not None:
        return f"no rows to look at yet: {sample.trouble}"
    reach = f" from {sample.time_from} to {sample.time_to}" if sample.rows else ""
    lines = [f"the first records: {_count(sample.rows, 'row')}{reach}, {_count(sample.dead_letters, 'dead letter')}"]
    lines += [f"dead letter: {reason}" for reason in sample.reasons]
    lines += [*sample.remarks]
    lines += show_null_comparisons(job, sample.null_comparisons)
    return "\n".join(lines)


def _metric_lines(metric: Mapping[str, Any]) -> list[str]:
    described = f"  ({metric['describe']})" if metric["describe"] else ""
    lines = [f"{metric['index']:>3}  {metric['kind']:<6}  {metric['metric']}{described}"]
    keeps = _grouped(metric["keeps"]) or ["nothing"]
    work = [str(Work(weight=0, **work)) for work in metric["work"]]
    return lines + _labelled("keeps", keeps) + _labelled("costs", work) + _labelled("beware", metric["warnings"])


def _labelled(label: str, texts: Sequence[str]) -> list[str]:
    return [f"       {label if not number else '':<6} {text}" for number, text in enumerate(texts)]


def _grouped(states: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a text for each sort of state that has the same sharers."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for state in states:
        groups.setdefault((state["what"], state["entry_count_max"], *state["shared_with"]), []).append(state)
    return [_group_text(group) for group in groups.values()]


def _group_text(states: Sequence[Mapping[str, Any]]) -> str:
    first = states[0]
    text = f"{first['what']}: {', '.join(state['of'] for state in states)}; {_bytes_text(states)}"
    if first["shared_with"]:
        text += f"; shared with {', '.join(str(index) for index in first['shared_with'])}"
    return text


def _bytes_text(states: Sequence[Mapping[str, Any]]) -> str:
    key = sum(state["key_size_bytes"] for state in states)
    entries = sum(state["entry_size_bytes"] for state in states)
    count, entry = states[0]["entry_count_max"], states[0]["entry"]
    if not entries:
        return f"{key} bytes"
    each = f"{entries} bytes a {entry}" + (f", {count} {entry}s" if count is not None else "")
    return f"{key} bytes and {each}" if key else each


def _detector_lines(detector: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{metric['index']:>3}  {'learns' if detector['type'] != 'rule' else 'rule':<6}  {metric['metric']}"
        f"  ({detector['name']})"
        for metric in detector["metrics"]
    ]
    if detector["type"] == "rule":
        return lines + _labelled("keeps", ["nothing that it learns"])
    limit = detector["learned_max"]
    what = "what it learnt" if limit is None else f"what it learnt, at most {limit} things"
    per = ", ".join(detector["learns_per"]) or "the whole stream"
    return lines + _labelled("keeps", [f"{what} for each value of {per}"])


def _key_lines(each: Mapping[str, Any]) -> list[str]:
    rows = f", and {each['row_size_bytes']} bytes for each row that its windows have" if each["row_size_bytes"] else ""
    names = ", ".join(dict.fromkeys(state["of"] or state["what"] for state in each["keeps"]))
    own = sum(s["key_size_bytes"] + s["entry_size_bytes"] * (s["entry_count_max"] or 0) for s in each["keeps"])
    return [
        f"each key takes about {each['size_bytes']} bytes{rows}; arrays have space to grow beside",
        f"       of these {own} whatever the metrics: {names}",
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
