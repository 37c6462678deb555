"""A policy of notifications that remembers everything and looks at all of it again in every step."""

import json
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from actors.sink.protocol import SinkRecord
from config.settings import JobSettings
from raft.records import SilenceRecord


@dataclass(slots=True)
class NaiveEpisode:
    """One episode, with all that was ever said of it."""

    key: dict[str, str]
    metric: Any
    partition: int
    since: int = 0
    """When there was news again."""

    notices: list[tuple[int, SinkRecord, bool]] = field(default_factory=list)
    """When each came, in seconds, and whether the episode was over by it."""

    settled: list[int] = field(default_factory=list)
    """Positions of the notices that were said, counted, or will never be."""

    told_at: list[int] = field(default_factory=list)
    """When people were told of it by name."""

    counted_at: list[int] = field(default_factory=list)
    """When it was counted in place of that."""

    @property
    def is_over(self) -> bool:
        return self.notices[-1][2]

    @property
    def news(self) -> list[tuple[int, SinkRecord, bool]]:
        return [one for number, one in enumerate(self.notices) if number not in self.settled]

    def settle(self, notice: SinkRecord | None = None) -> None:
        self.settled += [
            number
            for number, (_, one, _) in enumerate(self.notices)
            if number not in self.settled and (notice is None or one is notice)
        ]


Said = tuple[str, tuple[Any, ...]]
"""The kind of a notification, and the ids that it is about, or counts by type."""


