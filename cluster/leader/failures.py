"""Failures: what went wrong with an instruction, as the leader tells one kind from another."""

from dataclasses import dataclass
from enum import StrEnum

from actors.errors import NotOpenError, SinkError, SnapshotError, StaleEpochError, TocsinError
from actors.shard import ShardIdentifierError, ShardLostError
from cluster.errors import InputGoneError, NoAnswerError
from config.errors import ConfigError


class FailureKind(StrEnum):
    """What follows from a failure."""

    STALE = "stale"
    """A newer leader has been there: this one ends."""

    FATAL = "fatal"
    """Trying again cannot help: the job ends."""

    SINK = "sink"
    """Anomalies wait in the outbox; everything else goes on."""

    NOT_OPEN = "not open"
    """The host does not own the partitions."""

    SHARD_LOST = "shard lost"
    """The shard that a host has, or had, is not the one of the group's state: it is made anew."""

    UNREACHED = "unreached"
    """Whoever was asked does not answer: it is dead, or cut off."""

    INPUT_GONE = "input gone"
    """The source no longer has the rows that a standby needs next."""

    NOT_YET = "not yet"
    """Something that the job needs is not there: nothing has failed, and the job waits for it."""

    OTHER = "other"
    """Trying again may help."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an instruction was not carried out, or may not have been."""

    kind: FailureKind
    """What follows."""

    reason: str
    """For people."""

    partitions: tuple[int, ...] = ()
    """Whose shard is lost, as far as that is known."""

    generation: int = 0
    """Generation of the shard that was found, if one was and it is a later one."""

    host: str = ""
    """Host that was asked, if one was."""


class TroubleError(Exception):
    """Ends an attempt to run a job; never leaves the leader's core."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


_KINDS: tuple[tuple[FailureKind, tuple[type[Exception], ...]], ...] = (
    (FailureKind.STALE, (StaleEpochError,)),
    (FailureKind.FATAL, (SnapshotError, ShardIdentifierError, ConfigError)),
    (FailureKind.SINK, (SinkError,)),
    (FailureKind.NOT_OPEN, (NotOpenError,)),
    (FailureKind.SHARD_LOST, (ShardLostError,)),
    (FailureKind.UNREACHED, (NoAnswerError,)),
    (FailureKind.INPUT_GONE, (InputGoneError,)),
)


def failure_of(error: BaseException) -> Failure:
    """Return what an error means."""
    kind = next((kind for kind, types in _KINDS if isinstance(error, types)), FailureKind.OTHER)
    is_known = isinstance(error, TocsinError | OSError)
    reason = str(error) if is_known else f"{type(error).__name__}: {error}"
    if isinstance(error, ShardLostError) and error.partition is not None:
        return Failure(kind, reason, (error.partition,), error.generation)
    return Failure(kind, reason)
