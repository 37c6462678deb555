"""The table of standings of one partition: what each sink that follows a policy has been told of each episode.

Entries are stored under a digest of the sink's identity and the episode's name; the sink's tally under the digest
alone. Everything here takes a transaction and never begins one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from actors.model import AnomalyId
from actors.partition.notices import PLACE_SIZE, Counts, Notice, NoticeOp, Standing, Tally, Told, first_standing
from actors.partition.outbox import SINK_DIGEST_SIZE, digest_of
from actors.partition.sealing import damaged, seal, unseal
from actors.sink.protocol import SinkRecord

if TYPE_CHECKING:
    from actors.shard import Txn

TABLE = "standings"

MARK = b"\xff\xff\xff\xff"
"""What the places of standings begin with among the marks for a second copy; no split has that number."""


class Standings:
    """Standings and tallies of one partition; `sinks` are the identities of the job's sinks."""

    def __init__(self, table: Any, number: int, sinks: Sequence[str]) -> None:
        self._table = table
        self._number = number
        self._digests = [digest_of(sink) for sink in sinks]

    def take(self, txn: "Txn", sink: int, records: Sequence[SinkRecord], now_us: int) -> list[Standing]:
        """Take notices into the standings of their episodes and return these."""
        changed: dict[bytes, Standing] = {}
        for record in records:
            notice = Notice(record=record)
            known = changed.get(notice.place) or self._find(txn, sink, notice.place)
            new = first_standing(notice, now_us) if known is None else known.with_notice(notice, now_us)
            changed[new.place] = new
        for one in changed.values():
            self._put(txn, sink, one)
        return list(changed.values())

    def all(self, txn: "Txn", sink: int) -> list[Standing]:
        """Return all standings with a sink."""
        digest = self._digests[sink]
        found = []
        with txn.cursor(self._table) as cursor:
            placed = cursor.set_range(digest)
            while placed and (key := bytes(cursor.key()))[:SINK_DIGEST_SIZE] == digest:
                if len(key) > SINK_DIGEST_SIZE:
                    found.append(self._decode(key, bytes(cursor.value())))
                placed = cursor.next()
        return found

    def tally(self, txn: "Txn", sink: int) -> Tally:
        """Return what was counted for a sink."""
        key = self._digests[sink]
        stored = txn.get(key, db=self._table)
        if stored is None:
            return Tally()
        counted, since_us, digest_us, never = msgpack.unpackb(unseal(key, stored), strict_map_key=False)
        counts = {kind: (began, ended) for kind, (began, ended) in counted.items()}
        return Tally(counted=counts, since_us=since_us, digest_us=digest_us, never=never)

    def note(self, txn: "Txn", sink: int, ops: Sequence[NoticeOp]) -> None:
        """Note what has become of notices; what was noted before changes nothing."""
        tally = known_tally = self.tally(txn, sink)
        for op in ops:
            known = self._find(txn, sink, op.place)
            if known is None:
                continue
            tally = tally.counting(known, op)
            left = known.after(op)
            if left is None:
                txn.delete(self._digests[sink] + op.place, db=self._table)
            elif left != known:
                self._put(txn, sink, left)
        if tally != known_tally:
            self._put_tally(txn, sink, tally)

    def take_off(self, txn: "Txn", sink: int, counts: Counts, at_us: int) -> None:
        """Note that a digest has told of some; said again it changes nothing."""
        self._put_tally(txn, sink, self.tally(txn, sink).without(counts, at_us))

    def marks(self, txn: "Txn") -> dict[bytes, bytes]:
        """Return everything, for a second copy of the shard, under places that no mark of the outbox has."""
        with txn.cursor(self._table) as cursor:
            return {MARK + bytes(key): unseal(bytes(key), bytes(value)) for key, value in cursor}

    def take_marks(self, txn: "Txn", marks: Mapping[bytes, bytes]) -> None:
        """Become what another copy has."""
        wanted = {place[len(MARK) :]: value for place, value in marks.items()}
        with txn.cursor(self._table) as cursor:
            gone = [bytes(key) for key, _ in cursor if bytes(key) not in wanted]
        for key in gone:
            txn.delete(key, db=self._table)
        for key, value in wanted.items():
            sealed = seal(key, value)
            if txn.get(key, db=self._table) != sealed:
                txn.put(key, sealed, db=self._table)

    def _find(self, txn: "Txn", sink: int, place: bytes) -> Standing | None:
        key = self._digests[sink] + place
        stored = txn.get(key, db=self._table)
        return None if stored is None else self._decode(key, bytes(stored))

    def _put(self, txn: "Txn", sink: int, one: Standing) -> None:
        key = self._digests[sink] + one.place
        txn.put(key, seal(key, _encode(one)), db=self._table)

    def _put_tally(self, txn: "Txn", sink: int, tally: Tally) -> None:
        key = self._digests[sink]
        value = msgpack.packb((tally.counted, tally.since_us, tally.digest_us, tally.never))
        txn.put(key, seal(key, value), db=self._table)

    def _decode(self, key: bytes, value: bytes) -> Standing:
        try:
            last, is_over, untold, taken_us, told, told_us = msgpack.unpackb(unseal(key, value), use_list=False)
        except (ValueError, TypeError):
            raise damaged(key) from None
        newest = self._record(last)
        return Standing(
            partition=self._number,
            place=key[-PLACE_SIZE:],
            last=newest,
            is_over=is_over,
            untold=tuple(newest if one is None else self._record(one) for one in untold),
            taken_us=taken_us,
            told=Told(told),
            told_us=told_us,
        )

    def _record(self, fields: tuple[Any, ...]) -> SinkRecord:
        split, offset, ordinal, time, key, kind, metric, detail = fields
        place = AnomalyId(split=split, offset=offset, ordinal=ordinal)
        return SinkRecord(
            partition=self._number, id=place, time=time, key=tuple(key), type=kind, metric=metric, detail=detail
        )


def _encode(one: Standing) -> bytes:
    # The newest notice, which is most often the only one, is stored once.
    untold = [None if record == one.last else _fields(record) for record in one.untold]
    return bytes(msgpack.packb((_fields(one.last), one.is_over, untold, one.taken_us, int(one.told), one.told_us)))


def _fields(one: SinkRecord) -> tuple[Any, ...]:
    return (one.id.split, one.id.offset, one.id.ordinal, one.time, one.key, one.type, one.metric, one.detail)
