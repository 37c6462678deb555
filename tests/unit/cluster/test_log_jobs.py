"""Log jobs from the file to what is found, learned and accepted, in one process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from actors.partition.acceptances import AcceptanceError
from cluster.cli import cli
from cluster.client.learning import check_groups, parse_acceptance, show_accepted
from cluster.local.embedded import EmbeddedJob, run_file
from config import load_job
from raft.group import AcceptanceRecord
from tests.support.login_log import JOB, generated
from tests.support.repository import ROOT


def write_job(folder: Path, *, key: str = "host", partitions: int = 4, batch: int = 1000, count: int = 240) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "app.log").write_text(generated(count))
    (folder / "job.yaml").write_text(JOB.format(key=key, partitions=partitions, batch=batch))
    return folder / "job.yaml"


@contextmanager
def running(path: Path) -> Iterator[EmbeddedJob]:
    with run_file(path, path.parent / "kept", lambda: 1_700_000_000_000_000) as (_, job):
        job.run()
        yield job


def found(job: EmbeddedJob) -> list[tuple[int, str, Any]]:
    return [
        (one.id.offset, one.metric, json.loads(one.detail)["value"])
        for one in job.anomalies(10_000)
        if one.detail is not None and one.metric.startswith("new")
    ]


def tocsin(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_what_was_never_there_is_found_per_host(tmp_path: Path) -> None:
    with running(write_job(tmp_path)) as job:
        assert found(job) == [
            (150, "new event of event_id", "other"),
            *((offset, "new value of user", "mallory") for offset in (160, 161, 200, 202)),
        ]


@pytest.mark.parametrize(("partitions", "batch"), [(1, 1000), (1, 7), (16, 50)])
def test_neither_partitions_nor_batches_change_what_is_found(tmp_path: Path, partitions: int, batch: int) -> None:
    paths = write_job(tmp_path / "one"), write_job(tmp_path / "other", partitions=partitions, batch=batch)
    with running(paths[0]) as one, running(paths[1]) as other:
        assert other.anomaly_entries() == one.anomaly_entries()
        assert len(one.anomaly_entries()) > 5
        assert sorted(map(repr, other.ask("verdicts"))) == sorted(map(repr, one.ask("verdicts")))


def test_the_state_of_learning_is_shown_of_a_job_that_rests(tmp_path: Path) -> None:
    path = write_job(tmp_path)
    with running(path):
        pass
    lines = tocsin("learn", "status", path, "--directory", tmp_path / "kept", "--json").splitlines()
    records = [json.loads(text) for text in lines]
    users = {
        record["key"]["host"]: record
        for record in records
        if record["event"] == "login" and record["variable"] == "user"
    }
    assert list(users) == ["web0", "web1", "web2"]
    assert users["web0"] | {"reason": None} == {
        "detector": "stability",
        "key": {"host": "web0"},
        "event": "login",
        "variable": "user",
        "class": "STATIC",
        "observations": 74,
        "distinct": 1,
        "changes": 1,
        "last_change": "2026-03-01T00:00:00.000Z",
        "reason": None,
        "template": "somebody comes",
    }
    assert (users["web1"]["distinct"], users["web1"]["last_change"]) == (2, "2026-03-01T00:02:40.000Z")
    table = tocsin("learn", "status", path, "--directory", tmp_path / "kept").splitlines()
    assert table[0].split()[:4] == ["host", "event", "variable", "class"]
    assert len(table) == 2 + len(records)


def test_an_accepted_value_is_not_reported_again(tmp_path: Path) -> None:
    path = write_job(tmp_path, count=170)
    with running(path) as job:
        assert (161, "new value of user", "mallory") in found(job)
    words = ("learn", "accept", path, "login", "user", "mallory", "--key", "web2", "--directory", tmp_path / "kept")
    assert "for the rows to come" in tocsin(*words)
    (tmp_path / "app.log").write_text(generated(240))
    with running(path) as job:
        assert [offset for offset, metric, _ in found(job) if metric == "new value of user"] == [160, 161, 202]
    with running(path) as job:
        assert len(found(job)) == 4


def test_a_job_that_runs_accepts_nothing_from_outside(tmp_path: Path) -> None:
    path = write_job(tmp_path)
    with running(path):
        words = [
            "learn",
            "accept",
            str(path),
            "login",
            "user",
            "eve",
            "--key",
            "web2",
            "--directory",
            f"{tmp_path}/kept",
        ]
        result = CliRunner().invoke(cli, words)
    assert "another process" in str(result.exception) or "open" in str(result.exception)


def test_a_job_that_follows_nothing_says_how(tmp_path: Path) -> None:
    path = write_job(tmp_path)
    text = path.read_text()
    path.write_text("\n".join(one for one in text.splitlines() if "stability" not in one))
    with running(path):
        pass
    result = CliRunner().invoke(cli, ["learn", "status", str(path), "--directory", f"{tmp_path}/kept"])
    assert "has no detector of type `stability`" in result.stderr


def test_the_example_finds_a_removal_and_what_comes_with_it(tmp_path: Path) -> None:
    with run_file(ROOT / "config" / "examples" / "packages.yaml", tmp_path, lambda: 0) as (job, embedded):
        embedded.run()
        assert embedded.stat().dead_letter_count == 0
        metrics = [one.metric for one in embedded.anomalies(100)]
        assert (job.name, sorted(set(metrics))) == (
            "packages",
            ["a package is removed", "new sequence of event_id", "new value of arch", "new value of state"],
        )


def test_the_log_of_this_machine_is_read_without_a_dead_letter(tmp_path: Path) -> None:
    log = Path("/var/log/dpkg.log")
    if not log.exists() or not log.stat().st_size:
        pytest.skip("this machine has no log of its packages")
    text = (ROOT / "config" / "examples" / "packages.yaml").read_text()
    (tmp_path / "job.yaml").write_text(text.replace("path: packages.log", f"path: {log}"))
    with run_file(tmp_path / "job.yaml", tmp_path, lambda: 0) as (_, embedded):
        embedded.run()
        stat = embedded.stat()
        assert (stat.row_count > 0, stat.dead_letter_count) == (True, 0)


def test_accepted_values_are_listed_with_their_places(tmp_path: Path) -> None:
    job = load_job(write_job(tmp_path))
    placed = parse_acceptance(job, ["web2"], "login", "user", "mallory", None).to_bytes()
    waiting = parse_acceptance(job, ["web1"], "-", "event_id", "other", None).to_bytes()
    shown = show_accepted(
        job,
        [
            AcceptanceRecord(acceptance_id="a", content=placed, positions=((0, 170),)),
            AcceptanceRecord(acceptance_id="b", content=waiting),
        ],
        as_json=False,
    )
    assert [" ".join(line.split()) for line in shown.splitlines()[2:]] == [
        "web2 login user mallory new_value, stability 0/170",
        "web1 - event_id other new_event when it runs",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("logni", "user", "eve", "--key", "web2"),
            "no template of the log has the event 'logni'; did you mean 'login'?",
        ),
        (("-", "event_id", "failur", "--key", "web2"), "has the event 'failur'; did you mean 'failure'?"),
        (
            ("login", "user", "eve", "--key", "wbe2"),
            "no row with key 'wbe2' and event 'login' has been seen; did you mean",
        ),
        (("other", "user", "eve", "--key", "web2"), "no row with key 'web2' and event 'other' has been seen"),
        (
            ("login", "usr", "eve", "--key", "web2"),
            "no detector can accept this value of 'usr'; .* .did you mean 'user'",
        ),
        (("login", "user", "eve", "--key", "web2", "--detector", "new_vale"), "did you mean 'new_value'"),
    ],
)
def test_what_cannot_be_accepted_is_refused_with_what_is_near(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    path = write_job(tmp_path, partitions=1)
    with running(path):
        pass
    given = [str(path), *words, "--directory", str(tmp_path / "kept")]
    with pytest.raises(AcceptanceError, match=message):
        CliRunner().invoke(cli, ["learn", "accept", *given], catch_exceptions=False)
    assert tocsin("learn", "accept", path, "login", "user", "eve", "--key", "web2", "--directory", tmp_path / "kept")


def test_groups_near_those_meant_are_found_in_all_partitions(tmp_path: Path) -> None:
    path = write_job(tmp_path)
    with running(path) as job:
        seen = parse_acceptance(load_job(path), ["web2"], "login", "user", "eve", None)
        assert ("web2", "login") in job.ask("near_groups", acceptance=seen)
        unseen = parse_acceptance(load_job(path), ["web22"], "login", "user", "eve", None)
        near = job.ask("near_groups", acceptance=unseen)
        assert set(near) <= {(f"web{n}", event) for n in range(3) for event in ("login", "failure", "other")}
        with pytest.raises(AcceptanceError, match="no row with key 'web22' and event 'login'"):
            check_groups(unseen, near)
        check_groups(unseen, [])
