"""What a leader says of itself: frozen values that travel to clients and become plain data in files and JSON only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

import msgpack


class Phase(StrEnum):
    """What a leader is doing for a job."""

    STARTING = "starting"
    OPENING = "opening"
    RUNNING = "running"
    SCALING = "scaling"
    RECOVERING = "recovering"
    FINISHING = "finishing"
    """The source has ended, or the job is no longer wanted: the rest is made durable and delivered."""
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """A newer leader runs the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpStat:
    """What has been read and sent under one epoch, whatever made the job start over on the way."""

    row_count: int = 0
    """Rows read and sent, those sent again included."""

    dead_letter_count: int = 0
    """Bad records read."""

    anomaly_count: int = 0
    """New anomalies that hosts have answered with; exact when nothing is in flight."""

    positions: Mapping[int, int]
    """Next offset to read, by split."""

    at_end: bool = False
    """Whether every split has ended."""

    def after(self, before: "PumpStat | None") -> "PumpStat":
        """Return these counters on top of those of an attempt before."""
        if before is None:
            return self
        return replace(
            self,
            row_count=before.row_count + self.row_count,
            dead_letter_count=before.dead_letter_count + self.dead_letter_count,
            anomaly_count=before.anomaly_count + self.anomaly_count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """How a job has ended, as the group keeps it; nothing is known of one that was stopped."""

    pump: PumpStat | None = None
    """What was read and found when it was finished."""

    finished_us: int | None = None
    """When it was finished, microseconds since 1970."""

    failed: str | None = None
    """Why it has failed."""

    def to_bytes(self) -> bytes:
        """Return the bytes that the group keeps."""
        return bytes(msgpack.packb({name: value for name, value in asdict(self).items() if value is not None}))

    @classmethod
    def from_bytes(cls, data: bytes) -> "JobSummary":
        """Return what `to_bytes` wrote; no bytes are those of a job that has not ended."""
        found = msgpack.unpackb(data, strict_map_key=False) if data else {}
        return cls(**found | ({"pump": PumpStat(**found["pump"])} if "pump" in found else {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveProgress:
    """How far the moves planned last have come."""

    done: int
    planned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyStatus:
    """The second copy of a partition."""

    partition: int
    host: str
    """Host that has it, or shall have it."""

    lag: int | None
    """Records that it has not been sent yet, of those that the owner was; `None` while it is not open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeStatus:
    """What a sink that follows a policy has not been told."""

    withheld: Mapping[str, int] = field(default_factory=dict)
    """Episodes of which it is not told now, by the reason: `silenced`, `muted`, `inhibited`."""

    waiting: int = 0
    """Episodes that wait for others of their group."""

    counted: int = 0
    """Notices that the next digest will tell of, since there were too many."""

    never: Mapping[str, int] = field(default_factory=dict)
    """Episodes that have begun and ended while they were withheld, by the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStatus:
    """One job as its leader runs it. Times are microseconds since 1970, `None` before they have come."""

    epoch: int
    phase: Phase = Phase.STARTING
    trouble: str | None = None
    """What went wrong last; `None` when all is well again."""

    sink_troubles: Mapping[str, str] = field(default_factory=dict)
    """Why anomalies are not delivered, by the identity of the sink; they wait in the outboxes."""

    sink_troubles_overcome: Mapping[str, str] = field(default_factory=dict)
    """The last trouble of each sink that is over, by the identity of the sink."""

    notices: Mapping[str, NoticeStatus] = field(default_factory=dict)
    """What sinks that follow a policy have not been told, by the identity of the sink."""

    failure_count: int = 0
    """Times that the job started over under this leader."""

    started_us: int | None = None
    """When the newest attempt began."""

    opened_us: int | None = None
    """When all partitions were open."""

    first_pumped_us: int | None = None
    first_anomaly_us: int | None = None
    noted_us: int | None = None
    """When `pump` was true."""

    rows_sent_again: int = 0
    """Records that some partition had received before the leader subscribed, in all its attempts."""

    remarks: tuple[str, ...] = ()
    """What the source has to say of the records read since it was opened."""

    pump: PumpStat | None = None
    moves: MoveProgress | None = None
    standbys: tuple[StandbyStatus, ...] = ()
    """Second copies, by partition."""

    standby_trouble: str | None = None
    """Why partitions that should have a second copy have none."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong now."""
        own = [known for known in (self.trouble, self.standby_trouble) if known is not None]
        return (*own, *self.sink_troubles.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderStatus:
    """A member that leads."""

    epoch: int
    led_since_us: int
    jobs: Mapping[str, RunnerStatus]
