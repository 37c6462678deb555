"""The leader's core: what happens to one job under one epoch, and what is to be done about it. Pure.

`LeaderCore.step(event)` takes what happened and returns instructions. It keeps no thread, socket, file or clock: time
comes with the events, randomness with the constructor. `cluster.leader.runner` carries the instructions out with
threads, `cluster.local.embedded` in one process, and the simulation with everything going wrong.

An *attempt* opens the partitions (`opening`) and subscribes the source where they stand (`subscription`). Whatever goes
wrong on the way, an attempt ends and the next begins after a pause: partitions know where they stand, so starting over
loses and doubles nothing. Sources and sinks that fail do so by themselves. The leader ends when its epoch is over, when
the job is no longer wanted, and when the job has come to its end.
"""

from dataclasses import replace
from functools import partial

from cluster.leader.acceptances import KnownValues
from cluster.leader.clock import Backoff, ElapsedTime
from cluster.leader.desk import Desk
from cluster.leader.events import Event, GroupSeen, HostsSeen, NodesSeen, Reply
from cluster.leader.failures import Failure, FailureKind, TroubleError
from cluster.leader.instructions import CloseSource, EndHost, EndSampler, Instruction, Warn
from cluster.leader.limits import LeaderLimits
from cluster.leader.nodes import NodeWatch
from cluster.leader.opening import Opening
from cluster.leader.reach import is_on_several_machines, out_of_reach, remarks_on_places
from cluster.leader.spares import Spares
from cluster.leader.split_places import SplitPlaces
from cluster.leader.status import JobSummary, Phase, PumpStat, RunnerStatus
from cluster.leader.subscription import LeaderTask, Subscription
from config.settings import JobSettings
from raft.commands import JobFinished, NodeLost
from raft.group import GroupState, Job, JobStatus

_OVER = (Phase.FINISHED, Phase.FAILED, Phase.SUPERSEDED)


