"""A query that finds nothing says which of its selectors fits nothing, and what is near; the newest come by time."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.host import PartitionHost
from actors.partition.anomalies import AnomalyFilter
from actors.partition.episode_table import EpisodeFilter
from actors.store.query.planner import QueryParams
from cluster.client.client import Client
from cluster.client.event_pages import EventPage, read_page
from cluster.client.event_query import EventQuery
from cluster.client.no_match import no_anomaly, no_episode, no_event
from cluster.local.embedded import run_file
from config import JobSettings

JOB = """
job: sensors
schema: {time: DATETIME, level: DOUBLE, file: SYMBOL}
time: time
key: [file]
metrics: [level > 9, {when: level > 99, for: 2s, describe: flood}]
source: {type: csv, path: "*.csv"}
events: {store: true, payload: [level]}
partitions: 2
"""


class ClientOfHost(Client):
    """A client whose only host is in this process."""

    def __init__(self, host: PartitionHost) -> None:
        self._host = host

    def _collect(self, name: str, query: str, arguments: Mapping[str, Any], wait_s: float = 60.0) -> list[Any]:
        return [item for found in self._host.ask([0, 1], query, arguments).values() for item in found]

    def events(self, name: str, params: QueryParams) -> EventPage:
        return read_page(
            [0, 1], params, lambda numbers, params: self._host.ask(numbers, "event_page", {"params": params})
        )


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Client, JobSettings]]:
    """Give a client of a job over two files, whose times overlap, and its settings."""
    (tmp_path / "job.yaml").write_text(JOB)
    rows = "time,level\n2026-01-01T00:00:0{},10\n2026-01-01T00:00:0{},100\n"
    (tmp_path / "pump-1.csv").write_text(rows.format(2, 6))
    (tmp_path / "pump-2.csv").write_text(rows.format(0, 4))
    with run_file(tmp_path / "job.yaml", tmp_path / "kept", lambda: 1_700_000_000_000_000) as (job, running):
        running.run()
        yield ClientOfHost(running.host), job


def test_the_newest_anomalies_come_by_time_over_all_splits(opened: tuple[Client, JobSettings]) -> None:
    client, job = opened
    newest = client.anomalies(job.name, AnomalyFilter(), 4, newest_first=True)
    start = 1_767_225_600
    assert [(one.time or 0) - start for one in newest] == [6, 6, 4, 4]
    assert [one.id for one in client.anomaly_stream(job.name, AnomalyFilter(), newest_first=True)][:4] == [
        one.id for one in newest
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (AnomalyFilter(key=("pumpp-1",)), ["nothing fits --key pumpp-1; did you mean pump-1?"]),
        (AnomalyFilter(key=("x",)), ["nothing fits --key x; there are pump-1, pump-2"]),
        (AnomalyFilter(type=7), ["nothing fits --type 7; the metrics are 0 (level > 9), 1 (flood)"]),
        (AnomalyFilter(time_from=2**40), ["nothing fits --from and --to; the newest anomaly is at 2026-01-01T00:00:0"]),
        (
            AnomalyFilter(key=("pump-1",), time_to=1_767_225_601),
            ["each of --key pump-1, --from and --to fits something, but nothing fits all of them"],
        ),
    ],
)
def test_selectors_of_anomalies_that_fit_nothing(
    opened: tuple[Client, JobSettings], wanted: AnomalyFilter, said: list[str]
) -> None:
    client, job = opened
    assert client.anomalies(job.name, wanted, 1) == []
    found = no_anomaly(client, job, wanted)
    assert [line[: len(text)] for line, text in zip(found, said, strict=True)] == said


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (EventQuery(patterns=("sensor/*",)), "nothing fits --type sensor/*; there are sensors/anomaly/"),
        (EventQuery(where=("lvel=10",)), "nothing fits --where lvel=10; the newest event has "),
        (EventQuery(split=7), "nothing fits --split 7"),
        (EventQuery(ids=("0/9/9",)), "nothing fits --id 0/9/9"),
        (EventQuery(source_from="2030-01-01"), "nothing fits --source-from 2030-01-01"),
    ],
)
def test_selectors_of_events_that_fit_nothing(
    opened: tuple[Client, JobSettings], wanted: EventQuery, said: str
) -> None:
    client, job = opened
    (line,) = no_event(lambda params: client.events(job.name, params).events, f"job {job.name!r}", wanted, 0)
    assert line.startswith(said)


def test_selectors_of_episodes_that_fit_nothing(opened: tuple[Client, JobSettings]) -> None:
    client, job = opened
    wanted = EpisodeFilter(state="resolved", type=0)
    assert no_episode(client, job, wanted) == [
        "nothing fits --type 0; the metrics are 0 (level > 9), 1 (flood)",
        "nothing fits --state resolved; others are in another state",
    ]
