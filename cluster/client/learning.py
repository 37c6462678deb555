"""What `tocsin learn` shows and asks for: how variables behave, and values that are usual after all.

Pure but for reading shards: of a job that runs without a cluster they are opened for reading only, also while it runs.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from actors.detectors import Detector
from actors.detectors.groups import GroupId
from actors.detectors.verdicts import VariableVerdict
from actors.model import Schema
from actors.partition.acceptances import Acceptance, AcceptanceError, find_acceptance
from actors.partition.assembly import build_detectors
from actors.partition.detection import NEAR_GROUPS_MAX, read_verdicts
from actors.partition.partition import Partition
from actors.shard import Shard, ShardMissingError
from actors.time_text import time_text
from cluster.errors import ClusterError
from cluster.local.embedded import EPOCH
from cluster.show.text import show_cell, show_json_lines, show_rows
from config.base import suggest
from config.formats import DEAD_LETTER, LogFormatSettings
from config.settings import JobSettings
from config.sources import log_of
from raft.records import AcceptanceRecord


def follows_variables(job: JobSettings) -> bool:
    """Return whether a job has a detector that follows how variables behave."""
    return any(detector.follows for detector in build_detectors(job))


def read_directory(job: JobSettings, directory: Path) -> list[VariableVerdict]:
    """Return the verdicts in the shards below a directory of `tocsin run`.

    Raises:
        ClusterError: no partition of the job has been there.
    """
    found: list[VariableVerdict] = []
    with ExitStack() as stack:
        for number in range(job.partitions):
            place = _shard_directory(directory, number)
            try:
                shard = Shard.open(place, identifier=f"{job.name}/{number}", read_only=True)
                stack.callback(shard.close)
                found += read_verdicts(job, shard)
            except ShardMissingError as error:
                raise ClusterError(f"{directory} has no partition {number} of job {job.name!r}: {error}") from error
    return found


def accept_in_directory(
    job: JobSettings, directory: Path, acceptance: Acceptance, request_id: str, now_us: int
) -> tuple[int, ...]:
    """Let a value count as known in a job that does not run, and return the partitions that may have its key.

    It holds for all rows that they have not committed, and is durable when this returns.

    Raises:
        ShardOwnedError: the job runs.
    """
    numbers = job.partitions_of_key(acceptance.key)
    with ExitStack() as stack:
        partitions = []
        for number in numbers:
            place = _shard_directory(directory, number)
            if not place.is_dir():
                raise ClusterError(
                    f"{directory} has no partition {number} of job {job.name!r}; run the job there first"
                )
            partitions.append(stack.enter_context(Partition.open(job, number, place)))
        check_groups(acceptance, [group for one in partitions for group in one.queries.near_groups(acceptance)])
        for partition in partitions:
            partition.begin(EPOCH, {}, now_us)
            partition.accept(EPOCH, [acceptance.placed(request_id, partition.committed)])
            partition.flush(EPOCH, now_us)
    return numbers


def parse_acceptance(
    job: JobSettings, key: Sequence[str], event: str, variable: str, value: str, detector: str | None
) -> Acceptance:
    """Return the acceptance that typed words mean for a job.

    Raises:
        AcceptanceError: they fit none of its detectors, or name an event that no template of its log has.
    """
    detectors = build_detectors(job)
    found = find_acceptance(
        detectors,
        job.row_schema,
        job.key_columns,
        key=key,
        event=event,
        variable=variable,
        value=value,
        name=detector,
    )
    log = log_of(job.source)
    if log is not None:
        _check_event_ids(log, job.row_schema, detectors, found)
    return found


def check_groups(acceptance: Acceptance, near: Sequence[GroupId]) -> None:
    """Refuse what is meant for groups that have never been seen, as words are that were mistyped.

    `near` are groups that have been seen: those meant, or those that are most like them.

    Raises:
        AcceptanceError: none of them is meant.
    """
    meant = [group for _, group in acceptance.groups]
    if near and not any(group in near for group in meant):
        shown = " or ".join(_shown_group(group, len(acceptance.key)) for group in near[:NEAR_GROUPS_MAX])
        wanted = _shown_group(meant[0], len(acceptance.key))
        raise AcceptanceError(f"no row with {wanted} has been seen; did you mean {shown}?")


def _shown_group(group: GroupId, key_count: int) -> str:
    parts = {"key": group[:key_count], "event": group[key_count:]}
    shown = [f"{name} {', '.join(map(repr, values))}" for name, values in parts.items() if values]
    return " and ".join(shown) or "any key"


def _check_event_ids(
    source: LogFormatSettings, schema: Schema, detectors: Sequence[Detector], acceptance: Acceptance
) -> None:
    """Refuse event ids that no line of the log can have."""
    field = next((name for name, field in source.columns.items() if field.lower() == "event_id"), "event_id")
    column = schema.find(field)
    known = [template.event_id for template in source.templates]
    known += [source.unmatched] if source.unmatched != DEAD_LETTER else []
    for number, group in acceptance.groups:
        spec = detectors[number].spec
        is_watched = [schema[name] for name in spec.event_id_columns] == [column]
        named = [*group[len(acceptance.key) :], *spec.event_ids_in(acceptance.value)]
        unknown = [str(event_id) for event_id in named if str(event_id) not in known] if is_watched else []
        if unknown:
            raise AcceptanceError(f"no template of the log has the event {unknown[0]!r}; {suggest(unknown[0], known)}")


def show_verdicts(job: JobSettings, verdicts: Sequence[VariableVerdict], *, as_json: bool, is_wide: bool) -> str:
    """Return verdicts as text, in the order of detector, key, event and variable."""
    records = [_record(job, verdict) for verdict in verdicts]
    records.sort(key=lambda record: [str(record[name]) for name in ("detector", "key", "event", "variable")])
    if as_json:
        return show_json_lines(records)
    hidden = () if is_wide else ("reason", "changes")
    if len({record["detector"] for record in records}) < 2 and not is_wide:
        hidden = (*hidden, "detector")
    rows = [{name: value for name, value in _flat(record).items() if name not in hidden} for record in records]
    names = [*rows[0]] if rows else ["event", "variable", "class"]
    return show_rows(names, [[show_cell(row[name]) for name in names] for row in rows])


def show_accepted(job: JobSettings, accepted: Sequence[AcceptanceRecord], *, as_json: bool) -> str:
    """Return the accepted values of a job as text, in the order in which they were accepted."""
    names = [detector.name or detector.type for detector in job.detectors]
    records = []
    for known in accepted:
        found = Acceptance.from_bytes(known.content)
        record = {
            "key": dict(zip(job.key_columns, found.key, strict=True)),
            "event": next((group[len(found.key) :] for _, group in found.groups), ()),
            "variable": found.variable,
            "value": found.value,
            "detectors": [names[number] for number, _ in found.groups],
            "from": None if known.positions is None else dict(known.positions),
        }
        records.append(record)
    if as_json:
        return show_json_lines(records)
    rows = [[_shown_part(value) for value in _flat(record).values()] for record in records]
    return show_rows([*job.key_columns, "event", "variable", "value", "detectors", "from"], rows)


def _shown_part(value: Any) -> str:
    """Return a value of a table: parts of a list, and offsets by split."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{split}/{offset}" for split, offset in value.items()) or "0"
    return "when it runs" if value is None else str(value)


def _shard_directory(directory: Path, number: int) -> Path:
    return directory / "partitions" / f"{number:04d}"


def _record(job: JobSettings, verdict: VariableVerdict) -> dict[str, Any]:
    key_count = len(job.key_columns)
    event = verdict.group[key_count:]
    shown = event[0] if len(event) == 1 else list(event) or None
    return {
        "detector": verdict.detector,
        "key": dict(zip(job.key_columns, verdict.group[:key_count], strict=True)),
        "event": shown,
        "variable": verdict.variable,
        "class": verdict.type,
        "observations": verdict.observation_count,
        "distinct": verdict.distinct_count,
        "changes": verdict.change_count,
        "last_change": time_text(job.row_schema[job.time_column].type, verdict.last_change),
        "reason": verdict.reason,
        "template": _templates(job).get(str(shown)),
    }


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with a column for each key column instead of one for all."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= value if name == "key" else {name: value}
    return flat


def _templates(job: JobSettings) -> dict[str, str]:
    log = log_of(job.source)
    return {template.event_id: template.name or template.shown for template in (log.templates if log else ())}
