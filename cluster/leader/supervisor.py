"""The leader: runs the jobs of the group while its member leads.

One thread looks at the state that Raft has applied here. A member acts as leader only when its own election has been
applied and Raft still counts it as leader; it starts a runner for every job that shall run, under its epoch, and stops
them when any of that ends. That a paused leader may act for a moment longer does no harm: its epoch is refused.
"""

import logging
import threading
import time
import uuid
from dataclasses import replace
from typing import Any

from cluster.deployment.group_settings import GroupSettings
from cluster.errors import ClusterError
from cluster.leader.runner import JobRunner, now_us
from cluster.local.home import Home
from raft.commands import Command, Refused, decode_answer, encode_command
from raft.group import GroupState, JobStatus
from raft.member import Member

log = logging.getLogger(__name__)

LOOK_S = 0.05
"""Seconds between two looks at the state."""

PROPOSE_TIMEOUT_S = 5.0
"""Seconds after which a proposal counts as unanswered."""


class Leader:
    """Follows one member's state and runs jobs while that member leads."""

    def __init__(self, member: Member, settings: GroupSettings, home: Home) -> None:
        self._member = member
        self._settings = settings
        self._home = home
        self._stopping = threading.Event()
        self._epoch: int | None = None
        self._led_since_us: int | None = None
        self._runners: dict[str, JobRunner] = {}
        self._thread = threading.Thread(target=self._run, name="leader", daemon=True)

    @property
    def group_id(self) -> int:
        """Id of the group."""
        return self._settings.group_id

    @property
    def member_ids(self) -> tuple[str, ...]:
        """Names of all members."""
        return tuple(self._settings.member_addresses)

    def state(self) -> GroupState:
        """Return the state applied here."""
        return self._member.state()

    def propose(self, command: Command) -> None:
        """Have a command accepted.

        Raises:
            ClusterError: it was refused.
            RaftError: it was not answered in time.
        """
        named = replace(command, request_id=command.request_id or uuid.uuid4().hex)
        answer = decode_answer(self._member.propose(encode_command(named), PROPOSE_TIMEOUT_S))
        if isinstance(answer, Refused):
            raise ClusterError(answer.reason)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the jobs and the thread."""
        self._stopping.set()
        self._thread.join()
        self._stop_runners()

    def status(self) -> dict[str, Any]:
        """Return epoch, time of taking over, and each job's status, as plain values; empty for a follower."""
        if self._epoch is None:
            return {}
        jobs = {job_id: runner.status() for job_id, runner in self._runners.items()}
        return {"epoch": self._epoch, "led_since_us": self._led_since_us, "jobs": jobs}

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception:
                log.exception("the leader's look at the state failed")
            time.sleep(LOOK_S)

    def _look(self) -> None:
        epoch = self._member.led_epoch()
        if epoch != self._epoch:
            self._stop_runners()
            self._epoch = epoch
            self._led_since_us = None if epoch is None else now_us()
            log.info("follows" if epoch is None else "leads", extra={"epoch": epoch})
        if epoch is not None:
            self._run_jobs(self._member.state(), epoch)

    def _run_jobs(self, state: GroupState, epoch: int) -> None:
        for job_id, job in state.jobs.items():
            runner = self._runners.get(job_id)
            if job.status is JobStatus.RUNNING and (runner is None or not runner.is_alive()):
                self._runners[job_id] = JobRunner(self, job_id, epoch, self._home)
                self._runners[job_id].start()
        for job_id in [name for name in self._runners if name not in state.jobs]:
            self._runners.pop(job_id).stop()

    def _stop_runners(self) -> None:
        for runner in self._runners.values():
            runner.stop()
        self._runners = {}
