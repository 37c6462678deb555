"""Settings of sources that brokers serve: Kafka, NATS JetStream, Redis Streams.

A job file holds no secrets: it travels through the group's log and is shown by commands. It says where a secret is,
`env:NAME` or `file:PATH`, and who reads the source looks there.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.base import Names, Nodes, Settings, check_type, fault
from config.formats import CsvFormatSettings, FormatSettings
from config.messages import InfluxForm, JsonForm, LogForm, MsgpackForm, with_named_format
from config.secrets import Secret

EARLIEST, LATEST = "earliest", "latest"

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@,\[\]]+):[0-9]{1,5}")


class CsvMessages(CsvFormatSettings):
    """Separated values, a record in each message; none of them names the columns."""

    type: Literal["csv"] = "csv"
    header: bool = False
    """Messages have no first line that could name columns."""

    @model_validator(mode="after")
    def _check_header(self) -> "CsvMessages":
        if self.header:
            raise fault(("header",), "messages have no header; their values are the schema's columns, in order")
        return self


class FieldsForm(FormatSettings):
    """Fields of an entry, each the text of a column."""

    type: Literal["fields"] = "fields"

    missing: Literal["refuse", "null"] = "refuse"
    """What an entry without a column's field means: a dead letter, or NULL."""


def _message_form(form: Any) -> Any:
    return check_type(with_named_format(form), ("json", "csv", "log", "influx", "msgpack"))


def _entry_form(form: Any) -> Any:
    return check_type(with_named_format(form), ("fields", "json", "csv", "log", "influx", "msgpack"))


_Name: TypeAlias = Literal["json", "ndjson", "csv", "log", "influx", "msgpack"]
_Message: TypeAlias = CsvMessages | JsonForm | LogForm | InfluxForm | MsgpackForm
MessageFormat: TypeAlias = Annotated[
    Annotated[_Message, Field(discriminator="type")],
    BeforeValidator(_message_form, json_schema_input_type=_Name | _Message),
]
"""How messages are written: a name, or a mapping with options."""

_Entry: TypeAlias = FieldsForm | CsvMessages | JsonForm | LogForm | InfluxForm | MsgpackForm
EntryFormat: TypeAlias = Annotated[
    Annotated[_Entry, Field(discriminator="type")],
    BeforeValidator(_entry_form, json_schema_input_type=Literal["fields"] | _Name | _Entry),
]
"""How entries are written: a name, or a mapping with options."""


def _start_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _checked_start(text: str) -> str:
    if text not in (EARLIEST, LATEST):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise fault(
                (), f"{text!r} is neither `earliest`, `latest` nor a time such as 2026-01-31T12:00:00Z"
            ) from None
    return text


Start = Annotated[str, BeforeValidator(_start_text, json_schema_input_type=str), AfterValidator(_checked_start)]
"""`earliest`, `latest`, or a time in ISO form, in UTC unless it has an offset."""

Servers = Annotated[Names, Field(min_length=1)]


class SecuritySettings(Settings):
    """Who a source is, and how its connections are protected."""

    username: str | None = None
    """Name to log in with."""

    password: Secret | None = None
    """Where the password is."""

    tls: bool = False
    """Whether connections are TLS."""

    ca: str | None = None
    """File of the certificates (PEM) by which servers are known; without one, those of the system."""

    certificate: str | None = None
    """File of the certificate (PEM) that is shown to servers."""

    key: str | None = None
    """File of its key (PEM)."""

    @model_validator(mode="after")
    def _check_security(self) -> "SecuritySettings":
        if self.password is not None and self.username is None:
            raise fault(("username",), "a password needs a `username`")
        if (self.certificate is None) != (self.key is None):
            raise fault(("key",), "`certificate` and `key` belong together; give both")
        if not self.tls and (self.ca or self.certificate):
            raise fault(("tls",), "certificates are for TLS; add `tls: true`")
        return self


class KafkaSecuritySettings(SecuritySettings):
    """The same for Kafka, where a name and password are for SASL."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How the password is proven."""

    @model_validator(mode="after")
    def _check_login(self) -> "KafkaSecuritySettings":
        if self.username is not None and self.password is None:
            raise fault(("password",), "a username needs a `password`, such as env:VARIABLE")
        return self


class NatsSecuritySettings(SecuritySettings):
    """The same for NATS, which knows more kinds of secrets."""

    token: Secret | None = None
    """Where the token is."""

    credentials: str | None = None
    """File of credentials (`.creds`) with a JWT and its seed."""


class BrokerSource(Settings):
    """What sources of brokers have in common."""

    start: Start = EARLIEST
    """Where a job begins that has read nothing yet: `earliest`, `latest` (when it is submitted), or a time."""

    on: Nodes = ()
    """Nodes that can reach the broker; `every`, or none, means all."""

    @property
    def start_ms(self) -> int | None:
        """Time from which on records count, in milliseconds since 1970; `None` for all."""
        if self.start in (EARLIEST, LATEST):
            return None
        time = datetime.fromisoformat(self.start)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


class KafkaSource(BrokerSource):
    """A topic of Kafka; each of its partitions is a split."""

    type: Literal["kafka"] = "kafka"

    brokers: Servers
    """Addresses of some brokers, `host:port`; they name the others."""

    topic: str = Field(min_length=1)
    """Name of the topic."""

    format: MessageFormat
    """How messages are written: the name of a format, or a mapping of one with its options."""

    security: KafkaSecuritySettings = KafkaSecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_brokers(self) -> "KafkaSource":
        check_brokers(self.brokers)
        check_topic(self.topic)
        return self


