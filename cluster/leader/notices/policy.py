"""The policy: when a sink of people is told of which episodes. Pure: time, silences and notices are given to it.

It knows the standings of all partitions of the job (`actors.partition.notices`) and decides in steps. News of a group
wait `group_wait` for more. What is *withheld* (silenced, muted, inhibited) stays as it is: an episode that goes on when
it is withheld no longer is told of then, one that has ended meanwhile never is, and is counted. What a rate cap does
not let through is *counted* at once, and a digest says how much that was. Who was told of a beginning is told the end.

Nothing here is kept but in standings, tallies and intents, so that who begins anew with these decides the same.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from actors.model import AnomalyId
from actors.partition.notices import Counts, NoticeOp, Standing, Tally, Told
from actors.sink.protocol import SinkRecord
from cluster.leader.notices.intents import DIGEST, NOTICE, REPEAT, Intent, Item, name_of
from cluster.leader.notices.rules import Facts, Group, NoticeRules, fits_silence, silences_now
from raft.records import SilenceRecord

SILENCED, MUTED, INHIBITED = "silenced", "muted", "inhibited"

INTENT_COUNT_MAX = 250
"""Notifications of one decision, which costs a look at all episodes with news: 10 us of CPU for each."""

ITEM_COUNT_MAX = 1000
"""Items of all of them; what is more is decided next."""

OP_COUNT_MAX = 1000
"""Notices that one decision settles without saying anything."""

NEVER_US = 1 << 62

Ref = tuple[int, bytes]
"""Partition and name of an episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done before anything else is decided: one or the other, and nothing of it is done yet.

    So who begins anew in between decides the same.
    """

    ops: Mapping[int, Sequence[NoticeOp]] = field(default_factory=dict)
    """What nobody is told of by name, by partition."""

    intents: tuple[Intent, ...] = ()
    """Notifications to be sent, in this order."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.ops and not self.intents


@dataclass(slots=True)
class _Known:
    standing: Standing
    facts: Facts
    silences: tuple[str, ...] | None = None
    """Silences that `is_silenced` was found for."""
    is_silenced: bool = False


