"""Notifications to people, by any of the services that Apprise knows: mail, Slack, Teams, Telegram, ntfy and others.

Each record is one notification, in order. The services keep no ids, so one is sent twice if the process dies between
the service's answer and the mark; the id stands in the text. Apprise waits between two of one service as long as that
asks for.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from actors.errors import SinkError
from actors.extras import need
from actors.sink.messages import identified_records
from actors.sink.notifications import notification_record, notification_values
from actors.sink.protocol import Notification, SinkRecord
from actors.sink.texts import template_of
from config.service_sinks import NotifySinkSettings
from config.settings import JobSettings

_REASON_LENGTH_MAX = 300

_KINDS = {"info": "info", "warning": "warning", "error": "failure", "critical": "failure"}
"""Severity -> what Apprise shows a notification as."""


class NotifySink:
    """Notifies at one address of a service, which holds secrets."""

    def __init__(self, settings: NotifySinkSettings, job: JobSettings, address: str) -> None:
        self._settings = settings
        self._job = job
        self._service = _service_at(settings, address)

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Send a notification of each record; the service has taken them when it returns.

        Raises:
            SinkError: it does not take one; `taken_count` of them it has.
        """
        for number, record in enumerate(identified_records(self._job, anomalies)):
            reason = self._send(record)
            if reason is not None:
                raise SinkError(
                    f"sink {self._settings.identity}: {record['id']} was not sent: {reason}. It is tried again; what "
                    "comes after it waits",
                    taken_count=number,
                )

    def notify(self, notification: Notification) -> None:
        """Send a notification.

        Raises:
            SinkError: the service does not take it.
        """
        record = notification_record(self._job, notification)
        reason = self._send(record)
        if reason is not None:
            raise SinkError(
                f"sink {self._settings.identity}: {record['id']} was not sent: {reason}. It is tried again; what comes "
                "after it waits"
            )

    def close(self) -> None:
        """Do nothing: connections last for one notification."""

    def _send(self, record: Mapping[str, Any]) -> str | None:
        """Send a notification; return why that was not possible."""
        import apprise

        capture: Any = apprise.LogCapture
        values = notification_values(self._job, record)
        title, text = self._settings.title, self._settings.text
        is_over = record.get("state") == "resolved"
        kind = "success" if is_over else _KINDS.get(record.get("severity", ""), "warning")
        with capture(level=logging.WARNING, fmt="%(message)s") as said:
            is_sent = self._service.notify(
                body=_text(record) if text is None else template_of(text).render(values),
                title=_title(record) if title is None else template_of(title).render(values),
                notify_type=apprise.NotifyType(kind),
            )
            reason = " ".join(said.getvalue().split())
        return None if is_sent else reason[:_REASON_LENGTH_MAX] or "the service gives no reason"


def _service_at(settings: NotifySinkSettings, address: str) -> Any:
    (apprise,) = need("notify", lambda text: SinkError(f"sink {settings.identity}: {text}"))
    if len(address.split()) != 1:
        raise SinkError(
            f"sink {settings.identity}: there is not one address; several services are a sink each, so that one which "
            "fails repeats nothing to the others"
        )
    service = apprise.Apprise.instantiate(address.strip(), asset=apprise.AppriseAsset(app_id="Tocsin"))
    if service is None:
        # The address is a secret, but for how it begins.
        kind = address.partition("://")[0] if "://" in address else "no scheme"
        raise SinkError(
            f"sink {settings.identity}: Apprise cannot read the address ({kind}); it is like mailto://… or slack://…"
        )
    return service


def _title(record: Mapping[str, Any]) -> str:
    what = record.get("state", record["kind"])
    if "metric" not in record:
        group = ", ".join(value or "-" for value in record.get("group", {}).values())
        return f"[{what}] {group or record['job']}"
    return f"[{what}] {record.get('rule') or record['metric']}"


def _text(record: Mapping[str, Any]) -> str:
    """Return what people are told who have said nothing about it."""
    if "metric" not in record:
        items = [f"[{item['state']}] {_text(item)}" for item in record.get("items", ())]
        return "\n\n".join([record["summary"], *items, record["id"]])
    detail = record.get("detail")
    episode = detail.get("episode", {}) if isinstance(detail, Mapping) else {}
    key = ", ".join(f"{name} {'NULL' if value is None else value}" for name, value in record.get("key", {}).items())
    times = [record.get("time")] if not episode else [episode.get("start"), episode.get("end")]
    lines = [
        record.get("summary") or record["metric"],
        key,
        " to ".join(str(one) for one in times if one is not None),
        record.get("runbook"),
        record["id"],
    ]
    return "\n".join(str(line) for line in lines if line)
