"""Has the decisions of policies carried out, one sink beside the other: outbox, intent, send, mark.

A *cycle* of a sink takes what is new out of the outboxes of all hosts, decides, writes intents into the group's log,
has a host send them, and has all hosts note it. Whatever fails, the next cycle reads everything anew: standings,
tallies and the group's state say what was done. So a notification is sent twice, under one id, only if somebody dies,
or does not answer, between the receiver's answer and its mark.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial

from actors.partition.notices import NoticeOp, PartitionNotes, Standing, Tally
from actors.sink.protocol import Notification
from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import NoticesSent, NoticesTaken
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import NoteNotices, SendNotices, TakeNotices
from cluster.leader.notices.intents import Intent
from cluster.leader.notices.policy import Policy, digest_counts, ops_of
from cluster.leader.notices.rules import NoticeRules
from cluster.leader.status import NoticeStatus
from config.settings import JobSettings
from raft.commands import NoticesIntended
from raft.group import Job
from raft.records import NotifyRecord, SilenceRecord

KEPT_US = 10_000_000
"""Intents that are carried out are kept so long: a second copy of a partition may know a second later."""

SENT_COUNT_MAX = 10
"""Notifications that a host is given at once."""

UNTOLD_COUNT_MAX = 50_000
"""Episodes with news that are looked at; while there are as many, what comes waits in the outboxes."""


class Stage(Enum):
    """What is being waited for."""

    IDLE = 0
    TAKING = 1
    NOTING = 2
    PROPOSING = 3
    SENDING = 4


class Notifying:
    """One sink that follows the policy of its job; `number` is its position among the sinks."""

    def __init__(self, desk: Desk, period_us: int, task: tuple[str, int], number: int, rules: NoticeRules) -> None:
        self._desk = desk
        self._period_us = period_us
        self._job_id, self._epoch = task
        self._number = number
        self._rules = rules
        self._policy = Policy(rules)
        self._stage = Stage.IDLE
        self._cycle = 0
        self._is_loaded = False
        self._has_done = False
        self._is_at_end = False
        self._is_empty = False
        self._due_us = 0
        self._backoff = Backoff(desk.limits, desk.jitter, desk.limits.sink_retry_us_max)
        self._owners: Mapping[int, str] = {}
        self._record = NotifyRecord()
        self._silences: Mapping[str, SilenceRecord] = {}
        self._taken: list[Standing] = []
        self._tallies: dict[int, Tally] = {}
        self._waiting: set[str] = set()
        self.trouble: str | None = None
        """Why nothing is sent, or `None`."""
        self.overcome: str | None = None
        """The last trouble that is over."""

    @property
    def sink(self) -> str:
        """Identity of the sink."""
        return self._rules.sink

    @property
    def is_idle(self) -> bool:
        """Whether nobody is asked."""
        return self._stage is Stage.IDLE

    @property
    def status(self) -> NoticeStatus:
        """What waits, and why."""
        return NoticeStatus(
            withheld=self._policy.withheld,
            waiting=self._policy.waiting_count,
            counted=self._policy.counted,
            never=self._policy.never,
        )

    @property
    def due_us(self) -> int | None:
        """Elapsed time at which a cycle begins; `None` while one goes on."""
        return self._due_us if self.is_idle else None

    def see(self, owners: Mapping[int, str], record: NotifyRecord, silences: Mapping[str, SilenceRecord]) -> None:
        """Know who has the partitions, and what the group knows."""
        self._owners = dict(owners)
        self._record, self._silences = record, silences

    def advance(self) -> None:
        """Begin a cycle if it is due."""
        if self.is_idle and self._due_us <= self._desk.elapsed_us:
            self._begin(is_at_end=False)

    def begin_emptying(self) -> None:
        """Take it that something waits, whatever was found before."""
        self._is_empty = False
        self.trouble = None

    def empty(self, *, is_last_try: bool) -> bool:
        """Go on until nothing is due any more though groups wait no longer, and return whether that is so."""
        is_done = self._is_empty or (is_last_try and self.trouble is not None)
        if self.is_idle and not is_done and (self.trouble is None or self._due_us <= self._desk.elapsed_us):
            self._begin(is_at_end=True)
        return is_done

    def _begin(self, *, is_at_end: bool) -> None:
        self._cycle += 1
        self._is_at_end, self._has_done = is_at_end, False
        self._taken, self._tallies = [], {}
        self._stage = Stage.TAKING
        self._waiting = set(self._owners.values())
        if self._is_loaded and self._policy.untold_count >= UNTOLD_COUNT_MAX:
            self._waiting.clear()
        for host in sorted(self._waiting):
            request = TakeNotices(
                request=self._desk.next_number(), host=host, sink=self._number, is_all=not self._is_loaded
            )
            self._ask(request, partial(self._on_taken, host))
        if not self._waiting:
            self._go_on()

    def _ask(
        self,
        request: TakeNotices | NoteNotices | SendNotices,
        on_reply: Callable[..., None],
        timeout_us: int | None = None,
    ) -> None:
        cycle = self._cycle

        def reply(event: object) -> None:
            # What was asked in a cycle that has failed since says nothing any more.
            if cycle == self._cycle and not self.is_idle:
                on_reply(event)

        def fail(failure: Failure) -> None:
            if cycle == self._cycle and not self.is_idle:
                self._fail(failure)

        self._desk.ask(request, reply, fail, timeout_us)

    def _fail(self, failure: Failure) -> None:
        """End the cycle; the next one reads everything anew."""
        if failure.kind is FailureKind.SHARD_LOST or (self._is_at_end and failure.kind is not FailureKind.SINK):
            raise_trouble(failure)
        self._stage = Stage.IDLE
        self._is_loaded = False
        pause_us = self._period_us
        if failure.kind is FailureKind.SINK:
            self.trouble = failure.reason
            pause_us = self._backoff.pause_us()
        self._due_us = self._desk.elapsed_us + pause_us

    def _on_taken(self, host: str, event: NoticesTaken) -> None:
        self._waiting.discard(host)
        self._has_done |= event.taken.count > 0
        self._taken += event.taken.standings
        self._tallies |= event.taken.tallies
        if self._waiting:
            return
        if self._is_loaded:
            self._policy.take(self._taken)
        elif not self._owners.keys() <= self._tallies.keys():
            # One is on its way from a host to another.
            self._end_cycle()
            return
        else:
            intents = [Intent.from_bytes(content) for content in self._record.intents.values()]
            self._policy.load(self._taken, self._tallies, intents, self._record.sent_us)
            self._is_loaded = True
        self._go_on()

    def _go_on(self) -> None:
        """Do what comes next."""
        if intents := self._policy.open_intents:
            self._has_done = True
            self._send(intents)
            return
        decision = self._policy.decide(self._desk.now_us, self._silences, is_last=self._is_at_end)
        if decision.is_empty:
            self._end_cycle()
            return
        self._has_done = True
        if decision.ops:
            notes = {number: PartitionNotes(ops=tuple(ops)) for number, ops in decision.ops.items()}
            self._note(notes, partial(self._on_noted, decision.ops))
            return
        self._stage = Stage.PROPOSING
        rate = self._rules.settings.rate
        dropped = self._policy.old_intents(self._desk.now_us - KEPT_US)
        command = NoticesIntended(
            epoch=self._epoch,
            job_id=self._job_id,
            sink=self.sink,
            intents=tuple((one.id, one.at_us, one.to_bytes()) for one in decision.intents),
            dropped=dropped,
            rate_count=0 if rate is None else rate.max,
        )
        self._desk.propose(command, partial(self._on_intended, decision.intents, dropped), self._on_refused)

    def _on_noted(self, ops: Mapping[int, Sequence[NoticeOp]]) -> None:
        self._policy.apply(ops)
        self._go_on()

    def _on_intended(self, intents: Sequence[Intent], dropped: Sequence[str]) -> None:
        self._policy.drop(dropped)
        self._policy.begin(intents)
        self._go_on()

    def _on_refused(self, failure: Failure) -> None:
        self._fail(Failure(FailureKind.SINK, f"sink {self.sink}: {failure.reason}"))

    def _send(self, intents: Sequence[Intent]) -> None:
        """Send some of the notifications that are not sent, or note those that are."""
        sent = [one for one in intents if self._policy.is_sent(one) or not self._contents(one)]
        if sent:
            self._mark(sent)
            return
        some = intents[:SENT_COUNT_MAX]
        self._stage = Stage.SENDING
        partitions = [item.partition for item in some[0].items if item.partition in self._owners]
        host = self._owners[partitions[0]] if partitions else min(self._owners.values())
        request = SendNotices(
            request=self._desk.next_number(),
            host=host,
            sink=self._number,
            sent=tuple((self._notification(one), notes_of(one)) for one in some),
        )
        self._ask(request, partial(self._on_sent, some), self._desk.limits.send_timeout_us)

    def _contents(self, intent: Intent) -> bool:
        """Return whether there is anything to say of an intent: nobody knows what a lost partition had."""
        return bool(intent.counts or self._policy.records_of(intent))

    def _notification(self, one: Intent) -> Notification:
        counts: dict[int, tuple[int, int]] = {}
        for _, kind, began, ended in one.counts:
            known = counts.get(kind, (0, 0))
            counts[kind] = (known[0] + began, known[1] + ended)
        return Notification(
            id=one.id,
            kind=one.kind,
            group=one.group,
            records=self._policy.records_of(one),
            counts=tuple((kind, *count) for kind, count in sorted(counts.items())),
            since_us=one.since_us,
            at_us=one.at_us,
        )

    def _on_sent(self, intents: Sequence[Intent], event: NoticesSent) -> None:
        sent = event.sent
        for one in intents[: sent.count]:
            self._policy.note_sent(one)
        if sent.trouble is None:
            self._overcome_trouble()
        self._mark(intents[: sent.count], sent.noted, sent.trouble)

    def _overcome_trouble(self) -> None:
        if self.trouble is not None:
            self.overcome, self.trouble = self.trouble, None
        self._backoff.reset()

    def _mark(self, intents: Sequence[Intent], noted: frozenset[int] = frozenset(), trouble: str | None = None) -> None:
        """Have partitions note what was sent, but those that have."""
        parts: dict[int, list[PartitionNotes]] = {}
        for one in intents:
            for number, some in notes_of(one).items():
                if number not in noted:
                    parts.setdefault(number, []).append(some)
        self._note(
            {number: PartitionNotes.joined(some) for number, some in parts.items()},
            partial(self._on_marked, intents, trouble),
        )

    def _on_marked(self, intents: Sequence[Intent], trouble: str | None) -> None:
        for one in intents:
            self._policy.settle(one)
        if trouble is not None:
            self._fail(Failure(FailureKind.SINK, trouble))
        else:
            self._go_on()

    def _note(self, notes: Mapping[int, PartitionNotes], then: Callable[[], None]) -> None:
        """Have partitions note something, and go on when all have."""
        by_host: dict[str, dict[int, PartitionNotes]] = {}
        for number, some in notes.items():
            if number in self._owners:
                by_host.setdefault(self._owners[number], {})[number] = some
        self._stage = Stage.NOTING
        self._waiting = set(by_host)
        for host, some_notes in sorted(by_host.items()):
            request = NoteNotices(request=self._desk.next_number(), host=host, sink=self._number, notes=some_notes)
            self._ask(request, partial(self._on_host_noted, host, then))
        if not by_host:
            then()

    def _on_host_noted(self, host: str, then: Callable[[], None], _: object) -> None:
        self._waiting.discard(host)
        if not self._waiting:
            then()

    def _end_cycle(self) -> None:
        self._stage = Stage.IDLE
        self._is_empty = self._is_at_end and not self._has_done and self._is_loaded
        self._due_us = self._desk.elapsed_us + (0 if self._is_at_end else self._period_us)

    def validate(self) -> None:
        """Assert every invariant."""
        self._policy.validate()
        assert self._stage in (Stage.TAKING, Stage.NOTING) or not self._waiting or self.is_idle


def notes_of(intent: Intent) -> dict[int, PartitionNotes]:
    """Return what partitions note when a notification was sent."""
    found = {number: PartitionNotes(ops=tuple(ops)) for number, ops in ops_of(intent).items()}
    for number, counts in digest_counts(intent).items():
        found[number] = PartitionNotes(digests=((counts, intent.at_us),))
    return found


class Notifications:
    """All sinks of a job that follow its policy."""

    def __init__(self, desk: Desk, period_us: int, job_id: str, epoch: int, settings: JobSettings) -> None:
        self._all = [
            Notifying(desk, period_us, (job_id, epoch), number, NoticeRules(settings, sink))
            for number, sink in enumerate(settings.sinks)
            if settings.follows_policy(sink)
        ]

    @property
    def troubles(self) -> dict[str, str]:
        """Why nothing is sent, by the identity of the sink."""
        return {one.sink: one.trouble for one in self._all if one.trouble is not None}

    @property
    def troubles_overcome(self) -> dict[str, str]:
        """The last trouble of each sink that is over."""
        return {one.sink: one.overcome for one in self._all if one.overcome is not None}

    @property
    def statuses(self) -> dict[str, NoticeStatus]:
        """What waits for each sink, and why."""
        return {one.sink: one.status for one in self._all}

    @property
    def is_idle(self) -> bool:
        """Whether nobody is asked."""
        return all(one.is_idle for one in self._all)

    def see(self, owners: Mapping[int, str], job: Job, silences: Mapping[str, SilenceRecord]) -> None:
        """Know who has the partitions, and what the group knows."""
        for one in self._all:
            one.see(owners, job.notices.get(one.sink, NotifyRecord()), silences)

    def advance(self) -> None:
        """Begin cycles that are due."""
        for one in self._all:
            one.advance()

    def begin_emptying(self) -> None:
        """Take it that something waits for all of them."""
        for one in self._all:
            one.begin_emptying()

    def empty(self, *, is_last_try: bool) -> bool:
        """Go on until nothing is due, and return whether that is so; the last try takes a failure for an answer."""
        # Each of them has to go on.
        return not [one for one in self._all if not one.empty(is_last_try=is_last_try)]

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        return [one.due_us for one in self._all if one.due_us is not None]

    def validate(self) -> None:
        """Assert every invariant."""
        for one in self._all:
            one.validate()