class Policy:
    """Decides for one sink of a job."""

    def __init__(self, rules: NoticeRules) -> None:
        self._rules = rules
        self._settings = rules.settings
        self._known: dict[Ref, _Known] = {}
        self._tallies: dict[int, Tally] = {}
        self._inhibiting: Counter[tuple[int, tuple[str, ...], tuple[str, ...]]] = Counter()
        self._ended: dict[tuple[int, tuple[str, ...], tuple[str, ...]], list[tuple[int, int]]] = {}
        self._sent_us: list[int] = []
        self._kept: dict[str, Intent] = {}
        self._said: dict[tuple[Ref, AnomalyId], str] = {}
        self._open: dict[str, None] = {}
        self._sent: set[str] = set()
        self._withheld: Counter[str] = Counter()
        self._waiting_count = 0
        self._quiet: tuple[object, int] | None = None

    @property
    def withheld(self) -> dict[str, int]:
        """Episodes with news that are withheld, by the reason."""
        return dict(self._withheld)

    @property
    def waiting_count(self) -> int:
        """Episodes with news that wait for others of their group."""
        return self._waiting_count

    @property
    def never(self) -> dict[str, int]:
        """Episodes of which nobody was told by name, by the reason."""
        found: Counter[str] = Counter()
        for tally in self._tallies.values():
            found.update(tally.never)
        return dict(found)

    @property
    def untold_count(self) -> int:
        """Episodes that have news."""
        return sum(bool(known.standing.untold) for known in self._known.values())

    @property
    def counted(self) -> int:
        """Notices that the next digest will tell of."""
        return sum(began + ended for tally in self._tallies.values() for began, ended in tally.counted.values())

    @property
    def open_intents(self) -> list[Intent]:
        """Notifications that are to be sent, or noted, before anything else is decided; in order."""
        return [self._kept[name] for name in self._open]

    def records_of(self, intent: Intent) -> tuple[SinkRecord, ...]:
        """Return what the notices of an intent say, as far as it is known."""
        found = []
        for item in intent.items:
            known = self._known.get((item.partition, item.place))
            about = () if known is None else (*known.standing.untold, known.standing.last)
            found += [one for one in about if one.id == item.notice or intent.kind == REPEAT][:1]
        return tuple(found)

    def is_sent(self, intent: Intent) -> bool:
        """Return whether a receiver is known to have a notification, so that it is only to be noted."""
        return intent.id in self._sent

    def old_intents(self, before_us: int) -> tuple[str, ...]:
        """Return those that are carried out, and were decided before a time."""
        return tuple(one.id for one in self._kept.values() if one.id not in self._open and one.at_us < before_us)

    def load(
        self,
        standings: Iterable[Standing],
        tallies: Mapping[int, Tally],
        intents: Iterable[Intent],
        sent_us: Sequence[int],
    ) -> None:
        """Begin anew with what is kept of before."""
        self._known.clear()
        self._inhibiting.clear()
        self._kept.clear()
        self._said.clear()
        self._open.clear()
        self._sent.clear()
        self._tallies = dict(tallies)
        self._sent_us = list(sent_us)
        rows = {(one.partition, one.place): one for one in standings}
        for one in rows.values():
            self._put(one)
        for intent in intents:
            self._keep(intent)
            noted = self._noted(intent, rows)
            if False in noted:
                self._open[intent.id] = None
                if True in noted:
                    # Nothing is noted before it is sent.
                    self._sent.add(intent.id)
        self._quiet = None

    def take(self, standings: Iterable[Standing]) -> None:
        """Know standings as they are now."""
        for one in standings:
            self._put(one)
            for record in one.untold:
                name = self._said.get(((one.partition, one.place), record.id))
                if name is not None:
                    # A second copy of the partition, which did not know yet.
                    self._open.setdefault(name)
            self._quiet = None

    def apply(self, ops: Mapping[int, Sequence[NoticeOp]]) -> None:
        """Know that this is noted."""
        for partition, some in ops.items():
            for op in some:
                known = self._known.get((partition, op.place))
                if known is None:
                    continue
                tally = self._tallies.get(partition, Tally())
                self._tallies[partition] = tally.counting(known.standing, op)
                left = known.standing.after(op)
                if left is None or not self._needs(left, known.facts):
                    self._remove((partition, op.place))
                else:
                    known.standing = left
        self._quiet = None

    def begin(self, intents: Sequence[Intent]) -> None:
        """Know that the group has these, so that they may be sent."""
        for one in intents:
            self._keep(one)
            self._open[one.id] = None
        if self._settings.rate is not None:
            self._sent_us = [*self._sent_us, *(one.at_us for one in intents)][-self._settings.rate.max :]

    def note_sent(self, intent: Intent) -> None:
        """Know that the receiver has it."""
        self._sent.add(intent.id)

    def settle(self, intent: Intent) -> None:
        """Know that it is noted that a notification was sent."""
        self.apply(ops_of(intent))
        for partition, counts in digest_counts(intent).items():
            self._tallies[partition] = self._tallies.get(partition, Tally()).without(counts, intent.at_us)
        self._open.pop(intent.id, None)
        self._quiet = None

    def drop(self, names: Iterable[str]) -> None:
        """Forget intents that the group has forgotten."""
        for name in names:
            intent = self._kept.pop(name, None)
            self._sent.discard(name)
            for one in () if intent is None else intent.items:
                self._said.pop(((one.partition, one.place), one.notice), None)

    def _keep(self, intent: Intent) -> None:
        self._kept[intent.id] = intent
        for one in intent.items if intent.kind == NOTICE else ():
            self._said[((one.partition, one.place), one.notice)] = intent.id

    def _put(self, one: Standing) -> None:
        ref = (one.partition, one.place)
        known = self._known.get(ref)
        if known is None:
            facts = self._rules.facts(one.last)
            if not self._needs(one, facts):
                return
            known = self._known[ref] = _Known(one, facts)
            if not one.is_over:
                self._inhibiting.update(known.facts.inhibits)
        else:
            if one.is_over and not known.standing.is_over:
                self._inhibiting.subtract(known.facts.inhibits)
            known.standing = one

    def _needs(self, one: Standing, facts: Facts) -> bool:
        """Return whether an episode may have to do with what is decided before it has news again."""
        return bool(one.untold or facts.inhibits or self._settings.repeat_after is not None)

    def _remove(self, ref: Ref) -> None:
        known = self._known.pop(ref)
        if not known.standing.is_over:
            self._inhibiting.subtract(known.facts.inhibits)

    def _noted(self, intent: Intent, rows: Mapping[Ref, Standing]) -> list[bool | None]:
        """Return of each part of an intent whether it is noted, `None` where nothing is known of the episode."""
        if intent.kind == DIGEST:
            partitions = {count[0] for count in intent.counts}
            return [self._tallies.get(one, Tally()).digest_us >= intent.at_us for one in sorted(partitions)]
        found: list[bool | None] = []
        for item in intent.items:
            row = rows.get((item.partition, item.place))
            if row is None:
                found.append(None)
            elif intent.kind == REPEAT:
                found.append(row.told_us >= intent.at_us)
            else:
                found.append(all(one.id > item.notice for one in row.untold))
        return found

    def decide(self, now_us: int, silences: Mapping[str, SilenceRecord], *, is_last: bool = False) -> Decision:
        """Return what is to be done now; with `is_last` groups wait no longer. Nothing may be open."""
        assert not self._open, "what was decided comes first"
        context = (silences_now(silences, self._rules.job_name, now_us), self._settings.mutes(now_us), is_last)
        if self._quiet is not None and self._quiet[0] == context and now_us < self._quiet[1]:
            return Decision()
        found = _Deciding(self._rules, now_us, is_last=is_last)
        self._withheld.clear()
        self._ended = self._just_ended()
        for ref, known in self._known.items():
            self._look_at(found, ref, known, context[0], silences, is_muted=context[1])
        counted = [
            (partition, kind, began, ended)
            for partition, tally in sorted(self._tallies.items())
            for kind, (began, ended) in sorted(tally.counted.items())
        ]
        since_us = min((tally.since_us for tally in self._tallies.values() if tally.counted), default=0)
        last_us = max((tally.digest_us for tally in self._tallies.values()), default=0)
        found.decide(self._sent_us, counted, since_us, last_us)
        self._waiting_count = found.waiting_count
        decision = found.decision
        if decision.is_empty:
            self._quiet = (context, found.next_us)
        return decision

    def _look_at(
        self,
        found: "_Deciding",
        ref: Ref,
        known: _Known,
        active: tuple[str, ...],
        silences: Mapping[str, SilenceRecord],
        *,
        is_muted: bool,
    ) -> None:
        one = known.standing
        if not known.facts.is_wanted:
            if one.untold:
                found.note(ref, NoticeOp(place=one.place, through=one.untold[-1].id))
            return
        if not one.untold and (one.told is Told.NEVER or self._settings.repeat_after is None):
            return
        reason = self._reason(known, active, silences, is_muted=is_muted)
        if not one.untold:
            if reason is None:
                found.goes_on(known.facts.group, one)
        elif reason is not None:
            if one.is_over and one.told is not Told.TOLD:
                told = None if one.told is Told.NEVER else Told.COUNTED
                op = NoticeOp(place=one.place, through=one.last.id, told=told, at_us=found.now_us, reason=reason)
                found.note(ref, op)
            else:
                self._withheld[reason] += 1
        elif one.told is Told.COUNTED:
            # Who was told of a number is told of a number.
            told = Told.COUNTED if one.is_over else None
            found.note(ref, NoticeOp(place=one.place, through=one.last.id, told=told, at_us=found.now_us))
        else:
            found.news(known.facts.group, one)

    def _reason(
        self, known: _Known, active: tuple[str, ...], silences: Mapping[str, SilenceRecord], *, is_muted: bool
    ) -> str | None:
        """Return why nobody is to be told of an episode now, `None` when somebody is."""
        if known.silences != active:
            known.silences = active
            known.is_silenced = any(fits_silence(silences[name], known.facts) for name in active)
        if known.is_silenced:
            return SILENCED
        if is_muted:
            return MUTED
        if any(self._inhibiting[one] > 0 for one in known.facts.inhibitors):
            return INHIBITED
        return INHIBITED if self._ended and self._was_inhibited(known) else None

    def _just_ended(self) -> dict[tuple[int, tuple[str, ...], tuple[str, ...]], list[tuple[int, int]]]:
        """Return from when to when those inhibited that somebody was told of, but not yet that they are over."""
        found: dict[tuple[int, tuple[str, ...], tuple[str, ...]], list[tuple[int, int]]] = {}
        for known in self._known.values():
            one = known.standing
            if known.facts.inhibits and one.is_over and one.untold and one.told is not Told.NEVER:
                for about in known.facts.inhibits:
                    found.setdefault(about, []).append(span_of(one.last))
        return found

    def _was_inhibited(self, known: _Known) -> bool:
        """Return whether an episode that is over was inhibited all the time: both often end at one row."""
        one = known.standing
        if not one.is_over or one.told is not Told.NEVER:
            return False
        spans = [span for about in known.facts.inhibitors for span in self._ended.get(about, ())]
        if not spans:
            return False
        start, end = span_of(one.last)
        return any(first <= start and end <= last for first, last in spans)

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._open.keys() <= self._kept.keys(), "only what the group has is carried out"
        assert all(count >= 0 for count in self._inhibiting.values()), self._inhibiting
        expected = Counter(
            about for known in self._known.values() if not known.standing.is_over for about in known.facts.inhibits
        )
        assert +self._inhibiting == expected, (self._inhibiting, expected)
        assert all(min(counts) >= 0 for tally in self._tallies.values() for counts in tally.counted.values())


