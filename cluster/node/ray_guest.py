"""A Ray that others have started, as a node that uses it sees it: found, watched, and never started or ended.

Such a Ray has an owner, whose business its head, its password and its nodes are. A node of ours that runs on one of its
machines finds the raylet there among the machine's processes and has its hosts on it, as actors whose interpreter is
that of the node, so that both have the same code. It looks at Ray's control store as it does at that of a Ray of its
own; what is lost is said, and as soon as it is back, the group goes on under the next generation.
"""

import importlib.metadata
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from cluster.allowed import allowed_environment
from cluster.errors import ClusterError
from cluster.node.gcs_look import GcsLook
from cluster.node.ray_environment import ACTOR_ENVIRONMENT, is_loopback
from cluster.node.ray_keeper import SILENT_LOOK_COUNT
from cluster.node.ray_place import RayPlace
from cluster.node.ray_tls import caller_context
from cluster.node.settings import NodeSettings
from cluster.node.status import RayPhase, RayStatus
from raft.settings import split_address

FIND_S: Final = 1.0
"""Seconds between two looks for a raylet among all processes."""

_RAYLET: Final = "/ray/core/src/ray/raylet/raylet"
"""How the path of a raylet's program ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raylet:
    """Ray's process of this machine, as its command line tells."""

    pid: int
    started: float
    """When it started, so that another one of the same number is not taken for it."""

    user: int
    address: str
    """host:port of the control store that it belongs to."""

    host: str
    """Address by which Ray knows the machine."""

    node_id: str
    version: str
    """Of Ray; empty where its program does not say it."""


def find_raylet(ray_address: str) -> Raylet | None:
    """Return the raylet of this machine that belongs to the Ray at an address (host:port), or `None`.

    An address of loopback stands for whatever Ray of this machine has that port.
    """
    wanted_host, wanted_port = split_address(ray_address)
    for raylet in raylets():
        host, port = split_address(raylet.address)
        if port == wanted_port and (host == wanted_host or is_loopback(wanted_host)):
            return raylet
    return None


def raylets() -> Iterator[Raylet]:
    """Yield the raylets of this machine; those that are only seen here, as of containers, have addresses elsewhere."""
    for process in psutil.process_iter(["pid"]):
        try:
            words = process.cmdline()
            if not words or not words[0].endswith(_RAYLET):
                continue
            options = dict(word.removeprefix("--").split("=", 1) for word in words if word[:2] == "--" and "=" in word)
            found = Raylet(
                pid=process.pid,
                started=process.create_time(),
                user=process.uids().real,
                address=options["gcs-address"],
                host=options["node_ip_address"],
                node_id=options["node_id"],
                version=_version(Path(words[0])),
            )
        except (psutil.Error, KeyError):
            continue
        if _is_here(found.host):
            yield found


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as candidate:
        try:
            candidate.bind((host, 0))
        except OSError:
            return False
    return True


def usable_raylet(ray_address: str) -> Raylet:
    """Return the raylet of this machine that belongs to a Ray.

    Raises:
        ClusterError: there is none, or none that can be used.
    """
    raylet = find_raylet(ray_address)
    if raylet is None:
        raise ClusterError(
            f"no raylet of the Ray at {ray_address} runs on this machine; have its owner start one here "
            f"(`ray start --address {ray_address}`), or give the address that `ray status` knows"
        )
    if problem := unusable(raylet):
        raise ClusterError(problem)
    return raylet


def place_on(raylet: Raylet, settings: NodeSettings) -> RayPlace:
    """Return where and how actors of this machine's node run."""
    variables = {**allowed_environment(settings.allowed_paths), "POLARS_MAX_THREADS": _POLARS_THREADS}
    path = os.environ.get("PYTHONPATH")
    return RayPlace(
        node_id=raylet.node_id,
        executable=sys.executable,
        variables={**variables, "PYTHONPATH": path} if path else variables,
    )


_POLARS_THREADS: Final = ACTOR_ENVIRONMENT["POLARS_MAX_THREADS"]


class RayGuest:
    """What `RayKeeper` is for a Ray of our own; `follow` is called again and again from one thread, and never waits."""

    def __init__(self, settings: NodeSettings, environment: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._context = caller_context(environment)
        self._status = RayStatus(is_of_others=True)
        self._raylet: Raylet | None = None
        self._look: GcsLook | None = None
        self._find_due_s = 0.0
        self._trouble = ""

    @property
    def status(self) -> RayStatus:
        """What Ray does here."""
        return self._status

    def follow(self, generation: int, head_address: str | None) -> None:
        """Watch Ray under a generation."""
        phase = self._status.phase if generation == self._status.generation else RayPhase.STARTING
        self._find()
        raylet, look = self._raylet, self._look
        answers = look is not None and look.has_answered
        if phase is RayPhase.RUNNING and (raylet is None or (look and look.failure_count >= SILENT_LOOK_COUNT)):
            phase = RayPhase.FAILED
        elif phase is not RayPhase.RUNNING and raylet is not None:
            phase = RayPhase.RUNNING if answers and phase is RayPhase.STARTING else RayPhase.STARTING
        self._status = RayStatus(
            phase=phase,
            generation=generation,
            address=raylet.address if raylet is not None else "",
            problem=self._problem(answers),
            is_of_others=True,
            place=place_on(raylet, self._settings) if raylet is not None else None,
        )

    def end(self) -> None:
        """Look no more; Ray goes on."""
        if self._look is not None:
            self._look.close()

    def end_worker(self, pid: int) -> bool:
        """Kill a worker of Ray on this machine; return whether there was one of that number. From any thread."""
        raylet = self._raylet
        try:
            process = psutil.Process(pid)
            if raylet is None or process.ppid() != raylet.pid:
                return False
            process.kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def _find(self) -> None:
        """Notice that the raylet has ended, and look for one now and then."""
        if self._raylet is not None and not _runs(self._raylet):
            self._raylet = None
        if self._raylet is not None or time.monotonic() < self._find_due_s:
            return
        self._find_due_s = time.monotonic() + FIND_S
        found = find_raylet(self._settings.ray_address)
        self._trouble = "" if found is None else unusable(found)
        if found is None or self._trouble:
            return
        self._raylet = found
        if self._look is not None:
            self._look.close()
        self._look = GcsLook(found.address, self._context)

    def _problem(self, answers: bool) -> str:
        address = self._settings.ray_address
        if self._trouble:
            return self._trouble
        if self._raylet is None:
            return (
                f"no raylet of the Ray at {address}, which others run, is on this machine; jobs go on when it is back"
            )
        if not answers:
            return f"the Ray at {address}, which others run, does not answer; jobs go on when it is back"
        return ""


def unusable(raylet: Raylet) -> str:
    """Return why hosts cannot run there; empty when they can."""
    own = importlib.metadata.version("ray")
    if raylet.version not in ("", own):
        return f"the Ray at {raylet.address} is version {raylet.version}, that of Tocsin {own}; install the same one"
    if raylet.user != os.getuid():
        return (
            f"the Ray at {raylet.address} runs here as user {raylet.user}, Tocsin as {os.getuid()}, so hosts could "
            "not use the home; run both as the same user"
        )
    return ""


def _runs(raylet: Raylet) -> bool:
    try:
        process = psutil.Process(raylet.pid)
        return process.create_time() == raylet.started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _version(program: Path) -> str:
    """Return the version of the Ray that a raylet's program belongs to."""
    try:
        text = (program.parents[4] / "_version.py").read_text()
    except OSError:
        return ""
    found = [line.partition("=")[2].strip(" \"'") for line in text.splitlines() if line.startswith("version ")]
    return found[0] if found else ""
