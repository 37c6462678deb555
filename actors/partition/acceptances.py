"""Acceptances: what people say is usual after all, and from which row on.

An *acceptance* lets a value that detectors reported count as known, for one key. It is the one input of a partition
that is no row, so it has a place among the rows: for each split the offset from which on it holds (0 for a split that
is not named). It is applied before the first row of its key at or after that offset, and that it was applied is
committed with the detectors' state: replay, another owner and a shard that is rebuilt come to the same result.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.detectors import Detector
from actors.detectors.errors import DetectorValueError
from actors.detectors.values import parse_list, plain_values, typed_value
from actors.errors import TocsinError
from actors.model import Column, Schema
from actors.nearness import nearest

Array = np.ndarray[Any, np.dtype[np.int64]]

NO_EVENT = "-"
"""Stands for the event id where people name a detector that learns without one."""

CONTENT_VERSION = 1
"""Version of the bytes of an acceptance."""


class AcceptanceError(TocsinError):
    """An acceptance that no detector of the job could follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A value that shall count as known."""

    acceptance_id: str
    """Unique within the job; one that is known is not applied again."""

    key: tuple[Any, ...]
    """Values of the key columns."""

    groups: tuple[tuple[int, tuple[Any, ...]], ...]
    """Number of each detector that is meant, and the group there."""

    variable: str
    """What the detectors' metrics are about: a column, or columns joined by a comma and a blank."""

    value: Any
    """The value, in the physical type of its column; a list for combinations, sequences and counts."""

    positions: Mapping[int, int]
    """Offset from which on it holds, by split; 0 for the others."""

    def to_bytes(self) -> bytes:
        """Return the versioned bytes of everything."""
        rest = (self.key, self.groups, self.variable, self.value, sorted(self.positions.items()))
        return bytes(msgpack.packb((CONTENT_VERSION, self.acceptance_id, *rest)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Acceptance":
        """Return the acceptance that `to_bytes` wrote.

        Raises:
            AcceptanceError: torn or foreign bytes, or of a later version.
        """
        try:
            version, acceptance_id, key, groups, variable, value, positions = msgpack.unpackb(data, use_list=False)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise AcceptanceError(f"these {len(data)} bytes are no acceptance: {error}") from error
        if version != CONTENT_VERSION:
            raise AcceptanceError(f"an acceptance of format {version}; this version reads format {CONTENT_VERSION}")
        return cls(
            acceptance_id=acceptance_id,
            key=key,
            groups=groups,
            variable=variable,
            value=value,
            positions=dict(positions),
        )

    def placed(self, acceptance_id: str, positions: Mapping[int, int]) -> "Acceptance":
        """Return the same acceptance with an id, from these offsets on."""
        return Acceptance(
            acceptance_id=acceptance_id,
            key=self.key,
            groups=self.groups,
            variable=self.variable,
            value=self.value,
            positions=dict(positions),
        )


class Acceptances:
    """Those of one partition: which wait for the first row of their key, and which have been applied."""

    def __init__(self, key_columns: Sequence[str]) -> None:
        self._key_columns = list(key_columns)
        self._waiting: dict[str, Acceptance] = {}
        self._applied: set[str] = set()
        self._changed: set[str] = set()

    def knows(self, acceptance_id: str) -> bool:
        """Whether an acceptance waits or has been applied."""
        return acceptance_id in self._applied or acceptance_id in self._waiting

    def add(self, acceptance: Acceptance) -> None:
        """Take note of an acceptance, unless it is known."""
        if not self.knows(acceptance.acceptance_id):
            self._waiting[acceptance.acceptance_id] = acceptance
            self._changed.add(acceptance.acceptance_id)

    def parts(
        self, split: int, frame: pl.DataFrame, offsets: Array
    ) -> Iterator[tuple[list[Acceptance], pl.DataFrame, Array]]:
        """Yield rows in parts, each with the acceptances that are to be applied before it."""
        due = self._due(split, frame, offsets)
        if not due:
            yield [], frame, offsets
            return
        rows = sorted({0, *(row for row, _ in due)})
        for start, end in zip(rows, [*rows[1:], len(offsets)], strict=True):
            found = [acceptance for row, acceptance in due if row == start]
            for acceptance in found:
                del self._waiting[acceptance.acceptance_id]
                self._applied.add(acceptance.acceptance_id)
                self._changed.add(acceptance.acceptance_id)
            yield found, frame[start:end], offsets[start:end]

    def changed_entries(self) -> dict[bytes, bytes]:
        """Return what has changed since it was last saved: nothing is left of an applied one but its id."""
        return {name.encode(): self._entry(name) for name in sorted(self._changed)}

    def mark_saved(self) -> None:
        """Note that what `changed_entries` gave is durable."""
        self._changed.clear()

    def load(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over saved entries."""
        for name, data in entries.items():
            if data:
                self._waiting[name.decode()] = Acceptance.from_bytes(data)
            else:
                self._applied.add(name.decode())

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        """Return everything, as entries."""
        return [(name.encode(), self._entry(name)) for name in sorted({*self._waiting, *self._applied})]

    def restore(self, entries: Sequence[Sequence[bytes]]) -> None:
        """Take over a snapshot; all of it counts as changed."""
        self.load({name: data for name, data in entries})  # noqa: C416  # pairs come as lists
        self._changed.update({*self._waiting, *self._applied})

    def waiting_keys(self) -> set[tuple[Any, ...]]:
        """Return the keys of those that wait."""
        return {acceptance.key for acceptance in self._waiting.values()}

    def validate(self, detector_count: int) -> None:
        """Assert that each waits or has been applied, under its own id, and means detectors that there are."""
        assert not self._applied & self._waiting.keys(), "an acceptance waits that has been applied"
        assert self._changed <= self._applied | self._waiting.keys(), "something changed that is not known"
        for name, acceptance in self._waiting.items():
            assert acceptance.acceptance_id == name, acceptance
            assert all(number < detector_count for number, _ in acceptance.groups), acceptance
            assert len(acceptance.key) == len(self._key_columns), acceptance

    def _entry(self, name: str) -> bytes:
        return b"" if name in self._applied else self._waiting[name].to_bytes()

    def _due(self, split: int, frame: pl.DataFrame, offsets: Array) -> list[tuple[int, Acceptance]]:
        """Return the first row of its key of each acceptance that a row lets take effect, in order of rows and ids."""
        found = []
        for acceptance in self._of_keys_in(frame):
            first = int(np.searchsorted(offsets, acceptance.positions.get(split, 0)))
            if first < len(offsets):
                is_key = _has_key(frame[first:], self._key_columns, acceptance.key)
                if is_key.any():
                    found.append((first + int(is_key.argmax()), acceptance))
        return sorted(found, key=lambda pair: (pair[0], pair[1].acceptance_id))

    def _of_keys_in(self, frame: pl.DataFrame) -> list[Acceptance]:
        """Return those that wait whose key occurs: many may wait for keys that seldom come."""
        if not self._waiting or not self._key_columns:
            return list(self._waiting.values())
        keys = set(frame.select(self._key_columns).unique().rows())
        return [acceptance for acceptance in self._waiting.values() if acceptance.key in keys]


def _has_key(frame: pl.DataFrame, key_columns: Sequence[str], key: Sequence[Any]) -> Any:
    is_key = np.ones(frame.height, dtype=np.bool_)
    for name, value in zip(key_columns, key, strict=True):
        is_key &= frame[name].eq_missing(pl.Series([value], dtype=frame.schema[name])).to_numpy()
    return is_key


def find_acceptance(
    detectors: Sequence[Detector],
    schema: Schema,
    key_columns: Sequence[str],
    *,
    key: Sequence[str],
    event: str,
    variable: str,
    value: str,
    name: str | None = None,
) -> Acceptance:
    """Return the acceptance that typed words mean; it has no id and no place yet.

    `event` is the event id (a JSON list if it has several columns; those that are key columns may be left out), or
    `-` for detectors that learn without one; `value` is a JSON list for combinations, sequences and counts; `name` is
    a detector, otherwise all that know the variable are meant.

    Raises:
        AcceptanceError: no detector knows the event id and the variable, or a word does not fit its column.
    """
    if len(key) != len(key_columns):
        names = ", ".join(key_columns) or "none"
        raise AcceptanceError(f"{len(key)} values of the key are given, but the key columns are: {names}")
    try:
        values = tuple(typed_value(schema[column], text) for column, text in zip(key_columns, key, strict=True))
    except DetectorValueError as error:
        raise AcceptanceError(str(error)) from error
    found: list[tuple[int, tuple[Any, ...], str, Any]] = []
    misfits: list[DetectorValueError] = []
    for number, detector in enumerate(detectors):
        about = detector.about(variable) if name in (None, detector.name) else None
        if about is None or detector.spec.takes_lists != _is_list(value):
            continue
        # Words that fit one detector may be nothing to another that knows a variable of this name.
        try:
            group = _group(detector, schema, values, event)
            if group is not None:
                found.append((number, group, about, detector.spec.accepted_value(schema, about, value)))
        except DetectorValueError as error:
            misfits.append(error)
    if not found:
        raise AcceptanceError(str(misfits[0]) if misfits else _explain_nothing(detectors, variable, name))
    _, _, about, typed = found[0]
    groups = tuple((number, group) for number, group, _, _ in found)
    return Acceptance(acceptance_id="", key=values, groups=groups, variable=about, value=typed, positions={})


def _group(detector: Detector, schema: Schema, key: tuple[Any, ...], event: str) -> tuple[Any, ...] | None:
    """Return the group that a key and an event id mean; `None` when that has other columns, or is of other keys."""
    names = detector.group_columns
    own = [schema[name] for name in names[len(key) :]]
    whole = [] if detector.spec.watches_events else [schema[name] for name in detector.spec.event_id_columns]
    for columns in (whole, own):
        values = _event_values(columns, event)
        if values is not None:
            given = {column.name: value for column, value in zip(columns, values, strict=True)}
            group = given | dict(zip(names, key, strict=False))
            return tuple(group[name] for name in names) if given.items() <= group.items() else None
    return None


def _event_values(columns: Sequence[Column], event: str) -> list[Any] | None:
    """Return what a typed event id has for each of these columns; `None` when it is of more or fewer."""
    if event == NO_EVENT:
        return None if columns else []
    if len(columns) == 1:
        return [typed_value(columns[0], event)]
    try:
        found = parse_list(event)
    except DetectorValueError:
        return None
    return plain_values(columns, found, "an event id") if columns and len(found) == len(columns) else None


def _explain_nothing(detectors: Sequence[Detector], variable: str, name: str | None) -> str:
    known = [detector for detector in detectors if name in (None, detector.name)]
    metrics = [f"{detector.name}: {', '.join(detector.variables)}" for detector in known if detector.variables]
    text = f"no detector can accept this value of {variable!r}"
    if not known:
        names = [detector.name for detector in detectors]
        return f"{text}; there is none named {name!r}{_meant(str(name), names)}, but {', '.join(names) or 'no other'}"
    meant = _meant(variable, [variable for detector in known for variable in detector.variables])
    way = (
        f"Give an event id to those that learn by event (a JSON list if it has several columns; in key columns the "
        f"values of the key), {NO_EVENT!r} to others, and a JSON list as the value to those of lists"
    )
    return f"{text}; there is {'; '.join(metrics) or 'none that knows values'}{meant}. {way}"


def _meant(word: str, known: Sequence[str]) -> str:
    near = nearest(word, known)
    return f" (did you mean {near!r}?)" if near is not None and near != word else ""


def _is_list(text: str) -> bool:
    return text.lstrip().startswith("[")
