"""Backtests: they find what the job finds, count it, compare it and draw it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from actors.errors import TocsinError
from cluster.backtest.comparing import compare, pair_metrics
from cluster.backtest.counting import EVER, Backtest, TimeRange, run_backtest
from cluster.backtest.drawing import draw_svg
from cluster.backtest.history import history_input, in_order
from cluster.backtest.inputs import source_input, with_source
from cluster.backtest.series import gather, parse_key, thinned
from cluster.backtest.summary import summarise
from cluster.commands.backtests import backtest
from cluster.commands.job_files import run
from cluster.local.embedded import open_job, run_file
from cluster.local.home import Home
from cluster.show.episodes import show_episodes
from config import JobSettings, load_job, make_job, parse_job

JOB = """
job: pumps
schema: {time: DATETIME, pump: SYMBOL, pressure: DOUBLE, errors: INT}
time: time
key: [pump]
metrics:
  - pressure > 9
  - {when: sum(errors) > 3, describe: many errors}
  - pressure > 1.5 * avg(pressure)
window: {size: 1m, step: 20s}
source: {path: pumps.csv}
detectors:
  - {type: new_value, watch: errors, learn: {rows: 20}}
partitions: 3
"""


def write_rows(directory: Path, row_count: int = 600) -> Path:
    """Write a job file and its rows: three pumps in turn, a bad record, a late row, and return the job file."""
    rng = np.random.default_rng(3)
    lines = ["time,pump,pressure,errors"]
    for number in range(row_count):
        time = np.datetime64("2026-03-01T00:00:00") + number * 2
        lines.append(f"{time},{'abc'[number % 3]},{rng.normal(6, 1.5):.3f},{rng.poisson(0.4)}")
    lines.insert(100, "2026-03-01T00:01:00,a,high,1")
    lines.insert(300, "2026-03-01T00:00:00,b,5.0,0")
    (directory / "pumps.csv").write_text("\n".join(lines) + "\n")
    (directory / "job.yaml").write_text(JOB)
    return directory / "job.yaml"


def found_by(job: JobSettings, times: TimeRange = EVER) -> Backtest:
    """Return what a job finds in its own source."""
    return run_backtest(job, source_input(job), times, keeps_ids=True)


def test_a_backtest_finds_what_the_job_finds(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    with run_file(path, tmp_path / "kept", lambda: 1_700_000_000_000_000) as (job, running):
        running.run()
        expected = sorted((one.id.offset, one.type, one.time) for one in running.anomalies(10_000))
        late = sum(stat.late_row_count for stat in running.host.stat())
    result = found_by(job)
    assert result.ids is not None
    assert sorted(result.ids.select("offset", "type", "time").iter_rows()) == expected
    assert (result.late_row_count, result.dead_letter_count) == (late, 1) == (1, 1)
    assert {index for _, index, _ in expected} == {0, 1, 2, 3}


def test_counts_are_summed_up_by_metric_and_key(tmp_path: Path) -> None:
    result = found_by(load_job(write_rows(tmp_path)))
    summary = summarise(result, 2)
    every = summarise(result, 0).metrics
    assert [len(one.top_keys) for one in every] == [one.keys for one in every]
    assert (summary.rows, summary.keys) == (601, 3)
    assert [metric.metric for metric in summary.metrics][:2] == ["pressure > 9", "many errors"]
    first = summary.metrics[0]
    assert first.anomalies == result.counts.filter(pl.col("type") == 0)["anomalies"].sum() > 3
    assert first.per_1000_rows == round(1000 * first.anomalies / 601, 3)
    assert [key.anomalies for key in first.top_keys] == sorted(k.anomalies for k in first.top_keys)[::-1]
    assert sum(summary.metrics[index].anomalies for index in range(4)) == summary.anomalies


def test_keys_that_are_times_are_iso_text() -> None:
    plain = {"job": "a", "schema": {"t": "DATETIME", "day": "DATE", "m": "MONTH"}, "time": "t", "key": ["day", "m"]}
    rows = [["2026-01-01", "2026-01-01", "2026-01"], ["2026-01-02", None, "2026-02"]]
    job = make_job(plain | {"metrics": ["t > 5"], "source": {"rows": rows}})
    keys = summarise(run_backtest(job, source_input(job))).metrics[0].top_keys
    assert [(dict(key.key), key.rows) for key in keys] == [
        ({"day": None, "m": "2026-02"}, 1), ({"day": "2026-01-01", "m": "2026-01"}, 1),
    ]  # fmt: skip


def test_batches_change_no_count(tmp_path: Path) -> None:
    job = load_job(write_rows(tmp_path))
    small = job.model_copy(update={"limits": job.limits.model_copy(update={"batch_rows_max": 7})})
    assert summarise(found_by(small)) == summarise(found_by(job))


def test_only_rows_of_the_time_asked_for_take_part(tmp_path: Path) -> None:
    start = 1_772_323_200
    result = found_by(load_job(write_rows(tmp_path)), TimeRange(time_from=start + 100, time_to=start + 199))
    assert (result.row_count, result.time_first, result.time_last) == (50, start + 100, start + 198)


def test_an_empty_input_has_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    (tmp_path / "pumps.csv").write_text("time,pump,pressure,errors\n")
    summary = summarise(found_by(load_job(path)))
    assert (summary.rows, summary.anomalies, summary.time_from) == (0, 0, None)


def test_metrics_are_paired_by_text_then_by_order() -> None:
    assert pair_metrics(["a", "b"], ["b", "c"]) == [(0, 1), (1, 0)]
    assert pair_metrics(["a", "b"], ["x", "a", "y"]) == [(0, 1), (1, 0), (None, 2)]
    assert pair_metrics(["a", "b"], ["b"]) == [(0, None), (1, 0)]


def test_a_stricter_threshold_finds_a_part_of_what_the_other_found(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    loose, strict = load_job(path), parse_job(JOB.replace("pressure > 9", "pressure > 10"), tmp_path)
    first = compare(found_by(loose), found_by(strict))[0]
    assert first["metrics"] == ["pressure > 9", "pressure > 10"]
    assert (first["both"], first["only"][1]) == (first["anomalies"][1], 0)
    assert first["only"][0] == first["anomalies"][0] - first["anomalies"][1] > 0
    assert len(first["examples"][0]) == 3


def test_another_file_is_read_by_the_rules_of_the_jobs_source(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    job = parse_job(JOB.replace("path: pumps.csv", "path: no.csv, columns: {pressure: bar}"), tmp_path)
    (tmp_path / "other.csv").write_text("time,pump,bar,errors\n2026-03-01T00:00:00,a,9.5,0\n")
    assert found_by(with_source(job, tmp_path / "other.csv")).anomaly_count == 1
    assert with_source(load_job(path), tmp_path / "pumps.csv").source.type == "csv"


def test_a_picture_has_a_panel_for_each_key_and_column(tmp_path: Path) -> None:
    job = load_job(write_rows(tmp_path))
    picture = gather(found_by(job), source_input(job), EVER)
    assert [(panel.key, panel.column) for panel in picture.panels][:2] == [
        (picture.panels[0].key, "pressure"),
        (picture.panels[0].key, "errors"),
    ]
    assert len(picture.panels) == 6
    pressure, errors = picture.panels[:2]
    assert list(pressure.windows) == ["avg(pressure)"]
    assert (set(pressure.marks), set(errors.marks)) == ({0, 2}, {1, 3})
    assert errors.mark_windows == {1: "sum(errors)"}
    assert all(value > 3 for value in errors.marks[1].values)


def test_thinning_keeps_extremes() -> None:
    values = np.sin(np.arange(100_000) / 50.0)
    values[40_007], values[70_001] = 9.0, np.nan
    times, kept = thinned(np.arange(100_000), values, 1000)
    assert len(times) <= 1001
    assert (times[np.nanargmax(kept)], np.nanmin(kept)) == (40_007, values[np.nanargmin(values)])
    assert bool(np.all(np.diff(times) > 0))


@pytest.mark.parametrize("name", ["picture.png", "page.html"])
def test_pictures_and_pages_are_written(tmp_path: Path, name: str) -> None:
    arguments = [str(write_rows(tmp_path)), "--plot", str(tmp_path / name), "--key", "a"]
    result = CliRunner().invoke(backtest, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    written = (tmp_path / name).read_bytes()
    assert len(written) > 10_000
    if name.endswith(".html"):
        assert b"<svg" in written
        assert b"many errors" in written
        assert not re.search(rb'(src|href)="(?!#)', written)


def test_the_summary_is_json_for_programs(tmp_path: Path) -> None:
    arguments = [str(write_rows(tmp_path)), "--json", "--top", "1", "--to", "2026-03-01T00:05:00"]
    found = json.loads(CliRunner().invoke(backtest, arguments, catch_exceptions=False).stdout)
    assert (found["job"], found["rows"], found["to"]) == ("pumps", 152, "2026-03-01T00:05:00.000Z")
    assert len(found["metrics"][0]["top_keys"]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--source", "no.csv"], "there is no file 'no.csv'"),
        (["--source", "no.doc"], "its name ends with one of .csv"),
        (["--plot", "x.doc"], "let it end with .png"),
        (["--plot", "no/such/x.png"], "cannot write 'no/such/x.png'"),
        (["--plot", "x.png", "--key", "z"], "no row has the key z"),
        (["--plot", "x.png", "--key", "a", "--key", "b"], "the key columns are: pump"),
        (["--plot", "x.png", "--against", "job.yaml"], "leave one of them out"),
        (["--key", "a"], "give --plot too"),
        (["--from", "soon"], "soon"),
        (["--from", "--5"], "'--5' is no time"),
        (["--from", "99999999999h"], "farther away"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "the wrong way round"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    path = write_rows(tmp_path, 60)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(backtest, [str(path), *options])
    error = result.stderr + (str(result.exception) if isinstance(result.exception, TocsinError) else "")
    assert result.exit_code != 0
    assert said in error


def test_a_range_without_rows_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(backtest, [str(write_rows(tmp_path, 60)), "--from", "2090-01-01"])
    assert result.exit_code == 0
    assert "rows lies between --from and --to" in result.stderr


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.html"])
def test_a_picture_of_no_rows_is_refused(tmp_path: Path, name: str) -> None:
    path = write_rows(tmp_path)
    (tmp_path / "pumps.csv").write_text("time,pump,pressure,errors\n")
    result = CliRunner().invoke(backtest, [str(path), "--plot", str(tmp_path / name)])
    assert "there are no rows to draw" in str(result.exception)
    assert not (tmp_path / name).exists()


def test_a_key_of_truth_values_is_true_or_false(tmp_path: Path) -> None:
    job = parse_job(JOB.replace("pump: SYMBOL", "pump: BOOL"), tmp_path)
    assert [parse_key(job, [text]) for text in ("true", "False")] == [(True,), (False,)]
    with pytest.raises(TocsinError, match="--key maybe: 'maybe' is neither true nor false"):
        parse_key(job, ["maybe"])


def test_live_sources_need_a_record(tmp_path: Path) -> None:
    job = parse_job("job: m\nsource: {type: host_metrics}\nmetrics: [value > 1]", tmp_path)
    with pytest.raises(TocsinError, match="is no recording; see it live with `tocsin run`, or give `tocsin backtest`"):
        source_input(job)


def test_a_history_is_the_input_that_the_job_had(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    path.write_text(JOB + "events: {store: true}\n")
    with run_file(path, tmp_path / "kept", lambda: 1_700_000_000_000_000) as (job, running):
        running.run()
    direct = found_by(job)
    stored = run_backtest(job, history_input(job, tmp_path / "kept", EVER))
    assert stored.counts.sort("type", "pump").equals(direct.counts.sort("type", "pump"))
    assert (stored.row_count, stored.late_row_count) == (601, 1)


def test_a_history_is_in_the_order_of_time_for_a_job_with_other_keys(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    path.write_text(JOB + "events: {store: true}\nlimits: {batch_rows_max: 40}\n")
    with run_file(path, tmp_path / "kept", lambda: 1_700_000_000_000_000) as (_, running):
        running.run()
    other = parse_job(JOB.replace("key: [pump]", "key: []") + "limits: {batch_rows_max: 40}", tmp_path)
    stored = run_backtest(other, history_input(other, tmp_path / "kept", EVER))
    assert (stored.row_count, stored.late_row_count) == (601, 1)
    start = 1_772_323_200 + 300
    late = TimeRange(time_from=start)
    assert run_backtest(other, history_input(other, tmp_path / "kept", late), late).time_first == start


def test_streams_are_merged_when_many_rows_have_one_time() -> None:
    def stream(server: int, times: list[list[int]]) -> Iterator[pl.DataFrame]:
        for part in times:
            count = len(part)
            columns = {"event timestamp": part, "event server": [server] * count, "event session": list(range(count))}
            yield pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Int64))

    merged = in_order([stream(0, [[1, 2, 2], [2, 2], [], [2, 5]]), stream(1, [[], [2, 3], [4]]), stream(2, [[]])])
    times = [time for frame in merged for time in frame["event timestamp"].to_list()]
    assert times == [1, 2, 2, 2, 2, 2, 2, 3, 4, 5]


def test_a_history_without_rows_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path, 10)
    with run_file(path, tmp_path / "kept", lambda: 1_700_000_000_000_000) as (job, running):
        running.run()
    with pytest.raises(TocsinError, match="store: true"):
        run_backtest(job, history_input(job, tmp_path / "kept", EVER))
    with pytest.raises(TocsinError, match="there are no shards in"):
        history_input(job, tmp_path / "nowhere", EVER)


def test_episodes_of_metrics_are_counted(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    path.write_text(JOB.replace("- pressure > 9", "- {when: pressure > 8, keep_firing: 10s}"))
    first, second = summarise(found_by(load_job(path))).metrics[:2]
    assert 1 < first.episodes < first.anomalies
    assert second.episodes is None


def test_episodes_of_a_backtest_are_those_of_the_job(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    lines = (tmp_path / "pumps.csv").read_text().splitlines()
    kept = [*lines[:200], *(one for one in lines[200:300] if ",c," not in one), *lines[300:]]
    (tmp_path / "pumps.csv").write_text("\n".join(kept))
    lifecycle = "- {when: pressure > 8, for: 4s, keep_firing: 10s}"
    path.write_text(JOB.replace("- pressure > 9", lifecycle) + "ticks: 10s\nabsent: 45s\n")
    job = load_job(path)
    result = run_backtest(job, source_input(job), keeps_episodes=True)
    with open_job(job, tmp_path / "kept", lambda: 0) as running:
        running.run()
        expected = running.new_episodes(10_000)
        assert running.new_episodes(10_000) == []
        anomalies = running.new_anomalies(1_000_000)
    assert len(expected) == 3
    shown = [show_episodes(job, [replace(one, ordinal=0)], as_json=True) for one in expected]
    assert sorted(show_episodes(job, [one], as_json=True) for one in result.episodes) == sorted(shown)
    assert result.anomaly_count == len(anomalies)
    command = CliRunner().invoke(backtest, [str(path), "--episodes", "--json"], obj=Home(tmp_path / "home"))
    printed = [json.loads(line) for line in command.stdout.splitlines()]
    assert sorted(printed, key=str) == sorted((json.loads(line) for line in shown), key=str)
    assert {one["metric"] for one in printed} == {"pressure > 8", "absent for 45s"}
    command = CliRunner().invoke(run, [str(path), "--episodes", "--json"])
    assert sorted(map(json.loads, command.stdout.splitlines()), key=str) == sorted(printed, key=str)


@pytest.mark.parametrize(
    "settings",
    ["engine: {max_lateness: 30m}\n", "ticks: 45s\nengine: {max_lateness: 30m, ticks_close_windows: true}\n"],
)
def test_rows_that_wait_for_late_ones_are_tested_as_in_the_job(settings: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    path.write_text(JOB + settings)
    with run_file(path, tmp_path / "kept", lambda: 1_700_000_000_000_000) as (job, running):
        running.run()
        expected = len(running.anomalies(10_000))
    result = found_by(job)
    assert (result.anomaly_count, result.late_row_count) == (expected, 0)
    assert gather(result, source_input(job), EVER).panels


def test_columns_may_be_called_like_those_of_events(tmp_path: Path) -> None:
    text = (
        "job: j\nschema: {timestamp: DATETIME, session: INT, type: SYMBOL}\ntime: timestamp\nmetrics: [session > 1]\n"
    )
    (tmp_path / "rows.csv").write_text("timestamp,session,type\n2026-03-01T00:00:00,2,a\n2026-03-01T00:00:01,1,b\n")
    (tmp_path / "job.yaml").write_text(text + "events: {store: true}\nsource: {path: rows.csv}\n")
    with run_file(tmp_path / "job.yaml", tmp_path / "kept", lambda: 1_700_000_000_000_000) as (job, running):
        running.run()
    result = run_backtest(job, history_input(job, tmp_path / "kept", EVER))
    assert (result.row_count, result.anomaly_count) == (2, 1)


def test_keys_and_metrics_with_dollars_are_drawn_as_they_are(tmp_path: Path) -> None:
    path = write_rows(tmp_path, 60)
    rows = (tmp_path / "pumps.csv").read_text().replace(",a,", ",$x^$,")
    (tmp_path / "pumps.csv").write_text(rows)
    path.write_text(JOB.replace("describe: many errors", "describe: 'errors of $_$'"))
    result = found_by(load_job(path))
    picture = gather(result, source_input(result.job), EVER, ("$x^$",))
    assert "$x^$: pressure" in draw_svg(picture)


def test_the_legend_of_one_key_counts_what_the_table_counts(tmp_path: Path) -> None:
    job = load_job(write_rows(tmp_path))
    result = found_by(job)
    shown = re.findall(r"pressure &gt; 9 +\((\d+)\)", draw_svg(gather(result, source_input(job), EVER, ("a",))))
    assert shown == [str(summarise(result).metrics[0].anomalies)]
