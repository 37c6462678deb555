"""What people say of a metric or a detector, besides what it looks for: how bad that is, and what to do about it."""

import re

from pydantic import Field, field_validator

from config.base import Settings, fault
from config.notifications import Inhibitors
from config.sinks import Severity

ABOUT_KEYS = ("id", "severity", "labels", "summary", "runbook", "inhibited_by")
"""Settings of a rule that decide nothing of what is found."""

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RuleSettings(Settings):
    """What metrics and detectors have in common."""

    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)
    """Name for programs, unique within the job."""

    severity: Severity | None = None
    """How bad it is: `info`, `warning`, `error`, `critical`."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels for receivers, such as `team: payments`."""

    summary: str | None = Field(default=None, min_length=1)
    """A sentence for people, a template: `{sym}: {avg(qty):.1f} for {duration}`."""

    runbook: str | None = Field(default=None, min_length=1)
    """Where it is written what to do, say an address; a template."""

    inhibited_by: Inhibitors = ()
    """Metrics and detectors whose episodes, while they go on, keep those of this one from being notified."""

    @property
    def has_episodes(self) -> bool:
        """Whether it is said how what is found becomes episodes."""
        raise NotImplementedError

    @field_validator("labels", mode="after")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for name in labels:
            if not _LABEL.fullmatch(name):
                raise fault((name,), f"{name!r} is no label; write letters, digits and underscores")
        return labels
