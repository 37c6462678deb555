"""Settings of sinks that brokers take messages for: Kafka, NATS JetStream, Redis Streams."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from actors.templates import TemplateError, parse_template
from config.base import Count, fault
from config.brokers import (
    KafkaSecuritySettings,
    NatsSecuritySettings,
    SecuritySettings,
    Servers,
    check_brokers,
    check_redis_url,
    check_stream,
    check_subject,
    check_topic,
    check_url,
)
from config.sinks import SinkBase, Timeout


class KafkaSinkSettings(SinkBase):
    """Each anomaly or episode as a message of a topic."""

    type: Literal["kafka"] = "kafka"

    brokers: Servers
    """Addresses of some brokers, `host:port`; they name the others."""

    topic: str = Field(min_length=1)
    """Name of the topic, which is there."""

    key: str | None = Field(default=None, min_length=1)
    """Template of the key of messages; `None`: the values of the key columns, so that those of one come in order."""

    body: dict[str, Any] | None = None
    """What a message holds, a mapping whose texts are templates; `None`: the record as it is."""

    timeout: Annotated[Timeout, Field(ge=1)] = 10.0
    """Seconds, or a duration such as `5s`, that brokers have to take messages."""

    security: KafkaSecuritySettings = KafkaSecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_place(self) -> "KafkaSinkSettings":
        check_brokers(self.brokers)
        check_topic(self.topic)
        return self

    @property
    def place(self) -> str:
        """Brokers and topic."""
        return f"{','.join(self.brokers)}/{self.topic}"

    @property
    def texts(self) -> Mapping[str, Any]:
        """Key and body."""
        return _given(self, "key", "body")


class NatsSinkSettings(SinkBase):
    """Each anomaly or episode as a message of a stream of NATS JetStream."""

    type: Literal["nats"] = "nats"

    servers: Servers
    """URLs of some servers, `nats://host:port`; they name the others."""

    subject: str = Field(min_length=1)
    """Template of the subject, which a stream takes; what stands for a value in it is one word of the subject."""

    stream: str | None = Field(default=None, min_length=1)
    """Stream that is to take messages; `None`: the one that has the subject."""

    body: dict[str, Any] | None = None
    """What a message holds, a mapping whose texts are templates; `None`: the record as it is."""

    timeout: Timeout = 5.0
    """Seconds, or a duration such as `5s`, that servers have to take a message."""

    security: NatsSecuritySettings = NatsSecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_place(self) -> "NatsSinkSettings":
        for index, url in enumerate(self.servers):
            check_url(url, ("nats", "tls"), ("servers", index))
        if self.stream is not None:
            check_stream(self.stream)
        try:
            parts = parse_template(self.subject).parts
        except TemplateError:
            # That is said of all texts.
            return self
        check_subject("".join(part if isinstance(part, str) else "x" for part in parts), ("subject",), is_filter=False)
        return self

    @property
    def place(self) -> str:
        """Servers and subject."""
        return f"{','.join(self.servers)} {self.subject}"

    @property
    def texts(self) -> Mapping[str, Any]:
        """Subject and body."""
        return _given(self, "subject", "body")


class RedisSinkSettings(SinkBase):
    """Each anomaly or episode as an entry of a stream of Redis."""

    type: Literal["redis"] = "redis"

    url: str
    """`redis://host:port/database`, or `rediss://` for TLS."""

    stream: str = Field(min_length=1)
    """Key of the stream; the first entry makes it."""

    field: Annotated[str, Field(min_length=1)] = "data"
    """Field of an entry that holds the record as JSON; another one, `id`, holds its id."""

    maxlen: Count | None = None
    """Newest entries that are kept, at least; `None` keeps all."""

    body: dict[str, Any] | None = None
    """What the field holds, a mapping whose texts are templates; `None`: the record as it is."""

    timeout: Timeout = 5.0
    """Seconds, or a duration such as `5s`, that the server has for an answer."""

    security: SecuritySettings = SecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_place(self) -> "RedisSinkSettings":
        check_redis_url(self.url)
        if self.field == "id":
            raise fault(("field",), "the field `id` holds the id of a record; name another one")
        return self

    @property
    def place(self) -> str:
        """Server and stream."""
        return f"{self.url} {self.stream}"

    @property
    def texts(self) -> Mapping[str, Any]:
        """The body."""
        return _given(self, "body")


def _given(sink: SinkBase, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(sink, name)) is not None}
