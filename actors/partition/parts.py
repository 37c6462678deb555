"""All parts of one partition, made for its job and joined together."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgpack
import polars as pl

from actors.errors import DamagedEntryError, SnapshotError
from actors.partition.anomalies import Anomaly
from actors.partition.anomaly_table import AnomalyTable, merge_anomalies
from actors.partition.assembly import stores_events
from actors.partition.capture import PartitionCapture
from actors.partition.check import read_marks
from actors.partition.detection import Learning
from actors.partition.episode_table import EpisodeTable, with_peak
from actors.partition.event_mapping import StoredEvents
from actors.partition.finding_episodes import FindingEpisodes
from actors.partition.marks import Marks
from actors.partition.metrics import Metrics, Offsets
from actors.partition.outbox import Outbox
from actors.partition.part import Fields, Part, Saved
from actors.partition.queries import PartitionQueries
from actors.partition.rejected_records import RecordTable, add_letters
from actors.partition.sealing import unseal
from actors.partition.standings import Standings
from actors.partition.type_texts import type_texts
from actors.partition.values import RoutedBatch
from actors.partition.warm_start import warm_up
from actors.shard import Shard
from actors.store.disk.writing import TABLES as STORE_TABLES
from config.settings import JobSettings

TABLES = (
    "partition",
    "engine",
    "anomalies",
    "outbox",
    "dead_letters",
    "late_rows",
    "episodes",
    "notices",
    "detectors",
    "standings",
)
"""Tables of a partition in its shard, beside those of the event store."""


def tables_of(job: JobSettings) -> tuple[str, ...]:
    """Return the names of all tables in the shard of a job's partition."""
    return (*TABLES, *STORE_TABLES) if stores_events(job) else TABLES


RECORD_KEY = b"marks"
"""Key of the record in the table `partition`."""

RECORD_FIELDS = (
    "version",
    "fingerprint",
    "epoch",
    "received",
    "engine",
    "watermarks",
    "gaps",
    "gap_times",
    "not_replayed",
    "dead_letter_count",
    "late_row_count",
    "details_from",
    "tells_replayed_episodes",
    "ticks",
)
"""Fields of the record, in the order in which they are stored."""

_SHARE = "share of "

VERSION = 2
"""Version of the record, and of a partition's snapshot; values and snapshots of version 1 have no checksum."""

SNAPSHOT_KEY = b"snapshot"
"""What the seal of a snapshot is made with."""


