"""What `tocsin check` says about job files, good and bad."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actors.errors import TocsinError
from cluster.commands.job_files import check

HEAD = """
job: trades
schema: {time: TIMESTAMP, sym: SYMBOL, price: DOUBLE, qty: INT}
time: time
key: [sym]
source: {path: trades.csv}
"""

JOB = (
    HEAD
    + """
metrics:
  - sum(qty)>5
  - {when: avg(qty) > qty, describe: more than usual}
  - qty < 4
  - percentile(price, 90) > 100
  - mavg(price, 20) > 2
window: {size: 60s, step: 5s}
detectors:
  - {type: new_value, watch: [sym, qty], learn: {rows: 100}}
"""
)


def checked(directory: Path, text: str, *options: str) -> Result:
    """Run `check` on a job file with that text."""
    (directory / "job.yaml").write_text(text)
    return CliRunner().invoke(check, [str(directory / "job.yaml"), *options])


def refusal(directory: Path, text: str) -> str:
    """Return what `check` says of a job file that cannot be used."""
    error = checked(directory, text).exception
    assert isinstance(error, TocsinError), error
    return str(error)


def test_each_metric_is_shown_with_its_state_and_its_work(tmp_path: Path) -> None:
    lines = checked(tmp_path, JOB).output.splitlines()
    assert lines[:2] == [
        "job trades: 5 metrics, 1 detector, 4 partitions",
        "windows of 1m, a new one every 5s (12 panes)",
    ]
    assert "  1  mixed   avg(qty) > qty  (more than usual)" in lines
    assert "       keeps  open pane: sum of qty, number of values of qty; 16 bytes; shared with 1" in lines
    assert any(re.fullmatch(r" +keeps  rows of the window: price; \d+ bytes and 9 bytes a row", line) for line in lines)
    assert any(
        re.fullmatch(r" +keeps  look-back rows: mavg\(price, 20\); .* 9 bytes a row, 19 rows", line) for line in lines
    )
    assert "              O(panes) per closing: joins 12 panes" in lines


def test_detectors_follow_the_metrics(tmp_path: Path) -> None:
    lines = checked(tmp_path, JOB).output.splitlines()
    assert "  6  learns  new value of qty  (new_value)" in lines
    assert "       keeps  what it learnt, at most 10000 things for each value of sym" in lines


def test_the_report_is_json_for_programs(tmp_path: Path) -> None:
    report = json.loads(checked(tmp_path, JOB, "--json").output)
    assert [metric["kind"] for metric in report["metrics"]] == ["window", "mixed", "row", "window", "row"]
    assert report["metrics"][0]["keeps"][0]["shared_with"] == [1]
    assert report["window"]["panes"] == 12
    assert report["each_key"]["row_size_bytes"] == 9


def test_a_job_without_metrics_is_reported(tmp_path: Path) -> None:
    assert checked(tmp_path, HEAD + "events: {store: true}").output.startswith("job trades: 0 metrics")


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("metrics: [sum(pirce) > 3]", ["metrics[0] (line 7)", "sum(pirce) > 3\n        ^", "Did you mean `price`?"]),
        ("metrics: [averge(qty) > 3]", ["there is no function `averge`", "Use `avg`."]),
        ("metrics: [qty < 4 and next(qty) < 4]", ["`next` cannot be used", "Use `prev`"]),
        ("metrics: [sum(qty)]\nwindow: {size: 3s}", ["gives INT values, not truth values"]),
        ("metrics: [qty > ]", ["the metric ends too early"]),
        ("metrics: [sum(qty) > 3]", ["window (line 2): missing", "window: {size: 5m, step: 1m}"]),
        ("metrics: [qty > 3]\nwindow: {size: 10s, timezone: UTC}", ["'UTC' says where days begin"]),
        ("metric: [qty > 3]", ["unknown key 'metric'; did you mean 'metrics'?"]),
        ("metrics: 7\npartitions: many", ["must be a list, not 7", "must be a whole number, not 'many'"]),
        ("detectors: [{type: new_valu, watch: qty}]", ["did you mean 'new_value'?"]),
        ("metrics: [{when: mavg(qty, 3) > 2, describe: x}]", ["put an expression with commas in quotes"]),
        ("metrics: [a\nb: {", ["this is no YAML"]),
    ],
)
def test_a_bad_job_file_is_refused_with_the_way_out(tmp_path: Path, rest: str, said: list[str]) -> None:
    text = refusal(tmp_path, HEAD + rest)
    assert [part for part in said if part not in text] == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = CliRunner().invoke(check, [str(tmp_path / "no.yaml")]).exception
    assert "no.yaml': No such file" in str(error)


def test_a_whole_number_division_that_is_compared_with_a_fraction_is_named(tmp_path: Path) -> None:
    text = HEAD + "metrics: [qty / 3 > 0.1, price / 3 > 0.1]\n"
    (line,) = [line for line in checked(tmp_path, text).stdout.splitlines() if "beware" in line]
    assert line.split(maxsplit=1)[1].startswith("`qty / 3` divides whole numbers and rounds down")
    first, second = json.loads(checked(tmp_path, text, "--json").stdout)["metrics"]
    assert (len(first["warnings"]), second["warnings"]) == (1, [])
