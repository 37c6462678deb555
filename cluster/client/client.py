"""The client: what people and programs ask of a running cluster.

A client talks to any node that answers; proposals reach Raft's leader from there. Queries reach the hosts of a job
through the leader's process of a node, and are merged here by the id of the anomaly or the time of the event.
"""

import contextlib
import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.client.access import GROUP_ID, Access
from cluster.client.hosts import HOST_TIMEOUT_S, LOOK_TIMEOUT_S, WAIT_S, Hosts
from cluster.client.member_rows import MemberRow
from cluster.client.nodes import PAGE_EVENT_COUNT, PATIENCE_S, Nodes
from cluster.errors import ClusterError, NoAnswerError, NotRunningError, UnknownJobError
from cluster.leader.member_status import HostedMemberStatus, MemberView, newest_leader
from cluster.leader.status import JobSummary, RunnerStatus
from cluster.local.home import Home
from cluster.node.status import NodeStatus
from config.form import StoredForm, stored_form
from raft.records import SHARED_HOST_COUNT, AcceptanceRecord, GroupState, Job, JobStatus, SilenceRecord

if TYPE_CHECKING:
    from actors.detectors.groups import GroupId
    from actors.detectors.verdicts import VariableVerdict
    from actors.engine.episodes.episode import Episode
    from actors.partition.acceptances import Acceptance
    from actors.partition.anomalies import Anomaly, AnomalyFilter
    from actors.partition.episode_table import EpisodeFilter
    from actors.partition.rejected_records import LateRow
    from actors.partition.values import PartitionStat
    from actors.source.protocol import DeadLetter
    from actors.store import Event
    from actors.store.query.planner import QueryParams, QueryResult
    from cluster.client.event_pages import Ask, EventPage
    from config.settings import JobSettings
    from raft.commands import Command, SilenceAdded

PLACE_TIMEOUT_S = 30.0
"""Seconds in which a running job gives an accepted value its place; a failover in between is waited out."""


