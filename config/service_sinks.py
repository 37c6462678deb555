"""Settings of sinks that programs and people look at: the standard output, Alertmanager, and services that notify."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from config.base import duration_seconds, fault
from config.secrets import Secret
from config.sinks import SinkBase, Timeout, check_address, check_headers


class StdoutSinkSettings(SinkBase):
    """Each anomaly or episode as a line of JSON on the standard output of `tocsin run`."""

    type: Literal["stdout"] = "stdout"

    body: dict[str, Any] | None = None
    """What a line holds, a mapping whose texts are templates; `None`: the record as it is."""

    @property
    def place(self) -> str:
        """The standard output."""
        return "standard output"

    @property
    def texts(self) -> Mapping[str, Any]:
        """The body."""
        return {} if self.body is None else {"body": self.body}


class AlertmanagerSinkSettings(SinkBase):
    """Each episode as an alert of Prometheus' Alertmanager."""

    is_kept: ClassVar[bool] = True

    type: Literal["alertmanager"] = "alertmanager"
    url: str = Field(min_length=1)
    """Address of the Alertmanager, such as `http://127.0.0.1:9093`."""

    only: Literal["episodes"] = "episodes"
    """An alert lasts, and so do episodes; anomalies do not."""

    labels: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(default_factory=dict)
    """More labels, by names; templates of what stays the same while an episode lasts."""

    annotations: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(default_factory=dict)
    """More annotations, by names; templates."""

    refresh: Annotated[
        float,
        BeforeValidator(duration_seconds, json_schema_input_type=float | str),
        Field(ge=1, le=3600, strict=True, allow_inf_nan=False),
    ] = 60.0
    """Seconds, or a duration such as `1m`, after which alerts are sent again; they end after four times that."""

    headers: dict[str, str] = Field(default_factory=dict)
    """Header -> its value, or where the value is: `env:NAME` or `file:PATH`, read where it is delivered."""

    timeout: Timeout = 10.0
    """Seconds, or a duration such as `5s`, that it has for an answer."""

    ca: str | None = Field(default=None, min_length=1)
    """File with the certificates that vouch for it; `None` means those of the system."""

    @model_validator(mode="after")
    def _check_request(self) -> "AlertmanagerSinkSettings":
        check_address(self.url, self.ca, "http://127.0.0.1:9093")
        if "/api/" in self.url or "?" in self.url or "#" in self.url:
            raise fault(("url",), f"{self.url!r} is more than the address; write it like http://127.0.0.1:9093")
        check_headers(self.headers)
        return self

    @property
    def place(self) -> str:
        """The address."""
        return self.url

    @property
    def texts(self) -> Mapping[str, Any]:
        """Labels and annotations."""
        return {"labels": self.labels, "annotations": self.annotations}


class NotifySinkSettings(SinkBase):
    """Each episode, or anomaly, as a notification by one of the services of Apprise: mail, Slack and others."""

    # Services know no ids, and some take seconds for each.
    mark_count: ClassVar[int] = 1
    turn_count: ClassVar[int] = 20
    notifies: ClassVar[bool] = True

    type: Literal["notify"] = "notify"
    url: Secret
    """Where the address of a service in the form of Apprise is, `env:NAME` or `file:PATH`: it holds passwords."""

    only: Literal["anomalies", "episodes", "both"] = "episodes"
    """What is delivered: to tell people of every anomaly is seldom meant."""

    title: str | None = Field(default=None, min_length=1)
    """Template of the title; `None`: what has happened to which metric."""

    text: str | None = Field(default=None, min_length=1)
    """Template of the text; `None`: the summary, the key, the times, the runbook and the id."""

    @property
    def place(self) -> str:
        """Where the address is."""
        return self.url

    @property
    def texts(self) -> Mapping[str, Any]:
        """Title and text."""
        return {name: text for name in ("title", "text") if (text := getattr(self, name)) is not None}
