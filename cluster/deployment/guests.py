"""Nodes of ours on the machines of a Ray that others have started: found, started and ended by way of their keepers.

What is here needs a driver of that Ray in this process. A keeper belongs to one of Ray's own nodes and has its id in
its name, so that one on a node that has ended is never taken for one on its successor at the same address.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.deployment import deploy, guest_keeper
from cluster.deployment.deploy import Handle
from cluster.deployment.guest_keeper import GuestKeeper
from cluster.errors import ClusterError, NoAnswerError
from cluster.local.speed import slowness
from cluster.node.guest_plan import GuestPlan

ASK_TIMEOUT_S: Final = 300.0
"""Seconds that Ray has to start a keeper and that to start or end a node, on a machine of usual speed."""

_THREAD_COUNT: Final = 16
"""Machines that are asked at the same time."""

# Where keepers run, nobody need have this module.
cloudpickle.register_pickle_by_value(guest_keeper)  # type: ignore[no-untyped-call]  # Ray's, without types


def machines() -> dict[str, str]:
    """Return Ray's id of a node on each machine of this Ray, by the machine's address."""
    found = sorted((one["NodeManagerAddress"], one["NodeID"]) for one in deploy.ray_nodes() if one["Alive"])
    return {str(host): str(node_id) for host, node_id in reversed(found)}


class Keepers:
    """The keepers of one cluster."""

    def __init__(self, plan: GuestPlan) -> None:
        self._plan = plan
        self._ids: dict[str, str] = {}
        self._handles: dict[str, Handle] = {}

    def alive(self) -> tuple[str, ...]:
        """Return the addresses of the machines on which Ray is now."""
        self._ids = machines()
        return tuple(self._ids)

    def ask_all(self, requests: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, Any]]:
        """Return what machines answer, by address, all asked at once; what one could not do is its `error`."""
        if not requests:
            return {}
        with ThreadPoolExecutor(_THREAD_COUNT) as threads:
            return dict(zip(requests, threads.map(self._ask, requests.keys(), requests.values()), strict=True))

    def _ask(self, host: str, request: Mapping[str, object]) -> dict[str, Any]:
        try:
            keeper = self._keeper(host)
            said = deploy.call(keeper.ask.remote, json.dumps(request), timeout_s=ASK_TIMEOUT_S * slowness())
        except (NoAnswerError, ray.exceptions.RayError) as error:
            # One that has died for good gets a successor, by the same name.
            self._handles.pop(self._name(host), None)
            return {"error": str(error)}
        answer: dict[str, Any] = json.loads(said)
        return answer

    def _keeper(self, host: str) -> Handle:
        """Return the keeper of a machine, started when there is none."""
        name, node_id, plan = self._name(host), self._ids[host], self._plan
        options = {
            "max_concurrency": 1,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=node_id, soft=False),
        }
        place = json.dumps({"plan": asdict(plan), "host": host, "node_id": node_id})
        if name not in self._handles:
            self._handles[name] = deploy.start_actor(GuestKeeper, name, options, plan.python, place)
        return self._handles[name]

    def _name(self, host: str) -> str:
        return f"{_prefix(self._plan.group_id)}{host}/{self._ids[host][:16]}"


def end_everything(group_id: int) -> None:
    """End all actors of a cluster: hosts, what fills stream tables, and last the keepers."""
    for prefix in (f"host:{group_id}:", f"pool:{group_id}@", f"stream:{group_id}:", _prefix(group_id)):
        deploy.end_actors(prefix)


def end_keepers(group_id: int) -> None:
    """End the keepers of a cluster; what they have started goes on."""
    deploy.end_actors(_prefix(group_id))


def complain(answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse answers that say what could not be done.

    Raises:
        ClusterError: with the first machine that could not, and why.
    """
    for host, answer in answers.items():
        if "error" in answer:
            raise ClusterError(f"{host} of that Ray: {answer['error']}")


def _prefix(group_id: int) -> str:
    return f"keeper:{group_id}@"
