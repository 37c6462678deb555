"""People are told once of each transition, whoever is killed, and not of what is silenced."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster.cli import cli
from cluster.client.client import Client
from cluster.local.home import Home
from config.load import parse_job
from scripts.notification_drill import JOB, drill, receiving

pytestmark = pytest.mark.slow

Eventually = Callable[..., Any]


def test_each_transition_is_told_once_whoever_is_killed(client: Client, tmp_path: Path) -> None:
    with receiving(1) as receiver:
        found = drill(client, tmp_path, receiver, 3, 1, is_grouped=True)
        client.stop("drill")
    assert found.startswith("missing 0, doubled 0, different 0"), found


def test_what_is_silenced_is_told_when_the_silence_is_over(
    client: Client, home: Home, tmp_path: Path, eventually: Eventually
) -> None:
    def tocsin(*words: str) -> str:
        result = CliRunner().invoke(cli, ["--home", str(home.directory), *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output.strip()

    rows = tmp_path / "rows.csv"
    rows.write_text("time,host,load\n")
    with receiving(3) as receiver:
        job = JOB.format(path=rows, url=receiver.url, policy="{}").replace("job: drill", "job: quiet")
        client.submit(parse_job(job, tmp_path))
        silence = tocsin("silence", "add", "quiet", "--key", "host=web-*", "--for", "1h", "--why", "new disks")
        listed = json.loads(tocsin("silence", "list", "--json"))
        assert (listed["id"], listed["key"], listed["why"]) == (silence, {"host": "web-*"}, "new disks")
        with rows.open("a") as file:
            file.write("2026-01-01T00:00:00.000,web-1,90\n2026-01-01T00:00:01.000,db-1,90\n")
        eventually(lambda: receiver.told())
        assert [host for host, _, _ in receiver.told()] == ["db-1"]
        eventually(lambda: "1 silenced" in tocsin("status", "quiet"))
        epoch = client.state().epoch
        client.kill_leader()
        eventually(lambda: client.state().epoch > epoch)
        assert silence in tocsin("silence", "expire", silence[:6])
        eventually(lambda: len(receiver.told()) == 2)
        assert set(receiver.told().values()) == {1}
        client.stop("quiet")
    assert tocsin("silence", "list", "--json") == ""
