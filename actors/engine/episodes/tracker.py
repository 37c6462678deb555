"""The tracker: follows the episodes of an engine's metrics, batch by batch.

It looks at what the engine has computed for a batch anyway, and takes one step for each evaluation of the keys that
have an open episode or a true evaluation in the batch; all others change nothing. What changes is handed out by
`take`: episodes by id as they are now (`None` for pending ones that came to nothing), and *notices* of episodes that
fired or ended, each with the row at which that was seen.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from actors.engine.arguments import CheckedSettings
from actors.engine.episodes.episode import (
    Alert,
    Change,
    Episode,
    EpisodeId,
    EpisodeState,
    Evaluation,
    Lifecycle,
    Origin,
    Step,
    advance,
    end,
    follow,
)
from actors.engine.language.analysis import Metric, MetricKind
from actors.engine.language.program import Context, Node, Program, fired
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array, Type, Vector
from actors.engine.windows.windows import Closings

_LOW, _HIGH = ("lt", "le"), ("gt", "ge")


class Notice(NamedTuple):
    """An episode that has fired or ended."""

    offset: int
    """Offset of the row at which that was seen."""

    episode: Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeChanges:
    """What has become of episodes since they were last asked for."""

    changed: Mapping[EpisodeId, Episode | None]
    """Episodes by id as they are now; `None` for those that are gone."""

    notices: Sequence[Notice]
    """Those that have fired or ended, in the order of the rows at which that was seen."""


_Placed = tuple[tuple[int, int, int], Notice]
"""A notice with its place: arrival of the row, number of the window, metric."""


class View(NamedTuple):
    """What the engine has computed for a batch."""

    batch: Batch
    layout: Layout
    times: Array
    context: Context | None
    """What metrics of rows are evaluated in; `None` at a tick, where there are no rows."""

    closings: Closings | None
    over_windows: Context | None


class _Watch(NamedTuple):
    """One metric that is followed."""

    type: int
    rule: Lifecycle
    kind: MetricKind
    node: Node
    clear: Node | None
    value: Node | None
    is_peak_low: bool


class _Seen(NamedTuple):
    """Evaluations of one expression, in the order of keys and, within a key, of their happening."""

    keys: Array
    arrivals: Array
    """Position in the frame of the row, or of the row that closed the window."""

    windows: Array
    """Number of the window; above all of them for the row itself, which comes after the windows it closes."""

    times: Array
    is_true: Array
    places: Array
    """Position in what the expression was evaluated over."""

    values: Vector | None
    """What is measured, over the same."""


class EpisodeTracker:
    """Follows the metrics that have a `Lifecycle`; `split` is the split of the rows that come."""

    def __init__(
        self, metrics: Sequence[Metric], rules: Sequence[Lifecycle | None], program: Program, key_columns: Sequence[str]
    ) -> None:
        self._key_columns = tuple(key_columns)
        self._watches = [
            _watch(number, metric, rule, program)
            for number, (metric, rule) in enumerate(zip(metrics, rules, strict=True))
            if rule is not None
        ]
        self._alerts: dict[tuple[int, int], Alert] = {}
        self._changed: dict[EpisodeId, Episode | None] = {}
        self._notices: list[Notice] = []
        self.split = 0

    @property
    def held_nodes(self) -> list[Node]:
        """Clear expressions that look at the latest window at every row."""
        return [
            watch.clear
            for watch in self._watches
            if watch.clear is not None and watch.rule.clear is not None and watch.rule.clear.kind is MetricKind.MIXED
        ]

    def observe(self, view: View) -> None:
        """Take the evaluations of a batch."""
        found: list[_Placed] = []
        for watch in self._watches:
            self._follow(watch, view, found)
        found.sort(key=lambda pair: pair[0])
        self._notices += [notice for _, notice in found]

    def tick(self, time: int, offset: int) -> None:
        """Let the time of the split's keys pass, as seen at a row of the split."""
        rules = {watch.type: watch.rule for watch in self._watches}
        ended: list[Change] = []
        for place, alert in list(self._alerts.items()):
            if alert.episode.split == self.split:
                ended += self._put(place, *advance(alert, rules[place[0]], time))
        self._notices += [Notice(offset, change.episode) for change in sorted(ended) if change.episode is not None]

    def forget(self, numbers: Array, time: int, offset: int) -> None:
        """End the episodes of keys that are forgotten, as seen at a row; pending ones come to nothing."""
        gone = set(numbers.tolist())
        ended: list[Change] = []
        for place, alert in list(self._alerts.items()):
            if place[1] in gone:
                ended += self._put(place, None, [end(alert, time)])
        self._notices += [Notice(offset, change.episode) for change in sorted(ended) if change.episode is not None]

    def keep(self, numbers: Array) -> None:
        """Number the keys anew, of which those given are kept."""
        now = {number: place for place, number in enumerate(numbers.tolist())}
        self._alerts = {(kind, now[number]): alert for (kind, number), alert in self._alerts.items()}

    def take(self) -> EpisodeChanges:
        """Return what has changed since the last call."""
        changes = EpisodeChanges(changed=self._changed, notices=self._notices)
        self._changed, self._notices = {}, []
        return changes

    def open_episodes(self) -> list[Episode]:
        """Return the episodes that have not ended."""
        return [alert.episode for alert in self._alerts.values()]

    def _follow(self, watch: _Watch, view: View, found: list[_Placed]) -> None:
        active = np.array([number for kind, number in self._alerts if kind == watch.type], dtype=np.int64)
        offsets, frame, ordinals = view.batch.offsets, view.batch.frame, view.batch.ordinals
        for number, arrival, window, time, evaluation, value in _steps(watch, view, active):
            place = (watch.type, number)
            alert = self._alerts.get(place)
            if alert is None and evaluation != Evaluation.TRUE:
                continue
            offset = int(offsets[arrival])

            def origin(offset: int = offset, arrival: int = arrival) -> Origin:
                key = tuple(frame[name][arrival] for name in self._key_columns)
                ordinal = 0 if ordinals is None else int(ordinals[arrival])
                return Origin(split=self.split, offset=offset, type=watch.type, key=key, ordinal=ordinal)

            step = Step(time=time, evaluation=Evaluation(evaluation), value=value)
            for change in self._put(place, *follow(alert, watch.rule, step, origin, watch.is_peak_low)):
                if change.is_news and change.episode is not None:
                    found.append(((arrival, window, watch.type), Notice(offset, change.episode)))

    def _put(self, place: tuple[int, int], alert: Alert | None, changes: list[Change]) -> list[Change]:
        if alert is None:
            self._alerts.pop(place, None)
        else:
            self._alerts[place] = alert
        self._changed.update({change.id: change.episode for change in changes})
        return changes

    def state(self) -> dict[str, Array]:
        """Return the open episodes, a text for each, in the order of metrics and keys."""
        alerts = sorted(self._alerts.items(), key=lambda item: item[0])
        texts = [json.dumps((*place, alert.now, alert.cleared_at, *_stored(alert.episode))) for place, alert in alerts]
        return {"alerts": np.array(texts, dtype=object)}

    def load(self, state: Mapping[str, Array]) -> None:
        """Take over arrays that `state` gave; what was not taken is forgotten."""
        self._alerts, self._changed, self._notices = {}, {}, []
        for text in state["alerts"].tolist():
            kind, number, now, cleared_at, split, place, start, fired_at, last_true, count, peak, *key = json.loads(
                text
            )
            offset, ordinal = place if isinstance(place, list) else (place, 0)
            episode = Episode(
                split=split,
                offset=offset,
                type=kind,
                key=tuple(key),
                start=start,
                state=EpisodeState.PENDING if fired_at is None else EpisodeState.FIRING,
                fired_at=fired_at,
                last_true=last_true,
                count=count,
                peak=peak,
                ordinal=ordinal,
            )
            self._alerts[kind, number] = Alert(episode=episode, now=now, cleared_at=cleared_at)


