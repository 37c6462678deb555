"""The commands of a running cluster, as people type them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from actors.errors import TocsinError
from actors.partition.anomalies import AnomalyFilter
from actors.shard import ShardLostError
from actors.store import QueryTimeseriesParams
from cluster.cli import cli
from cluster.client import event_pages
from cluster.client.client import Client
from cluster.client.submission import wait_and_tell
from cluster.leader.status import JobSummary
from cluster.local.home import Home

EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "trades.yaml"

LINES = """time,sensor,level
2026-01-01T00:00:00,a,1.5
2026-01-01T00:00:01,a,high
2026-01-01T00:00:02,b,9.5
2026-01-01T00:00:03,b
2026-01-01T00:00:04,a,12.5
9999-01-01T00:00:00,a,1.0
"""

JOB = """
job: sensors
schema: {time: DATETIME, sensor: SYMBOL, level: DOUBLE}
time: time
key: [sensor]
metrics: [level > 9]
source: {type: csv, path: sensors.csv}
events: {store: true}
sinks: [{type: ndjson, path: out}]
partitions: 3
hosts: 2
"""

Run = Callable[..., Result]


@pytest.fixture
def run(home: Home) -> Run:
    """Return a function that runs a command on the cluster."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--home", str(home.directory), *arguments])

    return invoke