class Parts:
    """The parts of one partition, open in its shard.

    Raises:
        SnapshotError: the shard was made by a job with other metrics, keys, windows, columns or detectors.
    """

    def __init__(self, job: JobSettings, number: int, shard: Shard) -> None:
        self._job = job
        self._number = number
        self._shard = shard
        self.tables = {name: shard.table(name) for name in TABLES}
        limits = job.limits
        self.marks = Marks()
        self.dead_letters = RecordTable("dead_letters", self.tables, limits.dead_letters_max)
        self.late_rows = RecordTable("late_rows", self.tables, limits.late_rows_max)
        self.learning = Learning(job, number)
        absent_type = len(job.metrics) + sum(self.learning.type_counts)
        texts = dict(enumerate(type_texts(job, self.learning.metrics)))
        self.episodes = EpisodeTable(self.tables, texts, has_notices=job.delivers_episodes)
        self.finding_episodes = FindingEpisodes(job, self.learning.type_counts, self.episodes.put)
        self.metrics = Metrics(job, number, self.marks, self.late_rows, self.episodes, absent_type)
        self.anomalies = AnomalyTable(job.all_key_columns, len(job.metrics), self.metrics.engine.render_detail)
        self.outbox = Outbox(self.tables, self.anomalies, self.episodes, [sink.identity for sink in job.sinks])
        self.standings = Standings(self.tables["standings"], number, [sink.identity for sink in job.sinks])
        self.events = StoredEvents(job, shard)
        self.row_count = self.replayed_row_count = self.event_count = 0
        self.waiting_count = 0
        """Rows and ticks since the last flush."""

    def __iter__(self) -> Iterator[Part]:
        yield from (self.marks, self.metrics, self.learning, self.finding_episodes, self.events)
        # The outbox counts what is pending in the tables, so it comes before them.
        yield from (self.outbox, self.anomalies, self.episodes, self.dead_letters, self.late_rows)

    def with_peak(self, one: Anomaly) -> Anomaly:
        """Return a notice with the value of its episode's peak, and an anomaly as it is."""
        texts = self.metrics.engine.peak_texts
        detail = with_peak(one.detail, texts[one.type]) if one.type < len(texts) else one.detail
        return one if detail is one.detail else replace(one, detail=detail)

    @property
    def fingerprint(self) -> list[str]:
        """What tells whether saved state belongs to this job's metrics, detectors and partitions."""
        return [self.metrics.engine.fingerprint, *self.learning.fingerprints, self._share]

    @property
    def _share(self) -> str:
        """Which rows the partition has: those of one of so many shares of the keys, or those of its split."""
        job = self._job
        if job.partition_by == "split":
            share = "splits"
        else:
            named = "key" if job.route_columns == job.key_columns else f"{', '.join(job.route_columns) or 'no column'}"
            share = f"{job.partitions} by {named}"
        # Anomalies that are kept have the columns of all keys.
        others = job.all_key_columns[len(job.key_columns) :]
        share += f", with keys of {', '.join(others)}" if others else ""
        # Offsets mean something else then.
        return _SHARE + share + ("" if job.idle_after is None else ", with time marks")

    @property
    def queries(self) -> PartitionQueries:
        """What can be asked."""
        return PartitionQueries(
            self._job,
            self._shard,
            self.tables["anomalies"],
            anomalies=self.anomalies,
            episodes=self.episodes,
            dead_letters=self.dead_letters,
            late_rows=self.late_rows,
            store=self.events.store,
        )

    def apply(self, batch: RoutedBatch, needed: int) -> int:
        """Take the rows and ticks of a batch from an offset on; return the number of anomalies that are new."""
        ticks = tuple(tick for tick in batch.ticks if tick[0] >= needed)
        if not len(batch.offsets) and not batch.dead_letters and not ticks:
            return 0
        frame, offsets = _from_offset(batch.frame, batch.offsets, needed)
        committed = self.marks.committed.get(batch.split, 0)
        fresh, fresh_offsets = _from_offset(frame, offsets, committed)
        tested = self.metrics.test(batch.split, frame, offsets, ticks, committed)
        found = self.learning.process(batch.split, fresh, fresh_offsets)
        merged = merge_anomalies([tested.raised, *found])
        assert merged.is_empty() or merged["offset"][0] >= needed, "ids of a split only grow, or sinks would miss one"
        changes = self.finding_episodes.observe(batch.split, fresh, fresh_offsets, found, tested.ticks)
        self.episodes.add(batch.split, changes, tested.ordinals)
        self.anomalies.add(batch.split, merged, tested.packed)
        self.anomalies.add(batch.split, tested.at_ticks)
        if tested.at_ticks.height:
            merged = pl.concat([merged, tested.at_ticks.select(merged.columns)]).sort("offset", "ordinal")
        add_letters(self.dead_letters, batch.dead_letters, committed)
        self.event_count += self.events.register(batch.split, fresh, fresh_offsets, merged)
        self.row_count += len(fresh_offsets)
        self.replayed_row_count += len(offsets) - len(fresh_offsets)
        self.waiting_count += len(offsets) + len(ticks)
        return len(merged)

    def saved(self) -> None:
        """Note that a flush is durable."""
        for part in self:
            part.saved()
        self.waiting_count = 0

    def record(self) -> bytes:
        """Return the record of the flush whose entries the parts were just asked for."""
        found: dict[str, Any] = {"version": VERSION, "fingerprint": self.fingerprint}
        for part in self:
            found |= part.fields()
        return bytes(msgpack.packb({name: found[name] for name in RECORD_FIELDS}))

    def load(self) -> None:
        """Take over what the shard has; a job with a warm start learns from the rows of the job before it."""
        with self._shard.read() as txn:
            stored = txn.get(RECORD_KEY, db=self.tables["partition"])
            if stored is None:
                return
            record = _unpack_record(unseal(RECORD_KEY, stored))
            given = list(record["fingerprint"])
            self._check_share(given)
            is_of_other_job = self._job.warm_start is not None and not self._is_own(given)
            if not is_of_other_job:
                self.check_fingerprint(given)
            saved = Saved(txn=txn, tables=self.tables, record=record, is_of_other_job=is_of_other_job)
            for part in self:
                part.load(saved)
        if is_of_other_job:
            self._begin_anew()

    def check_fingerprint(self, stored: list[str]) -> None:
        """Refuse the state of other metrics, detectors or partitions.

        Raises:
            SnapshotError: it is.
        """
        self._check_share(stored)
        if not self._is_own(stored):
            raise SnapshotError(
                f"the shard of partition {self._number} was made by a job {self._job.name!r} with other metrics, keys, "
                "windows, columns or detectors; set `warm_start`, or submit the changed job under a new name"
            )

    def _is_own(self, stored: list[str]) -> bool:
        """Return whether state is that of this job; before there was a share, it did not say which it was."""
        return list(stored) in (self.fingerprint, self.fingerprint[:-1])

    def _check_share(self, stored: list[str]) -> None:
        """Refuse other partitions, which no warm start makes these: keys would have left their state behind."""
        share = stored[-1] if stored and stored[-1].startswith(_SHARE) else self._share
        if share != self._share:
            was, now = share.removeprefix(_SHARE), self._share.removeprefix(_SHARE)
            raise SnapshotError(
                f"the partitions of job {self._job.name!r} were {was} and are {now} in the job file; `partitions`, "
                "`partition_by`, the columns of keys that metrics have for themselves, and whether there is "
                "`idle_after` are fixed for the life of a job: put them back, or submit the job under a new name"
            )

    def capture(self) -> PartitionCapture:
        """Return engine, detectors and marks as they stand at the rows received so far."""
        body: dict[str, Any] = {"version": VERSION, "fingerprint": self.fingerprint, "partition": self._number}
        for part in self:
            body |= part.snapshot()
        return PartitionCapture(SNAPSHOT_KEY, self.marks.received, body)

    def checked_snapshot(self, snapshot: bytes) -> Fields:
        """Return what a snapshot of this partition carries.

        Raises:
            SnapshotError: the bytes are no snapshot of this partition, or the shard holds rows already.
        """
        try:
            body: Fields = msgpack.unpackb(unseal(SNAPSHOT_KEY, snapshot), strict_map_key=False)
            version, partition, fingerprint = body["version"], body["partition"], body["fingerprint"]
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise SnapshotError(f"these {len(snapshot)} bytes are no snapshot of a partition: {error}") from error
        _check_version("a snapshot", version)
        if partition != self._number:
            raise SnapshotError(f"a snapshot of partition {partition} does not fit partition {self._number}")
        if any(self.marks.reached().values()):
            raise SnapshotError(f"partition {self._number} has rows already; restore into an empty directory")
        self.check_fingerprint(fingerprint)
        return body

    def validate(self) -> None:
        """Assert every invariant of the parts and between them, and that the shard has what is said to be committed."""
        for part in self:
            part.validate()
        committed, reached = self.marks.committed, self.marks.reached()
        for place in self.anomalies.pending_ids():
            assert committed.get(place.split, 0) <= place.offset < reached[place.split], f"{place} is not of its rows"
        stored = read_marks(self._shard)
        assert (dict(stored.committed) if stored else {}) == committed, f"{stored} is not {committed}"

    def _begin_anew(self) -> None:
        """Let a changed job learn from stored rows and go on where the job before it stopped."""
        assert self.events.store is not None, "a warm start needs a store"
        self.replayed_row_count = warm_up(self._job, self.events.store, self.events.watermarks, self._relearn)
        self.metrics.begin_anew()
        self.marks.received = self.marks.reached()
        self.anomalies.forget_details(self.marks.reached())

    def _relearn(self, split: int, frame: pl.DataFrame, offsets: Offsets) -> None:
        self.metrics.relearn(split, frame, offsets)
        self.learning.process(split, frame, offsets)


def _unpack_record(data: bytes) -> Fields:
    try:
        record: Fields = msgpack.unpackb(data, strict_map_key=False)
        version = record["version"]
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise DamagedEntryError(f"the marks of a partition cannot be read: {error}; restore its shard") from error
    _check_version("a shard", version)
    return record


def _check_version(what: str, version: object) -> None:
    if version not in (1, VERSION):
        raise SnapshotError(f"{what} of format {version}; this version reads formats 1 and {VERSION}")


def _from_offset(frame: pl.DataFrame, offsets: Offsets, start: int) -> tuple[pl.DataFrame, Offsets]:
    """Return the rows at or above an offset, and their offsets."""
    skipped = int(offsets.searchsorted(start))
    return (frame, offsets) if not skipped else (frame[skipped:], offsets[skipped:])
