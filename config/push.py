"""Settings of sources that others push into: MQTT, HTTP, syslog, the journal of systemd.

What arrives is kept in a journal on the node that receives it, before anybody is told that it is kept.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from config.base import DurationSeconds, Names, Nodes, Settings, SizeBytes, as_list, check_type, fault
from config.brokers import MessageFormat, SecuritySettings, check_url
from config.formats import JournaldFormatSettings, SyslogFormatSettings
from config.messages import BodyFormat, with_named_format
from config.secrets import Secret

LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:/@,\[\]]+)):(?P<port>[0-9]{1,5})")
"""An address to listen at."""

_SHARED = re.compile(r"\$share/[^/+#]+/(.+)")


def _syslog_form(form: Any) -> Any:
    return check_type(with_named_format(form), ("syslog",)) if isinstance(form, str | Mapping) else form


def _journald_form(form: Any) -> Any:
    return check_type(with_named_format(form), ("journald",)) if isinstance(form, str | Mapping) else form


class PushSource(Settings):
    """What sources that others push into have in common."""

    meta_names: ClassVar[tuple[str, ...]] = ()
    """What is known of a record beside its bytes."""

    format: Any
    """How records are written."""

    on: Nodes = ()
    """The node that receives and keeps; without one, that which the job is submitted at."""


class ListenSecurity(Settings):
    """Who may send, and how connections are protected."""

    certificate: str | None = None
    """File of the certificate (PEM) of this server; with it, connections are TLS."""

    key: str | None = None
    """File of its key (PEM)."""

    ca: str | None = None
    """File of certificates (PEM) of which a sender must show one, or one that they have signed."""

    @model_validator(mode="after")
    def _check_listen_security(self) -> "ListenSecurity":
        if (self.certificate is None) != (self.key is None):
            raise fault(("key",), "`certificate` and `key` belong together; give both")
        if self.ca is not None and self.certificate is None:
            raise fault(("ca",), "senders show certificates over TLS alone; give `certificate` and `key` too")
        return self


class HttpSecurity(ListenSecurity):
    """The same for HTTP, where a sender may show a token."""

    token: Secret | None = None
    """Where the token is that a sender must show."""


class HttpSource(PushSource):
    """What others send by HTTP: the records of bodies."""

    meta_names: ClassVar[tuple[str, ...]] = ("$path", "$received")

    type: Literal["http"] = "http"

    listen: str
    """Address to listen at, `host:port`."""

    format: BodyFormat
    """How bodies are written: the name of a format, or a mapping of one with its options."""

    body_size_bytes_max: Annotated[SizeBytes, Field(le=1 << 30)] = 16 << 20
    """Longest body, also when it is unpacked."""

    security: HttpSecurity = HttpSecurity()
    """Who may send."""

    @model_validator(mode="after")
    def _check_listen(self) -> "HttpSource":
        check_listen(self.listen, ("listen",))
        return self


class SyslogForm(SyslogFormatSettings):
    """Messages of syslog."""

    type: Literal["syslog"] = "syslog"


SyslogFormat: TypeAlias = Annotated[
    SyslogForm, BeforeValidator(_syslog_form, json_schema_input_type=Literal["syslog"] | SyslogForm)
]
Protocols: TypeAlias = Annotated[
    tuple[Literal["tcp", "udp"], ...], BeforeValidator(as_list), Field(min_length=1, max_length=2)
]

SYSLOG_SCHEMA = {
    "time": "TIMESTAMP",
    "host": "SYMBOL",
    "app": "SYMBOL",
    "facility": "SYMBOL",
    "level": "SYMBOL",
    "severity": "INT",
    "message": "STRING",
}
"""Columns of a job of syslog that names none."""


class SyslogSource(PushSource):
    """Messages of syslog, from whoever sends them here."""

    meta_names: ClassVar[tuple[str, ...]] = ("$sender", "$received")

    type: Literal["syslog"] = "syslog"

    listen: str
    """Address to listen at, `host:port`."""

    protocols: Protocols = ("tcp", "udp")
    """How messages come; those of TLS come by TCP."""

    format: SyslogFormat = SyslogForm()
    """`syslog`, or a mapping with the options of that format."""

    security: ListenSecurity = ListenSecurity()
    """How connections are protected."""

    @model_validator(mode="after")
    def _check_syslog(self) -> "SyslogSource":
        check_listen(self.listen, ("listen",))
        if self.security.certificate is not None and "udp" in self.protocols:
            raise fault(("protocols",), "TLS is over TCP alone; say `protocols: tcp`")
        return self


class JournaldForm(JournaldFormatSettings):
    """Entries of systemd's journal."""

    type: Literal["journald"] = "journald"


