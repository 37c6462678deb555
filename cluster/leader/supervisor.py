"""The leader: runs the jobs of the group while its member leads.

One thread looks at the state that Raft has applied here. A member acts as leader only when its own election has been
applied and Raft still counts it as leader; it starts a runner for every job that shall run, under its epoch, and stops
them when any of that ends. That a paused leader may act for a moment longer does no harm: its epoch is refused.
"""

import logging
import threading
import time

from cluster.leader.ports import Deployment, LedGroup
from cluster.leader.runner import JobRunner, now_us
from cluster.leader.status import LeaderStatus
from raft.commands import Answer, Command, decode_answer, encode_command
from raft.group import GroupState, JobStatus

log = logging.getLogger(__name__)

LOOK_S = 0.05
"""Seconds between two looks at the state."""

PROPOSE_TIMEOUT_S = 5.0
"""Seconds after which a proposal counts as unanswered."""


class Leader:
    """Follows the group's state as a member has it, and runs jobs while that member leads."""

    def __init__(self, group: LedGroup, deployment: Deployment) -> None:
        self._group = group
        self._deployment = deployment
        self._stopping = threading.Event()
        self._epoch: int | None = None
        self._led_since_us = 0
        self._runners: dict[str, JobRunner] = {}
        self._thread = threading.Thread(target=self._run, name="leader", daemon=True)

    @property
    def member_ids(self) -> tuple[str, ...]:
        """Names of all members."""
        return tuple(self._group.state().members)

    def state(self) -> GroupState:
        """Return the state applied here."""
        return self._group.state()

    def propose(self, command: Command) -> Answer:
        """Return the group's answer to a command; the state then contains it.

        Raises:
            RaftError: it was not answered in time.
        """
        return decode_answer(self._group.propose(encode_command(command), PROPOSE_TIMEOUT_S))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the jobs and the thread."""
        self._stopping.set()
        self._thread.join()
        self._stop_runners()

    def status(self) -> LeaderStatus | None:
        """Return epoch, time of taking over, and each job's status; `None` for a follower."""
        epoch = self._epoch
        if epoch is None:
            return None
        jobs = {job_id: runner.status() for job_id, runner in list(self._runners.items())}
        return LeaderStatus(epoch=epoch, led_since_us=self._led_since_us, jobs=jobs)

    def runs(self, job_id: str) -> bool:
        """Whether something is still done here for a job, which may have been stopped."""
        runner = self._runners.get(job_id)
        return runner is not None and runner.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception:
                log.exception("the leader's look at the state failed")
            time.sleep(LOOK_S)

    def _look(self) -> None:
        epoch = self._group.led_epoch()
        if epoch != self._epoch:
            self._stop_runners()
            self._epoch = epoch
            self._led_since_us = now_us()
            log.info("follows" if epoch is None else "leads", extra={"epoch": epoch})
        if epoch is not None:
            self._run_jobs(self._group.state(), epoch)

    def _run_jobs(self, state: GroupState, epoch: int) -> None:
        for job_id, job in state.jobs.items():
            runner = self._runners.get(job_id)
            if job.status is JobStatus.RUNNING and (runner is None or not runner.is_alive()):
                counted = None if runner is None else runner.status().pump
                self._runners[job_id] = JobRunner(self, self._deployment, job_id, epoch, counted)
                self._runners[job_id].start()
        for job_id in [name for name in self._runners if name not in state.jobs]:
            self._runners.pop(job_id).stop()

    def _stop_runners(self) -> None:
        for runner in self._runners.values():
            runner.stop()
        self._runners = {}
