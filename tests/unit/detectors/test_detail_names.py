"""Texts may name what the details of a detector's anomalies have, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from actors.sink.lines import anomaly_records, json_data
from cluster.local.embedded import EmbeddedJob
from config import ConfigError, JobSettings, make_job
from config.detectors import detail_names, detector_types
from tests.support.list_source import ListSource
from tests.support.partition_jobs import ALL_DETECTORS, PLAIN, make_records


def job_of(detector: dict[str, Any], **more: Any) -> JobSettings:
    return make_job(PLAIN | {"metrics": [], "window": None, "detectors": [detector]} | more)


def test_a_summary_says_what_was_found(tmp_path: Path) -> None:
    detector: dict[str, Any] = {"type": "value_range", "watch": ["qty"], "learn": {"rows": 2}}
    detector["summary"] = "{sym}: {value} is not {low}..{high} ({variable})"
    job = job_of(detector, partitions=1)
    rows = [(1_700_000_000_000 + at, "A", qty, "ann") for at, qty in enumerate((3, 5, 9))]
    running = EmbeddedJob(job, ListSource(job.row_schema, [rows]), tmp_path, lambda: 0)
    running.run()
    (record,) = anomaly_records(job, running.anomalies(10))
    assert record["summary"] == "A: 9 is not 3..5 (qty)"
    running.close()


def test_other_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing is called 'expected' here"):
        job_of({"type": "value_range", "watch": ["qty"], "summary": "{expected}"})


@pytest.mark.parametrize("kind", [kind for kind in detector_types() if kind not in ("baseline", "rule", "stability")])
def test_details_have_the_names_that_a_kind_declares(kind: str, tmp_path: Path) -> None:
    wanted = [one for one in ALL_DETECTORS["detectors"] if one["type"] == kind]
    wanted = wanted or [{"type": kind, "watch": [["qty", "user"]], "learn": {"rows": 2}}]
    job = job_of(wanted[0], partitions=1)
    running = EmbeddedJob(job, ListSource(job.row_schema, make_records(1, 1, 60)), tmp_path, lambda: 0)
    running.run()
    found = running.anomalies(1)
    assert {*json_data(found[0].detail)} == {*detail_names(kind)}
    running.close()
