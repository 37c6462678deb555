"""What a partition has learned: its detectors, and the acceptances that change what they know.

All of it lies in one table of the shard: the entries of a detector below its number (u16 big endian), acceptances below
the greatest number. The rows given are those that the shard does not have yet.
"""

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from actors.detectors.detector import group_key, saved_group
from actors.detectors.errors import DetectorError
from actors.detectors.groups import GroupId
from actors.detectors.verdicts import VariableVerdict
from actors.partition.acceptances import Acceptance, Acceptances
from actors.partition.assembly import build_detectors, wide_frame
from actors.partition.part import Entry, Fields, Part, Saved
from actors.partition.sealing import unseal
from actors.shard import Shard
from config.settings import JobSettings

log = logging.getLogger(__name__)

TABLE = "detectors"
"""Table of the shard that holds everything learned."""

Array = np.ndarray[Any, np.dtype[np.int64]]

COMPARED_GROUPS_MAX = 5000
"""Groups that are compared with one that is not there, to find those that are most like it."""

NEAR_GROUPS_MAX = 3
"""Groups that are named in place of one that is not there."""

_ACCEPTANCES = b"\xff\xff"


class Learning(Part):
    """Detectors and acceptances of one partition."""

    def __init__(self, job: JobSettings, number: int) -> None:
        self._job = job
        self._number = number
        self._detectors = build_detectors(job)
        self._acceptances = Acceptances(job.key_columns)
        # Entries of detectors that the job no longer has, for the next flush to delete.
        self._stale_keys: list[bytes] = []

    @property
    def metrics(self) -> list[str]:
        """Texts of what detectors find; types are their positions, after those of the metrics."""
        return [text for detector in self._detectors for text in detector.metrics]

    @property
    def type_counts(self) -> list[int]:
        """Types of anomalies that each detector raises."""
        return [len(detector.metrics) for detector in self._detectors]

    @property
    def fingerprints(self) -> list[str]:
        """What tells whether saved state belongs to these detectors."""
        return [detector.fingerprint for detector in self._detectors]

    def accept(self, acceptance: Acceptance) -> None:
        """Let a value count as known from its place on, if its key is of this partition."""
        if self._number in self._job.partitions_of_key(acceptance.key):
            self._acceptances.add(acceptance)

    def has_missed(self, acceptance: Acceptance, received: Mapping[int, int]) -> bool:
        """Whether rows from the place of a value on have been applied without it, `received` being the marks."""
        is_here = self._number in self._job.partitions_of_key(acceptance.key)
        is_beyond = any(received.get(split, 0) > offset for split, offset in acceptance.positions.items())
        return is_here and is_beyond and not self._acceptances.knows(acceptance.acceptance_id)

    def process(self, split: int, frame: pl.DataFrame, offsets: Array) -> list[pl.DataFrame]:
        """Return the anomalies of rows: a frame for each detector, with types that follow those of the metrics."""
        found: list[list[pl.DataFrame]] = [[] for _ in self._detectors]
        for due, rows, places in self._acceptances.parts(split, frame, offsets):
            for acceptance in due:
                self._apply(acceptance)
            for detector, parts in zip(self._detectors, found, strict=True):
                parts.append(detector.process(rows, places))
        base = len(self._job.metrics)
        frames = []
        for detector, parts in zip(self._detectors, found, strict=True):
            whole = parts[0] if len(parts) == 1 else pl.concat(parts)
            frames.append(wide_frame(self._job, whole.with_columns((pl.col("type") + base).cast(pl.Int32))))
            base += len(detector.metrics)
        return frames

    def _apply(self, acceptance: Acceptance) -> None:
        for number, group in acceptance.groups:
            try:
                self._detectors[number].accept(group, acceptance.variable, acceptance.value)
            except DetectorError as error:
                # Whoever accepted it has an earlier version, which took what no row could bring. It changes nothing.
                log.warning("an accepted value fits no row", extra={"partition": self._number, "reason": str(error)})

    def entries(self) -> list[Entry]:
        """Return the entries that have changed since they were last saved."""
        found: list[Entry] = [(TABLE, key, None) for key in self._stale_keys]
        for number, detector in enumerate(self._detectors):
            prefix = _prefix(number)
            found += [(TABLE, prefix + key, value) for key, value in detector.changed_state().items()]
        changed = self._acceptances.changed_entries().items()
        return found + [(TABLE, _ACCEPTANCES + key, value) for key, value in changed]

    def saved(self) -> None:
        """Note that what `entries` gave is durable."""
        self._stale_keys.clear()
        self._acceptances.mark_saved()
        for detector in self._detectors:
            detector.mark_saved()

    def load(self, saved: Saved) -> None:
        """Take over the entries of a shard, or note that they are of no use."""
        entries = saved.entries(TABLE)
        if saved.is_of_other_job:
            self._stale_keys = [key for key, _ in entries]
            return
        for number, detector in enumerate(self._detectors):
            detector.load_state(_below(entries, _prefix(number)))
        self._acceptances.load(_below(entries, _ACCEPTANCES))

    def snapshot(self) -> Fields:
        """Return everything, to be put into a snapshot of the partition."""
        states = [detector.snapshot() for detector in self._detectors]
        return {"detectors": states, "acceptances": self._acceptances.snapshot()}

    def restore(self, body: Fields) -> None:
        """Take over what `snapshot` gave; snapshots of older versions know no acceptances."""
        for detector, state in zip(self._detectors, body["detectors"], strict=True):
            detector.restore(state)
        self._acceptances.restore(body.get("acceptances", ()))

    def validate(self) -> None:
        """Assert every invariant of the detectors and the acceptances."""
        for detector in self._detectors:
            detector.validate()
        self._acceptances.validate(len(self._detectors))
        for key in self._acceptances.waiting_keys():
            assert self._number in self._job.partitions_of_key(key), f"{key} is of another partition"