JOURNALD_SCHEMA = {
    "time": "TIMESTAMP",
    "host": "SYMBOL",
    "unit": "SYMBOL",
    "app": "SYMBOL",
    "severity": "INT",
    "message": "STRING",
}
"""Columns of a job of the journal that names none."""

JournaldFormat: TypeAlias = Annotated[
    JournaldForm, BeforeValidator(_journald_form, json_schema_input_type=Literal["journald"] | JournaldForm)
]


class JournaldSource(PushSource):
    """Entries of systemd's journal, as they come."""

    meta_names: ClassVar[tuple[str, ...]] = ("$received",)

    type: Literal["journald"] = "journald"

    units: Names = ()
    """Units whose entries are read, such as `nginx.service`; none means all."""

    directory: str | None = None
    """Folder of journal files, in place of this machine's own."""

    start: Literal["earliest", "latest"] = "latest"
    """Where a job begins that has read nothing yet: at what is kept, or at what comes."""

    format: JournaldFormat = JournaldForm()
    """`journald`, or a mapping with the options of that format."""


class MqttSource(PushSource):
    """Topics of an MQTT broker, of which a persistent session gets every message."""

    meta_names: ClassVar[tuple[str, ...]] = ("$topic", "$received")

    type: Literal["mqtt"] = "mqtt"

    url: str
    """`mqtt://host:port`, or `mqtts://` for TLS."""

    topics: Annotated[Names, Field(min_length=1)]
    """Filters of topics, with `+` for one level and `#` for all that follow; no two may match the same topic."""

    format: MessageFormat
    """How messages are written: the name of a format, or a mapping of one with its options."""

    client_id: str | None = Field(default=None, min_length=1, max_length=65_535)
    """Name of the session; `None` makes one of the job's name and the topics."""

    session_expiry: DurationSeconds = 7 * 86_400.0
    """How long the broker keeps the session, and the messages for it, while nobody is connected."""

    security: SecuritySettings = SecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_mqtt(self) -> "MqttSource":
        check_url(self.url, ("mqtt", "mqtts"), ("url",))
        if urlsplit(self.url).path.strip("/"):
            raise fault(("url",), f"{self.url!r} has a path; topics are named by `topics`")
        for index, topic in enumerate(self.topics):
            reason = _filter_fault(_bare(topic))
            if reason is not None:
                raise fault(("topics", index), f"{topic!r} is no filter of topics: {reason}")
        for index, other in _overlaps([_bare(topic) for topic in self.topics]):
            text = f"{self.topics[index]!r} and {self.topics[other]!r} match the same topics, whose messages would come"
            raise fault(("topics", other), f"{text} twice; make them apart")
        return self

    @property
    def is_tls(self) -> bool:
        """Whether the connection is TLS."""
        return self.security.tls or self.url.startswith("mqtts:")

    @property
    def is_shared(self) -> bool:
        """Whether several sessions get each message once, together."""
        return all(_SHARED.fullmatch(topic) for topic in self.topics)


def check_listen(place: str, path: tuple[str | int, ...]) -> None:
    """Check an address to listen at.

    Raises:
        SettingError: it is none.
    """
    match = LISTEN.fullmatch(place)
    if match is None or int(match["port"]) > 65_535:
        raise fault(path, f"{place!r} is no address to listen at; write HOST:PORT, such as 127.0.0.1:8086")


def _bare(topic: str) -> str:
    """Return a filter without the group of sessions that shares it."""
    match = _SHARED.fullmatch(topic)
    return topic if match is None else match[1]


def _filter_fault(topic: str) -> str | None:
    levels = topic.split("/")
    if not topic or "\0" in topic or len(topic.encode()) > 65_535:
        return "it is empty, too long, or holds a NUL"
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return "`#` may only be the last level"
    if any("+" in level and level != "+" for level in levels):
        return "`+` stands for a whole level"
    return None


def _overlaps(topics: list[str]) -> Iterator[tuple[int, int]]:
    for index, topic in enumerate(topics):
        for other in range(index + 1, len(topics)):
            if _match_the_same(topic.split("/"), topics[other].split("/")):
                yield index, other


def _match_the_same(one: list[str], other: list[str]) -> bool:
    """Return whether some topic is matched by both filters."""
    for number in range(max(len(one), len(other)) + 1):
        left, right = (levels[number] if number < len(levels) else None for levels in (one, other))
        if left == "#" or right == "#":
            return True
        if left is None or right is None:
            return left is right
        if left != right and "+" not in (left, right):
            return False
    return True
