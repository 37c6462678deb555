"""Why a query found nothing: which of its selectors fits nothing even by itself, and what is near."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from actors.nearness import nearest
from actors.partition.anomalies import AnomalyFilter
from actors.partition.episode_table import EpisodeFilter
from actors.store import Event, JsonPayload, QueryLatestParams
from actors.store.query.planner import QueryParams
from actors.time_text import time_text
from cluster.client.event_query import EventQuery, join_type, make_params
from config.form import JobForm
from config.settings import JobSettings

if TYPE_CHECKING:
    from cluster.client.client import Client

SEEN_MAX = 1000
"""Records that are looked at for what is near."""

NAMED_MAX = 5
"""Values that a hint names."""

Selectors = Mapping[str, tuple[Callable[[], bool], Callable[[], str]]]
"""For each option: whether it finds anything by itself, and what to say when it does not."""


def no_anomaly(client: "Client", job: JobForm, wanted: AnomalyFilter) -> list[str]:
    """Return why no anomaly was found."""
    name = job.name

    def finds(**selected: Any) -> Callable[[], bool]:
        return lambda: bool(client.anomalies(name, AnomalyFilter(**selected), 1))

    def newest() -> str:
        (last,) = client.anomalies(name, AnomalyFilter(), 1, newest_first=True)
        return f"the newest anomaly is at {time_text(job.row_schema[job.time_column].type, last.time)}"

    def keys() -> list[str]:
        return [_shown(one.key) for one in client.anomalies(name, AnomalyFilter(), SEEN_MAX)]

    selectors: dict[str, tuple[Callable[[], bool], Callable[[], str]]] = {}
    if wanted.key is not None:
        selectors[f"--key {_shown(wanted.key)}"] = finds(key=wanted.key), lambda: near(_shown(wanted.key or ()), keys())
    if wanted.type is not None:
        selectors[f"--type {wanted.type}"] = finds(type=wanted.type), lambda: _types(job)
    if wanted.time_from is not None or wanted.time_to is not None:
        times = finds(time_from=wanted.time_from, time_to=wanted.time_to)
        selectors["--from and --to"] = times, newest
    return _why(f"job {name!r} has no anomalies", finds(), selectors)


def no_episode(client: "Client", job: JobSettings, wanted: EpisodeFilter) -> list[str]:
    """Return why no episode was found."""
    name = job.name

    def finds(**selected: Any) -> Callable[[], bool]:
        return lambda: bool(client.episodes(name, EpisodeFilter(**selected), 1))

    def keys() -> list[str]:
        return [_shown(one.key) for one in client.episodes(name, EpisodeFilter(), SEEN_MAX)]

    hints = {
        "key": lambda: near(_shown(wanted.key or ()), keys()),
        "type": lambda: _types(job),
        "state": lambda: "others are in another state",
    }
    given = {one: getattr(wanted, one) for one in hints if getattr(wanted, one) is not None}
    selectors = {
        f"--{one} {_shown(value) if one == 'key' else value}": (finds(**{one: value}), hints[one])
        for one, value in given.items()
    }
    return _why(f"job {name!r} has no episodes", finds(), selectors)


def no_event(ask: Callable[[QueryParams], Sequence[Event]], name: str, wanted: EventQuery, now_us: int) -> list[str]:
    """Return why no event was found; `ask` gives events of what is named, at least the first of those asked for."""
    kept = ("is_latest", "is_unique", "order_by", "oldest_first", "count_max")

    def finds(**selected: Any) -> Callable[[], bool]:
        params = make_params(replace(EventQuery(count_max=1), **selected), now_us)
        return lambda: bool(ask(params))

    def types() -> list[str]:
        return [join_type(event.type) for event in ask(QueryLatestParams())]

    def columns() -> str:
        found = ask(make_params(EventQuery(count_max=1), now_us))
        data = found[0].payload.data if found and isinstance(found[0].payload, JsonPayload) else {}
        return f"the newest event has {_listed(data)}" if isinstance(data, dict) and data else ""

    options = {"patterns": "--type", "ids": "--id", "time_from": "--from", "time_to": "--to"}
    hints: dict[str, Callable[[], str]] = {
        "patterns": lambda: near(" ".join(wanted.patterns), types()),
        "where": columns,
        "payload": columns,
    }
    selectors = {}
    for field in fields(EventQuery):
        value = getattr(wanted, field.name)
        if field.name in (*kept, "after") or value in (None, ()):
            continue
        option = options.get(field.name, f"--{field.name.replace('_', '-')}")
        shown = " ".join(value) if isinstance(value, tuple) else value
        selectors[f"{option} {shown}"] = finds(**{field.name: value}), hints.get(field.name, str)
    return _why(f"{name} has no events", finds(), selectors)


def near(word: str, known: Iterable[str]) -> str:
    """Return the words that say which of the known values is like one, or what there is."""
    values = list(dict.fromkeys(known))
    like = nearest(word, values)
    return f"did you mean {like}?" if like is not None else f"there are {_listed(values)}"


def _why(nothing: str, finds_any: Callable[[], bool], selectors: Selectors) -> list[str]:
    if not finds_any():
        return [nothing]
    lines = []
    for option, (finds, hint) in selectors.items():
        if not finds():
            lines.append("; ".join(filter(None, (f"nothing fits {option}", hint()))))
    if not lines and len(selectors) > 1:
        lines.append(f"each of {', '.join(selectors)} fits something, but nothing fits all of them")
    return lines


def _types(job: JobForm) -> str:
    texts = [metric.describe or metric.when for metric in job.metrics]
    listed = ", ".join(f"{index} ({text})" for index, text in enumerate(texts)) or "none"
    return f"the metrics are {listed}" + ("; detectors follow them" if job.detectors else "")


def _listed(values: Iterable[Any]) -> str:
    names = [str(value) for value in values]
    return ", ".join(names[:NAMED_MAX]) + (f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else "")


def _shown(key: Iterable[Any]) -> str:
    return " ".join("NULL" if part is None else str(part) for part in key)