class NatsSource(BrokerSource):
    """A stream of NATS JetStream: one split, or one for each of several filters of subjects."""

    type: Literal["nats"] = "nats"

    servers: Servers
    """URLs of some servers, `nats://host:port`; they name the others."""

    stream: str = Field(min_length=1)
    """Name of the stream."""

    subjects: Names = ()
    """Filters of subjects, such as `site.*.level`, each a split; none means everything, as one split."""

    format: MessageFormat
    """How messages are written: the name of a format, or a mapping of one with its options."""

    security: NatsSecuritySettings = NatsSecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_urls(self) -> "NatsSource":
        for index, url in enumerate(self.servers):
            check_url(url, ("nats", "tls"), ("servers", index))
        check_stream(self.stream)
        for index, subject in enumerate(self.subjects):
            check_subject(subject, ("subjects", index), is_filter=True)
        return self


class RedisSource(BrokerSource):
    """Streams of Redis, each a split."""

    type: Literal["redis"] = "redis"

    url: str
    """`redis://host:port/database`, or `rediss://` for TLS."""

    streams: Annotated[Names, Field(min_length=1)]
    """Keys of the streams."""

    format: EntryFormat
    """How entries are written: `fields`, or the name of a format of text, or a mapping of one with its options."""

    field: str = "data"
    """Field of an entry that holds its text, where the format is one of text."""

    sequence_bits: Annotated[int, Field(ge=1, le=62, strict=True)] = 20
    """Bits of an offset that are the second number of an entry's id, so that many entries may have one millisecond."""

    security: SecuritySettings = SecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_url(self) -> "RedisSource":
        check_redis_url(self.url)
        if len(set(self.streams)) < len(self.streams):
            raise fault(("streams",), "a stream is named twice; leave one out")
        return self


def check_brokers(brokers: Sequence[str]) -> None:
    """Check the addresses of brokers of Kafka.

    Raises:
        SettingError: one is none.
    """
    for index, broker in enumerate(brokers):
        if not _BROKER.fullmatch(broker):
            raise fault(("brokers", index), f"{broker!r} is no address of a broker; write HOST:PORT")


def check_topic(topic: str) -> None:
    """Check the name of a topic of Kafka.

    Raises:
        SettingError: it is none.
    """
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        text = "is no name of a topic; write at most 249 letters, digits, full stops, hyphens and underscores"
        raise fault(("topic",), f"{topic!r} {text}")


def check_stream(stream: str) -> None:
    """Check the name of a stream of NATS.

    Raises:
        SettingError: it is none.
    """
    if not stream or any(letter.isspace() or letter in ".*>/\\" for letter in stream):
        raise fault(("stream",), f"{stream!r} is no name of a stream; write no blanks, full stops, slashes, * and >")


def check_subject(subject: str, path: tuple[str | int, ...], *, is_filter: bool) -> None:
    """Check a subject of NATS, or a filter of subjects.

    Raises:
        SettingError: it is none.
    """
    words = subject.split(".")
    wild = [number for number, word in enumerate(words) if "*" in word or ">" in word]
    if any(not word or any(letter.isspace() or ord(letter) < 33 for letter in word) for word in words):
        raise fault(path, f"{subject!r} is no subject; write words with a full stop between two, and no blanks")
    if not is_filter and wild:
        raise fault(path, f"{subject!r} has * or >, which only filters have; write the subject itself")
    if any(words[number] != "*" and (words[number] != ">" or number < len(words) - 1) for number in wild):
        raise fault(path, f"{subject!r} is no filter; * stands for a whole word, and > for the last ones")


def check_redis_url(url: str) -> None:
    """Check the URL of a Redis and its database.

    Raises:
        SettingError: it is none, or it holds a secret.
    """
    check_url(url, ("redis", "rediss"), ("url",))
    database = urlsplit(url).path.removeprefix("/")
    if database and not re.fullmatch(r"[0-9]{1,9}", database):
        raise fault(("url",), f"{database!r} is no database of Redis, which have numbers; write redis://HOST:PORT/0")


def check_url(url: str, schemes: tuple[str, ...], path: tuple[str | int, ...]) -> None:
    """Check the URL of a server.

    Raises:
        SettingError: it is none, or it holds a secret.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise fault(path, f"{url!r} is no URL: {error}") from None
    if parts.scheme not in schemes or not host:
        raise fault(path, f"{url!r} is no URL of a server; write {schemes[0]}://HOST:PORT")
    if parts.username or parts.password:
        raise fault(path, "a job file holds no secrets: log in by `security: {username: NAME, password: env:VARIABLE}`")


def begun(source: Any, now_us: int) -> Any:
    """Return a source that begins at `latest` as one that begins at this time, any other as it is."""
    if not isinstance(source, BrokerSource) or source.start != LATEST:
        return source
    return source.model_copy(update={"start": datetime.fromtimestamp(now_us / 1e6, UTC).isoformat()})


def secrets_of(place: Any) -> Mapping[str, str]:
    """Return where the secrets of a source or sink are, by the names of their settings."""
    security = getattr(place, "security", SecuritySettings())
    return {name: value for name, value in security if name in ("password", "token") and value is not None}
