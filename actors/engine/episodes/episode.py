"""Episodes: the times during which a metric held for a key, made of its single evaluations. Pure; event time only.

An *evaluation* is true, clear or neither. The first true one begins an episode, which is *pending* until a true
evaluation comes at least `hold` after the first; then it is *firing*. An evaluation that is not true ends a
pending episode as if it had not been. A firing one ends at the first clear evaluation after its last true one, but not
before `keep_firing` has passed since that; its end does not depend on when time is seen to have passed it.
While its key is absent a firing episode is *no data*: it does not end, and the key's next evaluation says whether it
goes on or has ended. Of a pending one nothing remains, and neither does when rows of its key are too far apart.
Within an alert time never goes back: an evaluation with an earlier time counts as one of the latest time seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.durations import Duration

if TYPE_CHECKING:
    from actors.engine.language.terms import Metric


class Evaluation(IntEnum):
    """What a metric and its clear expression said of one row or window."""

    NEITHER = 0
    CLEAR = 1
    TRUE = 2


class EpisodeState(StrEnum):
    """How far an episode has come."""

    PENDING = "pending"
    FIRING = "firing"
    NO_DATA = "no data"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleSettings:
    """How the anomalies of one metric become episodes, as it is asked for; see `Lifecycle`."""

    hold: Duration = 0
    keep_firing: Duration = 0
    clear: str | None = None

    is_implied: bool = False
    """Whether nobody has asked for it by itself, so that an engine without it has the same state but for episodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """How the anomalies of one metric become episodes."""

    hold: int = 0
    """Time, in units of the time column, for which the metric must hold before an episode fires."""

    keep_firing: int = 0
    """Time after the last true evaluation before which an episode does not end."""

    clear: "Metric | None" = None
    """What ends an episode; `None`: an evaluation that is not true."""

    is_implied: bool = False
    """Whether snapshots of an engine without it are taken, and the other way round."""


EpisodeId = tuple[int, int, int, int, int]
"""Split, offset, type, start, ordinal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One episode of one metric and key."""

    split: int
    """Split of the rows."""

    offset: int
    """Offset of the row that began it."""

    type: int
    """Position of the metric."""

    key: tuple[Any, ...]
    start: int
    """Time of the first true evaluation."""

    state: EpisodeState = EpisodeState.PENDING
    fired_at: int | None = None
    """Time of the evaluation that made it fire; `None` while it is pending."""

    end: int | None = None
    """Time at which it ended; `None` before."""

    last_true: int = 0
    """Time of the last true evaluation."""

    count: int = 0
    """True evaluations, each of which is an anomaly."""

    peak: float | int | None = None
    """Most extreme value of the metric's first comparison by size; `None` if it has none, or only NULL."""

    ordinal: int = 0
    """Sets episodes apart that began at one tick; 0 for those that began at a row of their own."""

    turned_at: int | None = None
    """Time at which its key was last found absent, or went on after that; `None` if it never was."""

    @property
    def since(self) -> int:
        """Time from which it has its state."""
        times = (self.end, self.turned_at, self.fired_at, self.start)
        return next(time for time in times if time is not None)

    @property
    def id(self) -> EpisodeId:
        """What no other episode of the job shares."""
        return self.split, self.offset, self.type, self.start, self.ordinal


