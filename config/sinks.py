"""Settings of sinks: what all have, and those of files of lines and of webhooks; `config.all_sinks` names them all."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from config.base import Names, Nodes, Settings, as_list, duration_seconds, fault
from config.secrets import Secret

Severity = Literal["info", "warning", "error", "critical"]
"""How bad something is, from the least on."""

SEVERITIES: tuple[str, ...] = get_args(Severity)
"""All of them, in that order."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

OWN_HEADERS = frozenset(("content-type", "content-length", "host", "transfer-encoding", "idempotency-key"))
"""Headers of a request, in small letters, that follow from what is sent."""


Timeout = Annotated[
    float,
    BeforeValidator(duration_seconds, json_schema_input_type=float | str),
    Field(gt=0, le=60, strict=True, allow_inf_nan=False),
]
"""Seconds, or a duration such as `5s`, that a receiver has for an answer."""


class SinkWhere(Settings):
    """Which anomalies and episodes a sink takes: those that fit all that is given."""

    severity: Annotated[
        tuple[Severity, ...], BeforeValidator(as_list, json_schema_input_type=Severity | tuple[Severity, ...])
    ] = ()
    """Severities of the metric or detector; none means all."""

    metric: Names = ()
    """Patterns such as `disk*` of a metric's or detector's `id`, or of its text where it has none; none means all."""

    key: dict[str, Names] = Field(default_factory=dict)
    """Key column -> patterns such as `web-*` of its value, as it is printed."""

    def takes(self, severity: str | None, metric: str, key: Mapping[str, Any]) -> bool:
        """Return whether the sink takes what a metric says of a key."""
        return self.takes_rule(severity, metric) and self._takes_key(key)

    def takes_rule(self, severity: str | None, metric: str) -> bool:
        """Return whether the sink takes what a metric says of some keys."""
        if self.severity and severity not in self.severity:
            return False
        return not self.metric or _fits(metric, self.metric)

    def _takes_key(self, key: Mapping[str, Any]) -> bool:
        # What is said of hosts has no value of another column.
        return all(
            name in key and _fits("NULL" if key[name] is None else str(key[name]), texts)
            for name, texts in self.key.items()
        )


class SinkBase(Settings):
    """What all sinks have in common."""

    is_kept: ClassVar[bool] = False
    """Whether there is something to do as time passes, also when nothing comes."""

    mark_count: ClassVar[int] = 1000
    """Records after which it is marked that the sink has them: so many come again if the process dies before that."""

    notifies: ClassVar[bool] = False
    """Whether it can tell people of several episodes at once, so that it may follow a policy."""

    turn_count: ClassVar[int] = 1000
    """Records that it is given before others have their turn."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    """Name by which the sink is known; `None` means its type and place. Another name makes it another sink."""

    on: Nodes = ()
    """Nodes that may deliver there, so that the job has its hosts on them; `every`, or none, means all."""

    only: Literal["anomalies", "episodes", "both"] | None = None
    """What is delivered. `None`: anomalies, and with `episodes: {deliver: true}` episodes as well."""

    where: SinkWhere = SinkWhere()
    """Which of them."""

    policy: bool | None = None
    """Whether it follows the job's `notifications`; `None`: if it is of people and takes episodes alone."""

    @property
    def place(self) -> str:
        """Where it delivers, for people."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """What a partition keeps its mark of the sink under; a sink with another one begins anew."""
        return f"{getattr(self, 'type')} {self.place if self.name is None else self.name}"  # noqa: B009

    @property
    def texts(self) -> Mapping[str, Any]:
        """Settings whose texts are templates."""
        return {}


def check_folder(path: str) -> None:
    """Refuse the path of a folder that can be none.

    Raises:
        SettingError: it holds NUL.
    """
    if "\0" in path:
        raise fault(("path",), f"{path!r} holds NUL, which no path can; leave it out")


class NdjsonSinkSettings(SinkBase):
    """Anomalies as lines of JSON, a file per partition."""

    type: Literal["ndjson"] = "ndjson"
    path: str = Field(min_length=1)
    """Folder, relative to the job file; made when it is missing."""

    @model_validator(mode="after")
    def _check_path(self) -> "NdjsonSinkSettings":
        check_folder(self.path)
        return self

    @property
    def place(self) -> str:
        """The folder."""
        return self.path


class WebhookSinkSettings(SinkBase):
    """Each anomaly or episode as one HTTP request with a body of JSON."""

    mark_count: ClassVar[int] = 20
    notifies: ClassVar[bool] = True

    type: Literal["webhook"] = "webhook"
    url: str = Field(min_length=1)
    """Address, `http://` or `https://`, that is posted to."""

    headers: dict[str, str] = Field(default_factory=dict)
    """Header -> its value, or where the value is: `env:NAME` or `file:PATH`, read where it is delivered."""

    secret: Secret | None = None
    """Where the key is that signs bodies, `env:NAME` or `file:PATH`; `None` signs none."""

    body: dict[str, Any] | None = None
    """What is sent, a mapping whose texts are templates; `None` sends the record as it is."""

    timeout: Timeout = 10.0
    """Seconds, or a duration such as `5s`, that the receiver has for an answer."""

    ca: str | None = Field(default=None, min_length=1)
    """File with the certificates that vouch for the receiver; `None` means those of the system."""

    @model_validator(mode="after")
    def _check_request(self) -> "WebhookSinkSettings":
        check_address(self.url, self.ca, "http://127.0.0.1:8000/hook")
        check_headers(self.headers)
        return self

    @property
    def place(self) -> str:
        """The address."""
        return self.url

    @property
    def texts(self) -> Mapping[str, Any]:
        """The body."""
        return {} if self.body is None else {"body": self.body}


def check_address(url: str, ca: str | None, example: str) -> None:
    """Check the address of a receiver and the file that vouches for it, the settings `url` and `ca`.

    Raises:
        SettingError: it is none such as `example`, or it holds a secret.
    """
    parts = _url_parts(url, example)
    if parts.username is not None or parts.password is not None:
        text = "a job file holds no secrets: give `headers: {Authorization: env:NAME}` in place of a user in the url"
        raise fault(("url",), text)
    if ca is not None and parts.scheme == "http":
        raise fault(("ca",), "an address of http has no certificate; leave it out, or write https")


def check_headers(headers: Mapping[str, str]) -> None:
    """Check what is given as `headers`.

    Raises:
        SettingError: one cannot be a header, or follows from what is sent.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise fault(("headers", name), f"{name!r} cannot be the name of a header")
        if name.lower() in OWN_HEADERS or name.lower().startswith("tocsin-"):
            raise fault(("headers", name), "this header follows from what is sent; leave it out")
        if any(ord(letter) < 32 or ord(letter) > 126 for letter in value):
            raise fault(("headers", name), f"{value!r} holds letters that no header can; write printable ASCII")


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _url_parts(url: str, example: str) -> Any:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or any(letter.isspace() or ord(letter) < 33 or ord(letter) > 126 for letter in url):
        raise fault(("url",), f"{url!r} is no address; write it like {example}")
    return parts
