"""Hosts of several jobs in one process: none knows of the others, and none waits for them."""

import resource
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.errors import NotOpenError
from actors.host import HostBatch
from actors.shard import ShardOwnedError
from cluster.deployment.host_pool import THREAD_COUNT, HostPool
from cluster.deployment.node_deployment import NodeDeployment
from cluster.deployment.shared_hosts import SlotHandle
from cluster.errors import NoAnswerError
from cluster.local.home import Home
from config.settings import JobSettings
from tests.support.partition_jobs import make_batch, make_partition_job

HOST = "shared-0"


def job_named(name: str, **settings: Any) -> JobSettings:
    """Return a small job."""
    return make_partition_job(job=name, metrics=["qty > 8"], window=None, partitions=1, **settings)


class Pool(HostPool):
    """A pool under a clock that somebody sets, whose calls are made in one thread."""

    def __init__(self, directory: Path) -> None:
        self.now_s = 0.0
        self.directory = directory
        super().__init__(clock_s=lambda: self.now_s)

    def start(self, name: str, **settings: Any) -> int:
        """Have the host of a job, and return the thread for its calls."""
        directory = self.directory / name
        return self.hold(name, HOST, job_named(name, **settings).to_bytes(), str(directory), str(directory / "streams"))

    def open(self, name: str) -> None:
        """Have that host own its partition."""
        self.act(name, HOST, "open", 1, [0], {0: 0}, {}, 0)

    def apply(self, name: str, quantity: int) -> int:
        """Send it a row, and return the number of anomalies."""
        rows = make_batch(job_named(name), 0, [(1000, "A", quantity, "ann")])
        batch = HostBatch(
            split=0, start=0, end=1, partitions=(0,), rows={0: (rows.frame, rows.offsets)}, dead_letters={}
        )
        return int(self.act(name, HOST, "apply", 1, batch, 0))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    made = Pool(tmp_path)
    yield made
    made.validate()
    for name, _ in made.slots():
        for thread in made.drop(name, ()):
            made.close_dropped(thread)


def test_jobs_share_a_process_and_nothing_else(pool: Pool) -> None:
    for name in ("one", "two"):
        pool.start(name)
        pool.open(name)
    assert (pool.apply("one", 9), pool.apply("two", 1)) == (1, 0)
    for name in ("one", "two"):
        pool.act(name, HOST, "flush", 1, 0)
    counts = {name: pool.read(name, HOST, "stat")[0].anomaly_count for name in ("one", "two")}
    assert counts == {"one": 1, "two": 0}


def test_each_host_has_a_thread_to_itself_while_there_are_any(pool: Pool) -> None:
    threads = [pool.start(f"j{number}") for number in range(THREAD_COUNT)]
    assert sorted(threads) == list(range(THREAD_COUNT))
    assert pool.start("j3") == threads[3] == pool.thread_of("j3", HOST)
    assert pool.drop_host("j5", "shared-1") == []
    assert pool.drop_host("j5", HOST) == [threads[5]]
    pool.close_dropped(threads[5])
    assert pool.start("more") == threads[5]
    assert pool.start("one-too-many") == 0


def test_a_process_that_was_restarted_has_no_host_and_says_so(tmp_path: Path) -> None:
    restarted = Pool(tmp_path)
    for call in ("flush_due", "flush"):
        with pytest.raises(NotOpenError, match="shared-0 of job 'one' is not in this process any more"):
            restarted.act("one", HOST, call, 1, 0)
    assert restarted.act("one", HOST, "release", 1, [0], 0) is None


def test_a_host_that_was_given_up_is_closed_after_what_it_was_asked_before(pool: Pool) -> None:
    thread = pool.start("one")
    pool.open("one")
    assert pool.drop("one", (HOST,)) == []
    assert pool.drop("one", ()) == [thread]
    other = Pool(pool.directory)
    other.start("one")
    with pytest.raises(ShardOwnedError):
        other.open("one")
    pool.close_dropped(thread)
    other.open("one")
    other.read("one", HOST, "close")


