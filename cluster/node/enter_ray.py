"""How a cluster comes onto a Ray that others have started, and leaves it: a driver of that Ray for as long as it takes.

Run as a process of its own, in whose environment that Ray is reached, by `tocsin up` and `tocsin down`. A request is
JSON on the standard input, as the password is in it; the answer is the last line of the standard output.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from actors.errors import TocsinError
from cluster.errors import ClusterError
from cluster.node.calls import NodeClient
from cluster.node.guest_plan import FOUNDER_COUNT, GuestPlan, address_order, check_alike, hosts_to_start
from cluster.node.log import begin_log
from cluster.node.ray_guest import usable_raylet
from cluster.node.security import group_name
from raft import shapes
from raft.credentials import Credentials
from raft.errors import RaftError

if TYPE_CHECKING:
    from cluster.deployment.guests import Keepers

CLIENT_SCHEME: Final = "ray://"
"""How an address of Ray's own client server begins, which lets in who is on none of its machines."""

STATUS_TIMEOUT_S: Final = 3.0
"""Seconds in which a node that runs says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterRequest:
    """What is wanted of that Ray."""

    do: str
    """`enter` or `leave`."""

    ray_address: str
    """host:port of its control store, on one of its machines, or ray://host:port from elsewhere."""

    plan: GuestPlan
    """How the cluster is spread."""

    password: str = field(repr=False)
    """The group's."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """Control address of each node that is known, by name; for `leave`."""


def enter(request: EnterRequest, keepers: "Keepers") -> dict[str, Any]:
    """Have the cluster run: its nodes that were there before, or else new ones; return their addresses.

    Raises:
        ClusterError: it cannot be, and nothing runs.
    """
    from cluster.deployment.guests import complain

    alive = sorted(keepers.alive(), key=address_order)
    looks = keepers.ask_all({host: {"do": "look"} for host in alive})
    usable = {host: said for host, said in looks.items() if "error" not in said}
    if not usable:
        complain(looks)
    check_alike(usable)
    known = [host for host, said in usable.items() if said["name"]]
    chosen = known or hosts_to_start({}, usable, request.plan.count, founds=True)
    begun: dict[str, dict[str, object]] = {host: {"do": "begin", "password": request.password} for host in chosen}
    if not known:
        members = {f"node-{number}": host for number, host in enumerate(chosen, 1)}
        ports = {name: _joined(host, request.plan.port + 1) for name, host in members.items()}
        for name, host in members.items():
            begun[host] |= {"name": name, "members": ports}
    answers = keepers.ask_all(begun)
    started = {host: said for host, said in answers.items() if "error" not in said}
    # Machines that are back are enough when their majority leads; of new ones, each is needed.
    if not started or (not known and len(started) < len(answers)):
        keepers.ask_all({host: {"do": "end"} for host in chosen})
        complain(answers)
    remarks = [f"{host}: {said['error']}" for host, said in {**looks, **answers}.items() if "error" in said]
    wanted_count = FOUNDER_COUNT if request.plan.count == 0 else request.plan.count
    if len(alive) < wanted_count:
        remarks.append(f"this Ray has {len(alive)} of {wanted_count} machines; others get a node when they are there")
    nodes = {str(said["name"]): str(said["address"]) for said in started.values()}
    homes = {str(said["name"]): str(said["directory"]) for said in started.values()}
    return {"nodes": nodes, "homes": homes, "remarks": remarks}


def leave(request: EnterRequest, keepers: "Keepers") -> dict[str, Any]:
    """End all nodes of the cluster on machines of that Ray, and then its actors; return which nodes still answer."""
    from cluster.deployment.guests import end_everything

    answers = keepers.ask_all({host: {"do": "end"} for host in keepers.alive()})
    end_everything(request.plan.group_id)
    context = Credentials.derive(group_name(request.plan.group_id), request.password).client_context()
    left = {name: one for name, one in request.addresses.items() if _answers(NodeClient(one, context))}
    return {"left": left, "remarks": [f"{host}: {said['error']}" for host, said in answers.items() if "error" in said]}


def _answers(client: NodeClient) -> bool:
    try:
        client.call("status", timeout_s=STATUS_TIMEOUT_S)
    except ClusterError:
        return False
    return True


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _carry_out(request: EnterRequest) -> dict[str, Any]:
    from cluster.deployment.deploy import connect, connect_from_outside
    from cluster.deployment.guests import Keepers, end_keepers

    if request.ray_address.startswith(CLIENT_SCHEME):
        connect_from_outside(request.ray_address, request.plan.space)
    else:
        raylet = usable_raylet(request.ray_address)
        connect(raylet.address, raylet.host, request.plan.space)
    keepers = Keepers(request.plan)
    if request.do == "leave":
        return leave(request, keepers)
    try:
        return enter(request, keepers)
    except ClusterError:
        end_keepers(request.plan.group_id)
        raise


def main() -> None:
    """Do what is wanted."""
    begin_log()
    try:
        fields = json.loads(sys.stdin.read())
        request = shapes.record(EnterRequest, {**fields, "plan": shapes.record(GuestPlan, fields["plan"])})
        answer = _carry_out(request)
    except (TocsinError, RaftError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)


def request_text(request: EnterRequest) -> str:
    """Return a request as `main` reads it."""
    return json.dumps(asdict(request))


if __name__ == "__main__":
    main()
