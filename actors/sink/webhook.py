"""Webhooks: each anomaly or episode as one HTTP request, in the order of ids within a partition and split.

A receiver that answers with 2xx has it. Whatever else happens, the request is made again after a pause that grows, and
nothing of its partition overtakes it. `Idempotency-Key` is the id of the record: a receiver that knows ids gets each
record once; one that does not gets one twice when the sender dies between the answer and its mark. With a `secret`,
`Tocsin-Signature` is `t=SECONDS,v1=HEX`: HMAC-SHA256 by it of the seconds since 1970, a full stop, and the body.
"""

import hashlib
import hmac
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import urllib3

from actors.errors import SinkError
from actors.sink.lines import anomaly_records
from actors.sink.protocol import SinkRecord
from actors.sink.texts import template_of, values_of
from actors.templates import Template
from config.settings import JobSettings
from config.sinks import WebhookSinkSettings

_ANSWER_SIZE_MAX = 200
"""Letters of a receiver's answer that an error shows."""


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
        self._settings = settings
        self._job = job
        self._headers = {"Content-Type": "application/json", "User-Agent": "tocsin", **headers}
        self._secret = secret
        self._now_s = now_s
        self._body = None if settings.body is None else _compiled(settings.body)
        self._pool: urllib3.PoolManager | None = None

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Post the records one after another; the receiver has them when it returns.

        Raises:
            SinkError: the receiver cannot be reached or refuses one; `taken_count` of them it has.
        """
        records = anomaly_records(self._job, anomalies)
        for number, (anomaly, record) in enumerate(zip(anomalies, records, strict=True)):
            try:
                self._post(_identified(self._job, anomaly, record))
            except SinkError as error:
                raise SinkError(str(error), taken_count=number) from error

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _post(self, record: dict[str, Any]) -> None:
        content = record if self._body is None else _filled(self._body, values_of(self._job, record))
        body = json.dumps(content, ensure_ascii=False, default=str).encode("utf-8", "replace")
        headers = {**self._headers, "Idempotency-Key": record["id"]}
        if self._secret is not None:
            now_s = self._now_s()
            digest = hmac.new(self._secret, f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
            headers["Tocsin-Signature"] = f"t={now_s},v1={digest}"
        where = f"sink {self._settings.identity}"
        try:
            answer = self._open().request("POST", self._settings.url, body=body, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SinkError(f"{where}: no answer: {_reason(error)}. It is tried again; what comes waits") from error
        if not 200 <= answer.status < 300:
            said = " ".join(answer.data[: 4 * _ANSWER_SIZE_MAX].decode("utf-8", "replace").split())
            said = f": {said[:_ANSWER_SIZE_MAX]}" if said else ""
            raise SinkError(
                f"{where}: the receiver answers {answer.status} to {record['id']}{said}. It is tried again; what comes "
                "after it waits. Put the address, the headers or the receiver right"
            )

    def _open(self) -> urllib3.PoolManager:
        if self._pool is None:
            try:
                context = ssl.create_default_context(cafile=self._settings.ca)
            except (OSError, ssl.SSLError) as error:
                raise SinkError(
                    f"sink {self._settings.identity}: {self._settings.ca} cannot be used: {error}"
                ) from error
            # Redirects are answers like others: who follows them sends alarms where nobody said.
            self._pool = urllib3.PoolManager(
                num_pools=1, maxsize=1, retries=False, timeout=self._settings.timeout, ssl_context=context
            )
        return self._pool


def _identified(job: JobSettings, anomaly: SinkRecord, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its id and, at the top, whether it is an episode and how far that has come."""
    place = f"{job.name}/{anomaly.id.split}-{anomaly.id.offset}-{anomaly.id.ordinal}"
    detail = record.get("detail")
    episode = detail.get("episode") if isinstance(detail, Mapping) else None
    kind = {"kind": "anomaly"} if not isinstance(episode, Mapping) else {"kind": "episode", "state": episode["state"]}
    return {"id": place, "job": job.name, **kind, **record}


def _compiled(data: Any) -> Any:
    if isinstance(data, str):
        return template_of(data)
    if isinstance(data, Mapping):
        return {name: _compiled(value) for name, value in data.items()}
    return [_compiled(one) for one in data] if isinstance(data, list | tuple) else data


def _filled(data: Any, values: Callable[[str], Any]) -> Any:
    if isinstance(data, Mapping):
        return {name: _filled(value, values) for name, value in data.items()}
    if isinstance(data, list):
        return [_filled(one, values) for one in data]
    return data.value(values) if isinstance(data, Template) else data


def _reason(error: Exception) -> str:
    """Return the reason of an error without the objects that are printed in it."""
    inner = getattr(error, "reason", None) or error
    # Before the reason stands the object that failed: `HTTPConnection(host=..., port=...): `.
    return re.sub(r"^[<\w.]*HTTPS?Connection.*?\)>?: ", "", str(inner))
