"""What a client asks of hosts, by way of a leader's process: every partition answers, or there is an error.

A query names the partitions that it asks of each host, and a host refuses those that it does not own: so one that is
just moving, recovered or closed is missing from no answer. Whatever does not answer is asked again until a deadline,
because it may only take a moment: Ray's head changes, a leader's process is replaced, a host is started again. Calls
are made more than once then, and so have to be such that it makes no difference.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from actors.errors import NotOpenError, StaleEpochError
from actors.shard.errors import ShardClosedError, ShardLostError, ShardOwnedError
from actors.store.errors import StoreClosedError
from cluster.client.nodes import Nodes
from cluster.errors import NoAnswerError, NotRunningError, SilentHostError
from cluster.local.speed import has_passed
from cluster.node.calls import NodeClient
from raft.records import Job, JobStatus

if TYPE_CHECKING:
    from actors.partition.values import PartitionStat

LOOK_TIMEOUT_S: Final = 0.6
"""Seconds that a leader's process has to say what it does, and hosts for what `tocsin status` says of them."""

HOST_TIMEOUT_S: Final = 60.0
"""Seconds that a host has to answer a query."""

WAIT_S: Final = 60.0
"""Seconds for which is waited for what does not answer: a new head of Ray takes up to half of that."""

SAY_S: Final = 2.0
"""Seconds of waiting after which is said what for."""

RETRY_S: Final = 0.2
"""Pause before what did not answer is asked again."""

CHILDREN_S: Final = 2.0
"""Seconds for which is remembered whose leader's processes there are."""

THREAD_COUNT: Final = 16
"""Hosts that are asked at the same time."""

_PASSING: Final = (NotOpenError, NoAnswerError, ShardClosedError, ShardLostError, StoreClosedError)
"""What passes, as far as is known: a host was restarted, a partition has moved or is made anew."""


class Hosts:
    """The hosts of all jobs of a cluster."""

    def __init__(self, nodes: Nodes, job: Callable[[str], Job], say: Callable[[str], None] | None = None) -> None:
        self._nodes = nodes
        self._job = job
        self._say = say
        self._children: list[NodeClient] = []
        self._children_due_s = 0.0

    def ask(
        self,
        name: str,
        query: str,
        arguments: Mapping[str, Any],
        partitions: Sequence[int] | None = None,
        wait_s: float = WAIT_S,
    ) -> dict[int, Any]:
        """Return what partitions (by default all) of a job answer to a query, by number; 0 seconds: ask once.

        Those that never had an owner have nothing, and are left out.

        Raises:
            UnknownJobError: there is no such job.
            NoAnswerError: not all of them answered in time; the message says what was waited for.
            ShardLostError: a shard of a job that does not run is gone, damaged or another one.
            NodeAwayError: a job that does not run has partitions on a node alone that has been away for long.
        """
        waiting, was_opened = _Waiting(wait_s, self._say), False
        job = self._job(name)
        while True:
            check_whole(job)
            wanted = range(job.partition_count) if partitions is None else partitions
            found, failures = self._ask_owners(job, wanted, query, arguments)
            if not failures:
                return found
            trouble = _in_words(failures.values())
            if job.status is not JobStatus.RUNNING and wait_s:
                # Nobody runs it, so its partitions are opened here when their hosts have ended since.
                opening = self._open_at_rest(job, failures)
                if not opening and not was_opened:
                    was_opened = True
                    continue
                trouble = opening or trouble
            missing = ", ".join(str(number) for number in wanted if number not in found and job.generations[number])
            waiting.wait(f"partitions {missing} of job {name!r}: {trouble}", f"tocsin status {name}")
            try:
                job = self._job(name)
            except NotRunningError as error:
                waiting.wait(str(error), "tocsin nodes")

    def _ask_owners(
        self, job: Job, wanted: Sequence[int], query: str, arguments: Mapping[str, Any]
    ) -> tuple[dict[int, Any], dict[str, Exception]]:
        """Ask each owner for the partitions that it has; return their answers, and what hosts answered instead."""
        homeless = [number for number in wanted if not job.owners[number] and job.generations[number]]
        failures: dict[str, Exception] = {}
        if homeless:
            failures[""] = NotOpenError(f"partition {homeless[0]} is being made anew")
        own = {host: [number for number in wanted if job.owners[number] == host] for host in _hosts_of(job, wanted)}

        def ask(host: str) -> Any:
            return self.call_host(job.job_id, host, "ask", own[host], query, dict(arguments))

        answers, silent = _each(own, ask, _PASSING)
        found = {number: answer for one in answers.values() for number, answer in one.items()}
        return found, failures | silent

    def _open_at_rest(self, job: Job, hosts: Iterable[str]) -> str:
        """Have hosts of a job that rests own their partitions; return why some cannot for now."""

        def ask(host: str) -> None:
            try:
                self.call_once("open_at_rest", job.job_id, host, HOST_TIMEOUT_S, timeout_s=HOST_TIMEOUT_S + 2)
            except ShardLostError as error:
                raise ShardLostError(f"{error}; no answer would be complete: {_way_out(job)}") from error

        _, failures = _each(sorted(hosts), ask, (NotOpenError, NoAnswerError, StaleEpochError, ShardOwnedError))
        return _in_words(failures.values())

    def look(self, job: Job, timeout_s: float = LOOK_TIMEOUT_S) -> "tuple[list[PartitionStat], list[str]]":
        """Return the counters of partitions that are open, in order, and why hosts did not give theirs in time."""

        def ask(host: str) -> "list[PartitionStat]":
            try:
                found: list[PartitionStat] = self.call_host(job.job_id, host, "stat", timeout_s=timeout_s)
            except NotOpenError:
                # One that does not run has none open.
                return []
            return found

        answers, silent = _each(_hosts_of(job, range(job.partition_count)), ask, (NoAnswerError,))
        found = [stat for stats in answers.values() for stat in stats]
        return sorted(found, key=lambda stat: stat.partition), list(dict.fromkeys(map(str, silent.values())))

    def call_host(self, name: str, host: str, method: str, *arguments: Any, timeout_s: float = HOST_TIMEOUT_S) -> Any:
        """Call a method of a host, once.

        Raises:
            NoAnswerError: it does not answer in time.
            NotOpenError: it does not run, or does not own a partition.
        """
        # The leader's process says which host is silent, and has a moment more for that.
        longest_s = timeout_s + min(timeout_s / 3, 2.0)
        return self.call_once("ask_host", name, host, method, arguments, timeout_s, timeout_s=longest_s)

    def call(self, call: str, *arguments: Any, wait_s: float = WAIT_S) -> Any:
        """Call a leader's process, that of the leading node before the others; wait until one answers.

        Raises:
            NoAnswerError: none did in time; the message says what was waited for.
        """
        waiting = _Waiting(wait_s, self._say)
        while True:
            try:
                return self.call_once(call, *arguments, timeout_s=HOST_TIMEOUT_S)
            except NoAnswerError as error:
                waiting.wait(str(error), "tocsin nodes")

    def call_once(self, call: str, *arguments: Any, timeout_s: float) -> Any:
        """Call the leader's processes that are ready one after the other, until one answers.

        Raises:
            NoAnswerError: none does.
        """
        deadline_s = time.monotonic() + timeout_s
        children, trouble = self._ready_children()
        for child in children:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                break
            try:
                return child.call(call, *arguments, timeout_s=left_s)
            except SilentHostError:
                raise
            except NoAnswerError as error:
                self._children = []
                trouble = str(error)
        raise NoAnswerError(f"no leader's process answers ({trouble})")

    def _ready_children(self) -> tuple[Sequence[NodeClient], str]:
        if self._children and time.monotonic() < self._children_due_s:
            return self._children, ""
        self._children, trouble = self._nodes.ready_children()
        self._children_due_s = time.monotonic() + CHILDREN_S
        return self._children, trouble