class LeaderCore:
    """Runs one job under one epoch.

    `nonce` must be another for every core there ever was: proposals are named by it. `jitter`, from 0 to 1, shortens
    all pauses.
    """

    def __init__(
        self,
        task: LeaderTask,
        settings: JobSettings,
        nonce: str,
        *,
        limits: LeaderLimits | None = None,
        jitter: float = 1.0,
    ) -> None:
        self._task = task
        self._settings = settings
        self._clock = ElapsedTime()
        self._desk = Desk(nonce, self._clock, limits or LeaderLimits(), jitter)
        self._backoff = Backoff(self._desk.limits, jitter)
        self._known = KnownValues()
        split_nodes = settings.split_nodes
        self._nodes = NodeWatch(self._desk.limits.node_lost_us, settings.host_ties, keeps=bool(split_nodes))
        self._split_places = SplitPlaces(split_nodes, self._nodes)
        self._losing: set[str] = set()
        self._spares = Spares(self._desk, task.job_id, task.epoch, self._nodes)
        self._lost_shards: dict[int, int] = {}
        self._gone_hosts: set[str] = set()
        self._counted = task.counted
        self._state: GroupState | None = None
        self._opening: Opening | None = None
        self._subscription: Subscription | None = None
        self._retry_due_us = 0
        self._is_finishing = False
        self._status = RunnerStatus(epoch=task.epoch)

    @property
    def phase(self) -> Phase:
        """What it is doing."""
        return self._status.phase

    @property
    def is_over(self) -> bool:
        """Whether it will never do anything again."""
        return self._status.phase in _OVER

    @property
    def wait_us(self) -> int:
        """Time until something may be due, if nothing else happens."""
        dues_us = self._desk.dues_us()
        if self._subscription is not None:
            dues_us += self._subscription.dues_us()
        elif self._opening is None:
            dues_us.append(self._retry_due_us)
        # What was due before waits for something else.
        return max(min(dues_us, default=0) - self._clock.elapsed_us, self._desk.limits.idle_us)

    def status(self) -> RunnerStatus:
        """Return what it is doing."""
        return self._status

    def step(self, event: Event) -> list[Instruction]:
        """Take an event and return what is to be done."""
        self._clock.pass_to(event.now_us)
        if self.is_over:
            return []
        try:
            if isinstance(event, GroupSeen):
                self._see(event.state)
            elif isinstance(event, NodesSeen):
                self._nodes.see(event.nodes, event.answering, self._clock.elapsed_us)
                self._replace_silent()
                self._prepare_hosts()
            elif isinstance(event, HostsSeen):
                self._end_hung(event)
            elif isinstance(event, Reply):
                self._desk.settle(event)
            self._desk.look_at_the_time()
            self._go_on()
        except TroubleError as trouble:
            self._start_over(trouble.failure)
        self._note()
        return self._desk.take_out()

    def _see(self, state: GroupState) -> None:
        if state.epoch != self._task.epoch:
            reason = f"epoch {self._task.epoch} is over: {state.leader_id} leads epoch {state.epoch}"
            raise TroubleError(Failure(FailureKind.STALE, reason))
        self._state = state
        self._nodes.know(state)
        job = self._job
        if job is not None:
            self._known.see(job)
            self._check_places(job)

    def _replace_silent(self) -> None:
        """Begin anew, which lets standbys take over, when a node is away whose partitions have any."""
        silent, found = self._nodes.silent(self._desk.limits.standby_away_us), self._subscription
        is_due = found is not None and not found.is_over and found.standbys.can_replace(silent)
        if is_due or (self._opening is not None and self._opening.is_to_promote()):
            raise TroubleError(Failure(FailureKind.OTHER, "a node does not answer, and its standbys take over"))

    def _prepare_hosts(self) -> None:
        """Have hosts start ahead that the job needs when nodes that are away are lost."""
        job = self._job
        if self._state is None or job is None or self._is_finishing:
            return
        away = self._nodes.at_risk(job) if job.status is JobStatus.RUNNING else ()
        # An attempt that is about to begin, or has begun, uses those that there are.
        is_over = (away or self._subscription is not None) and self._spares.prepare(self._state, away)
        if is_over and self._subscription is not None:
            self._subscription.moves.end_idle_hosts()

    def _end_hung(self, event: HostsSeen) -> None:
        limit_us = self._desk.limits.host_silence_us
        silent = sorted(host for host, silence_us in event.silence_us.items() if silence_us >= limit_us)
        # Nobody can end those of a node that is away: it is lost with them, or they go on when it is back.
        hung = [host for host in silent if self._has(host) and not self._nodes.is_away(self._node_of(host))]
        for host in hung:
            self._desk.say(EndHost(host=host))
        found = self._subscription
        owning = [host for host in hung if found is None or not found.standbys.end_host(host)]
        if owning:
            self._gone_hosts.update(owning)
            reason = f"{', '.join(owning)} did not answer for {limit_us // 1_000_000} s and is ended"
            raise TroubleError(Failure(FailureKind.OTHER, reason))

    def _has(self, host: str) -> bool:
        """Whether a host is still one of the job: those of a node that was lost are not."""
        return bool(self._node_of(host)) or not self._nodes.has_nodes

    def _node_of(self, host: str) -> str:
        return "" if self._job is None else self._job.host_nodes.get(host, "")

    def _check_places(self, job: Job) -> None:
        attempt = self._opening or self._subscription
        overtaken = [] if attempt is None else attempt.places.overtaken(job)
        if overtaken:
            # What made former attempts fail is over.
            self._backoff.reset()
            reason = f"the shard of partition {overtaken[0]} is lost with its node, and is made anew on another"
            raise TroubleError(Failure(FailureKind.OTHER, reason))

    @property
    def _job(self) -> Job | None:
        return None if self._state is None else self._state.jobs.get(self._task.job_id)

    def _go_on(self) -> None:
        job = self._job
        if job is None or self._is_finishing:
            return
        self._give_up_nodes(job)
        if job.status is not JobStatus.RUNNING:
            self._stop()
        elif self._subscription is None and self._opening is None:
            self._begin(job)
        elif self._subscription is not None and self.phase is Phase.STOPPED:
            self._subscription.go_on()
            self._status = replace(self._status, phase=Phase.RUNNING)
        if self._opening is not None:
            self._open(job)
        if self._subscription is not None and not self._subscription.is_over:
            change = self._split_places.change(job.owners, self._subscription.absent)
            if change is not None:
                raise TroubleError(Failure(FailureKind.OTHER, change))
            assert self._state is not None, "the job is known"
            self._subscription.advance(job, self._state.silences)
            if self._subscription.is_over:
                self._end(self._subscription)

    def _give_up_nodes(self, job: Job) -> None:
        """Have the group take what the job has from nodes that have been away for too long, while it runs."""
        lost = self._nodes.lost(job)
        if job.status is not JobStatus.RUNNING:
            if (
                lost
                and (self._opening is not None or self._subscription is not None)
                and self.phase is not Phase.STOPPED
            ):
                reason = f"{lost[0]} does not answer; what the job has there stays until it is back"
                raise TroubleError(Failure(FailureKind.OTHER, reason))
            return
        for node in set(lost) - self._losing:
            self._losing.add(node)
            self._desk.say(Warn(phrase="a node is lost", reason=f"{node} has not been there for too long"))
            command = NodeLost(epoch=self._task.epoch, node=node)
            # A refusal says that it has left, or that this leader is over, which others will say too.
            self._desk.propose(command, partial(self._on_given_up, node), partial(self._on_given_up, node))

    def _on_given_up(self, node: str, refusal: Failure | None = None) -> None:
        self._losing.discard(node)
        # An attempt that waited for the node can go on.
        self._retry_due_us = min(self._retry_due_us, self._clock.elapsed_us)

    def _begin(self, job: Job) -> None:
        # What was proposed before may still be applied, and would change what this attempt relies on.
        if self._retry_due_us <= self._clock.elapsed_us and not self._desk.has_proposals:
            self._check_reach()
            self._status = replace(self._status, phase=Phase.OPENING, started_us=self._clock.now_us)
            self._opening = Opening(
                self._desk,
                job,
                self._task.epoch,
                self._known.all,
                self._nodes,
                self._lost_shards,
                is_own=self._settings.partition_by == "split",
                split_places=self._split_places,
                gone_hosts=frozenset(self._gone_hosts),
                spares=self._spares.places,
                leader=self._apart,
            )

    @property
    def _apart(self) -> str:
        """Name of this node, where there are several machines, which may have different files; otherwise empty."""
        assert self._state is not None, "the job is known"
        return self._state.leader_id if is_on_several_machines(self._state.nodes) else ""

    def _check_reach(self) -> None:
        """Check that the leader can read the source, where it is on some nodes alone and nobody else reads it."""
        assert self._state is not None, "the job is known"
        here, nodes = self._state.leader_id, self._state.nodes
        reason = out_of_reach(self._settings, here, nodes)
        if reason is not None:
            raise TroubleError(Failure(FailureKind.NOT_YET, reason))

    def _place_remarks(self) -> tuple[str, ...]:
        """Say what would be gone with a machine, where there are several."""
        nodes = {} if self._state is None else self._state.nodes
        return remarks_on_places(self._settings, nodes)

    def _open(self, job: Job) -> None:
        assert self._opening is not None, "an attempt has begun"
        self._opening.advance()
        if self._opening.is_done:
            self._subscription = Subscription(
                self._desk,
                self._task,
                self._settings,
                self._opening,
                self._known,
                self._nodes,
                self._split_places,
            )
            self._opening = None
            self._gone_hosts.clear()
            # Moves end hosts that own nothing when they begin.
            self._spares.forget()
            self._status = replace(
                self._status,
                phase=Phase.RUNNING,
                trouble=None,
                opened_us=self._clock.now_us,
                rows_sent_again=self._status.rows_sent_again + self._subscription.rows_sent_again,
            )

    def _stop(self) -> None:
        if self._subscription is not None:
            if not self._subscription.is_over:
                self._subscription.stop()
        elif self.phase is not Phase.STOPPED:
            # Nothing is open that this attempt could bring to rest.
            self._opening = None
            self._desk.forget()
            self._rest()

    def _rest(self) -> None:
        self._desk.say(EndSampler())
        self._status = replace(self._status, phase=Phase.STOPPED)

    def _end(self, subscription: Subscription) -> None:
        if subscription.is_at_end:
            summary = JobSummary(pump=self._stat(subscription), finished_us=self._clock.now_us)
            self._finish(summary, Phase.FINISHED)
        else:
            self._rest()

    def _finish(self, summary: JobSummary, phase: Phase) -> None:
        self._is_finishing = True
        command = JobFinished(epoch=self._task.epoch, job_id=self._task.job_id, summary=summary.to_bytes())
        # A refusal says that the job is over, or this leader.
        self._desk.propose(command, lambda: self._be_over(phase), lambda _: self._be_over(phase))

    def _be_over(self, phase: Phase) -> None:
        self._desk.say(CloseSource())
        self._status = replace(self._status, phase=phase)

    def _start_over(self, failure: Failure) -> None:
        has_sent = self._subscription is not None and self._subscription.sending.row_count > 0
        self._note_subscription()
        if self._subscription is not None:
            self._counted = self._stat(self._subscription)
            self._subscription.abandon()
        self._opening = self._subscription = None
        self._desk.forget()
        self._losing.clear()
        if failure.kind is FailureKind.UNREACHED and failure.host:
            self._gone_hosts.add(failure.host)
        for partition in failure.partitions:
            self._lost_shards[partition] = max(failure.generation, self._lost_shards.get(partition, 0))
        if failure.kind is FailureKind.STALE:
            self._desk.say(Warn(phrase="a newer leader runs the job", reason=failure.reason))
            self._be_over(Phase.SUPERSEDED)
            return
        self._desk.say(CloseSource())
        has_failed = failure.kind is not FailureKind.NOT_YET
        failure_count = self._status.failure_count + has_failed
        self._status = replace(self._status, trouble=failure.reason, failure_count=failure_count)
        if failure.kind is FailureKind.FATAL:
            self._finish(JobSummary(failed=failure.reason), Phase.FAILED)
            return
        self._desk.say(Warn(phrase="a job starts over" if has_failed else "a job waits", reason=failure.reason))
        if has_sent:
            self._backoff.reset()
        self._retry_due_us = self._clock.elapsed_us + self._backoff.pause_us()
        # A job that has never been open has nothing to recover.
        is_new = not has_failed and not failure_count and self._status.opened_us is None
        self._status = replace(self._status, phase=Phase.STARTING if is_new else Phase.RECOVERING)

    def _note(self) -> None:
        """Keep the status up with what has happened."""
        self._note_subscription()
        found = self._subscription
        if found is None or self.phase in (Phase.STOPPED, *_OVER):
            return
        beside = Phase.SCALING if found.moves.is_moving else Phase.RUNNING
        phase = Phase.FINISHING if found.is_ending else beside
        if phase is not self.phase:
            self._status = replace(self._status, phase=phase)

    def _note_subscription(self) -> None:
        found = self._subscription
        if found is None:
            return
        sending, now_us = found.sending, self._clock.now_us
        stat = self._stat(found)
        first_pumped_us = self._status.first_pumped_us or (now_us if stat.row_count else None)
        first_anomaly_us = self._status.first_anomaly_us or (now_us if stat.anomaly_count else None)
        self._status = replace(
            self._status,
            trouble=sending.source_trouble or found.moves.trouble or found.place_trouble,
            remarks=sending.remarks + self._place_remarks() + self._split_places.remarks(found.absent),
            sink_troubles=found.deliveries.troubles | found.notifications.troubles,
            sink_troubles_overcome=found.deliveries.troubles_overcome | found.notifications.troubles_overcome,
            notices=found.notifications.statuses,
            first_pumped_us=first_pumped_us,
            first_anomaly_us=first_anomaly_us,
            noted_us=now_us,
            pump=stat,
            moves=found.moves.progress,
            standbys=found.standbys.statuses(),
            standby_trouble=found.standbys.trouble,
        )

    def _stat(self, subscription: Subscription) -> PumpStat:
        """Return what was read and found by this attempt and those before."""
        return subscription.sending.stat().after(self._counted)

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._opening is None or self._subscription is None, "an attempt is opening, or is open"
        assert not self._desk.take_out(), "every instruction has been given"
        self._desk.validate()
        self._nodes.validate()
        if self._opening is not None:
            self._opening.validate()
        if self._subscription is not None:
            self._subscription.validate()