class NaivePolicy:
    """What people are told, step by step; times are whole seconds."""

    def __init__(self, job: JobSettings) -> None:
        assert job.notifications is not None
        self._job = job
        self._settings = job.notifications
        self._episodes: dict[Any, NaiveEpisode] = {}
        self._sent: list[int] = []
        self._counted: list[tuple[int, int, str]] = []
        self.never: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()

    def take(self, now: int, name: Any, one: SinkRecord, *, is_over: bool) -> None:
        """Take a notice of the episode of this name."""
        key = dict(zip(self._job.key_columns, map(str, one.key), strict=True))
        known = self._episodes.setdefault(name, NaiveEpisode(key, self._job.metrics[one.type], one.partition))
        if not known.news:
            known.since = now
        known.notices.append((now, one, is_over))
        if len(known.news) > 4:
            # What lies between the first and the newest is left out.
            known.settle(known.news[1][1])

    def step(self, now: int, silences: list[SilenceRecord]) -> list[Said]:
        """Return what is said at a time."""
        said: list[Said] = []
        while True:
            found, is_done = self._look(now, silences)
            said += found
            if is_done:
                return said

    def _look(self, now: int, silences: list[SilenceRecord]) -> tuple[list[Said], bool]:
        """Return what is said, and whether there is nothing more to look at."""
        said: list[Said] = []
        self.withheld.clear()
        self._leave_out(now, silences)
        rate, settings = self._settings.rate, self._settings

        def has_room() -> bool:
            return rate is None or sum(at > now - rate.per for at in self._sent) < rate.max

        if self._counted and has_room() and (rate is None or self._counted[0][0] + rate.per <= now):
            found: dict[int, list[int]] = {}
            for _, kind, what in self._counted:
                found.setdefault(kind, [0, 0])[what == "ended"] += 1
            said.append(("digest", tuple((kind, *counts) for kind, counts in sorted(found.items()))))
            self._sent.append(now)
            self._counted.clear()
        news = [one for one in self._episodes.values() if one.news and self._reason(one, now, silences) is None]
        due: dict[Any, int] = {}
        for one in news:
            due[self._group(one)] = min(due.get(self._group(one), now), one.since)
        for at, group in sorted((at, group) for group, at in due.items()):
            if at + settings.group_wait > now:
                continue
            some = [one for one in news if self._group(one) == group]
            some.sort(key=lambda one: (one.news[0][1].id, one.partition))
            items = [(one, record, is_over) for one in some for _, record, is_over in one.news]
            for part in self._parts(items):
                has_some = has_room()
                if has_some:
                    said.append(("notice", tuple(record.id for _, record, _ in part)))
                    self._sent.append(now)
                elif said:
                    # What was said is known before anything is counted.
                    return said, False
                for one, record, is_over in part:
                    one.settle(record)
                    if has_some:
                        one.told_at.append(now)
                    else:
                        self._count(one, now, is_over=is_over)
        said += self._repeats(now, silences, has_room)
        return said, True

    def _count(self, one: NaiveEpisode, now: int, *, is_over: bool) -> None:
        kind = one.notices[0][1].type
        if not one.told_at and not one.counted_at:
            self._counted.append((now, kind, "began"))
        if is_over:
            self._counted.append((now, kind, "ended"))
        one.counted_at.append(now)

    def _leave_out(self, now: int, silences: list[SilenceRecord]) -> None:
        reasons = [(one, self._reason(one, now, silences)) for one in self._episodes.values() if one.news]
        for one, reason in reasons:
            if reason is not None and one.is_over and not one.told_at:
                one.settle()
                if one.counted_at:
                    self._counted.append((now, one.notices[0][1].type, "ended"))
                else:
                    self.never[reason] += 1
            elif reason is not None:
                self.withheld[reason] += 1
            elif one.counted_at and not one.told_at:
                one.settle()
                if one.is_over:
                    self._counted.append((now, one.notices[0][1].type, "ended"))
                    one.counted_at.append(now)

    def _repeats(self, now: int, silences: list[SilenceRecord], has_room: Any) -> list[Said]:
        said: list[Said] = []
        after = self._settings.repeat_after
        groups: dict[Any, list[NaiveEpisode]] = {}
        for one in self._episodes.values():
            # What was said just now is not said again with what is due.
            is_told = any(at < now for at in one.told_at + one.counted_at) and now not in one.told_at + one.counted_at
            if is_told and not one.news and not one.is_over and self._reason(one, now, silences) is None:
                groups.setdefault(self._group(one), []).append(one)
        for _, some in sorted(groups.items(), key=lambda item: item[0]):
            if after is None or min(max(one.told_at + one.counted_at) for one in some) + after > now:
                continue
            some.sort(key=lambda one: (one.notices[-1][1].id, one.partition))
            for part in self._parts(some):
                if not has_room():
                    break
                said.append(("repeat", tuple(one.notices[-1][1].id for one in part)))
                self._sent.append(now)
                for one in part:
                    one.told_at.append(now)
        return said

    def _parts(self, items: list[Any]) -> list[list[Any]]:
        size = self._settings.items_max if self._settings.group_by else 1
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _group(self, one: NaiveEpisode) -> tuple[str, ...]:
        known = {**one.key, "metric": one.metric.id, "severity": one.metric.severity or ""}
        return tuple(known[name] for name in self._settings.group_by or ("metric", *self._job.key_columns))

    def _reason(self, one: NaiveEpisode, now: int, silences: list[SilenceRecord]) -> str | None:
        if any(self._is_silenced(one, now, silence) for silence in silences):
            return "silenced"
        if self._settings.mutes(now * 1_000_000):
            return "muted"
        for by in one.metric.inhibited_by:
            columns = self._job.key_columns if by.equal is None else by.equal
            for other in self._episodes.values():
                is_same = all(other.key[name] == one.key[name] for name in columns)
                if other.metric.id != by.id or not is_same:
                    continue
                if not other.is_over:
                    return "inhibited"
                # Whose end was not told yet inhibits what was over by then.
                is_known = bool(other.news and (other.told_at or other.counted_at))
                if is_known and one.is_over and not (one.told_at or one.counted_at) and _covers(other, one):
                    return "inhibited"
        return None

    def _is_silenced(self, one: NaiveEpisode, now: int, silence: SilenceRecord) -> bool:
        return (
            silence.start_us <= now * 1_000_000 < silence.end_us
            and (not silence.metric or any(fnmatchcase(one.metric.id, text) for text in silence.metric))
            and (not silence.severity or one.metric.severity in silence.severity)
            and all(
                any(fnmatchcase(one.key[name], text) for other, text in silence.key if other == name)
                for name, _ in silence.key
            )
        )


def _covers(other: NaiveEpisode, one: NaiveEpisode) -> bool:
    spans = []
    for episode in (other, one):
        told = json.loads(episode.notices[-1][1].detail or "")["episode"]
        spans.append((told["start"], told["end"]))
    (first, last), (start, end) = spans
    return bool(first <= start and end <= last)