def tracker_of(settings: CheckedSettings, program: Program) -> EpisodeTracker | None:
    """Return what follows the episodes of an engine, `None` without lifecycles."""
    if not settings.lifecycles:
        return None
    return EpisodeTracker(settings.metrics, settings.lifecycles, program, settings.key_columns)


def _stored(episode: Episode) -> tuple[Any, ...]:
    place = (episode.offset, episode.ordinal) if episode.ordinal else episode.offset
    begun = (episode.split, place, episode.start, episode.fired_at)
    return *begun, episode.last_true, episode.count, episode.peak, *episode.key


def _watch(number: int, metric: Metric, rule: Lifecycle, program: Program) -> _Watch:
    node = program.node(metric.term)
    value, is_low = _measured(node)
    clear = None if rule.clear is None else program.node(rule.clear.term)
    return _Watch(number, rule, metric.kind, node, clear, value, is_low)


def _measured(node: Node) -> tuple[Node | None, bool]:
    """Return the varying side of the first comparison by size, and whether a small value is the extreme one."""
    name = node.term.function.name if node.term.function is not None else ""
    if name in (*_LOW, *_HIGH):
        left, right = node.arguments
        varying, is_low = (left, name in _LOW) if left.constant is None else (right, name in _HIGH)
        return (varying, is_low) if varying.term.type in (Type.INT, Type.REAL) else (None, False)
    if node.term.is_aggregate:
        return None, False
    below = (_measured(argument) for argument in node.arguments)
    return next((found for found in below if found[0] is not None), (None, False))


