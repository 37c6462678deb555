"""Metric groups: the engines of a job whose metrics have several windows or keys, behind the face of one.

All are given the same rows and ticks. Metrics are numbered as in the job, keys have all key columns of the job (NULL
where a metric does not have one), and what engines raise at one row stands in the order of the groups, so the output
depends on the rows alone, as that of one engine does.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import Episode, EpisodeId
from actors.engine.episodes.tracker import EpisodeChanges, Notice
from actors.engine.language.terms import Metric
from actors.engine.report.costs import EngineMemory
from actors.engine.report.output import Numbering, row_ordinals
from actors.engine.report.stat import EngineStat
from actors.engine.snapshot import Capture, Piece, bytes_head
from actors.errors import SnapshotError
from actors.frames import polars_schema
from config.metric_groups import MetricGroup, group_specs
from config.settings import JobSettings

MAGIC = "tocsin-metric-groups"
VERSION = 1


class GroupEngine:
    """The engine of one group: what it says has the numbers and the key columns of the job."""

    def __init__(self, job: JobSettings, group: MetricGroup, engine: AnomalyDetectionEngine) -> None:
        self.group = group
        self.engine = engine
        types = polars_schema(job.row_schema)
        self._columns = [job.time_column, *job.all_key_columns, "type", "metric", "offset", "ordinal"]
        missing = [name for name in job.all_key_columns if name not in group.key_columns]
        self._missing = [pl.lit(None, types[name]).alias(name) for name in missing]
        self._types = pl.Series("type", group.metrics, dtype=pl.Int32)
        own = {name: place for place, name in enumerate(group.key_columns)}
        self._places = [own.get(name) for name in job.all_key_columns]

    def told(self, found: pl.DataFrame) -> pl.DataFrame:
        """Return anomalies of the engine as those of the job."""
        return found.with_columns(self._types[found["type"]], *self._missing).select(self._columns)

    def changes(self) -> EpisodeChanges:
        """Return what has become of episodes since the last call."""
        taken = self.engine.take_episodes()
        changed: dict[EpisodeId, Episode | None] = {}
        for (split, offset, kind, start, ordinal), episode in taken.changed.items():
            place = (split, offset, self.group.metrics[kind], start, ordinal)
            changed[place] = None if episode is None else self._widened(episode)
        notices = [Notice(notice.offset, self._widened(notice.episode)) for notice in taken.notices]
        return EpisodeChanges(changed=changed, notices=notices)

    def open_episodes(self) -> list[Episode]:
        """Return the episodes that are pending or firing."""
        return [self._widened(episode) for episode in self.engine.open_episodes()]

    def _widened(self, episode: Episode) -> Episode:
        key = tuple(None if place is None else episode.key[place] for place in self._places)
        return replace(episode, type=self.group.metrics[episode.type], key=key)


class MetricGroups:
    """The engines of a job, one for each window and key of its metrics."""

    def __init__(self, job: JobSettings) -> None:
        self._groups = [
            GroupEngine(job, group, AnomalyDetectionEngine.from_spec(spec)) for group, spec in group_specs(job)
        ]
        self._engines = [one.engine for one in self._groups]
        self._owners = {
            kind: (one.engine, place) for one in self._groups for place, kind in enumerate(one.group.metrics)
        }
        self._packed: list[Any] = []
        parts = [[one.engine.fingerprint, one.group.metrics] for one in self._groups]
        packed = msgpack.packb([parts, job.all_key_columns])
        self.fingerprint = hashlib.blake2b(packed, digest_size=16).hexdigest()

    @property
    def groups(self) -> Sequence[GroupEngine]:
        """The groups in the order of their first metrics."""
        return self._groups

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the job."""
        return tuple(engine.metrics[place] for engine, place in self._in_order())

    @property
    def peak_texts(self) -> tuple[str | None, ...]:
        """The text of what the `peak` of each metric's episodes is a value of; `None` where they have none."""
        return tuple(engine.peak_texts[place] for engine, place in self._in_order())

    def _in_order(self) -> list[tuple[AnomalyDetectionEngine, int]]:
        return [self._owners[kind] for kind in range(len(self._owners))]

    def append_physical(self, frame: pl.DataFrame, offsets: Any = None) -> pl.DataFrame:
        """Test the rows of a canonical frame and return their anomalies, with times as integers."""
        found, packed = [], []
        for one in self._groups:
            found.append(one.told(one.engine.append_physical(frame, offsets)))
            packed += one.engine.take_details()
        self._packed = packed
        joined = pl.concat(found)
        if sum(map(bool, map(len, found))) < 2:
            return joined
        order = np.argsort(joined["offset"].to_numpy(), kind="stable")
        if packed:
            self._packed = [packed[place] for place in order.tolist()]
        joined = joined[order]
        return joined.with_columns(pl.Series("ordinal", row_ordinals(joined["offset"].to_numpy())))

    def advance_physical(self, time: int, offset: int, numbering: Numbering) -> pl.DataFrame:
        """Let the time of the split reach a moment, seen at a row; return the anomalies this raises."""
        found, packed, count = [], [], 0
        for one in self._groups:
            rest = Numbering(numbering.first + count * numbering.stride, numbering.stride)
            found.append(one.told(one.engine.advance_physical(time, offset, rest)))
            packed += one.engine.take_details()
            count += found[-1].height
        self._packed = packed
        return pl.concat(found)

    def take_details(self) -> list[Any]:
        """Return the details of the latest anomalies, in order."""
        packed, self._packed = self._packed, []
        return packed

    def render_detail(self, metric_index: int, packed: Any) -> str | None:
        """Return the JSON text of a detail that `take_details` gave."""
        engine, place = self._owners[metric_index]
        return engine.render_detail(place, packed)

    def take_late(self) -> pl.DataFrame:
        """Return the rows discarded since the last call, each once, however many groups have discarded it."""
        found = pl.concat([engine.take_late() for engine in self._engines])
        return found.unique("offset", keep="first", maintain_order=True).sort("offset", maintain_order=True)

    def follow_split(self, split: int) -> None:
        """Say which split the next rows come from."""
        for engine in self._engines:
            engine.follow_split(split)

    def take_episodes(self) -> EpisodeChanges:
        """Return what has become of episodes since the last call."""
        changed: dict[EpisodeId, Episode | None] = {}
        notices: list[Notice] = []
        for one in self._groups:
            changes = one.changes()
            changed |= changes.changed
            notices += changes.notices
        return EpisodeChanges(changed=changed, notices=sorted(notices, key=lambda notice: notice.offset))

    def open_episodes(self) -> list[Episode]:
        """Return the episodes that are pending or firing."""
        return [episode for one in self._groups for episode in one.open_episodes()]

    def note_absent(self, since: Callable[[MetricGroup], Mapping[tuple[Any, ...], int]], offset: int) -> None:
        """Take that keys are absent, each since a time, as seen at a row; `since` gives those of a group."""
        for one in self._groups:
            one.engine.note_absent(since(one.group), offset)

    def capture(self) -> Capture:
        """Return the whole state as it is now, to be made bytes of later, in any thread."""
        return GroupsCapture([engine.capture() for engine in self._engines])

    def snapshot(self) -> bytes:
        """Return the whole state as bytes; equal rows give equal bytes."""
        return b"".join(self.capture().pieces())

    def restore(self, snapshot: bytes) -> None:
        """Take over the state of a snapshot; if that fails, the state stays as it was.

        Raises:
            SnapshotError: the bytes are a snapshot of something else.
            EngineSnapshotError: they are of other metrics.
        """
        try:
            magic, version, *states = msgpack.unpackb(snapshot)
            if magic != MAGIC or version != VERSION or len(states) != len(self._engines):
                raise ValueError(f"they begin with {magic!r}, {version!r}")
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise SnapshotError(f"these {len(snapshot)} bytes are a snapshot of another engine: {error}") from error
        before = [engine.snapshot() for engine in self._engines]
        try:
            for engine, state in zip(self._engines, states, strict=True):
                engine.restore(state)
        except Exception:
            for engine, state in zip(self._engines, before, strict=True):
                engine.restore(state)
            raise

    def memory(self) -> EngineMemory:
        """Return the bytes that the state takes now."""
        found = [engine.memory() for engine in self._engines]
        return EngineMemory(
            state_size_bytes=sum(one.state_size_bytes for one in found),
            key_count=sum(one.key_count for one in found),
            late_size_bytes=sum(one.late_size_bytes for one in found),
            parts=tuple(sorted((part for one in found for part in one.parts), key=lambda part: -part[1])),
        )

    def stat(self) -> EngineStat:
        """Return counters: of rows those of one group, as all have the same; the most late ones that one has."""
        found = [engine.stat() for engine in self._engines]
        by_metric = {
            kind: count
            for one, stat in zip(self._groups, found, strict=True)
            for kind, count in zip(one.group.metrics, stat.null_comparison_counts, strict=True)
        }
        return replace(
            found[0],
            anomaly_count=sum(one.anomaly_count for one in found),
            key_count=sum(one.key_count for one in found),
            late_row_count=max(one.late_row_count for one in found),
            timeless_row_count=max(one.timeless_row_count for one in found),
            null_comparison_counts=tuple(by_metric[kind] for kind in range(len(by_metric))),
        )


class GroupsCapture(Capture):
    """The state of several engines at one moment."""

    def __init__(self, captures: Sequence[Capture]) -> None:
        self._captures = captures

    def pieces(self) -> Iterator[Piece]:
        """Yield the bytes in pieces, some of them empty."""
        packer = msgpack.Packer()
        yield packer.pack_array_header(2 + len(self._captures)) + packer.pack(MAGIC) + packer.pack(VERSION)
        for capture in self._captures:
            found: list[Piece] = []
            for piece in capture.pieces():
                found.append(piece)
                yield b""
            yield bytes_head(sum(map(len, found)))
            yield from found
