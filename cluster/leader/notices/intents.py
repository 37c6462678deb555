"""Intents: what is going to be said, written into the group's log before it is, so that it is said under one id.

An intent names notices, or counts, and never their contents, so it is small. The next leader finds it in the group's
state, sees in the standings whether it was carried out, and does so under the same id if it was not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from actors.model import AnomalyId

NOTICE, REPEAT, DIGEST = "notice", "repeat", "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One notice that is said, or one that is said again."""

    partition: int
    place: bytes
    """Name of the episode."""

    notice: AnomalyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One notification that is going to be sent."""

    id: str
    """Unique, and that of the notification: receivers know by it what they have."""

    kind: str
    """`notice`, `repeat` or `digest`."""

    group: tuple[tuple[str, str], ...] = ()
    """What the episodes have in common."""

    items: tuple[Item, ...] = ()
    counts: tuple[tuple[int, int, int, int], ...] = ()
    """Partition, type, beginnings and ends: what a digest tells of."""

    since_us: int = 0
    """When the first of these came."""

    at_us: int
    """When it was decided, in microseconds since 1970."""

    def to_bytes(self) -> bytes:
        """Return the bytes that the group keeps."""
        items = [(one.partition, one.place, *_plain(one.notice)) for one in self.items]
        fields = (self.id, self.kind, self.group, items, self.counts, self.since_us, self.at_us)
        return bytes(msgpack.packb(fields))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Intent":
        """Return what `to_bytes` wrote."""
        name, kind, group, items, counts, since_us, at_us = msgpack.unpackb(data, use_list=False)
        return cls(
            id=name,
            kind=kind,
            group=group,
            items=tuple(
                Item(partition=one[0], place=one[1], notice=AnomalyId(split=one[2], offset=one[3], ordinal=one[4]))
                for one in items
            ),
            counts=counts,
            since_us=since_us,
            at_us=at_us,
        )


def name_of(job: str, sink: str, kind: str, items: Sequence[Item], *more: Any) -> str:
    """Return the id of a notification; the same content has the same, and no other one has it."""
    content = (sink, kind, [(one.partition, one.place, *_plain(one.notice)) for one in items], more)
    return f"{job}/n-{hashlib.blake2b(msgpack.packb(content), digest_size=12).hexdigest()}"


def _plain(one: AnomalyId) -> tuple[int, int, int]:
    return one.split, one.offset, one.ordinal
