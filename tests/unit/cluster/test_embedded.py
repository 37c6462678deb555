"""A job in this process: what it gives while it goes on."""

from contextlib import ExitStack
from pathlib import Path

from cluster.local.embedded import EmbeddedJob, run_file

JOB = """
job: sensors
schema: {time: DATETIME, level: DOUBLE, file: SYMBOL}
time: time
key: [file]
metrics: [level > 9]
source: {type: csv, path: "*.csv", follow: true}
"""


def open_job(directory: Path, stack: ExitStack) -> EmbeddedJob:
    """Open a job over two files that grow, each of them a split with one anomaly."""
    (directory / "job.yaml").write_text(JOB)
    for name in ("a", "b"):
        (directory / f"{name}.csv").write_text("time,level\n2026-01-01T00:00:00,10\n")
    return stack.enter_context(run_file(directory / "job.yaml", directory / "kept", lambda: 1_700_000_000_000_000))[1]


def add_row(directory: Path, name: str) -> None:
    """Let a file grow by a row that is an anomaly."""
    with (directory / f"{name}.csv").open("a") as file:
        file.write("2026-01-01T00:00:05,20\n")


def test_each_anomaly_is_given_once_whatever_split_it_comes_from(tmp_path: Path) -> None:
    with ExitStack() as stack:
        job = open_job(tmp_path, stack)
        given = []
        for name in ("b", "a"):
            job.run()
            given.append([one.id.split for one in job.new_anomalies(100)])
            add_row(tmp_path, name)
        job.run()
        given.append([one.id.split for one in job.new_anomalies(100)])
        assert (given, job.new_anomalies(100)) == ([[0, 1], [1], [0]], [])


def test_all_calls_together_give_no_more_than_asked_for(tmp_path: Path) -> None:
    with ExitStack() as stack:
        job = open_job(tmp_path, stack)
        job.run()
        assert len(job.new_anomalies(1)) == 1
        assert job.new_anomalies(1) == []
