"""A query of a job that does not run opens its shards, and is an error when one is gone: never a smaller answer."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.errors import NotOpenError
from actors.host import PartitionHost
from actors.shard import ShardLostError
from cluster.client import hosts
from cluster.client.client import Client
from cluster.client.hosts import Hosts
from cluster.errors import NoAnswerError, NodeAwayError
from cluster.local.home import Home
from cluster.node.leader_calls import LeaderCalls
from cluster.node.lingering import HostUse
from cluster.node.silence import LOST_S, Silence
from raft.group import GroupState, Job, JobStatus, StandbyRecord
from tests.support.partition_jobs import make_partition_job

SETTINGS = make_partition_job(partitions=2)


class HostInProcess:
    """Answers at once where a host in another process would later."""

    def __init__(self, host: PartitionHost) -> None:
        self.host = host

    def query(self, method: str, *arguments: Any) -> Any:
        return SimpleNamespace(wait=lambda timeout_s: getattr(self.host, method)(*arguments))

    def open_at_rest(self, *arguments: Any) -> Any:
        return self.query("open_at_rest", *arguments)


class ClientOfHost(Client):
    """A client of one job that does not run, whose host is in this process."""

    def __init__(self, host: PartitionHost, status: JobStatus) -> None:
        self.asked_count = 0

        def find(*_: object) -> HostInProcess:
            self.asked_count += 1
            return HostInProcess(host)

        deployment: Any = SimpleNamespace(
            find_host=find, start_host=find, asking_ray=nullcontext, answering_nodes=self.answering_nodes
        )
        self.now_s = 0.0
        self.silence = Silence(lambda: self.now_s)
        calls = LeaderCalls(None, deployment, self, HostUse(), self.silence).by_name  # type: ignore[arg-type]
        child = SimpleNamespace(call=lambda name, *arguments, timeout_s: calls[name](*arguments))
        nodes = SimpleNamespace(ready_children=lambda: ([child], ""))
        self._hosts = Hosts(nodes, self.job)  # type: ignore[arg-type]
        self._job = Job(
            job_id=SETTINGS.name, spec=b"", partition_count=2, host_count=1, owners=("a", "a"), generations=(1, 1),
            status=status,
        )  # fmt: skip

    def answering_nodes(self) -> frozenset[str]:
        return frozenset({"here"})

    def state(self) -> GroupState:
        return GroupState(epoch=2, jobs={SETTINGS.name: self._job})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def host(home: Home) -> Iterator[PartitionHost]:
    made = PartitionHost(SETTINGS.to_bytes(), str(home.partitions_directory(SETTINGS.name)))
    made.open(1, [0, 1], {0: 0}, {}, 0)
    yield made
    made.close()


def lose(home: Home) -> None:
    shutil.rmtree(home.partitions_directory(SETTINGS.name) / "0001")


def test_partitions_whose_host_has_ended_are_opened_again(home: Home, host: PartitionHost) -> None:
    host.close()
    client = ClientOfHost(host, JobStatus.FINISHED)
    client.open_for_queries(SETTINGS.name)
    assert [stat.partition for stat in client.partition_stats(SETTINGS.name)] == [0, 1]


@pytest.mark.parametrize("node", ["here", "away"])
def test_a_query_of_what_a_silent_node_has_names_the_node(
    host: PartitionHost, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "has_passed", lambda *_: True)
    host.close()
    client = ClientOfHost(host, JobStatus.FINISHED)
    client._job = replace(client._job, host_nodes={"a": node})
    if node == "here":
        client.open_for_queries(SETTINGS.name)
    else:
        with pytest.raises(NoAnswerError, match=r"away, which has partitions of job .*, does not answer"):
            client.open_for_queries(SETTINGS.name)


def away_for_long(host: PartitionHost, status: JobStatus) -> ClientOfHost:
    """Return a client of a job whose host's node has been away for so long that nobody waits for it."""
    client = ClientOfHost(host, status)
    client._job = replace(client._job, host_nodes={"a": "away", "b": "here"})
    client.silence.look({"away", "here"}, {"here"})
    client.now_s += LOST_S
    return client


