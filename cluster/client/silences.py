"""Silences of a cluster: what is typed, asked of the group, and shown."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from actors.durations import parse_duration, show_duration
from actors.partition.absences import absence_text
from cluster.errors import ClusterError
from cluster.show.text import show_json_lines, show_rows
from config.base import suggest
from config.sinks import SEVERITIES
from raft.commands import SilenceAdded, request_id
from raft.records import SilenceRecord

if TYPE_CHECKING:
    from config.settings import JobSettings

END_US_MAX = 250_000_000_000_000_000
"""Some time in the year 9892: later ones have no date."""

ID_LENGTH = 8
"""Letters of an id that are shown, and may be typed in place of all of them."""


def silence_named(silences: Mapping[str, SilenceRecord], name: str) -> str:
    """Return the id of a silence, named by it or by the beginning of it.

    Raises:
        ClusterError: there is none such, or there are several.
    """
    found = [one for one in silences if one.startswith(name)] if name else []
    if len(found) != 1:
        what = "several silences have ids that begin with" if found else "there is no silence"
        raise ClusterError(f"{what} {name!r}; `tocsin silence list` shows them")
    return found[0]


def typed_silence(
    *,
    job: str | None,
    metrics: Sequence[str],
    severities: Sequence[str],
    keys: Sequence[str],
    labels: Sequence[str],
    lasts: str | None,
    until: str | None,
    who: str,
    why: str,
) -> SilenceAdded:
    """Return the silence that was typed.

    Raises:
        ClusterError: something of it cannot be used.
    """
    now_us = time.time_ns() // 1000
    if (lasts is None) == (until is None):
        raise ClusterError("say until when: give one of --for and --until")
    if not (job or metrics or severities or keys or labels):
        raise ClusterError(
            "this would silence everything; name a JOB, --key, --metric, --severity or --label, or JOB '*'"
        )
    for one in severities:
        if one not in SEVERITIES:
            raise ClusterError(f"{one!r} is no severity; use one of {', '.join(SEVERITIES)}")
    end_us = now_us + _duration_us(lasts) if lasts is not None else _moment_us(until or "")
    if lasts is not None and not now_us < end_us < END_US_MAX:
        raise ClusterError(f"--for {lasts} is too {'long' if end_us > now_us else 'short'}; write it like --for 2h")
    if end_us <= now_us:
        raise ClusterError(f"{until!r} is over; give a later time, in UTC unless it says otherwise")
    return SilenceAdded(
        request_id=request_id(),
        job=job or "*",
        metric=tuple(metrics),
        severity=tuple(severities),
        key=_pairs("--key", keys),
        labels=_pairs("--label", labels),
        start_us=now_us,
        end_us=end_us,
        who=who,
        why=why,
    )


def check_fits(job: "JobSettings", wanted: SilenceAdded) -> None:
    """Check that a silence of one job may be about an episode of it: one that is not would silence nothing.

    Raises:
        ClusterError: the job tells nobody by a policy, or has nothing that something of the silence fits.
    """
    if not any(map(job.follows_policy, job.sinks)):
        raise ClusterError(f"no sink of job {job.name!r} follows `notifications`, so nothing of it can be silenced")
    rules = [rule for rule in (*job.metrics, *job.detectors) if job.makes_episodes(rule)]
    columns, labels = job.all_key_columns, {label for rule in rules for label in rule.labels}
    severities = {rule.severity for rule in rules if rule.severity is not None}
    for what, known, given in (
        ("key column", columns, [name for name, _ in wanted.key]),
        ("label", labels, [name for name, _ in wanted.labels]),
        ("severity", severities, wanted.severity),
    ):
        for name in given:
            if name not in known:
                way = suggest(name, sorted(known)) if known else "it has none"
                raise ClusterError(f"nothing in job {job.name!r} has the {what} {name!r}; {way}")
    named = [rule.id or getattr(rule, "describe", None) or getattr(rule, "when", None) for rule in rules]
    if None in named:
        # Texts of detectors are those of what they find.
        return
    names = [str(name) for name in (*named, absence_text(job)) if name is not None]
    for pattern in wanted.metric:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ClusterError(f"no metric or detector of job {job.name!r} fits {pattern!r}; {suggest(pattern, names)}")


def _pairs(option: str, texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for text in texts:
        name, sign, pattern = text.partition("=")
        if not sign or not name:
            raise ClusterError(f"{option} {text!r} names no value; write it like {option} host=web-*")
        found.append((name, pattern))
    return tuple(found)


def _duration_us(text: str) -> int:
    try:
        return parse_duration(text) // 1000
    except ValueError as error:
        raise ClusterError(str(error)) from None


def _moment_us(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ClusterError(f"{text!r} is no time; write it like 2026-01-31T12:00:00") from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)


def silence_records(silences: Mapping[str, SilenceRecord], now_us: int, *, are_all: bool) -> list[dict[str, Any]]:
    """Return silences as plain data, those that end first first; those that are over only if all are asked for."""
    found = [
        {
            "id": name,
            "state": "active" if one.start_us <= now_us < one.end_us else "over",
            **{key: value for key, value in asdict(one).items() if key not in ("key", "labels", "start_us", "end_us")},
            "key": _by_name(one.key),
            "labels": _by_name(one.labels),
            "start": _text(one.start_us),
            "end": _text(one.end_us),
        }
        for name, one in sorted(silences.items(), key=lambda item: (item[1].end_us, item[0]))
    ]
    return [one for one in found if are_all or one["state"] == "active"]


def show_silences(records: Sequence[Mapping[str, Any]], now_us: int, *, as_json: bool) -> str:
    """Return silences as text."""
    if as_json:
        return show_json_lines(records)
    rows = []
    for one in records:
        left_us = _moment_us(one["end"]) - now_us
        left = show_duration(left_us // 1_000_000 * 1_000_000_000) if left_us > 0 else "over"
        rows.append([one["id"][:ID_LENGTH], one["job"], about(one) or "everything", left, one["who"], one["why"]])
    return show_rows(("id", "job", "silenced", "for", "who", "why"), rows)


def about(one: Mapping[str, Any]) -> str:
    """Return what a silence is about, but for the job."""
    parts = [f"metric {' or '.join(one['metric'])}"] if one["metric"] else []
    parts += [f"severity {' or '.join(one['severity'])}"] if one["severity"] else []
    parts += [f"{name}={_either(patterns)}" for name, patterns in one["key"].items()]
    parts += [f"label {name}={_either(patterns)}" for name, patterns in one["labels"].items()]
    return ", ".join(parts)


def _by_name(pairs: Sequence[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Return the pattern of each name, or a list of them where it has several."""
    found: dict[str, list[str]] = {}
    for name, pattern in pairs:
        found.setdefault(name, []).append(pattern)
    return {name: patterns[0] if len(patterns) == 1 else patterns for name, patterns in found.items()}


def _either(patterns: str | list[str]) -> str:
    return patterns if isinstance(patterns, str) else " or ".join(patterns)


def _text(time_us: int) -> str:
    # Who proposes by himself may have given any time.
    return (
        datetime.fromtimestamp(min(time_us, END_US_MAX) / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    )
