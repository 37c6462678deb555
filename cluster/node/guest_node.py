"""What a keeper has done on its machine: look at the node's home there, start the node, and end it.

Run as a process of its own on a machine of a Ray that others have started. A request is one line of JSON on the
standard input, as the password is in it; the answer is the last line of the standard output.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from actors.errors import TocsinError
from actors.files import replace_file
from cluster.allowed import parted
from cluster.errors import AlreadyRunningError, ClusterError
from cluster.local.cluster import allowed_paths, end_nodes, launch
from cluster.local.home import Home
from cluster.local.ports import check_free
from cluster.local.processes import find_process
from cluster.node.calls import NodeClient
from cluster.node.guest_plan import GuestPlan
from cluster.node.join_plan import JoinPlan
from cluster.node.log import begin_log
from cluster.node.ray_guest import Raylet, raylets, unusable
from cluster.node.security import group_name
from cluster.node.settings import SETTINGS_NAME, NodeSettings
from raft import shapes
from raft.credentials import Credentials
from raft.errors import RaftError

JOIN_TIMEOUT_S: Final = 30.0
"""Seconds that the cluster has to answer one that wants to join."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestRequest:
    """What is asked of a machine."""

    do: str
    """`look`, `begin`, `resume` or `end`."""

    plan: GuestPlan
    """What is the same for all nodes."""

    host: str
    """Address by which Ray knows this machine."""

    node_id: str
    """Ray's own id of it."""

    password: str = field(default="", repr=False)
    """The group's, for `begin`."""

    name: str = ""
    """Name of a node that the group begins with; empty for one that joins."""

    members: Mapping[str, str] = field(default_factory=dict)
    """Raft address of each member that the group begins with, by name."""

    seed: str = ""
    """Control address of a node of the group that this one joins; empty where it begins the group, or is back."""

    is_unknown: bool = False
    """Whether the group knows no node here, so that a home which is here nevertheless is over."""

    @property
    def home(self) -> Home:
        """Home of the node on this machine."""
        place = self.host.replace(":", "-")
        return Home(Path(self.plan.base).expanduser().absolute() / self.plan.space / place)

    @property
    def address(self) -> str:
        """Where the node is called."""
        return _joined(self.host, self.plan.port)

    @property
    def raft_address(self) -> str:
        """Where its member takes part in Raft."""
        return _joined(self.host, self.plan.port + 1)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def look(request: GuestRequest) -> dict[str, Any]:
    """Say what runs here, and which node has its home here."""
    raylet = _raylet(request)
    known = _known(request)
    return {
        "tocsin": _version("tocsin"),
        "ray": _version("ray"),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "ray_address": raylet.address,
        "name": "" if known is None else known.name,
        **_running(request),
    }


def begin(request: GuestRequest, *, waits: bool = True) -> dict[str, Any]:
    """Start the node, and wait until it takes part: as it was, as one that begins the group, or as one that joins.

    Raises:
        ClusterError: it cannot be, or did not start.
    """
    raylet, home = _raylet(request), request.home
    if request.is_unknown and _known(request) is not None:
        _put_aside(home)
    home.prepare()
    if request.password:
        replace_file(home.password_path, request.password.encode())
    known = _known(request)
    if known is None:
        check_free({"its member": request.raft_address, "its control server": request.address})
        known = _new_settings(request)

    def settings(mark: str) -> list[NodeSettings]:
        named = allowed_paths(home, request.host, parted(request.plan.allowed_paths))
        return [replace(known, ray_address=raylet.address, spread=request.plan, allowed_paths=named, mark=mark)]

    with contextlib.suppress(AlreadyRunningError):
        launch(home, request.plan.group_id, settings, stays=True, waits=waits)
    return {"name": known.name, "address": known.address, "directory": str(home.directory), **_running(request)}


def resume(request: GuestRequest) -> dict[str, Any]:
    """Start the node when it should run and does not, and wait for nobody; otherwise say what runs."""
    should_run = request.home.directory.exists() and request.home.stored_record() is not None
    if should_run and not _running(request)["supervisor_pid"]:
        return begin(request, waits=False)
    return _running(request)


def end(request: GuestRequest) -> dict[str, Any]:
    """End the node; what it keeps stays. What it has in Ray is the business of who asks for the end of all."""
    return {"ended": end_nodes(request.home, leaves_ray=False)}


_ACTIONS: Final[Mapping[str, Callable[[GuestRequest], dict[str, Any]]]] = {
    "look": look,
    "begin": begin,
    "resume": resume,
    "end": end,
}


def _raylet(request: GuestRequest) -> Raylet:
    """Return Ray's process of this machine.

    Raises:
        ClusterError: it is not to be found, or cannot be used.
    """
    found = next((one for one in raylets() if one.node_id == request.node_id), None)
    if found is None:
        raise ClusterError(f"the raylet of {request.host} is none of the processes that are seen there")
    if problem := unusable(found):
        raise ClusterError(problem)
    return found


def _known(request: GuestRequest) -> NodeSettings | None:
    """Return what the node here was told before; `None` when there was none."""
    found = list(request.home.directory.glob(f"group-{request.plan.group_id}/*/{SETTINGS_NAME}"))
    return NodeSettings.read(found[0].parent) if found else None


def _new_settings(request: GuestRequest) -> NodeSettings:
    if not request.seed and not request.name:
        raise ClusterError(f"{request.home.directory} has no settings of its node; end it, and begin the cluster again")
    plan = JoinPlan(name=request.name, members=request.members, votes=True, seed="")
    if request.seed:
        context = Credentials.derive(group_name(request.plan.group_id), request.password).client_context()
        plan = NodeClient(request.seed, context).call("plan_join", request.address, timeout_s=JOIN_TIMEOUT_S)
    return NodeSettings(
        name=plan.name,
        group_id=request.plan.group_id,
        home=str(request.home.directory),
        address=request.address,
        raft_address=request.raft_address,
        members={**plan.members, plan.name: request.raft_address},
        carries_ray=True,
        votes=plan.votes,
        seed=plan.seed,
    )


def _put_aside(home: Home) -> None:
    """Keep what a node had here that the group has forgotten, where nothing looks at it."""
    end_nodes(home, leaves_ray=False)
    shutil.move(home.directory, f"{home.directory}.{time.strftime('%Y%m%d-%H%M%S')}")


def _running(request: GuestRequest) -> dict[str, Any]:
    """Return the pid of the supervisor that runs here, 0 when there is none."""
    record = request.home.stored_record() if request.home.directory.exists() else None
    runs = record is not None and find_process(record.supervisor_pid, record.supervisor_started) is not None
    return {"supervisor_pid": record.supervisor_pid if record is not None and runs else 0}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def main() -> None:
    """Do what is asked."""
    begin_log()
    os.umask(0o077)
    # Ray's workers give way to all others, and a member that does looks dead; not everybody may change that.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    try:
        fields = json.loads(sys.stdin.read())
        request = shapes.record(GuestRequest, {**fields, "plan": shapes.record(GuestPlan, fields["plan"])})
        answer = _ACTIONS[request.do](request)
    except (TocsinError, RaftError, OSError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
