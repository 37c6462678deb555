"""A cluster on the machines of a Ray that others have started: begun and ended from a home that has no node.

The home keeps the password and `guests.json`, which says where the nodes are. Each node has a home of its own on its
machine. What speaks to Ray is a process of its own (`cluster.node.enter_ray`), with the environment that reaches it.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from actors.files import private_opener
from cluster.errors import AlreadyRunningError, ClusterError
from cluster.local.environment import environment_of_others
from cluster.local.guest_record import GuestRecord
from cluster.local.home import Home
from cluster.local.speed import slowness
from cluster.node.enter_ray import EnterRequest, request_text
from cluster.node.guest_plan import GuestPlan
from cluster.node.security import group_name, guest_namespace
from raft.credentials import Credentials
from raft.passwords import read_password_file

ENTER_TIMEOUT_S: Final = 600.0
"""Seconds that all of it may take, on a machine of usual speed."""


def start_guests(home: Home, ray_address: str, plan: GuestPlan) -> tuple[GuestRecord, tuple[str, ...]]:
    """Have a cluster run on machines of a Ray; return how to reach it, and what there is to remark.

    Args:
        home: keeps the password, which is made when there is none.
        ray_address: host:port of that Ray's control store, or ray://host:port of its client server.
        plan: how it is spread; `space` follows from the password.

    Raises:
        AlreadyRunningError: the home has a cluster.
        ClusterError: it did not start; nothing runs.
    """
    home.prepare()
    with home.lock():
        if home.stored_record() is not None or GuestRecord.read(home) is not None:
            raise AlreadyRunningError(f"{home.directory} has a cluster; `tocsin down` ends it")
        home.ensure_secrets(plan.group_id)
        password = read_password_file(home.password_path)
        plan = _named(plan, password)
        answer = _speak(home, EnterRequest(do="enter", ray_address=ray_address, plan=plan, password=password))
        record = GuestRecord(ray_address=ray_address, plan=plan, node_addresses=answer["nodes"], homes=answer["homes"])
        record.write(home)
    return record, tuple(answer["remarks"])


def stop_guests(home: Home) -> bool:
    """End the cluster that was begun from a home, with all that it has in that Ray; return whether there was one.

    Raises:
        ClusterError: that Ray does not answer, or nodes go on that it does not reach; the record stays.
    """
    if not home.directory.exists():
        return False
    with home.lock():
        record = GuestRecord.read(home)
        if record is None:
            return False
        password = read_password_file(home.password_path)
        known = _known_nodes(record, password)
        request = EnterRequest(
            do="leave",
            ray_address=record.ray_address,
            plan=record.plan,
            password=password,
            addresses={name: address for name, (address, _) in known.items()},
        )
        homes = {name: directory for name, (_, directory) in known.items()}
        try:
            left = _speak(home, request)["left"]
        except ClusterError as error:
            raise ClusterError(f"{error}; nodes go on: {_by_hand(record.node_addresses, homes)}") from error
        if left:
            raise ClusterError(f"nodes go on that this Ray does not reach: {_by_hand(left, homes)}")
        GuestRecord.remove(home)
    return True


def _known_nodes(record: GuestRecord, password: str) -> dict[str, tuple[str, str]]:
    """Return address and directory of each node, as the group knows them, or else as they were at first."""
    from cluster.client.access import Access
    from cluster.client.nodes import Nodes

    access = Access.of_guests(record, password)
    try:
        return {name: (node.address, node.directory) for name, node in Nodes(access).state().nodes.items()}
    except ClusterError:
        return {name: (address, record.homes.get(name, "")) for name, address in record.node_addresses.items()}


def _by_hand(left: Mapping[str, str], homes: Mapping[str, str]) -> str:
    return ", ".join(f"`tocsin --home {homes.get(name, '?')} down` on {left[name]}" for name in sorted(left))


def _named(plan: GuestPlan, password: str) -> GuestPlan:
    """Return the plan with the namespace that follows from the password."""
    return replace(plan, space=guest_namespace(Credentials.derive(group_name(plan.group_id), password)))


def _speak(home: Home, request: EnterRequest) -> Mapping[str, Any]:
    """Have a process do it that is a driver of that Ray.

    Raises:
        ClusterError: it could not.
    """
    with open(home.log_path, "a", opener=private_opener) as output:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "cluster.node.enter_ray"],
                input=request_text(request),
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=environment_of_others(),
                timeout=ENTER_TIMEOUT_S * slowness(),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"the Ray at {request.ray_address} did not do it in time; {home.log_path}") from error
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise ClusterError(f"the Ray at {request.ray_address} cannot be used; {home.log_path} says why")
    answer: Mapping[str, Any] = json.loads(lines[-1])
    if "error" in answer:
        raise ClusterError(str(answer["error"]))
    return answer
