"""A detector: groups of rows, and one watcher per metric.

Everything is decided by rows and offsets: how batches are cut changes nothing, and there is no clock. State is kept as
entries of bytes, one per group and one per group and watcher, so that a commit writes only what has changed.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgpack
import numpy as np
import polars as pl
import xxhash

from actors.detectors.errors import DetectorSpecError, DetectorStateError
from actors.detectors.groups import GroupedRows, GroupId, Groups, Ints, Phase, group_digest
from actors.detectors.parts import Learner, Memory, Parts
from actors.detectors.specs import GroupSpec
from actors.detectors.values import plain_value
from actors.detectors.verdicts import VariableVerdict
from actors.errors import SchemaError
from actors.frames import polars_schema
from actors.model import Schema

STATE_VERSION = 1
"""Version of saved entries."""

SNAPSHOT_VERSION = 2
"""Version of snapshots; those of version 1 are the entries, without a checksum."""

_GROUP, _MEMORY, _VERSION = b"g", b"m", b"v"
_OFFSET = "\0offset"


class Detector:
    """Learns from the rows of each group, then reports rows that do not fit.

    Raises:
        DetectorSpecError: a column that the schema does not have.
    """

    def __init__(
        self,
        spec: GroupSpec,
        schema: Schema,
        time_column: str,
        key_columns: Sequence[str],
        *,
        group_columns: Sequence[str],
        make_parts: Callable[[Groups], Parts],
    ) -> None:
        self.spec = spec
        self._schema = schema
        self._time_column = schema[time_column].name
        self._key_columns = [schema[name].name for name in key_columns]
        self.group_columns = tuple(group_columns)
        learn = spec.effective_learn()
        self._groups = Groups(group_columns, self._time_column, learn, keeps_time=spec.needs_all_times)
        parts = make_parts(self._groups)
        self._watchers = list(parts.watchers)
        self._followers = list(parts.followers)
        self._configuration = parts.configuration
        decisions = [] if parts.configuration is None else [parts.configuration]
        self._memories: list[Memory] = [*self._watchers, *self._followers, *parts.memories, *decisions]
        self._types = types = polars_schema(schema)
        columns: dict[str, Any] = {name: types[name] for name in (self._time_column, *self._key_columns)}
        columns |= {"type": pl.Int32, "metric": pl.String, "offset": pl.Int64, "ordinal": pl.Int32}
        self._nothing = pl.DataFrame(schema=columns | {"detail": pl.String})
        self.fingerprint = _fingerprint(spec, schema, time_column, key_columns)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def metrics(self) -> tuple[str, ...]:
        """Texts of the metrics; the position is the anomaly's type."""
        return tuple(watcher.metric for watcher in self._watchers)

    def process(self, frame: pl.DataFrame, offsets: Ints) -> pl.DataFrame:
        """Learn or judge the rows of a canonical frame, as the learn phase says, and return the anomalies.

        Offsets ascend within a group. The result has the time column, the key columns, `type`, `metric`, `offset`,
        `ordinal` (from 0 within a row) and `detail` (JSON), sorted by offset and ordinal.
        """
        return self._run(frame, offsets, Phase.AUTO)

    def train(self, frame: pl.DataFrame, offsets: Ints) -> None:
        """Learn all rows."""
        self._run(frame, offsets, Phase.TRAIN)

    def detect(self, frame: pl.DataFrame, offsets: Ints) -> pl.DataFrame:
        """Judge all rows and return the anomalies."""
        return self._run(frame, offsets, Phase.DETECT)

    def configure(self, frame: pl.DataFrame, offsets: Ints) -> None:
        """Use all rows to find out which variables are stable; neither learn nor judge them.

        The next call of another method that takes rows mutes the others, in the groups that were seen here.

        Raises:
            DetectorSpecError: this kind of detector watches no variables.
        """
        if self._configuration is None:
            raise DetectorSpecError(f"detector {self.name!r} watches no variables to choose from; train it instead")
        self._configuration.observe_all(self._batch(frame, offsets, Phase.DETECT))

    def accept(self, event_id: Any, variable: str, value: Any) -> None:
        """Let a reported value count as known.

        `event_id` names the group: its values in the order of `group_columns`, or the only value by itself. `variable`
        is the metric's text or what the metric is about (a column, or columns joined by a comma and a blank).

        Raises:
            DetectorSpecError: the group has another number of values, or there is no such metric.
            DetectorValueError: no row could bring the value, or the group.
        """
        group = tuple(event_id) if isinstance(event_id, tuple | list) else (event_id,) if self.group_columns else ()
        if len(group) != len(self.group_columns):
            raise DetectorSpecError(f"{event_id!r} does not name a group; give {', '.join(self.group_columns) or '()'}")
        # What no row could bring could not be saved either.
        columns = (self._schema[name] for name in self.group_columns)
        group = tuple(v if v is None else plain_value(column, v) for column, v in zip(columns, group, strict=True))
        learner = self._find_learner(variable) if isinstance(variable, str) else None
        if learner is None:
            known = ", ".join(learner.metric for learner in self._learners()) or "none that knows values"
            raise DetectorSpecError(f"detector {self.name!r} has no metric {variable!r}; it has {known}")
        assert learner.about is not None, "only what is about something is found"
        value = self.spec.checked_value(self._schema, learner.about, value)
        code = self._groups.code(group)
        self._groups.changed.add(code)
        learner.accept(code, tuple(value) if isinstance(value, list) else value, self._groups.watermark(code))

    def _learners(self) -> list[Learner]:
        """Return what knows values, of which more may be accepted."""
        return [learner for learner in (*self._watchers, *self._followers) if learner.about is not None]

    def _find_learner(self, variable: str) -> Learner | None:
        return next((learner for learner in self._learners() if variable in (learner.metric, learner.about)), None)

    def about(self, variable: str) -> str | None:
        """Return what the metric is about that somebody names so, by its text or by that; `None` if there is none."""
        learner = self._find_learner(variable)
        return None if learner is None else learner.about

    @property
    def variables(self) -> tuple[str, ...]:
        """What metrics are about whose values may be accepted: a column, or columns joined by a comma and a blank."""
        return tuple(learner.about for learner in self._learners() if learner.about is not None)

    @property
    def follows(self) -> bool:
        """Whether this detector follows how variables behave."""
        return bool(self._followers)

    def verdicts(self) -> list[VariableVerdict]:
        """Return how each variable of each group behaves, where this detector follows that; sorted by group."""
        found = [
            verdict
            for code, group in enumerate(self._groups.ids)
            for follower in self._followers
            if (verdict := follower.verdict(code, self.name, group)) is not None
        ]
        return sorted(found, key=lambda verdict: [(value is not None, str(value)) for value in verdict.group])

    def changed_state(self) -> dict[bytes, bytes]:
        """Return the entries that have changed since they were last saved; keys are at most 19 bytes."""
        if not self._groups.changed and not any(memory.changed for memory in self._memories):
            return {}
        entries = {_VERSION: self._version_entry()}
        entries.update(self._group_entry(code) for code in sorted(self._groups.changed))
        for index, memory in enumerate(self._memories):
            entries.update(self._memory_entry(index, memory, code) for code in sorted(memory.changed))
        return entries

    def mark_saved(self) -> None:
        """Note that what `changed_state` gave is durable."""
        self._groups.changed.clear()
        for memory in self._memories:
            memory.changed.clear()

    def load_state(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over saved entries, all of them, into a detector that has seen nothing.

        Raises:
            DetectorStateError: they are torn, of another version, or of a detector with another specification.
        """
        try:
            self._load(entries)
        except DetectorStateError:
            raise
        except Exception as error:  # torn bytes raise whatever they happen to look like
            raise DetectorStateError(f"the state of detector {self.name!r} cannot be read: {error!r}") from error
        self.mark_saved()

    def snapshot(self) -> bytes:
        """Return everything known as bytes: equal rows give equal bytes, however they were cut into batches."""
        entries = {_VERSION: self._version_entry()}
        entries.update(self._group_entry(code) for code in range(len(self._groups.ids)))
        for index, memory in enumerate(self._memories):
            entries.update(self._memory_entry(index, memory, code) for code in sorted(memory.codes()))
        body = msgpack.packb(dict(sorted(entries.items())))
        return bytes(msgpack.packb([SNAPSHOT_VERSION, zlib.crc32(body), body]))

    def restore(self, data: bytes) -> None:
        """Take over a snapshot into a detector that has seen nothing; all of it counts as changed.

        Raises:
            DetectorStateError: the bytes are torn, of another version, or of a detector with another specification.
        """
        try:
            entries = _unpack_snapshot(data)
        except Exception as error:  # msgpack raises several unrelated types for foreign bytes
            raise DetectorStateError(f"no snapshot of detector {self.name!r}: {error!r}") from error
        if not isinstance(entries, dict) or _VERSION not in entries:
            raise DetectorStateError(f"no snapshot of detector {self.name!r}: its entries are missing")
        self.load_state(entries)
        self._groups.changed.update(range(len(self._groups.ids)))
        for memory in self._memories:
            memory.changed.update(memory.codes())

    def validate(self) -> None:
        """Assert every invariant of the groups and of what is remembered of them."""
        self._groups.validate()
        known = range(len(self._groups.ids))
        for memory in self._memories:
            assert all(code in known for code in memory.changed), memory.changed
            assert all(code in known for code in memory.codes()), "something is remembered of a group that is not there"
            memory.validate()

    def _run(self, frame: pl.DataFrame, offsets: Ints, phase: Phase) -> pl.DataFrame:
        batch = self._batch(frame, offsets, phase)
        if self._configuration is not None:
            self._configuration.settle(batch, learns=phase is not Phase.DETECT)
        if not batch.row_count:
            return self._nothing.clone()
        for follower in self._followers:
            follower.observe(batch)
        rows: list[int] = []
        types: list[int] = []
        details: list[str] = []
        for index, watcher in enumerate(self._watchers):
            for finding in watcher.observe(batch):
                rows.extend(finding.rows)
                types.extend([index] * len(finding.rows))
                details.extend([finding.detail] * len(finding.rows))
        return self._anomalies(batch, rows, types, details)

    def _batch(self, frame: pl.DataFrame, offsets: Ints, phase: Phase) -> GroupedRows:
        """Return rows by group, noted, unless they or their offsets are none."""
        if not isinstance(frame, pl.DataFrame) or isinstance(offsets, str) or np.ndim(offsets) != 1:
            raise SchemaError("the rows must be a frame of Polars, with offsets in an array")
        self._check_columns(frame)
        if len(offsets) != len(frame):
            raise SchemaError(f"{len(frame)} rows come with {len(offsets)} offsets; give one for each row")
        places = np.asarray(offsets)
        if len(places) and (places.dtype.kind not in "iu" or places.max() > np.iinfo(np.int64).max):
            raise SchemaError(f"the offsets are an array of {places.dtype}; give whole numbers of 64 bits")
        places = places.astype(np.int64, copy=False)
        if np.any(places[1:] <= places[:-1]):
            self._check_ascent(frame, pl.Series(places))
        return self._groups.batch(frame, places, phase)

    def _check_columns(self, frame: pl.DataFrame) -> None:
        given = frame.schema
        for name, wanted in self._types.items():
            if given.get(name) != wanted:
                what = f"is {given[name]}" if name in given else "is missing"
                raise SchemaError(
                    f"column {name!r} {what}, but must be {wanted}; make frames with `actors.given_rows.to_frame`"
                )

    def _check_ascent(self, frame: pl.DataFrame, offsets: pl.Series) -> None:
        step = pl.col(_OFFSET).diff()
        placed = frame.with_columns(offsets.alias(_OFFSET))
        falls = placed.select((step.over(self.group_columns) if self.group_columns else step) <= 0).to_series()
        if falls.any():
            row = falls.arg_true()[0]
            raise SchemaError(
                f"offset {offsets[row]} of row {row} is not above the one before it in its group; sort them"
            )

    def _anomalies(self, batch: GroupedRows, rows: list[int], types: list[int], details: list[str]) -> pl.DataFrame:
        if not rows:
            return self._nothing.clone()
        places, kinds = np.array(rows, np.int64), np.array(types, np.int32)
        offsets = batch.offsets[places]
        order = np.lexsort((kinds, offsets))
        places, kinds, offsets = places[order], kinds[order], offsets[order]
        starts = np.flatnonzero(np.append(True, offsets[1:] != offsets[:-1]))
        sizes = np.diff(np.append(starts, len(offsets)))
        ordinals = np.arange(len(offsets)) - np.repeat(starts, sizes)
        own = [
            pl.Series("type", kinds, dtype=pl.Int32),
            pl.Series("metric", [self._watchers[kind].metric for kind in kinds.tolist()], dtype=pl.String),
            pl.Series("offset", offsets, dtype=pl.Int64),
            pl.Series("ordinal", ordinals, dtype=pl.Int32),
            pl.Series("detail", [details[place] for place in order.tolist()], dtype=pl.String),
        ]
        shown = dict.fromkeys((self._time_column, *self._key_columns))
        return batch.frame.select(list(shown))[places].with_columns(own)

    def _version_entry(self) -> bytes:
        return bytes(msgpack.packb([STATE_VERSION, self.fingerprint]))

    def _group_entry(self, code: int) -> tuple[bytes, bytes]:
        return _GROUP + self._groups.digest(code), msgpack.packb(self._groups.encode(code))

    def _memory_entry(self, index: int, memory: Memory, code: int) -> tuple[bytes, bytes]:
        key = _MEMORY + self._groups.digest(code) + index.to_bytes(2, "big")
        return key, msgpack.packb([list(self._groups.ids[code]), memory.encode(code)])

    def _load(self, entries: Mapping[bytes, bytes]) -> None:
        if not entries:
            return
        version, fingerprint = msgpack.unpackb(entries[_VERSION])
        if version != STATE_VERSION:
            raise DetectorStateError(f"the state of detector {self.name!r} has version {version}, not {STATE_VERSION}")
        if fingerprint != self.fingerprint:
            raise DetectorStateError(
                f"the state of detector {self.name!r} belongs to another specification; start anew"
            )
        for key, entry in entries.items():
            if key[:1] == _GROUP:
                self._groups.decode(msgpack.unpackb(entry))
        for key, entry in entries.items():
            if key[:1] == _MEMORY:
                group, saved = msgpack.unpackb(entry)
                self._memories[int.from_bytes(key[-2:], "big")].decode(self._groups.code(tuple(group)), saved)


def _unpack_snapshot(data: bytes) -> Any:
    found = msgpack.unpackb(data)
    if isinstance(found, dict):
        return found
    version, checksum, body = found
    if version != SNAPSHOT_VERSION:
        raise ValueError(f"it has version {version}, not 1 or {SNAPSHOT_VERSION}")
    if zlib.crc32(body) != checksum:
        raise ValueError("it does not fit its checksum; use an older one")
    return msgpack.unpackb(body)


def group_key(group: GroupId) -> bytes:
    """Return the key of the entry that saves a group."""
    return _GROUP + group_digest(group)


def saved_group(key: bytes, entry: bytes) -> GroupId | None:
    """Return the group that an entry saves, `None` when it saves something else."""
    return tuple(msgpack.unpackb(entry)[0]) if key[:1] == _GROUP else None


def _fingerprint(spec: GroupSpec, schema: Schema, time_column: str, key_columns: Sequence[str]) -> str:
    columns = [(column.name, str(column.type)) for column in schema.columns]
    described = [STATE_VERSION, type(spec).__name__, asdict(spec), columns, time_column, list(key_columns)]
    return xxhash.xxh3_128_hexdigest(msgpack.packb(described))
