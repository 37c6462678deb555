"""Ray's processes of one machine: started, watched and ended as the group's state says who carries the head.

Ray outlives the node process: one that starts again finds in its record what runs and takes it over. A *generation* is
a head of Ray; a machine's processes belong to one, and end when the group has the next.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from actors.files import private_opener, replace_file
from cluster.errors import ClusterError
from cluster.local.processes import end_processes, kill_process
from cluster.local.speed import slowness
from cluster.node.gcs_look import GcsLook
from cluster.node.ray_environment import ACTOR_ENVIRONMENT, address_environment, start_environment
from cluster.node.ray_start import READY_PREFIX, RayRequest
from cluster.node.ray_tls import caller_context
from cluster.node.settings import NodeSettings
from cluster.node.status import RayPhase, RayStatus
from raft import shapes

log = logging.getLogger(__name__)

RECORD_NAME = "ray.json"

START_TIMEOUT_S = 120.0
"""Seconds that Ray has to start, on a machine of usual speed."""


RETRY_S = 15.0
"""Seconds from one try to join a head to the next."""


SILENT_LOOK_COUNT = 4
"""Looks in a row at Ray's control store without an answer, each some three seconds, after which it counts as failed."""

HUNG_S = 10.0
"""Seconds that a process of Ray may be stopped before all of Ray here counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayRecord:
    """Ray's processes of a machine."""

    generation: int
    """Which head of Ray they belong to."""

    address: str
    """host:port of the head's control store."""

    starter_pid: int
    """Process that started them; it has ended, and its number names their session."""

    started: float
    """When it started, in seconds since the epoch."""

    directory: str
    """Where Ray keeps its own; all its processes have it in their environment."""

    pids: Mapping[str, int]
    """Processes that must run, by kind."""

    def write(self, directory: Path) -> None:
        """Write the record into a node's directory."""
        replace_file(directory / RECORD_NAME, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, directory: Path) -> "RayRecord | None":
        """Return the record of a node's directory, or `None` when there is none that can be read."""
        try:
            return shapes.record(cls, json.loads((directory / RECORD_NAME).read_bytes()))
        except (OSError, ValueError):
            return None

    @staticmethod
    def remove(directory: Path) -> None:
        """Say that nothing runs."""
        (directory / RECORD_NAME).unlink(missing_ok=True)


