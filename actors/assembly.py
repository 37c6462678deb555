"""The parts of a partition, built from the settings of its job."""

from actors.detectors import Detector
from actors.engine import AnomalyDetectionEngine
from actors.shard import Shard
from actors.store import EventStore
from config.settings import JobSettings
from config.specs import engine_arguments


def build_engine(job: JobSettings) -> AnomalyDetectionEngine:
    """Return the job's engine, without any row."""
    return AnomalyDetectionEngine(**engine_arguments(job))


def build_detectors(job: JobSettings) -> list[Detector]:
    """Return the job's detectors in their order, having learnt nothing."""
    return []


def build_store(job: JobSettings, shard: Shard) -> EventStore | None:
    """Return the event store in a shard, or `None` when the job stores no events."""
    return None