@pytest.fixture(scope="module")
def sensors(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Submit a job over a file with bad records, wait for its end, and return its directory."""
    directory = tmp_path_factory.mktemp("sensors")
    (directory / "sensors.csv").write_text(LINES)
    (directory / "sensors.yaml").write_text(JOB)
    arguments = ["--home", str(home.directory), "submit", str(directory / "sensors.yaml"), "--wait"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return directory


def records(result: Result) -> list[dict[str, Any]]:
    """Return the lines of JSON that a command printed."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_hello_world_gives_its_eight_anomalies_through_job_submission(run: Run) -> None:
    submitted = run("submit", str(EXAMPLE), "--wait")
    assert submitted.exit_code == 0, submitted.output
    found = records(run("query", "anomalies", "trades", "--json"))
    assert [(one["time"][-4:-1], one["key"]["sym"], one["metric"]) for one in found] == [
        ("003", "A", "sum(qty) > 5"),
        ("004", "A", "avg(qty) > qty"),
        ("005", "B", "qty < 4"),
        ("006", "A", "avg(qty) > qty"),
        ("006", "A", "qty < 4"),
        ("006", "B", "sum(qty) > 5"),
        ("007", "B", "avg(qty) > qty"),
        ("007", "B", "qty < 4"),
    ]


def test_anomalies_are_found_by_key_and_time(run: Run, sensors: Path) -> None:
    assert [one["key"]["sensor"] for one in records(run("query", "anomalies", "sensors", "--json"))] == ["b", "a"]
    of_a = records(run("query", "anomalies", "sensors", "--key", "a", "--from", "2026-01-01T00:00:04", "--json"))
    assert [one["offset"] for one in of_a] == [4]


def test_bad_records_are_dead_letters_with_a_reason(run: Run, sensors: Path) -> None:
    found = records(run("query", "dead-letters", "sensors", "--json"))
    assert [one["offset"] for one in found] == [1, 3, 5]
    assert "level" in found[0]["reason"]
    assert "high" in found[0]["reason"]
    assert found[2]["raw"].startswith("9999")


def test_events_are_found_latest_and_by_time(run: Run, sensors: Path) -> None:
    latest = records(run("query", "events", "sensors", "--latest", "--type", "sensors/a", "--json"))
    assert [one["payload"]["level"] for one in latest] == [12.5]
    oldest = records(run("query", "events", "sensors", "--oldest", "--to", "2026-01-01T00:00:02", "--json"))
    assert [one["type"] for one in oldest] == ["sensors/a", "sensors/b", "sensors/anomaly/0"]


def test_pages_of_events_go_on_over_all_partitions(run: Run, client: Client, sensors: Path) -> None:
    whole = records(run("query", "events", "sensors", "--oldest", "--json"))
    found: list[dict[str, Any]] = []
    after: list[str] = []
    while page := records(run("query", "events", "sensors", "--oldest", "--json", "--limit", "2", *after)):
        cursor = page.pop()["next"] if "next" in page[-1] else None
        found += page
        if cursor is None:
            break
        after = ["--after", cursor]
    assert found == whole
    assert len(found) == 5
    assert client.events("sensors", QueryTimeseriesParams(max_results=3)).more_follows
    assert len(list(client.event_stream("sensors", QueryTimeseriesParams()))) == 5
    assert len(list(client.anomaly_stream("sensors", AnomalyFilter()))) == 2


def test_events_are_selected_by_field_id_type_and_split(run: Run, sensors: Path) -> None:
    def ids(*arguments: str) -> list[str]:
        found = records(run("query", "events", "sensors", "--json", *arguments))
        return [one["id"] for one in found if "id" in one]

    assert ids("--where", "level=9.5") == ["0/3/1"]
    assert ids("--where", "sensor=a", "--order-by", "source", "--oldest") == ["0/1/1", "0/5/1"]
    assert ids("--id", "0/5/1", "--id", "0/3/2", "--source-to", "2026-01-01T00:00:02") == ["0/3/2"]
    assert ids("--unique", "--type", "sensors/?") == ["0/5/1", "0/3/1"]
    assert ids("--split", "0", "--limit", "3") == ["0/1/1", "0/3/1", "0/3/2"]
    assert ids("--from", "15m") == []


def test_results_are_files_of_every_form(run: Run, sensors: Path) -> None:
    for name in ("rows.csv", "rows.parquet", "rows.json"):
        arguments = ("--type", "sensors/?", "--oldest", "--limit", "0", "--output", str(sensors / name))
        assert run("query", "events", "sensors", *arguments).exit_code == 0
        assert "is there already; --force replaces it" in str(run("query", "events", "sensors", *arguments).exception)
    assert pl.read_parquet(sensors / "rows.parquet")["level"].to_list() == [1.5, 9.5, 12.5]
    assert pl.read_csv(sensors / "rows.csv")["sensor"].to_list() == ["a", "b", "a"]
    assert len((sensors / "rows.json").read_text().splitlines()) == 3
    chosen = run("query", "anomalies", "sensors", "--as", "csv", "--columns", "sensor,offset")
    assert chosen.stdout.splitlines() == ["sensor,offset", "b,2", "a,4"]


def test_databases_are_looked_after_while_their_hosts_have_them(run: Run, sensors: Path) -> None:
    for number in range(3):
        checked = run("db", "check", f"sensors/{number}")
        assert (checked.exit_code, checked.stdout) == (0, "")
    assert json.loads(run("db", "stat", "sensors/0", "--json").stdout)["owner"] is not None
    assert run("db", "copy", "sensors/0", "--to", str(sensors / "copy")).exit_code == 0
    assert run("db", "check", str(sensors / "copy")).exit_code == 0
    refused = run("db", "compact", "sensors/0").exception
    assert isinstance(refused, TocsinError)
    assert "`tocsin down` ends a cluster" in str(refused)


def test_sinks_have_every_anomaly_once(sensors: Path) -> None:
    lines = [line for file in (sensors / "out").glob("*.ndjson") for line in file.read_text().splitlines()]
    assert sorted(json.loads(line)["offset"] for line in lines) == [2, 4]


def test_status_names_the_leader_and_the_partitions(run: Run, sensors: Path) -> None:
    found = json.loads(run("status", "sensors", "--json").stdout)
    assert found["leader"] in {member["member"] for member in found["members"]}
    assert [partition["committed"] for partition in found["job"]["partitions"]] == [{"0": 6}] * 3
    assert "leader" in run("status", "sensors").stdout


def test_a_second_job_of_a_name_is_refused(run: Run, sensors: Path) -> None:
    result = run("submit", str(sensors / "sensors.yaml"))
    assert isinstance(result.exception, TocsinError)
    assert "job 'sensors' exists; remove it first" in str(result.exception)


def test_an_unknown_job_is_named_with_those_that_exist(run: Run, sensors: Path) -> None:
    result = run("query", "anomalies", "sensor")
    assert isinstance(result.exception, TocsinError)
    assert "there is no job 'sensor'" in str(result.exception)
    assert "sensors" in str(result.exception)


def test_a_second_cluster_in_a_home_is_refused(run: Run) -> None:
    result = run("up")
    assert isinstance(result.exception, TocsinError)
    assert "`tocsin down` ends it" in str(result.exception)


def test_a_finished_job_is_queried_after_its_hosts_have_ended(run: Run, client: Client, sensors: Path) -> None:
    before = [run("query", kind, "sensors", "--json").stdout for kind in ("anomalies", "events", "dead-letters")]
    client.end_hosts("sensors")
    assert [
        run("query", kind, "sensors", "--json").stdout for kind in ("anomalies", "events", "dead-letters")
    ] == before
    assert len(before[0].splitlines()) == 2


@pytest.mark.parametrize("has_ended", [False, True], ids=["host lives", "host ended"])
def test_a_query_of_a_finished_job_whose_shard_is_gone_is_an_error(
    run: Run, home: Home, client: Client, sensors: Path, has_ended: bool
) -> None:
    client.open_for_queries("sensors")
    if has_ended:
        client.end_hosts("sensors")
    place = home.partitions_directory("sensors") / "0001"
    place.rename(place.with_name("away"))
    for kind in ("anomalies", "events", "dead-letters"):
        result = run("query", kind, "sensors", "--json")
        assert isinstance(result.exception, ShardLostError)
        assert "partition 1 of job 'sensors'" in str(result.exception)
        assert "no answer would be complete: put the directory back" in str(result.exception)
    assert not place.exists()
    place.with_name("away").rename(place)
    assert len(records(run("query", "anomalies", "sensors", "--json"))) == 2


def test_a_long_answer_goes_on_when_hosts_end_in_the_middle(
    client: Client, sensors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_pages, "PAGE_EVENT_COUNT", 1)
    client.open_for_queries("sensors")
    whole = client.events("sensors", QueryTimeseriesParams()).events
    stream = client.event_stream("sensors", QueryTimeseriesParams())
    first = next(stream)
    client.end_hosts("sensors")
    assert (first, *stream) == whole


def test_a_finished_job_is_not_scaled(run: Run, sensors: Path) -> None:
    result = run("scale", "sensors", "--hosts", "3")
    assert isinstance(result.exception, TocsinError)
    assert "job 'sensors' is finished" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("anomalies", "sensors", "--key", "a", "--key", "b"), "the key columns are: sensor"),
        (("anomalies", "sensors", "--limit", "-3"), "-3 is not in the range"),
        (("events", "sensors", "--json", "--as", "csv"), "--json is --as json"),
        (("events", "sensors", "--latest", "--from", "2026-01-01"), "leave out --from"),
        (("events", "sensors", "--as", "parquet"), "name a file with --output"),
        (("events", "sensors", "--after", "7"), "'7' is no cursor"),
        (("anomalies", "sensors", "--from", "soon"), "'soon' is no time; write it like 2026-01-31"),
    ],
)
def test_a_query_that_cannot_be_answered_as_asked_is_refused(
    run: Run, sensors: Path, arguments: tuple[str, ...], text: str
) -> None:
    result = run("query", *arguments)
    assert result.exit_code == 2 or isinstance(result.exception, TocsinError)
    assert text in result.stderr + str(result.exception)


