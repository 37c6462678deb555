"""Scores of a backtest: alarms against the times at which something was wrong."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.cli import cli
from cluster.errors import BacktestError

JOB = """
job: loads
schema: {time: DATETIME, host: SYMBOL, load: INT}
time: time
key: [host]
metrics: [load > 90, {when: load < 5, keep_firing: 10s, describe: idle}]
source: {path: loads.csv}
"""

# Alarms of `load > 90`: a at 10 to 11, a at 40, b at 20; of `idle`: b at 30, seen last at 32.
ROWS = [(0, "a", 50), (10, "a", 95), (11, "a", 96), (12, "a", 50), (20, "b", 99), (21, "b", 50), (30, "b", 1),
        (31, "b", 50), (32, "b", 2), (33, "b", 50), (40, "a", 91), (41, "a", 50), (59, "b", 50)]  # fmt: skip


def scored(folder: Path, labels: str, *more: str) -> Result:
    (folder / "job.yaml").write_text(JOB)
    lines = [f"2026-01-01T00:00:{at:02d},{host},{load}" for at, host, load in ROWS]
    (folder / "loads.csv").write_text("\n".join(["time,host,load", *lines]) + "\n")
    (folder / "labels.csv").write_text(labels)
    return CliRunner().invoke(
        cli, ["backtest", str(folder / "job.yaml"), "--labels", str(folder / "labels.csv"), *more]
    )


def second(at: int) -> str:
    return f"2026-01-01T00:00:{at:02d}"


def test_alarms_are_scored_against_labels(tmp_path: Path) -> None:
    known = [(8, 15, "a"), (19, 25, "a"), (31, 31, ""), (42, 45, "")]
    labels = "start,end,HOST\n" + "".join(f"{second(start)},{second(end)},{host}\n" for start, end, host in known)
    found = json.loads(scored(tmp_path, labels + "2025-01-01,2025-01-02,\n", "--json").stdout)
    numbers = [
        (one["metric"], one["alarms"], one["false"], one["found"], one["labels"], one["delay"])
        for one in found["scores"]
    ]
    assert numbers == [(None, 4, 2, 2, 4, 1.0), ("load > 90", 3, 2, 1, 4, 2), ("load < 5", 1, 0, 1, 4, 0)]
    assert [(one["precision"], one["recall"]) for one in found["scores"]] == [
        (0.5, 0.5), (pytest.approx(1 / 3), 0.25), (1.0, 0.25),
    ]  # fmt: skip
    assert [one["delay"] for one in found["labels"]] == [2, None, 0, None]
    assert found["outside"] == 1
    # An alarm at 40 comes three seconds after a label that ends at 37.
    late = f"start,end\n{second(36)},{second(37)}\n"
    assert [json.loads(scored(tmp_path, late, "--json", "--slack", slack).stdout)["scores"][0]["found"]
            for slack in ("0s", "2s", "3s")] == [0, 0, 1]  # fmt: skip


def test_scores_are_tables_for_people(tmp_path: Path) -> None:
    result = scored(tmp_path, f"start,end\n{second(8)},{second(15)}\n{second(50)},{second(51)}\n")
    assert [line.split() for line in result.stdout.splitlines()[2:5]] == [
        ["all", "4", "3", "1/2", "0.250", "0.500", "2s"],
        ["load", ">", "90", "3", "2", "1/2", "0.333", "0.500", "2s"],
        ["load", "<", "5", "1", "1", "0/2", "0.000", "0.000", "NULL"],
    ]
    assert result.stdout.splitlines()[-1].split() == [f"{second(50)}.000Z", f"{second(51)}.000Z", "any", "missed"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("begin,end\n1,2\n", "has no column 'start'; labels have `start`, `end` and, if any, key columns"),
        ("start,end,hots\n1,2,a\n", "'hots' is neither start, end nor a key column; did you mean 'host'"),
        ("start,end\n2026-01-01,soon\n", "line 2: end: "),
        ("start,end\n2026-01-01,\n", "line 2: end is empty; give a time"),
        ("start,end\n2026-01-02,2026-01-01\n", "line 2: the label ends before it starts, 2026-01-01"),
        ("", "cannot be read"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: str, said: str) -> None:
    result = scored(tmp_path, labels)
    assert isinstance(result.exception, BacktestError)
    assert said in str(result.exception)


def test_what_goes_not_together_is_refused(tmp_path: Path) -> None:
    assert "--labels scores the alarms of one job" in scored(tmp_path, "start,end\n", "--episodes").stderr
    assert "--slack: " in scored(tmp_path, "start,end\n", "--slack", "long").stderr
    result = CliRunner().invoke(cli, ["backtest", str(tmp_path / "job.yaml"), "--slack", "5s"])
    assert "--slack is about --labels; give --labels too" in result.stderr