class _Waiting:
    """A wait for what does not answer: some seconds, in which it is said once what for."""

    def __init__(self, wait_s: float, say: Callable[[str], None] | None) -> None:
        self._started_s = time.monotonic()
        self._wait_s = wait_s
        self._say = say

    def wait(self, trouble: str, look: str) -> None:
        """Pause before the next attempt; `look` is the command that tells more.

        Raises:
            NoAnswerError: the time is over.
        """
        if has_passed(self._started_s, self._wait_s):
            waited = f" after {time.monotonic() - self._started_s:.0f} s" if self._wait_s else ""
            raise NoAnswerError(f"no answer{waited}: {trouble}; see `{look}`")
        if self._say is not None and time.monotonic() - self._started_s >= SAY_S:
            self._say(f"waiting: {trouble}")
            self._say = None
        time.sleep(RETRY_S)


def _each(
    hosts: Iterable[str], ask: Callable[[str], Any], passing: tuple[type[Exception], ...]
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Ask hosts, all at once; return what they answer, and the errors of those kinds that others raise."""
    found: dict[str, Any] = {}
    failures: dict[str, Exception] = {}

    def one(host: str) -> None:
        try:
            found[host] = ask(host)
        except passing as error:
            failures[host] = error

    names = list(hosts)
    if len(names) == 1:
        one(*names)
    elif names:
        with ThreadPoolExecutor(min(THREAD_COUNT, len(names)), thread_name_prefix="hosts") as threads:
            # All of them are waited for, and what else goes wrong is raised.
            list(threads.map(one, names))
    return found, failures


def _in_words(errors: Iterable[Exception]) -> str:
    return "; ".join(dict.fromkeys(map(str, errors)))


def _hosts_of(job: Job, partitions: Iterable[int]) -> list[str]:
    return sorted({job.owners[number] for number in partitions} - {""})


def check_whole(job: Job) -> None:
    """Check that no partition of a job that does not run was lost with its node, as those of one that runs may be.

    Raises:
        ShardLostError: one was, so that no answer would be complete.
    """
    lost = [number for number, owner in enumerate(job.owners) if not owner and job.generations[number]]
    if lost and job.status is not JobStatus.RUNNING:
        numbers = ", ".join(map(str, lost))
        raise ShardLostError(
            f"partitions {numbers} of job {job.job_id!r} were given up with their node; no answer would be complete: "
            f"{_replay(job)}"
        )


def _way_out(job: Job) -> str:
    """Return what helps when a shard of a job that does not run is lost."""
    return f"put the directory back, or {_replay(job)}"


def _replay(job: Job) -> str:
    if job.status is JobStatus.STOPPED:
        return f"run `tocsin resume {job.job_id}`, which reads the input anew"
    return "submit the job under another name, which reads the input anew"
