"""Notifications: what people are told at once, of one episode or of a group of them, and digests.

Where a job's `notifications` group by something, a notification is a record of its own, with the records of episodes as
`items`; otherwise it is the record of one episode. Either way `id` is that of the notification: it is the same however
often that is sent, and a later notification, also of the same episode, has another.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from actors.sink.messages import identified_records
from actors.sink.protocol import Notification
from actors.sink.texts import values_of
from actors.templates import Values
from config.form import RuleForm, rules_of
from config.settings import JobSettings
from config.sinks import SEVERITIES

DIGEST, REPEAT = "digest", "repeat"


def notification_record(job: JobSettings, one: Notification) -> dict[str, Any]:
    """Return a notification as plain data for JSON."""
    if one.kind == DIGEST:
        return _digest_record(job, one)
    items = identified_records(job, one.records)
    repeated = {"repeated": True} if one.kind == REPEAT else {}
    if not (job.notifications and job.notifications.group_by):
        (item,) = items
        return {**item, "id": one.id, "notice": item["id"], **repeated}
    # Of an episode that was told of twice here the later notice counts.
    ends = {}
    for item in items:
        episode = item["detail"]["episode"]
        # With `partition_by: split` a key may have episodes of several splits that begin at one time.
        name = [item["type"], item["key"], episode["start"], episode.get("split"), episode.get("offset")]
        ends[json.dumps(name, default=str)] = episode.get("end")
    firing_count = sum(end is None for end in ends.values())
    over_count = len(ends) - firing_count
    severities = [item["severity"] for item in items if "severity" in item]
    state = "firing" if firing_count else "resolved"
    counts = [f"{count} {word}" for count, word in ((firing_count, "firing"), (over_count, "resolved")) if count]
    about = ", ".join(f"{name} {value or '-'}" for name, value in one.group)
    return {
        "id": one.id,
        "job": job.name,
        "kind": "group",
        "state": state,
        "group": dict(one.group),
        "firing": firing_count,
        "resolved": over_count,
        **({"severity": max(severities, key=SEVERITIES.index)} if severities else {}),
        "summary": f"{about}: {', '.join(counts)}",
        **repeated,
        "items": items,
    }


def _digest_record(job: JobSettings, one: Notification) -> dict[str, Any]:
    rules = rules_of(job)
    held = [
        {"metric": _name(rules[kind]) if kind < len(rules) else "absent", "began": began, "ended": ended}
        for kind, began, ended in one.counts
    ]
    since = datetime.fromtimestamp(one.since_us / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    parts = [f"{each['metric']}: {each['began']} began, {each['ended']} ended" for each in held]
    return {
        "id": one.id,
        "job": job.name,
        "kind": DIGEST,
        "state": DIGEST,
        "since": since,
        "summary": f"held back by the rate since {since}: {'; '.join(parts)}",
        "held": held,
    }


def _name(rule: RuleForm) -> str:
    """Return how people know a metric or detector."""
    return rule.id or next(filter(None, (getattr(rule, name, None) for name in ("when", "name", "type"))), "")


def notification_values(job: JobSettings, record: Mapping[str, Any]) -> Values:
    """Return what gives the values of names in texts about a notification.

    A name of episodes has the value that all of them have in common, and none where they differ.
    """
    items: Sequence[Mapping[str, Any]] = record.get("items", ())
    if not items:
        return values_of(job, record)
    all_values = [values_of(job, item) for item in items]

    def value(name: str) -> Any:
        if name in record:
            return record[name]
        found = [one(name) for one in all_values]
        return found[0] if all(one == found[0] for one in found) else None

    return value
