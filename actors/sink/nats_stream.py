"""A stream of NATS JetStream: each anomaly or episode is a message with its id in the header `Nats-Msg-Id`.

The server forgets a message that it has had under an id within the time that the stream looks back (`duplicate_window`,
two minutes unless said otherwise); what comes again later than that is there twice, under one id. Messages are sent one
after the other, each when the one before was taken, so that they are in order.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actors.errors import SinkError
from actors.sink.messages import Contents, identified_records
from actors.sink.protocol import SinkRecord
from actors.sink.texts import template_of, values_of
from actors.source.loop_thread import LoopThread
from config.broker_sinks import NatsSinkSettings
from config.settings import JobSettings

if TYPE_CHECKING:
    from nats.aio.client import Client

ID_HEADER = "Nats-Msg-Id"


class NatsSink:
    """Publishes messages by a client in a thread of its own; `connection` says how servers are reached."""

    def __init__(self, settings: NatsSinkSettings, job: JobSettings, connection: Mapping[str, Any]) -> None:
        self._settings = settings
        self._job = job
        self._connection = connection
        self._contents = Contents(job, settings.body)
        self._subject = template_of(settings.subject)
        self._loop: LoopThread | None = None
        self._client: Client | None = None
        self._trouble = ""

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Publish the records; the stream has them when it returns.

        Raises:
            SinkError: no server answers, or it refuses one; `taken_count` of them it has.
        """
        from nats.errors import Error

        records = identified_records(self._job, anomalies)
        done = 0
        try:
            if self._loop is None:
                self._loop = LoopThread(f"nats {self._settings.subject}")
            for record in records:
                self._loop.run(self._publish(record), 2 * self._settings.timeout)
                done += 1
        except (Error, TimeoutError, OSError) as error:
            # A message that the client still has must not come after what is sent again.
            self.close()
            reason = self._trouble or str(error) or f"no answer in {self._settings.timeout:g} seconds"
            raise SinkError(
                f"sink {self._settings.identity}: {records[done]['id']} was not taken: {reason}. It is tried again; "
                "what comes after it waits",
                taken_count=done,
            ) from error

    def close(self) -> None:
        """Close the connection and end the thread."""
        loop, self._loop = self._loop, None
        client, self._client = self._client, None
        if loop is not None:
            loop.close(None if client is None else client.close())

    async def _publish(self, record: Mapping[str, Any]) -> None:
        from nats.js.errors import NoStreamResponseError

        client = await self._connected()
        values = values_of(self._job, record)
        subject = self._subject.render(lambda name: _word(values(name)))
        try:
            await client.jetstream(timeout=self._settings.timeout).publish(
                subject,
                self._contents.json_of(record),
                stream=self._settings.stream,
                headers={ID_HEADER: record["id"]},
            )
        except NoStreamResponseError:
            self._trouble = f"no stream takes the subject {subject!r}; make one that does"
            raise
        self._trouble = ""

    async def _connected(self) -> "Client":
        if self._client is None:
            import nats

            async def note(error: Exception) -> None:
                self._trouble = str(error) or type(error).__name__

            self._trouble = ""
            self._client = await asyncio.wait_for(
                nats.connect(
                    **self._connection,
                    name="tocsin",
                    connect_timeout=min(2, self._settings.timeout),
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    error_cb=note,
                ),
                self._settings.timeout,
            )
        return self._client


def _word(value: Any) -> Any:
    """Return a value as one word of a subject, `None` where there is none."""
    return None if value is None else re.sub(r"[\s.*>\x00-\x1f]", "_", str(value)) or "_"
