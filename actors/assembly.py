"""The parts of a partition, built from the settings of its job."""

from actors.detectors import Detector, make_detector
from actors.engine import AnomalyDetectionEngine
from actors.shard import Shard
from actors.store import EventStore
from config.settings import JobSettings
from config.specs import detector_specs, engine_arguments, store_config


def build_engine(job: JobSettings) -> AnomalyDetectionEngine:
    """Return the job's engine, without any row."""
    return AnomalyDetectionEngine(**engine_arguments(job))


def build_detectors(job: JobSettings) -> list[Detector]:
    """Return the job's detectors in their order, having learnt nothing."""
    return [make_detector(spec, job.row_schema, job.time_column, job.key_columns) for spec in detector_specs(job)]


def build_store(job: JobSettings, shard: Shard) -> EventStore | None:
    """Return the event store in a shard, or `None` when the job stores no events."""
    if not (job.events.store or job.events.anomalies):
        return None
    return EventStore(shard, store_config(job))
