"""Looking at a partition's tables on disk: its marks, and whether everything stands below them.

The event store has a check of its own. All that a partition keeps of a row is written in the transaction that moves the
mark of the row's split beyond it, so nothing may lie at or above a mark.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from actors.partition.anomaly_table import decode_id
from actors.partition.gaps import Gap, decode_gaps
from actors.partition.outbox import SINK_DIGEST_SIZE
from actors.partition.rejected_records import decode_record
from actors.partition.sealing import unseal
from actors.shard import Shard
from actors.store.check.findings import DAMAGE, Finding
from actors.store.disk.state import read_state

MARKS_KEY = b"marks"
"""Key of the marks in the table `partition`."""

_ID_SIZE, _RECORD_SIZE, _SPLIT_SIZE = 16, 12, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionMarks:
    """How far a partition is, as its shard has it."""

    version: int
    """Version of the record."""

    epoch: int
    """Highest epoch that it has followed."""

    committed: Mapping[int, int]
    """For each split the offset below which everything is in the shard."""

    engine: Mapping[int, int]
    """For each split the offset that the engine's snapshot stands at."""

    watermarks: Mapping[int, int]
    """For each split the timestamp of the last row's event, microseconds."""

    gaps: tuple[Gap, ...]
    """Input that was gone when it was needed."""


def read_marks(shard: Shard) -> PartitionMarks | None:
    """Return the marks in a shard, `None` when it is not a partition's or holds none yet.

    Raises:
        ValueError: they cannot be read.
    """
    if "partition" not in shard.table_names():
        return None
    table = shard.table("partition")
    with shard.read() as txn:
        raw = txn.get(MARKS_KEY, db=table)
    return None if raw is None else _decode_marks(unseal(MARKS_KEY, raw))


def check_partition(shard: Shard) -> list[Finding]:
    """Return what is wrong with a partition's own tables, and with its events against the marks."""
    findings: list[Finding] = []
    try:
        marks = read_marks(shard)
    except DAMAGE as error:
        return [Finding(table="partition", place="the marks", fault=f"cannot be read: {error}")]
    if marks is None:
        return []
    for split, offset in marks.engine.items():
        if offset > marks.committed.get(split, 0):
            fault = f"stands at {offset}, beyond the committed {marks.committed.get(split, 0)}"
            findings.append(Finding(table="partition", place=f"the engine's mark of split {split}", fault=fault))
    names = set(shard.table_names())
    for name, check in _CHECKS.items():
        if name in names:
            findings += _check_table(shard, name, check, marks)
    if "event_meta" in names:
        findings += _check_events(shard, marks)
    return findings


def _decode_marks(raw: bytes) -> PartitionMarks:
    meta = msgpack.unpackb(raw, strict_map_key=False)
    return PartitionMarks(
        version=meta["version"],
        epoch=meta["epoch"],
        committed=dict(meta["received"]),
        engine=dict(meta["engine"]),
        watermarks=dict(meta["watermarks"]),
        gaps=tuple(decode_gaps(meta)),
    )


def _check_table(
    shard: Shard, name: str, check: Callable[[bytes, bytes, PartitionMarks], str | None], marks: PartitionMarks
) -> Iterator[Finding]:
    table = shard.table(name)
    with shard.read() as txn, txn.cursor(table) as cursor:
        for key, value in cursor:
            try:
                fault = check(bytes(key), unseal(key, bytes(value)), marks)
            except DAMAGE as error:
                fault = f"cannot be read: {error}"
            if fault is not None:
                yield Finding(table=name, place=_place(bytes(key)), fault=fault)


def _check_anomaly(key: bytes, value: bytes, marks: PartitionMarks) -> str | None:
    if len(key) != _ID_SIZE:
        return f"has a key of {len(key)} bytes"
    _, columns, _, _, _ = msgpack.unpackb(value)
    if not isinstance(columns, list):
        return "has no key columns"
    anomaly_id = decode_id(key)
    return _beyond(anomaly_id.split, anomaly_id.offset, marks)


def _check_outbox(key: bytes, value: bytes, marks: PartitionMarks) -> str | None:
    # A mark of before is of all sinks.
    if len(key) not in (_SPLIT_SIZE, _SPLIT_SIZE + SINK_DIGEST_SIZE) or len(value) != _ID_SIZE:
        return f"has a key of {len(key)} and a value of {len(value)} bytes"
    mark = decode_id(value)
    if mark.split != int.from_bytes(key[:_SPLIT_SIZE], "big"):
        return f"is a mark of split {mark.split}"
    return _beyond(mark.split, mark.offset, marks)


def _check_record(key: bytes, value: bytes, marks: PartitionMarks) -> str | None:
    if len(key) != _RECORD_SIZE:
        return f"has a key of {len(key)} bytes"
    msgpack.unpackb(value)
    return _beyond(*decode_record(key), marks)


def _check_engine(key: bytes, value: bytes, marks: PartitionMarks) -> str | None:
    if not value.startswith(b"\x95"):
        # The engine of a job without metrics, whose snapshot is a word.
        return None
    _, _, _, checksum, body = msgpack.unpackb(value)
    return None if zlib.crc32(body) == checksum else "does not fit its checksum"


def _check_readable(key: bytes, value: bytes, marks: PartitionMarks) -> str | None:
    if value:
        msgpack.unpackb(value)
    return None


_CHECKS: Mapping[str, Callable[[bytes, bytes, PartitionMarks], str | None]] = {
    "anomalies": _check_anomaly,
    "outbox": _check_outbox,
    "dead_letters": _check_record,
    "late_rows": _check_record,
    "engine": _check_engine,
    "detectors": _check_readable,
    "episodes": _check_readable,
    "notices": _check_anomaly,
}


def _beyond(split: int, offset: int, marks: PartitionMarks) -> str | None:
    mark = marks.committed.get(split, 0)
    return None if offset < mark else f"lies at offset {offset} of split {split}, the mark is {mark}"


def _check_events(shard: Shard, marks: PartitionMarks) -> Iterator[Finding]:
    table = shard.table("event_meta")
    try:
        with shard.read() as txn:
            servers: Mapping[int, Any] = read_state(txn, table).last_positions()
    except DAMAGE:
        # The check of the store says so.
        return
    for split, (session, _) in servers.items():
        # The event of a row has the session after the row's offset.
        fault = _beyond(split, session - 1, marks) if session else None
        if fault is not None:
            yield Finding(table="event_meta", place=f"the last event of split {split}", fault=fault)


def _place(key: bytes) -> str:
    if len(key) == _ID_SIZE:
        found = decode_id(key)
        return f"split {found.split}, offset {found.offset}, ordinal {found.ordinal}"
    if len(key) == _RECORD_SIZE:
        split, offset = decode_record(key)
        return f"split {split}, offset {offset}"
    return f"key {key!r}"
