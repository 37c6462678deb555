"""Metrics with windows and keys of their own, as `check`, `backtest` and queries show them."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cluster.backtest.counting import EVER, run_backtest
from cluster.backtest.drawing import draw_svg
from cluster.backtest.inputs import source_input
from cluster.backtest.series import gather
from cluster.backtest.summary import show_summary, summarise
from cluster.commands.job_files import check, run
from cluster.commands.keys import asked_key
from cluster.show.job_report import job_report
from config import JobSettings, load_job

JOB = """
job: disks
schema: {time: DATETIME, host: SYMBOL, disk: SYMBOL, used: DOUBLE}
time: time
key: [host, disk]
metrics:
  - avg(used) > 50
  - {when: avg(used) > 60, key: host, window: {size: 20s}, id: host-full, summary: "{host}: {avg(used):.0f}"}
  - {when: used > 95, key: [disk, host]}
  - {when: sum(used) > 500, window: {size: 1m}}
window: {size: 30s, step: 10s}
source: {path: disks.csv}
"""


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """Write a job file and its rows, two hosts with three disks each; return the file."""
    lines = ["time,host,disk,used"]
    for number in range(240):
        time = f"2026-03-01T00:{number // 30:02}:{number % 30 * 2:02}"
        lines.append(f"{time},{'ab'[number * 5 % 7 % 2]},{'xyz'[number % 3]},{number * 37 % 101}")
    (tmp_path / "disks.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path / "job.yaml"


@pytest.fixture
def job(job_file: Path) -> JobSettings:
    return load_job(job_file)


def test_check_says_what_each_window_and_key_costs(job_file: Path) -> None:
    lines = CliRunner().invoke(check, [str(job_file)]).output.splitlines()
    assert "metric 0: windows of 30s, a new one every 10s (3 panes), for each host, disk" in lines
    assert "metric 1: windows of 20s, for each host" in lines
    assert "metric 2: for each disk, host" in lines
    assert "metric 3: windows of 1m, for each host, disk" in lines
    assert "rows are in the partition of their host, which all keys have" in lines
    assert not any(line.startswith("windows of") for line in lines)


def test_check_says_what_other_windows_are_and_warns_of_sessions_that_keep_rows(job_file: Path) -> None:
    windows = (
        "{rows: 90, step: 30}",
        "{gap: 5m}",
        "{align: week, timezone: Europe/Berlin, offset: 6h}",
        "{size: 10s, step: 3s}",
    )
    metrics = [f"  - {{when: med(used) > 1, window: {window}}}" for window in windows]
    head, tail = JOB.split("metrics:")[0], "window:" + JOB.split("\nwindow:")[1]
    job_file.write_text("\n".join([head + "metrics:", *metrics, tail]))
    lines = CliRunner().invoke(check, [str(job_file)]).output.splitlines()
    assert [line.split(": ", 1)[1] for line in lines if line.startswith("metric ")] == [
        "windows of 90 rows, a new one every 30 rows (3 panes), for each host, disk",
        "sessions, which end 5m after their last row, for each host, disk",
        "windows of 1 week of Europe/Berlin, 6h later, for each host, disk",
        "windows of 10s, a new one every 3s (7 panes), for each host, disk",
    ]
    assert [line.strip() for line in lines if "beware" in line] == [
        "beware a session keeps all its rows until it ends: one that is never interrupted grows for ever"
    ]


def test_the_report_of_a_job_with_one_window_and_key_has_no_groups(job: JobSettings) -> None:
    one = job.model_copy(update={"metrics": job.metrics[:1]})
    report = job_report(one)
    assert (report["groups"], report["routed_by"], report["window"]["panes"]) == ([], ["host", "disk"], 3)
    assert report["each_key"] is not None


def test_a_backtest_finds_what_the_job_finds_and_counts_rows_by_the_metrics_own_key(
    job: JobSettings, job_file: Path
) -> None:
    result = run_backtest(job, source_input(job))
    lines = CliRunner().invoke(run, [str(job_file), "--json"]).output.splitlines()
    assert result.anomaly_count == len([line for line in lines if line.startswith("{")]) > 100
    summary = summarise(result)
    assert summary.keys == 6
    of_host = summary.metrics[1].top_keys
    assert {(one.key["host"], one.key["disk"], one.rows) for one in of_host} == {("a", None, 137), ("b", None, 103)}
    assert "  1  a     NULL" in show_summary(summary, job.all_key_columns)


def test_a_picture_has_the_windows_and_marks_of_every_metric_of_a_disk(job: JobSettings) -> None:
    rows = source_input(job)
    result = run_backtest(job, rows)
    picture = gather(result, rows, EVER, ("a", "x"))
    (panel,) = picture.panels
    assert sorted(panel.windows) == ["avg(used) (0)", "avg(used) (1)", "sum(used)"]
    counts = [result.counts.filter(type=kind, host="a") for kind in range(4)]
    expected = [
        counts[1]["anomalies"].sum() if kind == 1 else of.filter(disk="x")["anomalies"].sum()
        for kind, of in enumerate(counts)
    ]
    assert [len(panel.marks[kind].times) if kind in panel.marks else 0 for kind in range(4)] == expected
    assert picture.window_sizes == {0: 30, 1: 20, 3: 60}
    assert draw_svg(picture).startswith("<svg")


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [((), None, None), (("a", "x"), 0, ("a", "x")), (("a",), None, ("a", None)), (("x", "a"), 2, ("a", "x"))],
)
def test_a_key_is_asked_for_by_the_columns_of_some_metric(
    job: JobSettings, given: tuple[str, ...], kind: int | None, expected: Any
) -> None:
    assert asked_key(job, given, kind) == expected


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (
            ("a", "x"),
            None,
            "2 values of --key, but the key columns are: host, disk or host or disk, host; say by --type",
        ),
        (("a", "x"), 1, "2 values of --key, but the key columns are: host; give one for each"),
    ],
)
def test_a_key_that_no_metric_has_is_refused(
    job: JobSettings, given: tuple[str, ...], kind: int | None, said: str
) -> None:
    with pytest.raises(click.BadParameter, match=said):
        asked_key(job, given, kind)
