"""Submission of jobs, and the entry point that Ray runs for each where its job server runs.

A job is in the group's state once it is submitted, and its leader starts it. On a cluster with Ray's job server
(`tocsin up --dashboard`) `tocsin submit` hands Ray a small program (`tocsin attach`) with the job's settings in its
environment. That program puts the job into the group's state and follows it, so that Ray's own tools list the job, show
its progress as a log, tell its outcome and can stop it; the job itself survives that program.
"""

import base64
import os
import shlex
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.client.troubles import SaidTroubles
from cluster.errors import ClusterError
from cluster.leader.status import JobSummary, RunnerStatus
from cluster.local.home import Home
from cluster.local.speed import has_passed
from config.settings import JobSettings
from raft.records import Job, JobStatus

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    from cluster.client.client import Client

JOB_VARIABLE = "TOCSIN_JOB"
"""Environment variable with the settings of a submitted job: compressed, base64."""

JOB_SIZE_BYTES_MAX = 100_000
"""Longest value of that variable; systems allow little more."""

SUBMIT_TIMEOUT_S = 120.0
"""Seconds that Ray has to start the entry point of a job."""

FOLLOW_TIMEOUT_S = 86_400.0
"""Longest wait for the end of a job."""

PROGRESS_PERIOD_S = 1.0
"""Seconds between two lines of progress."""


def pack_job(job: JobSettings) -> str:
    """Return the settings of a job as text for its environment.

    Raises:
        ClusterError: they are too long to travel.
    """
    packed = base64.b64encode(zlib.compress(job.to_bytes())).decode("ascii")
    if len(packed) > JOB_SIZE_BYTES_MAX:
        raise ClusterError(
            f"the settings of job {job.name!r} take {len(packed)} bytes; keep rows in a file of their own"
        )
    return packed


def unpack_job(packed: str) -> JobSettings:
    """Return the settings that `pack_job` packed."""
    return JobSettings.from_bytes(zlib.decompress(base64.b64decode(packed)))


def submit_job(client: "Client", home: Home, job: JobSettings) -> str:
    """Submit a job, wait until the group has it, and return the id under which Ray lists it; empty if Ray does not.

    Raises:
        ClusterError: the cluster has another group than the job wants, or a job of that name; the settings are too
            long to travel; or the job did not start.
    """
    from cluster.client.client import check_group

    address = client.dashboard_address
    if address is None:
        client.submit(job)
        return ""
    from ray.job_submission import JobSubmissionClient

    check_group(job, client.group_id)
    packed = pack_job(job)
    if job.name in client.state().jobs:
        raise ClusterError(f"job {job.name!r} exists; remove it first (`tocsin remove`), or choose another name")
    server = JobSubmissionClient(address)
    entrypoint = [sys.executable, "-m", "cluster", "--home", str(home.directory), "attach"]
    submission_id = server.submit_job(
        entrypoint=shlex.join(entrypoint),
        runtime_env={"env_vars": {JOB_VARIABLE: packed}},
        metadata={"tocsin_job": job.name},
    )
    _wait_submitted(client, server, submission_id, job.name)
    return submission_id


def _wait_submitted(client: "Client", server: "JobSubmissionClient", submission_id: str, name: str) -> None:
    started_s = time.monotonic()
    while name not in client.state().jobs:
        status = server.get_job_status(submission_id)
        if status.is_terminal() or has_passed(started_s, SUBMIT_TIMEOUT_S):
            raise ClusterError(f"job {name!r} did not start ({status.value}):\n{server.get_job_logs(submission_id)}")
        time.sleep(0.2)


def follow_job(client: "Client") -> None:
    """Put the job of the environment into the group's state and print its progress until it no longer runs."""
    packed = os.environ.get(JOB_VARIABLE)
    if packed is None:
        raise ClusterError(f"{JOB_VARIABLE} is not set; this command is for `tocsin submit`")
    job = unpack_job(packed)
    client.submit(job)
    print(f"submitted {job.name}", flush=True)
    stopping = _event_of_signal()
    while (known := client.job(job.name)).status is JobStatus.RUNNING:
        print(_progress(client.runner_status(job.name)), flush=True)
        if stopping.wait(PROGRESS_PERIOD_S):
            client.stop(job.name)
    print(f"{job.name} is {known.status}", flush=True)
    summary = client.wait_finished(job.name, timeout_s=60)
    if summary.failed is not None:
        raise ClusterError(f"job {job.name} failed: {summary.failed}")


def wait_and_tell(client: "Client", name: str, say: Callable[[str], None]) -> JobSummary:
    """Wait until a job no longer runs and return its summary; say each trouble on the way when it begins."""
    what_next = f"trying again, `tocsin stop {name}` gives up"
    troubles = SaidTroubles(client, name, PROGRESS_PERIOD_S, what_next, say)

    def is_over(job: Job) -> bool:
        troubles.look()
        return job.status is not JobStatus.RUNNING

    client.wait(name, is_over, FOLLOW_TIMEOUT_S)
    return client.wait_finished(name, timeout_s=60)


def _event_of_signal() -> threading.Event:
    """Return an event that is set when Ray wants this program to end, which it does some seconds before killing it."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    return stopping


def _progress(status: RunnerStatus | None) -> str:
    if status is None:
        return "between two leaders"
    row_count = 0 if status.pump is None else status.pump.row_count
    troubles = "".join(f", {trouble}" for trouble in status.troubles)
    return f"{status.phase}: {row_count} rows sent under epoch {status.epoch}{troubles}"