class _Deciding:
    """One decision on the way."""

    def __init__(self, rules: NoticeRules, now_us: int, *, is_last: bool) -> None:
        self.now_us = now_us
        self.next_us = NEVER_US
        """Before then nothing is due, if nothing else happens."""
        self.waiting_count = 0
        self._rules = rules
        self._settings = rules.settings
        self._is_last = is_last
        self._ops: dict[int, list[NoticeOp]] = {}
        self._op_count = 0
        self._intents: list[Intent] = []
        self._item_count = 0
        self._news: dict[Group, list[Standing]] = {}
        self._going_on: dict[Group, list[Standing]] = {}
        self._sent_us: list[int] = []

    @property
    def decision(self) -> Decision:
        """What was decided."""
        return Decision(ops=self._ops, intents=tuple(self._intents))

    def note(self, ref: Ref, op: NoticeOp) -> None:
        """Have something settled of which nobody is told."""
        if self._op_count < OP_COUNT_MAX:
            self._op_count += 1
            self._ops.setdefault(ref[0], []).append(op)

    def news(self, group: Group, one: Standing) -> None:
        """Take an episode that somebody is to be told of."""
        self._news.setdefault(group, []).append(one)

    def goes_on(self, group: Group, one: Standing) -> None:
        """Take an episode that somebody was told of."""
        self._going_on.setdefault(group, []).append(one)

    def decide(
        self, sent_us: Sequence[int], counted: Sequence[tuple[int, int, int, int]], since_us: int, last_us: int
    ) -> None:
        """Decide about all of them, where notifications were decided at times of before, the last digest at another."""
        if self._ops:
            return
        self._sent_us = list(sent_us)
        self._digest(counted, since_us, last_us)
        due = [(self._due_us(some), group) for group, some in self._news.items()]
        for due_us, group in sorted(due):
            if due_us > self.now_us and not self._is_last:
                self.waiting_count += len(self._news[group])
                self.next_us = min(self.next_us, due_us)
            else:
                self._tell(group)
        for group in sorted(self._going_on):
            # What there was no room for comes first.
            if not self._ops:
                self._repeat(group)

    def _due_us(self, some: Sequence[Standing]) -> int:
        return min(one.taken_us for one in some) + _us(self._settings.group_wait)

    def _room_us(self) -> int:
        """Return the time from which one more notification may be sent."""
        rate = self._settings.rate
        if rate is None or len(self._sent_us) < rate.max:
            return 0
        return self._sent_us[-rate.max] + _us(rate.per)

    def _digest(self, counted: Sequence[tuple[int, int, int, int]], since_us: int, last_us: int) -> None:
        if not counted:
            return
        rate = self._settings.rate
        due_us = max(since_us + (0 if rate is None else _us(rate.per)), self._room_us())
        if due_us > self.now_us and not self._is_last:
            self.next_us = min(self.next_us, due_us)
            return
        name = name_of(self._rules.job_name, self._rules.sink, DIGEST, (), list(counted), since_us, last_us)
        # Partitions know by its time which digest they have taken off, and clocks may stand still or be set back.
        at_us = max(self.now_us, last_us + 1)
        self._say(Intent(id=name, kind=DIGEST, counts=tuple(counted), since_us=since_us, at_us=at_us))

    def _tell(self, group: Group) -> None:
        some = sorted(self._news[group], key=lambda one: (one.untold[0].id, one.partition))
        items = [
            Item(partition=one.partition, place=one.place, notice=record.id) for one in some for record in one.untold
        ]
        for part in self._parts(items):
            if self._is_full(part):
                return
            if self._room_us() <= self.now_us:
                name = name_of(self._rules.job_name, self._rules.sink, NOTICE, part)
                self._say(Intent(id=name, kind=NOTICE, group=group, items=tuple(part), at_us=self.now_us))
                continue
            if self._intents or self._op_count + len(part) > OP_COUNT_MAX:
                # What was said of these episodes before has to be noted first.
                return
            self._op_count += len(part)
            for item in part:
                op = NoticeOp(place=item.place, through=item.notice, told=Told.COUNTED, at_us=self.now_us)
                self._ops.setdefault(item.partition, []).append(op)

    def _repeat(self, group: Group) -> None:
        assert self._settings.repeat_after is not None
        some = sorted(self._going_on[group], key=lambda one: (one.last.id, one.partition))
        due_us = max(min(one.told_us for one in some) + _us(self._settings.repeat_after), self._room_us())
        if due_us > self.now_us:
            self.next_us = min(self.next_us, due_us)
            return
        for part in self._parts([Item(partition=one.partition, place=one.place, notice=one.last.id) for one in some]):
            if self._is_full(part) or self._room_us() > self.now_us:
                self.next_us = min(self.next_us, max(self.now_us, self._room_us()))
                return
            name = name_of(self._rules.job_name, self._rules.sink, REPEAT, part, self.now_us)
            self._say(Intent(id=name, kind=REPEAT, group=group, items=tuple(part), at_us=self.now_us))

    def _parts(self, items: list[Item]) -> Iterator[list[Item]]:
        size = self._settings.items_max if self._settings.group_by else 1
        for start in range(0, len(items), size):
            yield items[start : start + size]

    def _is_full(self, part: Sequence[Item]) -> bool:
        is_some = bool(self._intents)
        return is_some and (len(self._intents) >= INTENT_COUNT_MAX or self._item_count + len(part) > ITEM_COUNT_MAX)

    def _say(self, intent: Intent) -> None:
        self._intents.append(intent)
        self._item_count += len(intent.items)
        self._sent_us.append(self.now_us)


def span_of(record: SinkRecord) -> tuple[int, int]:
    """Return when an episode that is over fired, and when it ended."""
    episode = json.loads(record.detail or "{}")["episode"]
    return episode.get("fired_at", episode["start"]), episode["end"]


def ops_of(intent: Intent) -> dict[int, list[NoticeOp]]:
    """Return what is to be noted when a notification was sent, by partition."""
    found: dict[int, list[NoticeOp]] = {}
    for item in intent.items:
        through = item.notice if intent.kind == NOTICE else None
        op = NoticeOp(place=item.place, through=through, told=Told.TOLD, at_us=intent.at_us)
        found.setdefault(item.partition, []).append(op)
    return found


def digest_counts(intent: Intent) -> dict[int, Counts]:
    """Return what a digest tells of, by partition and type."""
    found: dict[int, dict[int, tuple[int, int]]] = {}
    for partition, kind, began, ended in intent.counts:
        found.setdefault(partition, {})[kind] = (began, ended)
    return dict(found)


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
