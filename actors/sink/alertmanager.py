"""Alertmanager: each episode as an alert of its API of version 2.

An *alert* is known by its labels: those of an episode are the same from its beginning to its end, and are those of the
next episode of the metric and key. Times of an alert are those of its episode, but never after now, and it never ends
before it starts. Alertmanager forgets alerts when it is started anew, and ends those that are not sent again: so alerts
that fire are sent every `refresh`, each time with an end four times as far away. They are read from the partitions
here, so that nothing has to be remembered. What is not `resolved` fires, also where an episode has no data any more.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from actors.errors import SinkError
from actors.sink.http import Poster
from actors.sink.messages import identified_records
from actors.sink.protocol import OpenEpisodes, SinkRecord
from actors.sink.texts import template_of, values_of
from config.detectors import DetectorSettings
from config.rules import RuleSettings
from config.service_sinks import AlertmanagerSinkSettings
from config.settings import JobSettings
from config.sink_checks import label_name

ALERT_COUNT_MAX = 500
"""Alerts of one request."""

LIFE_REFRESHES = 4
"""Refreshes that may fail before an alert ends by itself."""


class AlertmanagerSink:
    """Posts alerts; `headers` are the values themselves, `now_s` gives seconds since 1970."""

    def __init__(
        self,
        settings: AlertmanagerSinkSettings,
        job: JobSettings,
        headers: Mapping[str, str],
        now_s: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._job = job
        self._rules = job.rules
        self._now_s = now_s
        self._refreshed_s: int | None = None
        url = settings.url.rstrip("/") + "/api/v2/alerts"
        self._poster = Poster(settings.identity, url, headers, settings.timeout, settings.ca)

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Post what has become of episodes, in order; Alertmanager has it when it returns.

        Raises:
            SinkError: it cannot be reached or refuses some; `taken_count` of them it has.
        """
        for start in range(0, len(anomalies), ALERT_COUNT_MAX):
            try:
                self._post(anomalies[start : start + ALERT_COUNT_MAX])
            except SinkError as error:
                raise SinkError(str(error), taken_count=start) from error

    def keep(self, open_episodes: OpenEpisodes) -> None:
        """Send alerts again that fire, when that is due.

        Raises:
            SinkError: Alertmanager cannot be reached or refuses some.
        """
        now_s = self._now_s()
        if self._refreshed_s is not None and 0 <= now_s - self._refreshed_s < self._settings.refresh:
            return
        self.write(open_episodes())
        self._refreshed_s = now_s

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def _post(self, anomalies: Sequence[SinkRecord]) -> None:
        now = datetime.fromtimestamp(self._now_s(), UTC)
        records = identified_records(self._job, anomalies)
        alerts = [self._alert(one, record, now) for one, record in zip(anomalies, records, strict=True)]
        what = records[0]["id"] + (f" and {len(records) - 1} more" if len(records) > 1 else "")
        self._poster.post(json.dumps(alerts, ensure_ascii=False).encode("utf-8", "replace"), what)

    def _alert(self, anomaly: SinkRecord, record: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        episode = record["detail"]["episode"]
        start = min(_moment(episode["start"]) or now, now)
        if episode["state"] == "resolved":
            end = max(start, min(_moment(episode["end"]) or now, now))
        else:
            end = datetime.fromtimestamp(now.timestamp() + LIFE_REFRESHES * self._settings.refresh, UTC)
        values = values_of(self._job, record)
        said = {
            "summary": record.get("summary") or record["metric"],
            "runbook_url": record.get("runbook"),
            "state": record["state"],
            "id": record["id"],
            **{name: template_of(text).render(values) for name, text in self._settings.annotations.items()},
        }
        return {
            "labels": self._labels(anomaly, record),
            "annotations": {name: str(text) for name, text in said.items() if text},
            "startsAt": start.isoformat(),
            "endsAt": end.isoformat(),
        }

    def _labels(self, anomaly: SinkRecord, record: Mapping[str, Any]) -> dict[str, str]:
        """Return what the alert is known by."""
        values = values_of(self._job, record)
        # Absences come after all metrics and detectors, and nothing is said of them.
        rule = self._rules[anomaly.type] if anomaly.type < len(self._rules) else None
        labels = {
            "alertname": self._name(rule, anomaly),
            "tocsin_job": self._job.name,
            "severity": (rule and rule.severity) or "",
            **{name: template_of(text).render(values) for name, text in (rule.labels if rule else {}).items()},
            **{name: template_of(text).render(values) for name, text in self._settings.labels.items()},
        }
        if rule is not None and self._rules.count(rule) > 1:
            # A detector finds several things, each with episodes of its own.
            labels["finding"] = anomaly.metric
        if self._job.partition_by == "split":
            # Then a key may have an episode in each.
            labels["split"] = str(anomaly.id.split)
        for name, value in record.get("key", {}).items():
            labels[label_name(name)] = "NULL" if value is None else str(value)
        return {name: text for name, text in labels.items() if text}

    def _name(self, rule: RuleSettings | None, anomaly: SinkRecord) -> str:
        if rule is None:
            return anomaly.metric
        if isinstance(rule, DetectorSettings):
            return rule.id or rule.name or rule.type
        # The text of a metric may be a template, whose values change while an episode lasts.
        return rule.id or self._job.metrics[anomaly.type].when


def _moment(text: Any) -> datetime | None:
    """Return a time of an episode, `None` for one without a date."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
