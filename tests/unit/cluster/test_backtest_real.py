"""Backtests over measurements of real machines, with the times of what went wrong with them."""

import json
from pathlib import Path

import pytest

from cluster.backtest.counting import run_backtest
from cluster.backtest.inputs import source_input
from config import parse_job

DATA = Path(__file__).parents[3] / ".." / "shared" / "data" / "nab"

JOB = """
job: cpu
schema: {timestamp: DATETIME, value: DOUBLE}
time: timestamp
metrics: [value > avg(value) + 4 * std(value)]
window: {size: 1d, step: 1h}
source: {path: PATH}
"""


@pytest.mark.skipif(not DATA.is_dir(), reason="the measurements are not beside the repository")
def test_both_failures_of_a_machine_are_found_and_nothing_else() -> None:
    name = "realAWSCloudwatch/ec2_cpu_utilization_5f5533.csv"
    labels = json.loads((DATA / "labels" / "combined_windows.json").read_text())[name]
    job = parse_job(JOB.replace("PATH", str(DATA / "data" / name)), DATA)
    result = run_backtest(job, source_input(job), keeps_ids=True)
    assert result.ids is not None
    found = [str(time) for time in result.ids["time"].to_numpy().astype("datetime64[s]")]
    inside = [any(start.replace(" ", "T") <= time <= end.replace(" ", "T") for start, end in labels) for time in found]
    assert (len(labels), inside) == (2, [True, True])
