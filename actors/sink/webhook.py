"""Webhooks: each anomaly or episode as one HTTP request, in the order of ids within a partition and split.

A receiver that answers with 2xx has it. Whatever else happens, the request is made again after a pause that grows, and
nothing of its partition overtakes it. `Idempotency-Key` is the id of the record: a receiver that knows ids gets each
record once; one that does not gets one twice when the sender dies between the answer and its mark. With a `secret`,
`Tocsin-Signature` is `t=SECONDS,v1=HEX`: HMAC-SHA256 by it of the seconds since 1970, a full stop, and the body.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.errors import SinkError
from actors.sink.http import Poster
from actors.sink.messages import Contents, identified_records
from actors.sink.notifications import notification_record, notification_values
from actors.sink.protocol import Notification, SinkRecord
from actors.templates import Values
from config.settings import JobSettings
from config.sinks import WebhookSinkSettings


class WebhookSink:
    """Posts the anomalies and episodes of a job to one address.

    `headers` and `secret` are the values themselves; `now_s` gives seconds since 1970, for signatures alone.
    """

    def __init__(
        self,
        settings: WebhookSinkSettings,
        job: JobSettings,
        headers: Mapping[str, str],
        secret: bytes | None,
        now_s: Callable[[], int],
    ) -> None:
        self._job = job
        self._secret = secret
        self._now_s = now_s
        self._contents = Contents(job, settings.body)
        self._poster = Poster(settings.identity, settings.url, headers, settings.timeout, settings.ca)

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Post the records one after another; the receiver has them when it returns.

        Raises:
            SinkError: the receiver cannot be reached or refuses one; `taken_count` of them it has.
        """
        for number, record in enumerate(identified_records(self._job, anomalies)):
            try:
                self._post(record)
            except SinkError as error:
                raise SinkError(str(error), taken_count=number) from error

    def notify(self, notification: Notification) -> None:
        """Post a notification, under its id.

        Raises:
            SinkError: the receiver cannot be reached or refuses it.
        """
        record = notification_record(self._job, notification)
        self._post(record, notification_values(self._job, record))

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def _post(self, record: dict[str, Any], values: Values | None = None) -> None:
        body = self._contents.json_of(record, values)
        headers = {"Idempotency-Key": record["id"]}
        if self._secret is not None:
            now_s = self._now_s()
            digest = hmac.new(self._secret, f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
            headers["Tocsin-Signature"] = f"t={now_s},v1={digest}"
        self._poster.post(body, record["id"], headers)
