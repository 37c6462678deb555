"""A log job on the cluster: what is accepted holds through a failover and through the loss of every shard."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from actors.partition.anomalies import AnomalyFilter
from cluster.cli import cli
from cluster.client.client import Client
from cluster.local.home import Home
from config.load import parse_job
from tests.support.login_log import JOB, generated

Eventually = Callable[..., Any]

NEW_USERS = "new value of user"


def reported(client: Client) -> list[int]:
    """Return the offsets of the rows with a user that was not learned."""
    found = client.anomalies("logins", AnomalyFilter(), 1000)
    return [anomaly.id.offset for anomaly in found if anomaly.metric == NEW_USERS]


def has_all(client: Client, count: int) -> bool:
    """Return whether all partitions have committed so many rows."""
    stats = client.partition_stats("logins")
    return len(stats) == 4 and all(stat.committed.get(0, 0) >= count for stat in stats)


def tocsin(home: Home, *arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--home", str(home.directory), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def log(client: Client, tmp_path: Path, eventually: Eventually) -> Path:
    """Start the job on a log of 170 lines, and return the log when all of them are committed."""
    path = tmp_path / "app.log"
    path.write_text(generated(170))
    client.submit(parse_job(JOB.format(key="host", partitions=4, batch=50) + "\nhosts: 2\n", tmp_path))
    eventually(lambda: has_all(client, 170))
    return path


def test_an_accepted_value_holds_whatever_dies(client: Client, home: Home, log: Path, eventually: Eventually) -> None:
    assert reported(client) == [160, 161]
    said = tocsin(home, "learn", "accept", "logins", "login", "user", "mallory", "--key", "web2")
    assert said == "accepted 'mallory' of user, from offset 170 of split 0 on\n"
    listed = json.loads(tocsin(home, "learn", "accepted", "logins", "--json"))
    assert (listed["value"], listed["event"], listed["from"]) == ("mallory", ["login"], {"0": 170})
    client.kill_leader()
    log.write_text(generated(240))
    eventually(lambda: has_all(client, 240))
    assert reported(client) == [160, 161, 202]
    before = tocsin(home, "learn", "status", "logins", "--json")
    entries = client.anomaly_entries("logins")
    client.stop("logins")
    eventually(lambda: getattr(client.runner_status("logins"), "phase", "") == "stopped")
    assert tocsin(home, "learn", "status", "logins", "--json") == before
    client.end_hosts("logins")
    shutil.rmtree(home.partitions_directory("logins"))
    client.resume("logins")
    eventually(lambda: has_all(client, 240))
    assert (client.anomaly_entries("logins"), tocsin(home, "learn", "status", "logins", "--json")) == (entries, before)
    users = [json.loads(line) for line in before.splitlines() if '"user"' in line]
    assert {record["class"] for record in users if record["event"] == "login"} == {"STATIC", "STABLE"}
    client.stop("logins")
