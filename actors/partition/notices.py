"""Notices on their way to people: what a partition keeps of each episode for a sink that follows a policy.

Such a sink has no one mark: it may be told of one episode at once, and of another in an hour. So notices are taken out
of the outbox, in order, into a *standing* of their episode: which of its notices the sink was not told of, and when it
was told last. What becomes of them is decided by the job's leader; `NoticeOp` says it. A *tally* counts what nobody is
told of by name. Both are values here; their table is in `actors.partition.standings`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import msgpack

from actors.model import AnomalyId
from actors.sink.protocol import SinkRecord

PLACE_SIZE = 16
"""Bytes that name an episode."""

UNTOLD_COUNT_MAX = 4
"""Notices of an episode that wait: the first and the newest; what lies between is left out."""


class Told(IntEnum):
    """What a sink knows of an episode."""

    NEVER = 0
    COUNTED = 1
    """It was counted in a digest, or will be."""

    TOLD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One transition of an episode."""

    record: SinkRecord

    @property
    def _episode(self) -> Mapping[str, Any]:
        detail = json.loads(self.record.detail or "{}")
        found: Mapping[str, Any] = detail.get("episode", {})
        return found

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended by it."""
        return self._episode.get("end") is not None

    @property
    def place(self) -> bytes:
        """Name of the episode, which no other of the partition has."""
        one, told = self.record, self._episode
        name = (told.get("split"), told.get("offset"), told.get("start"), one.type, one.key)
        return hashlib.blake2b(msgpack.packb(name), digest_size=PLACE_SIZE).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a sink has been told of an episode."""

    partition: int
    place: bytes
    """Name of the episode."""

    last: SinkRecord
    """Newest notice."""

    is_over: bool
    """Whether the episode has ended by it."""

    untold: tuple[SinkRecord, ...] = ()
    """Notices that the sink was not told of, oldest first."""

    taken_us: int = 0
    """When the oldest of these came, in microseconds since 1970."""

    told: Told = Told.NEVER
    told_us: int = 0
    """When it was told last."""

    def with_notice(self, notice: Notice, now_us: int) -> "Standing":
        """Return the standing with one more notice; one that it has changes nothing."""
        if notice.record.id <= self.last.id:
            return self
        return replace(
            self,
            last=notice.record,
            is_over=notice.is_over,
            untold=_shortened((*self.untold, notice.record)),
            taken_us=self.taken_us if self.untold else now_us,
        )

    def after(self, op: "NoticeOp") -> "Standing | None":
        """Return what is left of it, `None` when nothing is."""
        through = op.through
        untold = self.untold if through is None else tuple(one for one in self.untold if one.id > through)
        if self.is_over and not untold:
            return None
        # Who was told by name stays so.
        told, told_us = (self.told, self.told_us) if op.told is None else (max(self.told, op.told), op.at_us)
        return replace(self, untold=untold, told=told, told_us=told_us)


def _shortened(untold: tuple[SinkRecord, ...]) -> tuple[SinkRecord, ...]:
    return untold if len(untold) <= UNTOLD_COUNT_MAX else (untold[0], *untold[-UNTOLD_COUNT_MAX + 1 :])


def first_standing(notice: Notice, now_us: int) -> Standing:
    """Return the standing of an episode of which nothing was known."""
    return Standing(
        partition=notice.record.partition,
        place=notice.place,
        last=notice.record,
        is_over=notice.is_over,
        untold=(notice.record,),
        taken_us=now_us,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeOp:
    """What has become of the notices of an episode; done twice it is as done once."""

    place: bytes
    """Name of the episode."""

    through: AnomalyId | None = None
    """Last notice that it is about; `None`: it is about none, as when it was said again."""

    told: Told | None = None
    """What the sink knows by it; `None`: nothing more than before."""

    at_us: int = 0
    """When that was."""

    reason: str | None = None
    """Why nobody is told, if nobody is."""


Counts = Mapping[int, tuple[int, int]]
"""Beginnings and ends that were counted in place of being told, by the type of the episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a partition has counted for a sink."""

    counted: Counts = field(default_factory=dict)
    """What the next digest will say."""

    since_us: int = 0
    """When the first of that came."""

    digest_us: int = 0
    """Time of the last digest that was taken off."""

    never: Mapping[str, int] = field(default_factory=dict)
    """Episodes of which nobody was told by name, by the reason."""

    def counting(self, standing: Standing, op: NoticeOp) -> "Tally":
        """Return the tally after an op, which is about a standing as it was before."""
        through = op.through
        about = [one for one in standing.untold if through is not None and one.id <= through]
        if not about:
            return self
        found = self
        has_begun, has_ended = standing.told is Told.NEVER, standing.is_over and about[-1].id == standing.last.id
        if op.reason is not None and has_begun and has_ended:
            found = replace(found, never={**found.never, op.reason: found.never.get(op.reason, 0) + 1})
        if op.told is Told.COUNTED and (has_begun or has_ended):
            kind = standing.last.type
            began, ended = found.counted.get(kind, (0, 0))
            counted = {**found.counted, kind: (began + has_begun, ended + has_ended)}
            found = replace(found, counted=counted, since_us=found.since_us if found.counted else op.at_us)
        return found

    def without(self, counts: Counts, at_us: int) -> "Tally":
        """Return the tally after a digest of this time has told of some."""
        if at_us <= self.digest_us:
            return self
        told = {kind: counts.get(kind, (0, 0)) for kind in self.counted}
        left = {kind: (known[0] - told[kind][0], known[1] - told[kind][1]) for kind, known in self.counted.items()}
        kept = {kind: known for kind, known in left.items() if any(known)}
        return replace(self, counted=kept, since_us=at_us if kept else 0, digest_us=at_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionNotes:
    """What one partition is to note for a sink."""

    ops: tuple[NoticeOp, ...] = ()
    digests: tuple[tuple[Counts, int], ...] = ()
    """What digests have told of, and their times."""

    @classmethod
    def joined(cls, parts: Sequence["PartitionNotes"]) -> "PartitionNotes":
        """Return several as one."""
        return cls(
            ops=tuple(op for part in parts for op in part.ops),
            digests=tuple(digest for part in parts for digest in part.digests),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenNotices:
    """What a host has taken out of its outboxes for a sink."""

    count: int
    """Notices taken out; 0 says that none wait."""

    standings: tuple[Standing, ...]
    """Those that have changed, or all."""

    tallies: Mapping[int, Tally]
    """By partition, if all was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentNotices:
    """What a host has sent."""

    count: int
    """Notifications that were sent, from the first on."""

    noted: frozenset[int]
    """Partitions in which that is noted."""

    trouble: str | None = None
    """Why the others were not sent."""