class RayKeeper:
    """Keeps Ray of one machine; `follow` is called again and again from one thread, and never waits."""

    def __init__(self, settings: NodeSettings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._log_path = directory / "ray.log"
        self._environment = {**os.environ, **ACTOR_ENVIRONMENT, **start_environment(slowness())}
        self._environment.update(address_environment(settings.host))
        self._record = RayRecord.read(directory)
        self._status = RayStatus()
        self._starting: threading.Thread | None = None
        self._starter: subprocess.Popen[str] | None = None
        self._retry_due_s = 0.0
        self._hung_since_s: float | None = None
        self._look: GcsLook | None = None
        if self._record is not None:
            # A Ray that is found stopped has been so for nobody knows how long.
            self._hung_since_s = time.monotonic() - HUNG_S
            self._status = self._status_of(self._record)

    @property
    def status(self) -> RayStatus:
        """What Ray does here."""
        return self._status

    def miss(self, generation: int) -> None:
        """Know that the head of a generation ran here; when nothing is known of it any more, it has failed."""
        is_starting = self._starting is not None and self._starting.is_alive()
        if not is_starting and self._status.generation != generation:
            problem = "the head of Ray has ended with its machine"
            self._status = RayStatus(phase=RayPhase.FAILED, generation=generation, problem=problem)

    def follow(self, generation: int, head_address: str | None) -> None:
        """Have Ray of a generation run here, joined to a head, or (`None`) as the head itself."""
        if self._starting is not None:
            if self._starting.is_alive():
                if generation != self._status.generation:
                    self._give_up_start()
                return
            self._starting = None
        if generation != self._status.generation or self._is_to_be_tried_again(head_address):
            if head_address != "":
                self._begin(generation, head_address or "")
        elif self._status.phase is RayPhase.RUNNING and self._record is not None:
            if head_address is None and self._look is None:
                self._look = GcsLook(self._record.address, caller_context(self._environment))
            self._status = self._status_of(self._record)

    def _is_to_be_tried_again(self, head_address: str | None) -> bool:
        """Whether a part that should have joined a head has failed; a head itself gets another generation."""
        return self._status.phase is RayPhase.FAILED and bool(head_address) and time.monotonic() >= self._retry_due_s

    def end(self) -> None:
        """End all of Ray on this machine."""
        if self._starting is not None:
            self._starting.join()
        self._end_processes()

    def end_worker(self, pid: int) -> bool:
        """Kill a worker of Ray on this machine; return whether there was one of that number. From any thread."""
        record = self._record
        if record is None or pid in record.pids.values():
            return False
        return kill_process(pid, record.starter_pid, record.started, record.directory)

    def _give_up_start(self) -> None:
        """End a start of a generation that is over: it may wait for a head that is gone for minutes."""
        starter = self._starter
        if starter is not None and starter.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(starter.pid, signal.SIGKILL)

    def _begin(self, generation: int, head_address: str) -> None:
        # Who looks has to learn why Ray is away, and what has ended may have been seen by nobody before.
        former = self._status.problem
        problem = f"{former}: Ray is being started anew" if former else ""
        self._status = RayStatus(phase=RayPhase.STARTING, generation=generation, problem=problem)
        self._retry_due_s = time.monotonic() + RETRY_S
        self._starting = threading.Thread(
            target=self._start, args=(generation, head_address), name="ray start", daemon=True
        )
        self._starting.start()

    def _start(self, generation: int, head_address: str) -> None:
        try:
            self._end_processes()
            self._record = self._start_processes(generation, head_address)
            self._status = RayStatus(phase=RayPhase.RUNNING, generation=generation, address=self._record.address)
            log.info("Ray runs", extra={"generation": generation, "address": self._record.address})
        except Exception as error:
            log.warning("Ray did not start", exc_info=error)
            self._status = RayStatus(phase=RayPhase.FAILED, generation=generation, problem=str(error))

    def _start_processes(self, generation: int, head_address: str) -> RayRecord:
        settings = self._settings
        # Short, because Ray puts the names of sockets below it.
        directory = Path(settings.mark) / f"{settings.name.rpartition('-')[2][-8:]}-{generation}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        request = RayRequest(
            node=settings.name,
            host=settings.host,
            head_address=head_address,
            directory=str(directory),
            cpu_count=settings.cpu_count,
            object_store_bytes=settings.object_store_bytes,
            dashboard_port=0 if head_address else settings.dashboard_port,
            has_agents=settings.dashboard_port > 0 or settings.cpu_count > 0,
            register_timeout_s=30 * slowness(),
        )
        with open(self._log_path, "a", opener=private_opener) as output:
            starter = subprocess.Popen(
                [sys.executable, "-m", "cluster.node.ray_start"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,
                env=self._environment,
            )
        self._starter = starter
        started = psutil.Process(starter.pid).create_time()
        try:
            said, _ = starter.communicate(json.dumps(asdict(request)) + "\n", timeout=START_TIMEOUT_S * slowness())
        except subprocess.TimeoutExpired:
            said = ""
        found = next((line for line in said.splitlines() if line.startswith(READY_PREFIX)), None)
        if found is None:
            end_processes(starter.pid, started, str(directory))
            starter.wait()
            raise ClusterError(f"Ray did not start; {self._log_path} says why")
        answer = json.loads(found.removeprefix(READY_PREFIX))
        record = RayRecord(
            generation=generation,
            address=answer["address"],
            starter_pid=starter.pid,
            started=started,
            directory=str(directory),
            pids={kind: pids[0] for kind, pids in answer["pids"].items()},
        )
        record.write(self._directory)
        return record

    def _status_of(self, record: RayRecord) -> RayStatus:
        found = {kind: _state(pid, record.started) for kind, pid in record.pids.items()}
        lost = [kind for kind, state in found.items() if state is None]
        stopped = [kind for kind, state in found.items() if state in _STOPPED]
        silent_count = 0 if self._look is None else self._look.failure_count
        has_failed = bool(lost) or self._hangs(bool(stopped)) or silent_count >= SILENT_LOOK_COUNT
        problem = f"{', '.join(lost)} of Ray has ended" if lost else ""
        if stopped and not lost:
            problem = f"{', '.join(stopped)} of Ray is stopped and does nothing"
        if silent_count and not problem:
            problem = f"gcs_server of Ray does not answer at {record.address}"
        if problem and problem != self._status.problem:
            log.warning("Ray has failed" if has_failed else "Ray hangs", extra={"reason": problem})
        return RayStatus(
            phase=RayPhase.FAILED if has_failed else RayPhase.RUNNING,
            generation=record.generation,
            address=record.address,
            problem=problem,
        )

    def _hangs(self, is_stopped: bool) -> bool:
        """Whether processes have been stopped for too long."""
        now_s = time.monotonic()
        self._hung_since_s = (self._hung_since_s or now_s) if is_stopped else None
        return self._hung_since_s is not None and now_s - self._hung_since_s >= HUNG_S

    def _end_processes(self) -> None:
        record, self._record = self._record, None
        look, self._look = self._look, None
        if look is not None:
            look.close()
        if record is not None:
            end_processes(record.starter_pid, record.started, record.directory)
            shutil.rmtree(record.directory, ignore_errors=True)
            RayRecord.remove(self._directory)


_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def _state(pid: int, started: float) -> str | None:
    """Return what a process does that was started by somebody who had started then; `None` when it has ended."""
    try:
        process = psutil.Process(pid)
        state = str(process.status())
        return state if process.create_time() >= started - 1.0 and state != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