class Client:
    """A connection of this process to the cluster of a home, or to one at an address (`Client.at`).

    `say` is told what is waited for when that takes long.

    Raises:
        NotRunningError: no cluster runs there.
    """

    def __init__(self, place: Home | Access, say: Callable[[str], None] | None = None) -> None:
        self._nodes = Nodes(place)
        self._hosts = Hosts(self._nodes, self.job, say)

    @classmethod
    def at(cls, addresses: str, password_file: str | Path, group_id: int = GROUP_ID) -> "Client":
        """Return a client of the cluster of which nodes listen at HOST:PORT, several between commas.

        This machine needs nothing but the password, in a file that its owner alone can read.

        Raises:
            SettingsError: one is no address.
            CredentialsError: the file cannot be trusted.
        """
        return cls(Access.at(addresses, password_file, group_id))

    @classmethod
    def find(cls) -> "Client":
        """Return a client of the cluster that the environment names, as `Access.find` says."""
        return cls(Access.find())

    @property
    def group_id(self) -> int:
        return self._nodes.group_id

    @property
    def dashboard_address(self) -> str | None:
        """Http address that takes Ray jobs, or `None` when there is none, or none is known."""
        return self._nodes.dashboard_address

    def members(self) -> list[MemberView]:
        """Ask every node for the status of its member, all at once."""
        return self.views(self.statuses())

    def statuses(self) -> list[tuple[str, NodeStatus | None]]:
        """Ask every node how it is, all at once; `None` stands for no answer in time."""
        return self._nodes.statuses()

    def views(self, found: Sequence[tuple[str, NodeStatus | None]]) -> list[MemberView]:
        """Return the members of nodes that were asked, with what the one that leads does."""
        return [MemberView(member_id=name, status=self._hosted(status)) for name, status in found]

    def member_rows(self) -> list[MemberRow]:
        """Return who votes, and who waits to be admitted."""
        return self._nodes.member_rows()

    def expel(self, member: str) -> None:
        """Take the vote from a member that will not come back, or has lost its directory.

        Raises:
            ClusterError: it has none, it leads, or the group does not answer.
        """
        self._nodes.expel(member)

    def admit(self, member: str) -> None:
        """Give a member that has come back without its directory its vote.

        Raises:
            ClusterError: it does not wait for one, or the group does not answer.
        """
        self._nodes.admit(member)

    def _hosted(self, found: NodeStatus | None) -> HostedMemberStatus | None:
        if found is None:
            return None
        leading = None
        if found.led_epoch is not None and found.child.address:
            with contextlib.suppress(NoAnswerError):
                leading = self._nodes.client(found.child.address).call("leader_status", timeout_s=LOOK_TIMEOUT_S)
        return HostedMemberStatus(member_id=found.name, pid=found.pid, raft=found.member, leader=leading)

    def leader(self) -> MemberView | None:
        """Return the member that leads and runs the jobs, or `None` between two leaders."""
        return newest_leader(self.members())

    def state(self, *, patience_s: float = PATIENCE_S) -> GroupState:
        """Return the newest state that a node has applied; when none answers at once, they have that much longer."""
        return self._nodes.state(patience_s=patience_s)

    def propose(self, command: "Command") -> None:
        """Have a command accepted; an election in between is waited out.

        Raises:
            ClusterError: it was refused.
            NoAnswerError: the group did not answer in time.
        """
        self._nodes.propose(command)

    def submit(self, job: "JobSettings") -> None:
        """Put a job into the group's state; its leader starts it.

        Raises:
            ClusterError: the job wants another group, or nodes that there are not, or the group refuses it.
        """
        from cluster.leader.reach import out_of_sight, placed, wanted_everywhere
        from raft.commands import JobSubmitted, request_id

        check_group(job, self.group_id)
        state = self.state()
        job = job.begun(time.time_ns() // 1000)
        job = placed(job, self._nodes.submitted_at(state), state.leader_id, state.nodes)
        paths = wanted_everywhere(job, state.nodes)
        missing = self._nodes.ask_children("missing_here", paths) if paths else {}
        reason = out_of_sight(job, missing, state.leader_id, state.nodes)
        if reason is not None:
            raise ClusterError(reason)
        command = JobSubmitted(
            request_id=request_id(),
            job_id=job.name,
            spec=job.to_bytes(),
            partition_count=job.partitions,
            host_count=_host_count(job),
        )
        self.propose(command)

    def stop(self, name: str) -> None:
        """Let a job rest; its data stay and can be queried."""
        from raft.commands import JobStopped, request_id

        self.propose(JobStopped(request_id=request_id(), job_id=self.job(name).job_id))

    def resume(self, name: str) -> None:
        """Let a stopped job run again, from where it stood."""
        from raft.commands import JobResumed, request_id

        self.propose(JobResumed(request_id=request_id(), job_id=self.job(name).job_id))

    def remove(self, name: str) -> None:
        """Forget a job that does not run, and end its hosts; its directory is left for its owner to delete."""
        from raft.commands import JobRemoved, request_id

        self.propose(JobRemoved(request_id=request_id(), job_id=self.job(name).job_id))
        # Leaders end hosts of jobs that there are not by themselves; this is only sooner.
        with contextlib.suppress(NoAnswerError):
            self._hosts.call("end_hosts", name, wait_s=0.0)

    def end_hosts(self, name: str) -> None:
        """End all hosts of a job; those of one that runs are started again, and queries open others on demand."""
        self._hosts.call("end_hosts", name)

    def scale(self, name: str, host_count: int) -> None:
        """Want another number of hosts for a job, or a shared one; one that is stopped has them when it runs again.

        Raises:
            ClusterError: the job is finished, or each of its splits is on a node of its own, so that nothing moves.
        """
        if self.job(name).status is JobStatus.FINISHED:
            raise ClusterError(f"job {name!r} is finished; its partitions do not move any more")
        check_movable(self.settings(name))
        from raft.commands import ScaleRequested, request_id

        self.propose(ScaleRequested(request_id=request_id(), job_id=self.job(name).job_id, host_count=host_count))

    def job(self, name: str) -> Job:
        """Return what the group knows of a job.

        Raises:
            UnknownJobError: there is none of that name.
        """
        jobs = self.state().jobs
        if name not in jobs:
            known = ", ".join(jobs) or "none"
            raise UnknownJobError(f"there is no job {name!r}; the group has {known}")
        return jobs[name]

    def settings(self, name: str) -> "JobSettings":
        """Return a job's settings."""
        from config.settings import JobSettings

        return JobSettings.from_bytes(self.job(name).spec)

    def form(self, name: str) -> StoredForm:
        """Return what is needed of a job's settings to show its anomalies."""
        return stored_form(self.job(name).spec)

    def runner_status(self, name: str) -> RunnerStatus | None:
        """Return what the leader is doing for a job, or `None` when nobody leads."""
        found = self.leader()
        return None if found is None or found.leader is None else found.leader.jobs.get(name)

    def wait(self, name: str, is_reached: Callable[[Job], bool], timeout_s: float) -> Job:
        """Return the job as soon as it is as wanted.

        Raises:
            NoAnswerError: it was not in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                job = self.job(name)
                if is_reached(job):
                    return job
            except NotRunningError:
                pass
            time.sleep(0.1)
        raise NoAnswerError(f"job {name!r} was not as wanted within {timeout_s:.0f} s; see `tocsin status {name}`")

    def wait_finished(self, name: str, timeout_s: float) -> JobSummary:
        """Wait for the end of a bounded job and return its summary."""
        return JobSummary.from_bytes(
            self.wait(name, lambda job: job.status is not JobStatus.RUNNING, timeout_s).summary
        )

    def hosts(self, name: str) -> list[str]:
        """Return the names of the hosts that own partitions of a job, in order."""
        return sorted(set(self.job(name).owners) - {""})

    def open_for_queries(self, name: str) -> None:
        """Wait until all partitions that ever had an owner answer.

        Nobody runs a stopped or finished job, so its partitions are opened here when their hosts have ended since.

        Raises:
            NoAnswerError: some do not answer in time.
            ShardLostError: the shard of a job that does not run is gone, damaged or another one.
        """
        self._hosts.ask(name, "ready", {})

    def look_at_hosts(self, name: str) -> "tuple[list[PartitionStat], list[str]]":
        """Return the counters of partitions that are open, in order, and why hosts did not give theirs in time."""
        return self._hosts.look(self.job(name))

    def partition_stats(self, name: str) -> "list[PartitionStat]":
        """Return the counters of every partition that is open now, in order.

        Raises:
            NoAnswerError: a host that runs did not give its own in time.
        """
        found, silent = self._hosts.look(self.job(name), HOST_TIMEOUT_S)
        if silent:
            raise NoAnswerError("; ".join(silent))
        return found

    def anomalies(
        self,
        name: str,
        wanted: "AnomalyFilter",
        count_max: int,
        *,
        newest_first: bool = False,
        wait_s: float = WAIT_S,
    ) -> "list[Anomaly]":
        """Return committed anomalies of all partitions, in the order of ids or, newest first, in that of times.

        Partitions that do not answer are waited for; with 0 seconds they are an error at once.
        """
        from actors.partition.anomalies import newest_place

        arguments = {"wanted": wanted, "count_max": count_max, "newest_first": newest_first}
        found: list[Anomaly] = self._collect(name, "anomalies", arguments, wait_s)
        if newest_first:
            return heapq.nlargest(count_max, found, key=newest_place)
        return sorted(found, key=lambda anomaly: anomaly.id)[:count_max]

    def anomaly_stream(self, name: str, wanted: "AnomalyFilter", *, newest_first: bool = False) -> "Iterator[Anomaly]":
        """Yield committed anomalies of all partitions, however many, in the order of ids or, newest first, of times."""
        from actors.partition.anomalies import newest_place

        count = PAGE_EVENT_COUNT
        while page := self.anomalies(name, wanted, count, newest_first=newest_first):
            yield from page
            if newest_first:
                # Each page of that order costs a look at all anomalies, so pages grow.
                wanted, count = replace(wanted, older_than=newest_place(page[-1])), 2 * count
            else:
                wanted = replace(wanted, after=page[-1].id)

    def anomaly_entries(self, name: str) -> list[tuple[bytes, bytes]]:
        """Return the whole anomaly table in the order of ids, as stored."""
        return sorted(self._collect(name, "anomaly_entries", {}))

    def events(self, name: str, params: "QueryParams") -> "EventPage":
        """Return stored events of all partitions in one order, at most `max_results` of them in all (`None`: all).

        `QueryLatestParams` give one event of each type, the newest first.
        """
        from cluster.client.event_pages import read_page

        return read_page(range(len(self.job(name).owners)), params, self._asker(name))

    def event_stream(self, name: str, params: "QueryParams") -> "Iterator[Event]":
        """Yield the stored events of all partitions in one order, however many; memory holds a page of each."""
        from cluster.client.event_pages import stream_events

        return stream_events(range(len(self.job(name).owners)), params, self._asker(name))

    def _asker(self, name: str) -> "Ask":
        """Return what asks partitions for a page, wherever they are, and again when they have moved meanwhile."""

        def ask(partitions: Sequence[int], params: "QueryParams") -> "dict[int, QueryResult]":
            from actors.store.query.planner import QueryResult

            found = self._hosts.ask(name, "event_page", {"params": params}, partitions)
            # A partition that never had an owner has no events yet.
            return {number: found.get(number, QueryResult((), False)) for number in partitions}

        return ask

    def verdicts(self, name: str) -> "list[VariableVerdict]":
        """Return how the variables that a job follows behave, of all partitions."""
        return self._collect(name, "verdicts", {})

    def near_groups(self, name: str, acceptance: "Acceptance") -> "list[GroupId]":
        """Return what detectors have seen of the groups that an acceptance means, or of those most like it."""
        return self._collect(name, "near_groups", {"acceptance": acceptance})

    def accept(self, name: str, content: bytes) -> AcceptanceRecord:
        """Let a value count as known, and return what the group knows of it: with its place, when the job runs.

        Raises:
            NoAnswerError: the job runs but its leader gave the value no place in time; it will.
        """
        from raft.commands import ValueAccepted, request_id

        accepted = request_id()
        self.propose(ValueAccepted(request_id=accepted, job_id=self.job(name).job_id, content=content))

        def found(job: Job) -> AcceptanceRecord | None:
            # A member that is behind may answer, and knows nothing of it yet.
            return next((known for known in job.acceptances if known.acceptance_id == accepted), None)

        def is_settled(job: Job) -> bool:
            known = found(job)
            return known is not None and (job.status is not JobStatus.RUNNING or known.positions is not None)

        record = found(self.wait(name, is_settled, PLACE_TIMEOUT_S))
        assert record is not None, "waited for"
        return record

    def silences(self) -> dict[str, SilenceRecord]:
        """Return what nobody is told of for a while, by ids; also what is over, for a day."""
        return dict(self.state().silences)

    def add_silence(self, wanted: "SilenceAdded") -> str:
        """Have nobody told of what a silence is about, and return its id (`raft.commands.request_id` makes one).

        Raises:
            ClusterError: the group refuses it.
        """
        self.propose(wanted)
        return wanted.request_id

    def expire_silence(self, silence_id: str) -> str:
        """Let a silence end now, named by its id or the beginning of that; return the whole id.

        Raises:
            ClusterError: there is none such, or there are several, or it is over.
        """
        from cluster.client.silences import silence_named
        from raft.commands import SilenceExpired, request_id

        found = silence_named(self.silences(), silence_id)
        self.propose(SilenceExpired(request_id=request_id(), silence_id=found, end_us=time.time_ns() // 1000))
        return found

    def dead_letters(self, name: str, count_max: int) -> "list[DeadLetter]":
        """Return committed dead letters of all partitions, in the order of split and offset."""
        found = self._collect(name, "dead_letters", {"count_max": count_max})
        return sorted(found, key=lambda letter: (letter.split, letter.offset))[:count_max]

    def episodes(
        self, name: str, wanted: "EpisodeFilter", count_max: int, *, newest_first: bool = False
    ) -> "list[Episode]":
        """Return committed episodes of all partitions, in the order of the rows that began them, or newest first."""
        from actors.partition.episode_table import newest_start

        arguments = {"wanted": wanted, "count_max": count_max, "newest_first": newest_first}
        found: list[Episode] = self._collect(name, "episodes", arguments)
        if newest_first:
            return heapq.nlargest(count_max, found, key=newest_start)
        return sorted(found, key=lambda episode: episode.id)[:count_max]

    def late_rows(self, name: str, count_max: int) -> "list[LateRow]":
        """Return committed rows that metrics discarded, of all partitions, in the order of split and offset."""
        found = self._collect(name, "late_rows", {"count_max": count_max})
        return sorted(found, key=lambda late: (late.split, late.offset))[:count_max]

    def _collect(self, name: str, query: str, arguments: Mapping[str, Any], wait_s: float = WAIT_S) -> list[Any]:
        found = self._hosts.ask(name, query, arguments, wait_s=wait_s)
        return [item for number in sorted(found) for item in found[number]]

    def kill_leader(self) -> str:
        """Kill the node that leads, with its leader's process, as by SIGKILL, and return its name."""
        for name, found in self._nodes.statuses():
            if found is not None and found.led_epoch is not None:
                self._nodes.crash(name, found.pid)
                return name
        raise NoAnswerError("nobody leads just now; try again in a second")

    def kill_host(self, name: str, host: str | None = None) -> str:
        """Kill the process of a host of a job, as by SIGKILL, and return its name."""
        hosts = self.hosts(name)
        chosen = host or next(iter(hosts), None)
        if chosen is None or chosen not in hosts:
            raise UnknownJobError(f"job {name!r} has no host {chosen!r}; it has {', '.join(hosts) or 'none'}")
        # By its number, so that a call that is made again does not kill the next one.
        pid = self.host_pid(name, chosen)
        self._hosts.call_host(name, chosen, "crash", pid)
        return chosen

    def host_pid(self, name: str, host: str) -> int:
        """Return the process of a host.

        Raises:
            NotOpenError: it does not run.
            NoAnswerError: it does not answer.
        """
        return int(self._hosts.call_host(name, host, "pid"))


def _host_count(job: "JobSettings") -> int:
    """Return how many hosts of its own a job wants: where its splits are each on a node, one there."""
    if job.hosts == "shared":
        return SHARED_HOST_COUNT
    return len(job.split_nodes) or min(job.hosts, job.partitions)


def check_movable(job: "JobSettings") -> None:
    """Check that a job's partitions can move at all.

    Raises:
        ClusterError: each of its splits is read on the node where it is.
    """
    if job.split_nodes:
        raise ClusterError(
            f"job {job.name!r} reads each split on the node where it is ({', '.join(job.split_nodes)}), so its "
            "partitions never move to other hosts; to read other machines, submit a job with another `on`"
        )


def check_group(job: "JobSettings", group_id: int) -> None:
    """Check that a cluster has the group that a job wants.

    Raises:
        ClusterError: it has another.
    """
    if job.group not in (None, group_id):
        raise ClusterError(
            f"job {job.name!r} wants group {job.group}, but the cluster has group {group_id} alone; write `group: "
            f"{group_id}`, leave `group` out, or start a cluster with `tocsin --home DIR up --group {job.group}`"
        )
