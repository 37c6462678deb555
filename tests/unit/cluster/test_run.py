"""The commands `run` and `check` on job files: what they print, what they say, how they end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tocsin
from actors.errors import SourceError
from cluster.commands.backtests import backtest
from cluster.commands.job_files import check, run
from cluster.commands.terminal import limited
from cluster.errors import NothingReadError
from tests.support.repository import ROOT

JOB = """
job: sensors
schema: {time: DATETIME, level: DOUBLE}
time: time
metrics: ["level > 9", "level > mavg(level, 3)"]
source: {type: csv, path: rows.csv}
"""
ROWS = "time,level\n" + "".join(f"2026-01-01T00:00:0{i},{level}\n" for i, level in enumerate((10, "", 20, 30, 40)))


def job_file(directory: Path, rows: str = ROWS, job: str = JOB) -> str:
    (directory / "rows.csv").write_text(rows)
    (directory / "job.yaml").write_text(job)
    return str(directory / "job.yaml")


def ended(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)  # type: ignore[arg-type]


def test_a_run_says_which_times_it_saw_and_which_comparisons_met_null(tmp_path: Path) -> None:
    result = ended(run, job_file(tmp_path))
    assert result.stderr.splitlines() == [
        "5 rows from 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:04.000Z, 0 dead letters, 7 new anomalies",
        "metric 0, level > 9: 1 comparisons met NULL, which is unknown and not true",
        "metric 1, level > mavg(level, 3): 2 comparisons met NULL, which is unknown and not true",
    ]


def test_null_is_the_smallest_value_where_a_job_says_so(tmp_path: Path) -> None:
    warming = JOB.replace('"level > 9", ', "")
    unknown, smallest = warming, warming + "engine: {nulls: smallest}"
    ends = [ended(run, job_file(tmp_path, job=text), "--json") for text in (unknown, smallest)]
    assert [len(end.stdout.splitlines()) for end in ends] == [3, 4]
    assert "2 comparisons met NULL, which counts as the smallest value" in ends[1].stderr


def test_what_a_sink_prints_is_printed_in_place_of_the_anomalies(tmp_path: Path) -> None:
    body = "{what: '{metric}', level: '{level}'}"
    sinks = f"sinks: [{{type: stdout, where: {{metric: 'level > 9'}}, body: {body}}}]"
    result = ended(run, job_file(tmp_path, job=JOB + sinks), "--json")
    printed = [json.loads(line) for line in result.stdout.splitlines()]
    assert printed == [{"what": "level > 9", "level": level} for level in (10.0, 20.0, 30.0, 40.0)]
    assert "7 new anomalies" in result.stderr


def test_a_check_says_which_sinks_get_nothing(tmp_path: Path) -> None:
    sinks = "sinks: [{path: a, where: {severity: critical}}, {path: b, where: {metric: 'level*'}}]"
    said = ended(check, job_file(tmp_path, job=JOB + sinks)).stdout
    assert f"sink ndjson {tmp_path}/a gets nothing: no metric or detector fits its `only` and `where`" in said
    assert f"{tmp_path}/b" not in said


def test_a_column_that_no_record_has_is_said_before_the_others_are_read(tmp_path: Path) -> None:
    path = Path(job_file(tmp_path, "time,level\n" + "2026-01-01T00:00:00,\n" * 1500 + "2026-01-01T00:00:01,1\n"))
    path.write_text(f"{JOB}limits: {{batch_rows_max: 500}}\n")
    said = ended(run, str(path)).stderr.splitlines()
    assert said[0] == "so far: column 'level' is NULL in all 1000 rows; is the column right?"
    assert not any("is NULL in all" in line for line in said[1:])


def test_nothing_but_dead_letters_is_an_error_in_python(tmp_path: Path) -> None:
    path = job_file(tmp_path, "time,level\n1767225600,1\n1767225601,2\n", JOB.replace("DATETIME", "TIMESTAMP"))
    with pytest.raises(
        NothingReadError, match=r"none of 2 records .*; every record is a dead letter.*time_format: epoch_s"
    ):
        tocsin.run(path)


@pytest.mark.parametrize("command", [run, backtest, check])
def test_nothing_but_dead_letters_is_no_success(tmp_path: Path, command: object) -> None:
    result = ended(command, job_file(tmp_path, "time,level\nsoon,1\nlater,2\n"))
    assert result.exit_code == 1
    assert "none of 2 records became a row; columns, format or times of `source` do not fit them" in result.stderr
    assert ended(command, job_file(tmp_path, "time,level\n")).exit_code == 0


@pytest.mark.parametrize(("limit", "count", "said"), [("0", 7, False), ("2", 2, True), ("7", 7, False)])
def test_limit_0_prints_all_and_what_is_left_out_is_said(tmp_path: Path, limit: str, count: int, said: bool) -> None:
    result = ended(run, job_file(tmp_path), "--json", "--limit", limit)
    assert len(result.stdout.splitlines()) == count
    assert ("more anomalies were found than are printed; --limit 0 prints all" in result.stderr) is said


def test_a_source_without_an_end_is_followed_until_interrupted(tmp_path: Path) -> None:
    path = job_file(tmp_path, job=JOB.replace("rows.csv}", "rows.csv, follow: true}"))
    command = [sys.executable, "-m", "cluster", "run", path, "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = [process.stdout.readline() for _ in range(7)]
        with (tmp_path / "rows.csv").open("a") as file:
            file.write("2026-01-01T00:00:05,50\n")
        found.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (process.returncode, json.loads(found[7])["time"]) == (0, "2026-01-01T00:00:05.000Z")
    assert said.startswith("5 rows so far; waiting for more until Ctrl-C\n6 rows from 2026-01-01T00:00:00.000Z")


def piped(path: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "cluster", "run", path, "--json", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_lines_of_the_standard_input_are_read_until_it_ends(tmp_path: Path) -> None:
    path = job_file(tmp_path, job=JOB.replace("{type: csv, path: rows.csv}", "{type: stdin, format: csv}"))
    with piped(path) as process:
        out, said = process.communicate(ROWS)
    assert (process.returncode, len(out.splitlines())) == (0, 7)
    assert "5 rows from 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:04.000Z, 0 dead letters" in said


def test_a_run_ends_when_nothing_has_come_for_so_long(tmp_path: Path) -> None:
    path = job_file(tmp_path, job=JOB.replace("{type: csv, path: rows.csv}", "{type: stdin, format: csv}"))
    found = []
    for rows in (ROWS, "time,level\nsoon,1\n"):
        with piped(path, "--until-idle", "300ms") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(rows)
            process.stdin.flush()
            found.append((process.wait(), len(process.stdout.readlines())))
    assert found == [(0, 7), (1, 0)]


@pytest.mark.parametrize(("given", "text"), [(["soon"], "is no duration"), (["5s", "--follow"], "leave --follow")])
def test_an_idle_time_is_a_duration_and_ends_a_run_by_itself(tmp_path: Path, given: list[str], text: str) -> None:
    result = ended(run, job_file(tmp_path), "--until-idle", *given)
    assert (result.exit_code, text in result.stderr) == (2, True)


def test_a_source_without_an_end_that_is_not_followed_is_named(tmp_path: Path) -> None:
    path = job_file(tmp_path, job=JOB.replace("rows.csv}", "rows.csv, follow: true}"))
    assert "like this one has no end; what comes later was not read" in ended(run, path, "--no-follow").stderr


def test_a_stream_table_that_is_not_there_is_an_error_that_says_who_makes_it(tmp_path: Path) -> None:
    path = job_file(tmp_path, job=JOB.replace("{type: csv, path: rows.csv}", "{type: stream, name: levels}"))
    with pytest.raises(SourceError, match=r"there is no stream table 'levels' in .*: the program that appends to it"):
        ended(run, path, "--no-follow")


def test_check_looks_at_the_first_rows(tmp_path: Path) -> None:
    lines = ended(check, job_file(tmp_path)).stdout.splitlines()
    assert lines[-3] == (
        "the first records: 5 rows from 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:04.000Z, 0 dead letters"
    )
    assert lines[-2] == "metric 0, level > 9: 1 comparisons met NULL, which is unknown and not true"
    sample = json.loads(ended(check, job_file(tmp_path), "--json").stdout)["sample"]
    assert (sample["rows"], sample["null_comparisons"]) == (5, [1, 2])


def test_check_is_content_with_rows_that_are_not_there_yet(tmp_path: Path) -> None:
    path = job_file(tmp_path)
    (tmp_path / "rows.csv").unlink()
    result = ended(check, path)
    assert result.exit_code == 0
    assert "no rows to look at yet: " in result.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", [run, check])
def test_remarks_of_the_source_are_printed(tmp_path: Path, command: object) -> None:
    job = JOB.replace(
        "{type: csv, path: rows.csv}", '{type: ndjson, path: rows.ndjson, columns: {level: m.level}, missing: "null"}'
    )
    (tmp_path / "rows.ndjson").write_text('{"time": "2026-01-01T00:00:00", "level": 10}\n')
    assert "column 'level' is NULL in all 1 rows" in ended(command, job_file(tmp_path, job=job)).output


@pytest.mark.parametrize(
    ("limit", "count", "said"), [(3, 3, "more late rows follow; --limit 0 prints all\n"), (5, 5, ""), (0, 5, "")]
)
def test_what_a_limit_leaves_out_of_an_answer_is_said(
    limit: int, count: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limited(lambda most: list(range(5))[:most], limit, "late rows") == list(range(count))
    assert capsys.readouterr().err == said
