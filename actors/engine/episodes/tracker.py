"""The tracker: follows the episodes of an engine's metrics, batch by batch.

It looks at what the engine has computed for a batch anyway, and takes one step for each evaluation of the keys that
have an open episode or a true evaluation in the batch; all others change nothing. What changes is handed out by
`take`: episodes by id as they are now (`None` for pending ones that came to nothing), and *notices* of episodes that
fired or ended, each with the row at which that was seen.
"""

import json
from collections.abc import Mapping, Sequence
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
    Origin,
    Step,
    advance,
    end,
    follow,
    interrupt,
)
from actors.engine.episodes.evaluations import Watch, steps, watch_of
from actors.engine.episodes.gaps import WindowGaps
from actors.engine.evaluated import Evaluated
from actors.engine.keys.idle import KeyState
from actors.engine.language.program import Node, Program
from actors.engine.language.terms import MetricKind
from actors.engine.vectors.vector import Array


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


class NoEpisodes:
    """Stands for the tracker where no metric has a lifecycle."""

    looked_at: Sequence[Node] = ()
    split = 0

    def observe(self, evaluated: Evaluated) -> None:
        """Follow nothing."""

    def tick(self, time: int, offset: int) -> None:
        """End nothing."""

    def forget(self, numbers: Array, time: int, offset: int) -> None:
        """End nothing."""

    def note_absent(self, since: Mapping[tuple[Any, ...], int], offset: int) -> None:
        """Interrupt nothing."""

    def keep(self, numbers: Array) -> None:
        """Number nothing."""

    def take(self) -> EpisodeChanges:
        """Return that nothing has changed."""
        return EpisodeChanges(changed={}, notices=())

    def open_episodes(self) -> list[Episode]:
        """Return that none is open."""
        return []


