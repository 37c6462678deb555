"""The jobs of the page about sinks run as they stand there, but for the addresses of servers."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from cluster.local.embedded import run_file
from tests.support.broker_places import BROKERS
from tests.support.brokers import needs
from tests.support.receiver import receiving
from tests.support.repository import ROOT

SECONDS = range(0, 90, 10)
ROWS = "time,host,load\n" + "".join(
    f"2026-01-01 00:0{at // 60}:{at % 60:02},web,{90 if at < 60 else 10}\n" for at in SECONDS
)
"""An episode that fires after 30 seconds and ends after 60."""

PAGE = (ROOT / "docs" / "sinks.md").read_text()
JOBS = {yaml.safe_load(job)["sinks"][0]["type"]: job for job in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)}

Placed = tuple[str, Callable[[], list[Any]]]
"""A job with the addresses of servers of ours, and what gives the states of the episode that these were told of."""


@contextmanager
def webhook(job: str, _: Path) -> Iterator[Placed]:
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAT_TOKEN", "token")
        placed = job.replace("https://chat.example.org/hook", receiver.url)
        yield placed, lambda: [one.data["text"].partition(":")[0] for one in receiver.posted]
        assert receiver.posted[0].headers["authorization"] == "token"


@contextmanager
def stdout(job: str, _: Path) -> Iterator[Placed]:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("sys.stdout.write", lines.append)
        yield job, lambda: [json.loads(line)["what"].partition(" ")[2] for line in lines]


@contextmanager
def alertmanager(job: str, _: Path) -> Iterator[Placed]:
    with receiving() as receiver:
        placed = job.replace("http://127.0.0.1:9093", f"http://127.0.0.1:{receiver.port}")
        yield placed, lambda: [alert["annotations"]["state"] for one in receiver.posted for alert in one.data]


@contextmanager
def notify(job: str, _: Path) -> Iterator[Placed]:
    needs("apprise")
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPS_MAIL", f"json://127.0.0.1:{receiver.port}")
        yield job, lambda: [one.data["title"].rpartition(" ")[2] for one in receiver.posted]


@contextmanager
def sql(job: str, directory: Path) -> Iterator[Placed]:
    needs("sqlalchemy", "pg8000")

    def states() -> list[Any]:
        with closing(sqlite3.connect(directory / "alarms.db")) as database:
            return [row[0] for row in database.execute("SELECT state FROM alarms ORDER BY rowid")]

    yield job, states


@contextmanager
def parquet(job: str, directory: Path) -> Iterator[Placed]:
    yield job, lambda: pl.read_parquet(directory / "alarms" / "*.parquet")["state"].to_list()


@contextmanager
def broker(job: str, directory: Path) -> Iterator[Placed]:
    kind = yaml.safe_load(job)["sinks"][0]["type"]
    with ExitStack() as stack:
        found = BROKERS[kind](stack, directory)
        found.make("alarms")
        placed = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{found.server.port}", job)
        yield placed, lambda: [record["state"] for _, record in found.taken()]


PLACES = {
    "kafka": broker,
    "nats": broker,
    "redis": broker,
    "webhook": webhook,
    "stdout": stdout,
    "alertmanager": alertmanager,
    "notify": notify,
    "sql": sql,
    "parquet": parquet,
}


def test_the_page_has_a_job_for_each_sink_and_a_place_for_each_is_here() -> None:
    assert sorted(JOBS) == sorted(PLACES)


@pytest.mark.parametrize("kind", PLACES)
def test_a_job_of_the_page_tells_of_its_episode(kind: str, tmp_path: Path) -> None:
    (tmp_path / "loads").mkdir()
    (tmp_path / "loads" / "a.csv").write_text(ROWS)
    with PLACES[kind](JOBS[kind], tmp_path) as (job, states):
        (tmp_path / "job.yaml").write_text(job)
        with run_file(tmp_path / "job.yaml", tmp_path / "state", lambda: 0) as (_, running):
            running.run()
        assert states() == ["firing", "resolved"]
