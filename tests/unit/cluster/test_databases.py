"""The command `db` on the directories of real partitions."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from actors.errors import TocsinError
from actors.partition.partition import Partition
from actors.partition.sealing import SEALED, seal, unseal
from actors.shard import Shard
from cluster.commands.databases import db
from cluster.commands.target import Target
from cluster.errors import ClusterError
from cluster.local.databases import check_database, find_database, measure_database
from cluster.local.home import Home
from tests.support.partition_jobs import EVENTS, make_batch, make_partition_job, skip_sync

JOB = make_partition_job(**EVENTS, job="shop")
ROWS = [(1_700_000_000_000 + n, f"S{n % 3}", n % 11, "ann") for n in range(60)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with partition 0 of a job: sixty rows, their anomalies and a dead letter."""
    skip_sync(monkeypatch)
    made = Home(tmp_path)
    with Partition.open(JOB, 0, made.partitions_directory("shop") / "0000") as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, ROWS, letters=[60], end=61), 0)
        partition.flush(1, 1, with_snapshot=True)
    return made


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(db, arguments, obj=Target(home=home))


def shard_of(home: Home) -> Path:
    return home.partitions_directory("shop") / "0000"


def change(home: Home, table: str, changed: Any) -> None:
    """Change the value of a table's first entry."""
    with Shard.open(shard_of(home)) as shard:
        handle = shard.table(table)
        with shard.read() as txn, txn.cursor(handle) as cursor:
            key, stored = next((bytes(key), bytes(value)) for key, value in cursor)
        # A block of events may begin with any byte.
        is_sealed = not table.startswith("event_") and stored[:1] == SEALED
        other_key, value = changed(key, unseal(key, stored) if is_sealed else stored)
        value = seal(other_key, value) if is_sealed else value
        shard.write(lambda txn: txn.put(other_key, value, db=handle))


def test_a_database_is_found_by_its_directory_and_by_its_job(home: Home) -> None:
    assert find_database(home, "shop/0") == find_database(home, str(shard_of(home))) == shard_of(home)
    for name, message in [
        ("shop", "this job's are shop/0"),
        ("shop/7", "this job's are shop/0"),
        ("shops/0", "give its directory, or JOB/PARTITION"),
    ]:
        with pytest.raises(ClusterError, match=message):
            find_database(home, name)


def test_what_a_database_holds_is_shown(home: Home) -> None:
    found = json.loads(run(home, "stat", "shop/0", "--json").stdout)
    assert (found["identifier"], found["owner"], found["partition"]["next_offset"]) == ("shop/0", None, {"0": 61})
    by_time, by_source = found["events"]["series"]
    assert by_time["events"] == by_source["events"] == found["events"]["splits"][0]["blocks"] * by_time["events"]
    assert {by_time["order_by"], by_source["order_by"]} == {"time", "source"}
    assert by_time["oldest"] == {"id": "0/1/1", "time": "2023-11-14T22:13:20.000000Z"}
    assert by_source["newest"]["id"].startswith("0/60/")
    assert {"table": "dead_letters", "entries": 1}.items() <= next(
        one for one in found["tables"] if one["table"] == "dead_letters"
    ).items()
    text = run(home, "stat", "shop/0").stdout
    assert "shop/0, format 1, not in use" in text
    assert "epoch 1, split 0 at 61" in text


def test_a_whole_database_passes_and_is_counted(home: Home) -> None:
    result = run(home, "check", "shop/0")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no faults" in result.stderr
    assert check_database(shard_of(home)).event_count > 60


@pytest.mark.parametrize(
    ("table", "changed", "place"),
    [
        ("event_log", lambda key, value: (key, value[:-1] + b"?"), "event_log: block 0 of server 0, ids after (0, 0)"),
        ("engine", lambda key, value: (key, value[:-9] + b"!" + value[-8:]), "engine: key b'snapshot'"),
        ("anomalies", lambda key, value: (key, value[:3]), "anomalies: split 0, offset 9, ordinal 0: cannot be read"),
        ("anomalies", lambda key, value: (bytes(4) + b"\1" + key[5:], value), "the mark is 61"),
        ("dead_letters", lambda key, value: (key[:-1] + b"\xff", value), "lies at offset 255 of split 0"),
        ("partition", lambda key, value: (key, b"\xc1"), "partition: the marks: cannot be read"),
    ],
)
def test_damage_is_named_and_the_exit_code_tells(home: Home, table: str, changed: Any, place: str) -> None:
    change(home, table, changed)
    result = run(home, "check", "shop/0")
    assert result.exit_code == 1
    assert place in result.stdout
    assert json.loads(run(home, "check", "shop/0", "--json").stdout)["findings"]


def test_a_file_without_its_end_is_reported_not_read(home: Home) -> None:
    with (shard_of(home) / "data.mdb").open("r+b") as file:
        file.truncate(20_000)
    result = run(home, "check", "shop/0")
    assert result.exit_code == 1
    assert "data.mdb: the file" in result.stdout
    assert "its end is missing" in str(run(home, "stat", "shop/0").exception)


def test_a_copy_passes_the_check_and_goes_on_as_a_partition(home: Home, tmp_path: Path) -> None:
    assert run(home, "copy", "shop/0", "--to", str(tmp_path / "copy")).exit_code == 0
    assert check_database(tmp_path / "copy").findings == ()
    with Partition.open(JOB, 0, tmp_path / "copy") as partition:
        assert partition.committed == {0: 61}
        assert partition.begin(2, {0: 0}, 2) == {0: 61}