def test_a_host_that_comes_again_finds_what_it_had_closed(pool: Pool) -> None:
    thread = pool.start("one")
    pool.open("one")
    pool.drop("one", ())
    assert pool.start("one") == thread
    with pytest.raises(NotOpenError):
        pool.read("one", HOST, "flush", 1, 0)
    pool.open("one")
    assert pool.apply("one", 9) == 1


def test_a_job_of_the_same_name_has_a_host_of_its_own_settings(pool: Pool) -> None:
    thread = pool.start("one")
    pool.open("one")
    assert pool.start("one", flush={"rows": 7}) == thread
    assert pool.read("one", HOST, "stat") == []
    pool.open("one")
    assert len(pool.read("one", HOST, "stat")) == 1


def test_a_process_that_nobody_needs_ends_and_takes_nobody_in(pool: Pool) -> None:
    thread = pool.start("one")
    pool.now_s = 100.0
    assert not pool.end_if_empty(10)
    pool.drop("one", ())
    pool.now_s = 200.0
    assert not pool.end_if_empty(10), "it has something to close"
    pool.close_dropped(thread)
    assert pool.end_if_empty(10)
    with pytest.raises(NoAnswerError, match="is about to end"):
        pool.start("two")


def test_a_process_of_many_partitions_may_have_their_files_open(pool: Pool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        pool.start("one")
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Actor:
    """A handle of a pool as Ray gives one, which does at once what it is told, and notes in which threads."""

    def __init__(self, pool: HostPool) -> None:
        self._pool = pool
        self.groups: list[str] = []

    def __getattr__(self, method: str) -> "Actor.Method":
        return Actor.Method(self, method)

    class Method:
        """One of its methods."""

        def __init__(self, actor: "Actor", method: str) -> None:
            self._actor = actor
            self._method = method
            self._group = ""

        def options(self, concurrency_group: str) -> "Actor.Method":
            self._group = concurrency_group
            return self

        def remote(self, *arguments: Any) -> Any:
            self._actor.groups.append(self._group)
            return getattr(self._actor._pool, self._method)(*arguments)


def test_calls_of_a_host_go_to_its_thread_and_questions_to_those_of_all(pool: Pool) -> None:
    pool.start("one")
    thread = pool.start("two")
    actor = Actor(pool)
    handle = SlotHandle(actor, ("two", HOST), thread)
    handle.open.remote(1, [0], {0: 0}, {}, 0)
    assert handle.capture_snapshot.remote(1, 0, 0, "one") == {0: 0}
    written = handle.write_snapshot.options(concurrency_group="snapshot").remote("one", 1.0)
    assert Path(written.path).stat().st_size == written.size_bytes
    assert len(handle.stat.options(concurrency_group="query").remote()) == 1
    assert handle.pid.options(concurrency_group="pulse").remote() == pool.pid()
    assert actor.groups == [f"thread-{thread}", f"thread-{thread}", "snapshot", "query", "pulse"]


class Process:
    """The process of a pool as its node and Ray see it: killed, it is started again under the next number."""

    def __init__(self) -> None:
        self.number = 7

    def pid(self) -> int:
        return self.number

    def kill(self) -> None:
        self.number += 1

    def call(self, name: str, pid: int) -> bool:
        assert (name, pid) == ("end_worker", self.number)
        self.kill()
        return True


class DeploymentOf(NodeDeployment):
    """A deployment in which all jobs share one process."""

    def __init__(self, process: Process) -> None:
        super().__init__(SimpleNamespace(group_id=2), SimpleNamespace(client_of=lambda node: process), Home(Path()))  # type: ignore[arg-type]
        self._process = process
        self._pids = {("one", HOST): 7, ("two", HOST): 7}

    def _find_host(self, job_id: str, host: str, node: str) -> Any:
        return self._process


def test_a_process_that_hangs_is_killed_once_for_all_jobs_that_find_so() -> None:
    process = Process()
    deployment = DeploymentOf(process)
    for name in ("one", "two", "one"):
        deployment.end_host(name, HOST, "a")
    assert process.number == 8
