"""What a source, and what feeds it, may need of its process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from actors.allowed import EVERYTHING, AllowedPaths


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Surroundings:
    """What a process was started with."""

    stdin: int | None = None
    """Descriptor of the standard input, where a job may read it."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables, among them secrets."""

    now_s: Callable[[], float] | None = None
    """Seconds of a clock that only goes forward; `None` where there is none, and nothing waits for it."""


NO_SURROUNDINGS = Surroundings()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FeedPlaces:
    """What a feed needs of the process that it runs in."""

    environment: Mapping[str, str]
    """Variables, among them secrets."""

    now_us: Callable[[], int]
    """The time, in microseconds since 1970."""

    random: Callable[[], float]
    """A number from 0 to 1, another one each time."""

    allowed: AllowedPaths = EVERYTHING
    """Which files may be read."""
