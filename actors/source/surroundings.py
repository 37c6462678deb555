"""What a source may need of the process that reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Surroundings:
    """What a process was started with."""

    stdin: int | None = None
    """Descriptor of the standard input, where a job may read it."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables, among them secrets."""


NO_SURROUNDINGS = Surroundings()