def test_a_job_without_its_file_says_so_while_it_is_waited_for(run: Run, client: Client, sensors: Path) -> None:
    (sensors / "lost.yaml").write_text(
        JOB.replace("job: sensors", "job: lost").replace("path: sensors.csv", "path: no.csv")
    )
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        client.stop("lost")

    assert run("submit", str(sensors / "lost.yaml")).exit_code == 0
    assert wait_and_tell(client, "lost", say) == JobSummary()
    assert "there is no file" in said[0]
    assert run("remove", "lost").exit_code == 0


def test_a_removed_job_is_gone_and_its_data_stay(run: Run, home: Home, client: Client, sensors: Path) -> None:
    small = JOB.replace("partitions: 3\nhosts: 2", "partitions: 1\nhosts: 1").replace("path: out", "path: gone")
    (sensors / "gone.yaml").write_text(small.replace("job: sensors", "job: gone"))
    assert run("submit", str(sensors / "gone.yaml"), "--wait").exit_code == 0
    assert run("remove", "gone").exit_code == 0
    assert "gone" not in client.state().jobs
    assert home.job_directory("gone").is_dir()


@pytest.mark.parametrize("words", [("status",), ("jobs",), ("nodes",)])
def test_what_asks_a_cluster_loads_nothing_slow(home: Home, words: tuple[str, ...]) -> None:
    code = (
        "import sys; from cluster.cli import cli; cli(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'aiohttp', 'lmdb', 'numpy', 'polars', 'pydantic', 'pysyncobj', 'ray'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", code, "--home", str(home.directory), *words]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"
