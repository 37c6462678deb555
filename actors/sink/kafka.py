"""A topic of Kafka: each anomaly or episode is a message, with its id in the header `Idempotency-Key`.

Messages with one key go to one partition of the topic, in order. The client numbers what it sends, so a message that it
sends again itself is there once, and what follows one that failed is not let past it. Only a process that dies between
the brokers' answer and its mark sends messages again, under the same ids.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.errors import SinkError
from actors.extras import need
from actors.sink.messages import Contents, identified_records
from actors.sink.protocol import SinkRecord
from actors.sink.texts import template_of, values_of
from config.broker_sinks import KafkaSinkSettings
from config.settings import JobSettings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

ANSWER_TIMEOUT_S = 3.0
"""Longest wait for an answer to a question about a topic."""

ID_HEADER = "Idempotency-Key"


class KafkaSink:
    """Sends messages by a client of its own; `connection` says how brokers are reached."""

    def __init__(
        self, settings: KafkaSinkSettings, job: JobSettings, connection: Mapping[str, str | int | bool]
    ) -> None:
        self._settings = settings
        self._job = job
        self._contents = Contents(job, settings.body)
        self._connection = connection
        self._producer: Producer | None = None
        self._reason = ""

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Send the records; all brokers that are to have them have them when it returns.

        Raises:
            SinkError: no broker answers, or one refuses a message; `taken_count` of them they have.
        """
        if not anomalies:
            return
        producer = self._opened()
        records = identified_records(self._job, anomalies)
        outcomes: list[str | None] = ["no answer in time"] * len(records)
        for number, record in enumerate(records):
            refusal = self._send(producer, record, partial(_note, outcomes, number))
            if refusal is not None:
                outcomes[number] = refusal
                # Nothing is let past it.
                break
        producer.flush(self._settings.timeout + 2)
        failed = next((number for number, outcome in enumerate(outcomes) if outcome is not None), None)
        if failed is not None:
            outcome = outcomes[failed]
            # What it still has must not come after what is sent again.
            self.close()
            reason = f"{outcome} ({self._reason})" if self._reason else outcome
            raise SinkError(
                f"sink {self._settings.identity}: {records[failed]['id']} was not taken: {reason}. It is tried again; "
                "what comes after it waits",
                taken_count=failed,
            )
        self._reason = ""

    def close(self) -> None:
        """Close the connections; what was not taken is given up."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(0)

    def _send(self, producer: "Producer", record: Mapping[str, Any], note: Any) -> str | None:
        """Hand a message to the client; return why it does not take it."""
        from confluent_kafka import KafkaException

        body = self._contents.json_of(record)
        headers: list[tuple[str, str | bytes | None]] = [(ID_HEADER, record["id"].encode())]
        try:
            producer.produce(self._settings.topic, body, key=self._key_of(record), headers=headers, on_delivery=note)
        except (KafkaException, BufferError) as error:
            reason = error.args[0] if error.args else error
            return str(reason.str() if hasattr(reason, "str") else reason)
        producer.poll(0)
        return None

    def _key_of(self, record: Mapping[str, Any]) -> bytes | None:
        values = values_of(self._job, record)
        text = values("key") if self._settings.key is None else template_of(self._settings.key).render(values)
        return None if text is None else str(text).encode("utf-8", "replace")

    def _opened(self) -> "Producer":
        if self._producer is not None:
            return self._producer
        identity = f"sink {self._settings.identity}"
        need("kafka", lambda text: SinkError(f"{identity}: {text}"))
        from confluent_kafka import KafkaException, Producer

        try:
            producer = Producer(
                dict(self._connection)
                | {
                    "enable.idempotence": True,
                    "enable.gapless.guarantee": True,
                    "message.timeout.ms": int(self._settings.timeout * 1000),
                    "linger.ms": 5,
                    "allow.auto.create.topics": False,
                    "error_cb": self._on_error,
                }
            )
            topic = producer.list_topics(self._settings.topic, timeout=ANSWER_TIMEOUT_S).topics[self._settings.topic]
        except KafkaException as error:
            reason = error.args[0].str() if error.args and hasattr(error.args[0], "str") else str(error)
            raise SinkError(f"{identity}: no broker answers: {self._reason or reason}; what comes waits") from error
        if topic.error is not None:
            raise SinkError(f"{identity}: {topic.error.str()}; what comes waits")
        self._producer = producer
        return producer

    def _on_error(self, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError

        # Connections come and go; when all brokers are down, what was said before tells why.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._reason = error.str()


def _note(outcomes: list[str | None], number: int, error: "KafkaError | None", _: "Message") -> None:
    """Note what has become of a message."""
    outcomes[number] = None if error is None else error.str()