@dataclass(slots=True)
class Alert:
    """The open episode of one metric and key."""

    episode: Episode
    now: int
    """Latest time of a true or clear evaluation."""

    cleared_at: int | None = None
    """Time of the first clear evaluation since the last true one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One evaluation as it is given to an alert."""

    time: int
    evaluation: Evaluation
    value: float | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an episode would begin."""

    split: int
    offset: int
    type: int
    key: tuple[Any, ...] = field(default=())
    ordinal: int = 0


class Change(NamedTuple):
    """What has become of an episode."""

    id: EpisodeId
    episode: Episode | None
    """As it is now; `None`: it was pending and is gone."""

    is_news: bool
    """Whether it has fired, lost its key, found it again, or ended with this change."""


def advance(alert: Alert | None, rule: Lifecycle, time: int) -> tuple[Alert | None, list[Change]]:
    """Let time pass; return what is open then, and the change."""
    if alert is None:
        return None, []
    if alert.cleared_at is None or alert.episode.state is EpisodeState.NO_DATA:
        return alert, []
    end = max(alert.cleared_at, alert.episode.last_true + rule.keep_firing)
    if max(alert.now, time) < end:
        return alert, []
    ended = replace(alert.episode, state=EpisodeState.RESOLVED, end=end)
    return None, [Change(ended.id, ended, True)]


def end(alert: Alert, time: int) -> Change:
    """Return what becomes of an episode whose key is forgotten at a time."""
    if alert.episode.state is EpisodeState.PENDING:
        return Change(alert.episode.id, None, False)
    is_silent = alert.episode.state is EpisodeState.NO_DATA
    # Nobody has seen that it is over.
    state = EpisodeState.NO_DATA if is_silent else EpisodeState.RESOLVED
    ended = replace(alert.episode, state=state, end=max(alert.now, time))
    return Change(ended.id, ended, True)


def interrupt(alert: Alert, time: int) -> tuple[Alert | None, list[Change]]:
    """Take that its key has been absent since a time; return what is open then, and the change."""
    if alert.episode.state is EpisodeState.PENDING:
        return None, [Change(alert.episode.id, None, False)]
    if alert.episode.state is EpisodeState.NO_DATA:
        return alert, []
    # What was clear before says nothing of now.
    alert.now, alert.cleared_at = max(alert.now, time), None
    alert.episode = replace(alert.episode, state=EpisodeState.NO_DATA, turned_at=alert.now)
    return alert, [Change(alert.episode.id, alert.episode, True)]


def follow(
    alert: Alert | None, rule: Lifecycle, step: Step, origin: Callable[[], Origin], is_peak_low: bool
) -> tuple[Alert | None, list[Change]]:
    """Take one evaluation; return what is open then, and the changes in their order."""
    alert, changes = advance(alert, rule, step.time)
    found_again = None
    if alert is not None and alert.episode.state is EpisodeState.NO_DATA:
        alert.now = max(alert.now, step.time)
        alert.episode = found_again = replace(alert.episode, state=EpisodeState.FIRING, turned_at=alert.now)
    if step.evaluation is Evaluation.TRUE:
        alert = _begin(origin(), step.time) if alert is None else alert
        before = alert.episode
        alert.now = max(alert.now, step.time)
        _hold(alert, rule, step, is_peak_low)
        is_news = alert.episode.state is not before.state or found_again is not None
        changes.append(Change(before.id, alert.episode, is_news))
    elif alert is not None and alert.episode.state is EpisodeState.PENDING:
        changes.append(Change(alert.episode.id, None, False))
        alert = None
    elif alert is not None and step.evaluation is Evaluation.CLEAR and alert.cleared_at is None:
        alert.cleared_at = alert.now = max(alert.now, step.time)
        alert, ended = advance(alert, rule, step.time)
        changes += ended
    if found_again is not None and not changes:
        changes.append(Change(found_again.id, found_again, True))
    return alert, changes


def _begin(origin: Origin, time: int) -> Alert:
    begun = Episode(
        split=origin.split,
        offset=origin.offset,
        type=origin.type,
        key=origin.key,
        start=time,
        ordinal=origin.ordinal,
    )
    return Alert(episode=begun, now=time)


def _hold(alert: Alert, rule: Lifecycle, step: Step, is_peak_low: bool) -> None:
    before, now = alert.episode, alert.now
    fires = before.fired_at is None and now - before.start >= rule.hold
    alert.cleared_at = None
    alert.episode = replace(
        before,
        state=EpisodeState.FIRING if fires else before.state,
        fired_at=now if fires else before.fired_at,
        last_true=now,
        count=before.count + 1,
        peak=_peak(before.peak, step.value, is_peak_low),
    )


def _peak(known: float | None, value: float | None, is_low: bool) -> float | int | None:
    if known is None or value is None:
        return value if known is None else known
    return min(known, value) if is_low else max(known, value)
