"""What stands for each type of anomaly in tables and messages."""

from actors.partition.absences import absence_text
from actors.partition.assembly import build_detectors
from config.settings import JobSettings


def type_texts(job: JobSettings) -> list[str]:
    """Return the texts by type: metrics, what detectors find, absence."""
    found = [metric.describe or metric.when for metric in job.metrics]
    found += [text for detector in build_detectors(job) for text in detector.metrics]
    absent = absence_text(job)
    return found if absent is None else [*found, absent]