def test_what_a_dead_machine_alone_has_is_an_error_at_once_with_the_way_out(host: PartitionHost) -> None:
    client = away_for_long(host, JobStatus.FINISHED)
    words = rf"^away, which has partitions of job '{SETTINGS.name}', has not answered for {LOST_S:.0f} s: start it, or"
    with pytest.raises(NodeAwayError, match=words):
        client.anomaly_entries(SETTINGS.name)
    with pytest.raises(NodeAwayError, match="`tocsin member expel away`"):
        client.open_for_queries(SETTINGS.name)
    # Nor is Ray asked, which may not know yet that the machine is dead.
    assert client.asked_count == 0


def test_what_a_dead_machine_has_of_a_job_that_runs_is_waited_for(host: PartitionHost) -> None:
    assert away_for_long(host, JobStatus.RUNNING).anomaly_entries(SETTINGS.name) == []


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_second_copy_that_may_take_over_from_a_dead_machine_is_waited_for(
    host: PartitionHost, is_ready: bool
) -> None:
    client = away_for_long(host, JobStatus.FINISHED)
    client._job = replace(client._job, standbys={0: StandbyRecord(host="b", generation=2, is_ready=is_ready)})
    if is_ready:
        assert client.anomaly_entries(SETTINGS.name) == []
    else:
        with pytest.raises(NodeAwayError):
            client.anomaly_entries(SETTINGS.name)


def test_one_that_still_asks_a_dead_machine_whose_copies_have_taken_over_learns_who_has_them(
    host: PartitionHost,
) -> None:
    client = away_for_long(host, JobStatus.FINISHED)
    known, client._job = client._job, replace(client._job, owners=("b", "b"))
    jobs = [known]
    client._hosts = Hosts(client._hosts._nodes, lambda name: jobs.pop() if jobs else client.job(name))
    assert client.anomaly_entries(SETTINGS.name) == []


def test_status_shows_what_is_open_on_other_machines_than_a_dead_one(host: PartitionHost) -> None:
    client = away_for_long(host, JobStatus.FINISHED)
    assert [stat.partition for stat in client.partition_stats(SETTINGS.name)] == [0, 1]


def test_a_query_opens_what_was_given_back_since_its_page_before(host: PartitionHost) -> None:
    client = ClientOfHost(host, JobStatus.FINISHED)
    assert client.anomaly_entries(SETTINGS.name) == []
    host.close()
    assert client.anomaly_entries(SETTINGS.name) == []
    assert [stat.partition for stat in client.partition_stats(SETTINGS.name)] == [0, 1]


@pytest.mark.parametrize(
    ("status", "way_out"),
    [(JobStatus.STOPPED, "run `tocsin resume"), (JobStatus.FINISHED, "submit the job under another name")],
)
@pytest.mark.parametrize("has_ended", [True, False], ids=["host ended", "host lives"])
def test_a_shard_that_is_gone_is_an_error_with_the_way_out(
    home: Home, host: PartitionHost, status: JobStatus, way_out: str, has_ended: bool
) -> None:
    if has_ended:
        host.close()
    lose(home)
    client = ClientOfHost(host, status)
    with pytest.raises(
        ShardLostError, match=f"partition 1 of job .* is gone; no answer would be complete: .*{way_out}"
    ):
        client.open_for_queries(SETTINGS.name)
    assert not (home.partitions_directory(SETTINGS.name) / "0001").exists()


def test_a_shard_that_was_put_back_answers_again(home: Home, host: PartitionHost, tmp_path: Path) -> None:
    place = home.partitions_directory(SETTINGS.name) / "0001"
    place.rename(tmp_path / "away")
    client = ClientOfHost(host, JobStatus.STOPPED)
    with pytest.raises(ShardLostError):
        client.open_for_queries(SETTINGS.name)
    (tmp_path / "away").rename(place)
    client.open_for_queries(SETTINGS.name)
    with pytest.raises(NotOpenError):
        host.ask([2], "ready", {})
