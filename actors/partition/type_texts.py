"""What stands for each type of anomaly in tables and messages."""

from collections.abc import Sequence

from actors.partition.absences import absence_text
from actors.partition.assembly import build_detectors
from config.settings import JobSettings


def type_texts(job: JobSettings, learned: Sequence[str] | None = None) -> list[str]:
    """Return the texts by type: metrics, what detectors find (who has made them gives their texts), absence."""
    if learned is None:
        learned = [text for detector in build_detectors(job) for text in detector.metrics]
    found = [*(metric.describe or metric.when for metric in job.metrics), *learned]
    absent = absence_text(job)
    return found if absent is None else [*found, absent]
