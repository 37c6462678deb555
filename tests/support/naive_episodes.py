"""Episodes of one metric, told from its evaluations one after the other: what the engine's tracker is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.support.engine_case import EngineCase
from tests.support.naive_engine import NaiveEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How episodes are made of a metric."""

    metric: str
    hold: int = 0
    keep_firing: int = 0
    clear: str | None = None
    absent_after: int = 0


@dataclass(slots=True)
class NaiveEpisode:
    """One episode as it stands."""

    offset: int
    key: tuple[Any, ...]
    start: int
    count: int = 0
    fired_at: int | None = None
    last_true: int = 0
    cleared_at: int | None = None
    end: int | None = None


def evaluations(case: EngineCase, rule: Rule) -> list[tuple[tuple[Any, ...], int, int, str]]:
    """Return key, offset, time and what was said (`true`, `clear`, `neither`) of every row or window, in order."""
    otherwise = f"isNull({rule.metric}) or not ({rule.metric})"
    own = [rule.metric, otherwise, *([] if rule.clear is None else [rule.clear])]
    # The case's metrics decide whether there are windows, and with them whether late rows count.
    metrics = [*own, *case.metrics]
    naive = NaiveEngine(schema=case.schema, **(case.arguments() | {"metrics": metrics, "anomaly_descriptions": None}))
    said: dict[tuple[Any, ...], str] = {}
    for anomaly in naive.append(case.rows):
        if anomaly.metric_index >= len(own):
            continue
        is_window = naive._metrics[anomaly.metric_index].kind == "window"
        # Windows that a row closes come before the row itself.
        place = (anomaly.offset, not is_window, anomaly.time, anomaly.key)
        words = ("true", "neither" if rule.clear else "clear", "clear")
        known = said.get(place)
        if known is None or words[anomaly.metric_index] == "true" or known == "neither":
            said[place] = words[anomaly.metric_index]
    return [(key, offset, time, word) for (offset, _, time, key), word in said.items()]


def naive_episodes(case: EngineCase, rule: Rule) -> tuple[list[NaiveEpisode], list[tuple[int, int, str]]]:
    """Return all episodes that came to something or are open, and (offset, start, what) of each that fired or ended."""
    open_now: dict[tuple[Any, ...], NaiveEpisode] = {}
    done: list[NaiveEpisode] = []
    notices: list[tuple[int, int, str]] = []

    def pass_time(key: tuple[Any, ...], offset: int, time: int) -> None:
        one = open_now.get(key)
        if one is None or one.cleared_at is None:
            return
        end = max(one.cleared_at, one.last_true + rule.keep_firing)
        if time >= end:
            done.append(replace(open_now.pop(key), end=end))
            notices.append((offset, one.start, "resolved"))

    apart = naive_gaps(case, rule)

    def pass_gaps(key: tuple[Any, ...], offset: int, time: int) -> None:
        gaps = apart.get(key, [])
        while gaps and (gaps[0][0] < offset or gaps[0][1] < time):
            gaps.pop(0)
            if key in open_now and open_now[key].fired_at is None:
                del open_now[key]

    for key, offset, time, word in evaluations(case, rule):
        pass_gaps(key, offset, time)
        pass_time(key, offset, time)
        one = open_now.get(key)
        if word == "true":
            one = open_now.setdefault(key, NaiveEpisode(offset, key, time))
            one.last_true, one.cleared_at, one.count = time, None, one.count + 1
            if one.fired_at is None and time - one.start >= rule.hold:
                one.fired_at = time
                notices.append((offset, one.start, "firing"))
        elif one is not None and one.fired_at is None:
            del open_now[key]
        elif one is not None and word == "clear" and one.cleared_at is None:
            one.cleared_at = time
            pass_time(key, offset, time)
    for key in list(apart):
        pass_gaps(key, len(case.rows), 0)
    return [*done, *open_now.values()], notices


def naive_gaps(case: EngineCase, rule: Rule) -> dict[tuple[Any, ...], list[tuple[int, int]]]:
    """Return for each key (offset, begin) of each row that comes too long after the one before it; late ones do not."""
    latest: dict[tuple[Any, ...], int] = {}
    found: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for offset, (time, *columns) in enumerate(case.rows):
        key = (columns[0],)
        if time < latest.get(key, time):
            continue
        if rule.absent_after and key in latest and time > latest[key] + rule.absent_after:
            found.setdefault(key, []).append((offset, latest[key] + rule.absent_after))
        latest[key] = time
    return found


def shown(episodes: Sequence[NaiveEpisode]) -> list[tuple[Any, ...]]:
    """Return episodes as plain values, to compare them."""
    found = [(one.offset, one.start, one.key, one.fired_at, one.end, one.last_true, one.count) for one in episodes]
    return sorted(found, key=lambda line: line[:2])
