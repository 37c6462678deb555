"""A policy among tables, a group and a receiver of its own, which may lose its memory between any two steps."""

import json
import random
from dataclasses import dataclass, replace
from typing import Any

from actors.model import AnomalyId
from actors.partition.notices import Notice, Standing, Tally, first_standing
from actors.sink.protocol import SinkRecord
from cluster.leader.notices.intents import DIGEST, Intent
from cluster.leader.notices.policy import Policy, digest_counts, ops_of
from cluster.leader.notices.rules import NoticeRules
from config import JobSettings, make_job
from raft.records import SilenceRecord

SECOND = 1_000_000


class LostError(Exception):
    """The process is gone."""


def make_notice_job(**notifications: Any) -> JobSettings:
    """Return a job with three metrics, of which the last is inhibited by the first on its site."""
    return make_job(
        {
            "job": "sites",
            "schema": {"time": "TIMESTAMP", "site": "SYMBOL", "host": "SYMBOL", "load": "DOUBLE"},
            "time": "time",
            "key": ["site", "host"],
            "metrics": [
                {"when": "load > 99", "for": 1, "id": "down", "severity": "critical"},
                {"when": "load > 90", "for": 1, "id": "high", "severity": "warning", "labels": {"team": "{site}-ops"}},
                {"when": "load > 80", "for": 1, "id": "busy", "inhibited_by": [{"id": "down", "equal": ["site"]}]},
            ],
            "source": {"rows": []},
            "sinks": [{"type": "webhook", "url": "http://127.0.0.1:1/hook", "only": "episodes"}],
            "notifications": notifications,
        }
    )


def make_notice(number: int, begun: int, kind: int, key: tuple[str, str], state: str) -> SinkRecord:
    """Return the notice of this number, of an episode that began at another."""
    episode = {"state": state, "start": begun, "end": number if state == "resolved" else None, "split": 0}
    return SinkRecord(
        partition=sum(map(ord, "".join(key))) % 2,
        id=AnomalyId(split=0, offset=number, ordinal=1 << 28),
        time=number,
        key=key,
        type=kind,
        metric=("load > 99", "load > 90", "load > 80")[kind],
        detail=json.dumps({"episode": {**episode, "offset": begun}}),
    )


@dataclass(slots=True)
class Sent:
    """What a receiver that knows ids has taken."""

    at: int
    intent: Intent


class NoticeCase:
    """Carries out what a policy decides; `rng` says when the process that does so dies."""

    def __init__(self, job: JobSettings, rng: random.Random, crash_chance: float) -> None:
        self.job = job
        self.rules = NoticeRules(job, job.sinks[0])
        self.rng = rng
        self.crash_chance = crash_chance
        self.rows: dict[tuple[int, bytes], Standing] = {}
        self.tallies: dict[int, Tally] = {}
        self.intents: dict[str, Intent] = {}
        self.sent_us: list[int] = []
        self.received: dict[str, Sent] = {}
        self.arriving: list[SinkRecord] = []
        self.crash_count = self.repeated_count = 0
        self.policy = self._anew()

    def _anew(self) -> Policy:
        policy = Policy(self.rules)
        policy.load(self.rows.values(), self.tallies, self.intents.values(), self.sent_us)
        policy.validate()
        return policy

    def run(self, now: int, silences: dict[str, SilenceRecord]) -> None:
        """Do all that is due at a time, in seconds, however often the process dies on the way."""
        while True:
            try:
                while self._cycle(now, silences):
                    pass
                return
            except LostError:
                self.crash_count += 1
                self.policy = self._anew()

    def _crash(self) -> None:
        if self.rng.random() < self.crash_chance:
            raise LostError

    def _cycle(self, now: int, silences: dict[str, SilenceRecord]) -> bool:
        self._take(now * SECOND)
        self._crash()
        for intent in self.policy.open_intents:
            self._carry_out(now, intent)
        decision = self.policy.decide(now * SECOND, silences)
        for partition, ops in decision.ops.items():
            self._note(partition, ops)
            self._crash()
        self.policy.apply(decision.ops)
        if decision.intents:
            dropped = self.policy.old_intents((now - 10) * SECOND)
            self._crash()
            for name in dropped:
                del self.intents[name]
            self.intents |= {one.id: Intent.from_bytes(one.to_bytes()) for one in decision.intents}
            rate = self.rules.settings.rate
            if rate is not None:
                self.sent_us = [*self.sent_us, *(one.at_us for one in decision.intents)][-rate.max :]
            self._crash()
            self.policy.drop(dropped)
            self.policy.begin(decision.intents)
        self.policy.validate()
        return not decision.is_empty

    def _take(self, now_us: int) -> None:
        for record in self.arriving:
            notice = Notice(record=record)
            ref = (record.partition, notice.place)
            known = self.rows.get(ref)
            row = first_standing(notice, now_us) if known is None else known.with_notice(notice, now_us)
            self.rows[ref] = row
        taken = [self.rows[record.partition, Notice(record=record).place] for record in self.arriving]
        self.arriving = []
        self.policy.take(taken)

    def _carry_out(self, now: int, intent: Intent) -> None:
        if not self.policy.is_sent(intent):
            self._crash()
            self.repeated_count += intent.id in self.received
            self.received.setdefault(intent.id, Sent(now, intent))
            self._crash()
            self.policy.note_sent(intent)
        for partition, ops in ops_of(intent).items():
            self._note(partition, ops)
            self._crash()
        for partition, counts in digest_counts(intent).items():
            self.tallies[partition] = self.tallies[partition].without(counts, intent.at_us)
            self._crash()
        self.policy.settle(intent)

    def _note(self, partition: int, ops: Any) -> None:
        for op in ops:
            row = self.rows.get((partition, op.place))
            if row is None:
                continue
            self.tallies[partition] = self.tallies.get(partition, Tally()).counting(row, op)
            left = row.after(op)
            if left is None:
                del self.rows[partition, op.place]
            else:
                self.rows[partition, op.place] = left

    def said(self, at: int) -> list[tuple[str, tuple[Any, ...]]]:
        """Return what a receiver that knows ids was told at a time, in order."""
        return [_said(one.intent) for one in self.received.values() if one.at == at]


def _said(intent: Intent) -> tuple[str, tuple[Any, ...]]:
    if intent.kind != DIGEST:
        return intent.kind, tuple(item.notice for item in intent.items)
    found: dict[int, list[int]] = {}
    for _, kind, began, ended in intent.counts:
        known = found.setdefault(kind, [0, 0])
        known[0], known[1] = known[0] + began, known[1] + ended
    return intent.kind, tuple((kind, *counts) for kind, counts in sorted(found.items()))


def make_silence(start: int, end: int, **about: Any) -> SilenceRecord:
    """Return a silence of all jobs, with times in seconds."""
    silence = SilenceRecord(job="*", start_us=start * SECOND, end_us=end * SECOND, who="ann", why="")
    return replace(silence, **about)