def _steps(watch: _Watch, view: View, active: Array) -> Iterable[tuple[int, int, int, int, int, Any]]:
    """Give key, arrival, window, time, evaluation and value of each evaluation that may change something."""
    seen = _evaluated(watch.node, watch.kind, view, watch.value)
    codes = np.where(seen.is_true, int(Evaluation.TRUE), 0)
    if watch.clear is None:
        codes[~seen.is_true] = int(Evaluation.CLEAR)
    else:
        assert watch.rule.clear is not None
        clear = _evaluated(watch.clear, watch.rule.clear.kind, view, None)
        if (watch.kind is MetricKind.WINDOW) is (watch.rule.clear.kind is MetricKind.WINDOW):
            codes[_aligned(seen, clear) & ~seen.is_true] = int(Evaluation.CLEAR)
        else:
            seen, codes = _joined(seen, codes, clear)
    touched = np.union1d(active, seen.keys[codes == int(Evaluation.TRUE)])
    where = np.flatnonzero(np.isin(seen.keys, touched))
    if watch.rule.keep_firing == 0 and len(where):
        # Without a time to keep firing, the first of several evaluations that say the same has done everything.
        keys, chosen = seen.keys[where], codes[where]
        repeated = (keys[1:] == keys[:-1]) & (chosen[1:] == chosen[:-1]) & (chosen[1:] != int(Evaluation.TRUE))
        where = where[np.concatenate(([True], ~repeated))]
    columns = (seen.keys, seen.arrivals, seen.windows, seen.times, codes)
    return zip(*(column[where].tolist() for column in columns), _values(seen, where), strict=True)


def _evaluated(node: Node, kind: MetricKind, view: View, value: Node | None) -> _Seen:
    batch, layout, closings = view.batch, view.layout, view.closings
    keys = np.repeat(layout.numbers, layout.lengths)
    if kind is MetricKind.WINDOW:
        assert closings is not None
        assert view.over_windows is not None
        if not closings.count:
            return _nothing()
        context, count = view.over_windows, len(closings.row_counts)
        places = np.arange(closings.count) if closings.rooms is None else closings.rooms
        is_true = fired(context.value(node), count)[places]
        values = None if value is None else context.rows(value)
        numbers = np.arange(closings.count)
        rows = closings.rows
        return _Seen(keys[rows], batch.arrivals(rows), numbers, closings.ends, is_true, places, values)
    if view.context is None:
        return _nothing()
    places = np.arange(batch.row_count)
    if kind is MetricKind.MIXED:
        assert closings is not None
        if closings.held.computed is not None:
            places = np.flatnonzero(closings.held.computed)
    is_true = fired(view.context.value(node), batch.row_count)[places]
    values = None if value is None else view.context.rows(value)
    numbers = np.full(len(places), closings.count if closings is not None else 0)
    return _Seen(keys[places], batch.arrivals(places), numbers, view.times[places], is_true, places, values)


def _nothing() -> _Seen:
    none = np.zeros(0, dtype=np.int64)
    return _Seen(none, none, none, none, none.astype(np.bool_), none, None)


def _aligned(seen: _Seen, clear: _Seen) -> Array:
    """Return which of the evaluations seen come with a true clear expression; both are over rows, or over windows."""
    true_places = clear.places[clear.is_true] if len(clear.places) else clear.places
    if len(seen.windows) and len(clear.windows) == len(seen.windows) and (clear.places == seen.places).all():
        return clear.is_true
    return np.isin(seen.places, true_places)


def _joined(seen: _Seen, codes: Array, clear: _Seen) -> tuple[_Seen, Array]:
    """Put the true evaluations of a clear expression between those of a metric that happen at other moments."""
    cleared = np.flatnonzero(clear.is_true)
    pairs = zip(seen[:6], clear[:6], strict=True)
    columns = [np.concatenate((own, other[cleared])) for own, other in pairs]
    columns[4][len(codes) :] = False
    codes = np.concatenate((codes, np.full(len(cleared), int(Evaluation.CLEAR))))
    order = np.lexsort((columns[2], columns[1], columns[0]))
    keys, arrivals, windows, times, is_true, places = (column[order] for column in columns)
    return _Seen(keys, arrivals, windows, times, is_true, places, seen.values), codes[order]


def _values(seen: _Seen, where: Array) -> list[Any]:
    if seen.values is None:
        return [None] * len(where)
    # Only true evaluations are asked for their value; what a clear expression stands on may lie elsewhere.
    places = np.where(seen.is_true[where], seen.places[where], 0)
    values = seen.values.values[places].tolist()
    if seen.values.valid is None:
        return list(values)
    there = seen.values.valid[places].tolist()
    return [value if is_there else None for value, is_there in zip(values, there, strict=True)]