class EpisodeTracker:
    """Follows the metrics that have a `Lifecycle`; `split` is the split of the rows that come."""

    def __init__(self, settings: CheckedSettings, program: Program) -> None:
        self._key_columns = settings.key_columns
        pairs = zip(settings.metrics, settings.lifecycles, strict=True)
        self._watches = [
            watch_of(number, metric, rule, program) for number, (metric, rule) in enumerate(pairs) if rule is not None
        ]
        # The open episode of each metric and key number.
        self._alerts: dict[tuple[int, int], Alert] = {}
        self._changed: dict[EpisodeId, Episode | None] = {}
        self._notices: list[Notice] = []
        self._absent_after = settings.absent_after
        self.split = 0

    @property
    def looked_at(self) -> Sequence[Node]:
        """Clear expressions that look at the latest window at every row."""
        return [
            watch.clear
            for watch in self._watches
            if watch.clear is not None and watch.rule.clear is not None and watch.rule.clear.kind is MetricKind.MIXED
        ]

    def observe(self, evaluated: Evaluated) -> None:
        """Take the evaluations of a batch."""
        found: list[_Placed] = []
        for watch in self._watches:
            self._follow(watch, evaluated, found)
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

    def note_absent(self, since: Mapping[tuple[Any, ...], int], offset: int) -> None:
        """Take that keys of the split are absent, each since a time, as seen at a row."""
        changes: list[Change] = []
        for place, alert in list(self._alerts.items()):
            if alert.episode.split == self.split and alert.episode.key in since:
                changes += self._put(place, *interrupt(alert, since[alert.episode.key]))
        self._notices += [Notice(offset, one.episode) for one in sorted(changes) if one.episode is not None]

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

    def _follow(self, watch: Watch, evaluated: Evaluated, found: list[_Placed]) -> None:
        active = np.array([number for kind, number in self._alerts if kind == watch.type], dtype=np.int64)
        batch = evaluated.batch
        offsets, frame, ordinals = batch.offsets, batch.frame, batch.ordinals
        has_gaps = self._absent_after > 0 and watch.rule.hold > 0
        gaps = WindowGaps(evaluated, self._absent_after) if has_gaps and watch.kind is MetricKind.WINDOW else None
        for number, arrival, window, time, evaluation, value in steps(watch, evaluated, active):
            place = (watch.type, number)
            alert = self._alerts.get(place)
            if gaps is not None:
                is_apart = gaps.pass_to(number, arrival, time)
            else:
                # What is pending was true at the row before, so that its time is known.
                is_apart = has_gaps and alert is not None and time > alert.now + self._absent_after
            if is_apart:
                alert = self._come_to_nothing(place, alert)
            if alert is None and evaluation != Evaluation.TRUE:
                continue
            if alert is not None and evaluated.is_tick and alert.episode.state is EpisodeState.NO_DATA:
                # A window that time has closed is none that rows have come for.
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
        if gaps is not None:
            for number in gaps.left([one for kind, one in self._alerts if kind == watch.type]):
                self._come_to_nothing((watch.type, number), self._alerts[watch.type, number])

    def _come_to_nothing(self, place: tuple[int, int], alert: Alert | None) -> Alert | None:
        """End a pending episode whose key has had no row for too long; return what is open then."""
        if alert is None or not _is_pending(alert):
            return alert
        self._put(place, None, [Change(alert.episode.id, None, False)])
        return None

    def _put(self, place: tuple[int, int], alert: Alert | None, changes: list[Change]) -> list[Change]:
        if alert is None:
            self._alerts.pop(place, None)
        else:
            self._alerts[place] = alert
        self._changed.update({change.id: change.episode for change in changes})
        return changes

    def keyed(self) -> Sequence[KeyState]:
        """Return no part: episodes that end when their key is forgotten are known by `take`."""
        return []

    def validate(self, key_count: int) -> None:
        """Assert what is always true."""
        types = {watch.type for watch in self._watches}
        for (kind, number), alert in self._alerts.items():
            assert kind in types
            assert kind == alert.episode.type
            assert 0 <= number < key_count, (number, key_count)
            assert alert.episode.start <= alert.episode.last_true <= alert.now
            assert (alert.episode.fired_at is None) == _is_pending(alert)
            assert alert.episode.state is not EpisodeState.NO_DATA or alert.episode.turned_at is not None

    def state(self) -> dict[str, Array]:
        """Return the open episodes, a text for each, in the order of metrics and keys."""
        alerts = sorted(self._alerts.items(), key=lambda item: item[0])
        texts = [
            json.dumps((*place, _stored_now(alert), alert.cleared_at, *_stored(alert.episode)))
            for place, alert in alerts
        ]
        return {"alerts": np.array(texts, dtype=object)}

    def load(self, state: Mapping[str, Array]) -> None:
        """Take over arrays that `state` gave; what was not taken is forgotten."""
        self._alerts, self._changed, self._notices = {}, {}, []
        types = {watch.type for watch in self._watches}
        for text in state["alerts"].tolist():
            kind, number, now, cleared_at, split, place, start, fired_at, last_true, count, peak, *key = json.loads(
                text
            )
            if kind not in types:
                # What asked for its episodes is gone.
                continue
            offset, ordinal = place if isinstance(place, list) else (place, 0)
            latest, turned, turned_at = now if isinstance(now, list) else (now, None, None)
            known = EpisodeState.PENDING if fired_at is None else EpisodeState.FIRING
            episode = Episode(
                split=split,
                offset=offset,
                type=kind,
                key=tuple(key),
                start=start,
                state=known if turned is None else EpisodeState(turned),
                fired_at=fired_at,
                last_true=last_true,
                count=count,
                peak=peak,
                ordinal=ordinal,
                turned_at=turned_at,
            )
            self._alerts[kind, number] = Alert(episode=episode, now=latest, cleared_at=cleared_at)


def _stored_now(alert: Alert) -> Any:
    """Return the latest time of an alert and, if its key has been absent, its state and since when it has that."""
    turned_at = alert.episode.turned_at
    return alert.now if turned_at is None else (alert.now, str(alert.episode.state), turned_at)


def _is_pending(alert: Alert) -> bool:
    return alert.episode.state is EpisodeState.PENDING


def _stored(episode: Episode) -> tuple[Any, ...]:
    place = (episode.offset, episode.ordinal) if episode.ordinal else episode.offset
    begun = (episode.split, place, episode.start, episode.fired_at)
    return *begun, episode.last_true, episode.count, episode.peak, *episode.key