def test_compacting_keeps_everything(home: Home, tmp_path: Path) -> None:
    before = measure_database(shard_of(home))
    assert run(home, "compact", "shop/0", "--to", str(tmp_path / "small")).exit_code == 0
    assert "bytes before" in run(home, "compact", "shop/0").stderr
    for directory in (shard_of(home), tmp_path / "small"):
        after = measure_database(directory)
        assert after["events"] == before["events"]
        assert after["file_bytes"] <= before["file_bytes"]
        assert check_database(directory).findings == ()


def test_what_needs_the_database_alone_names_the_way_out(home: Home) -> None:
    with Shard.open(shard_of(home)):
        result = run(home, "compact", "shop/0")
    assert isinstance(result.exception, TocsinError)
    assert "already open in this process" in str(result.exception)
    assert "`tocsin down` ends a cluster and keeps its data" in str(result.exception)
    assert "--to DIR" in str(result.exception)


def test_events_are_exported_with_the_filters_of_queries(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    arguments = ("--type", "trades/S1", "--where", "qty=4", "--oldest", "--limit", "0", "--output", str(path))
    result = run(home, "export", "shop/0", *arguments)
    assert result.exit_code == 0, result.output
    assert pl.read_parquet(path)["id"].to_list() == ["0/5/1", "0/38/1"]
    first = run(home, "export", "shop/0", "--oldest", "--limit", "2", "--json").stdout.splitlines()
    assert json.loads(first[-1]) == {"next": "time:1700000000001000/0/2/1"}
    after = run(
        home, "export", "shop/0", "--oldest", "--limit", "1", "--json", "--after", "time:1700000000001000/0/2/1"
    )
    assert json.loads(after.stdout.splitlines()[0])["id"] == "0/3/1"


def test_anomalies_are_exported_by_ticks(home: Home) -> None:
    result = run(
        home, "export", "shop/0", "--anomalies", "--as", "csv", "--columns", "offset,ticks,key", "--limit", "2"
    )
    assert result.stdout.splitlines() == [
        "offset,ticks,key",
        '9,1700000000009,"[""S0""]"',
        '10,1700000000010,"[""S1""]"',
    ]
    assert "--after 0/10/0" in result.stderr
    rest = run(home, "export", "shop/0", "--anomalies", "--json", "--from", "1700000000059", "--limit", "0")
    assert rest.exit_code == 0
    assert all(json.loads(line)["ticks"] >= 1700000000059 for line in rest.stdout.splitlines())
    refused = run(home, "export", "shop/0", "--anomalies", "--where", "qty=5")
    assert "leave out --where" in refused.stderr
    assert "give ticks" in run(home, "export", "shop/0", "--anomalies", "--from", "2h").stderr


def test_a_shard_of_something_else_is_looked_at_too(tmp_path: Path) -> None:
    with Shard.open(tmp_path / "other") as shard:
        table = shard.table("things")
        shard.write(lambda txn: txn.put(b"a", b"b", db=table))
    assert check_database(tmp_path / "other").entry_count == 3
    assert measure_database(tmp_path / "other")["events"] is None
    refused = run(Home(tmp_path), "export", str(tmp_path / "other"))
    assert "has no events" in str(refused.exception)


def test_a_directory_with_shards_below_it_names_them(home: Home) -> None:
    kept = home.job_directory("shop")
    with pytest.raises(ClusterError, match=r"is no shard, but has some; name one: .*/shop/partitions/0000"):
        find_database(Home(home.directory / "elsewhere"), str(kept))


@pytest.mark.parametrize("ticks", ["--5", "\u00b2", "9" * 30, "-", "5s"])
def test_what_is_no_tick_is_refused(home: Home, ticks: str) -> None:
    found = run(home, "export", "shop/0", "--anomalies", "--from", ticks)
    assert (found.exit_code, "is no number" in found.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--type", "trades/X"], "did you mean"),
        (["--where", "qty=99"], "the newest event has"),
        (["--id", "7/1/1"], ""),
    ],
)
def test_an_export_of_nothing_says_what_fits_nothing(home: Home, options: list[str], hint: str) -> None:
    found = run(home, "export", "shop/0", *options)
    assert found.exit_code == 0
    assert options[0] in found.stderr
    assert hint in found.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "id,id"], "column 'id' is named twice"),
        (["--output", "events.xyz"], "names no form; use one of .json"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "--from and --to are the wrong way round"),
        (["--source-from", "now", "--source-to", "yesterday"], "--source-from and --source-to are the wrong way round"),
        (["--anomalies", "--from", "2", "--to", "1"], "the wrong way round"),
        (["--from", "9999999999999999s"], "is farther away than times of 64 bits reach"),
    ],
)
def test_what_an_export_cannot_mean_is_refused(home: Home, options: list[str], message: str) -> None:
    found = run(home, "export", "shop/0", *options)
    assert isinstance(found.exception, TocsinError)
    assert message in str(found.exception)


def test_a_limit_beyond_everything_is_refused(home: Home) -> None:
    found = run(home, "export", "shop/0", "--limit", "9" * 30)
    assert (found.exit_code, "is not in the range" in found.stderr) == (2, True)