def read_verdicts(job: JobSettings, shard: Shard) -> list[VariableVerdict]:
    """Return how variables behave, as committed in a shard of a job; it may be open for reading only."""
    detectors = [(number, detector) for number, detector in enumerate(build_detectors(job)) if detector.follows]
    if not detectors:
        return []
    table = shard.table(TABLE)
    with shard.read() as txn, txn.cursor(table) as cursor:
        entries = [(bytes(key), unseal(key, bytes(value))) for key, value in cursor]
    for number, detector in detectors:
        detector.load_state(_below(entries, _prefix(number)))
    return [verdict for _, detector in detectors for verdict in detector.verdicts()]


def near_groups(shard: Shard, acceptance: Acceptance) -> list[GroupId]:
    """Return the groups that an acceptance means, as far as they have been seen; if none has, those most like it.

    Only what is committed counts; the shard may be open for reading only.
    """
    table = shard.table(TABLE)
    with shard.read() as txn, txn.cursor(table) as cursor:
        known = [
            group
            for number, group in acceptance.groups
            if txn.get(_prefix(number) + group_key(group), db=table) is not None
        ]
        return known or _most_like(acceptance, _seen_groups(cursor, acceptance))


def _seen_groups(cursor: Any, acceptance: Acceptance) -> Iterator[GroupId]:
    for number in {number for number, _ in acceptance.groups}:
        placed = cursor.set_range(_prefix(number))
        while placed and cursor.key()[:2] == _prefix(number):
            key = bytes(cursor.key())
            group = saved_group(key[2:], unseal(key, bytes(cursor.value())))
            if group is not None:
                yield group
            placed = cursor.next()


def _most_like(acceptance: Acceptance, seen: Iterator[GroupId]) -> list[GroupId]:
    by_text = {" ".join(map(str, group)): group for group in islice(seen, COMPARED_GROUPS_MAX)}
    wanted = " ".join(map(str, acceptance.groups[0][1]))
    return [by_text[text] for text in difflib.get_close_matches(wanted, by_text, n=NEAR_GROUPS_MAX, cutoff=0.0)]


def _prefix(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _below(entries: Sequence[tuple[bytes, bytes]], prefix: bytes) -> dict[bytes, bytes]:
    return {key[len(prefix) :]: value for key, value in entries if key.startswith(prefix)}
