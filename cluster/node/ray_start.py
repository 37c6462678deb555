"""Starts Ray's processes of one machine, says which they are, and ends: they stay, in the session of this process.

Started by `cluster.node.ray_keeper` with a complete environment (see `cluster.local.head`); reads one line of JSON and
prints one. The head has no monitor of an autoscaler, no log monitor and, unless asked for, no server for jobs and
pages, which together are most of the processes and half of the memory of `ray start --head`. Where nobody but Tocsin
uses Ray, its two agents, which report metrics and install what jobs of others need, are stood in for by processes that
do nothing: the raylet wants to have started something, and lives and dies with it.
"""

import functools
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cluster.node.ray_environment import ray_host

READY_PREFIX: Final = "ready "
"""Start of the line that says what was started."""

_STAND_IN: Final = subprocess.list2cmdline(["/bin/sh", "-c", "exec cat"])
"""Waits for the end of its standard input, which is the end of the raylet."""

_AGENT_PORTS: Final = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
"""Ports whose number a raylet waits for when it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayRequest:
    """What is to be started."""

    node: str
    """Name by which Ray knows the node."""

    host: str
    """Address of the machine, at which everything listens as far as Ray lets it."""

    head_address: str
    """host:port of the head to join; empty to be the head."""

    directory: str
    """Where Ray keeps its logs and sockets; a short path, because names of sockets are limited."""

    cpu_count: int
    object_store_bytes: int
    dashboard_port: int
    """Port of the server for jobs and pages; 0 for none."""

    has_agents: bool
    """Whether Ray's agents run; jobs of others need them, those of Tocsin do not."""

    register_timeout_s: float
    """Seconds that the node has to appear in its own cluster."""


def main() -> None:
    """Start what is asked for."""
    request = RayRequest(**json.loads(sys.stdin.readline()))
    os.umask(0o077)
    from ray._private import parameter, services
    from ray._private.node import Node

    class LeanNode(Node):
        """One that starts the server for jobs only when it is wanted: Ray starts a part of it always."""

        def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
            if include_dashboard:
                super().start_api_server(include_dashboard=True, raise_on_failure=raise_on_failure)

    if not request.has_agents:
        services.start_ray_process = _without_agents(services.start_ray_process)
    services.get_node = _patient(services.get_node, request.register_timeout_s)
    has_dashboard = request.dashboard_port > 0
    # Its annotations are not what it takes.
    parameters = parameter.RayParams(
        gcs_address=request.head_address or None,
        gcs_server_port=0,
        node_ip_address=ray_host(request.host),
        node_name=request.node,
        temp_dir=request.directory,
        # Ray starts as many idle workers as there are CPUs; actors of ours take none.
        num_cpus=request.cpu_count,
        object_store_memory=request.object_store_bytes,
        include_dashboard=has_dashboard,
        dashboard_host=request.host,
        dashboard_port=request.dashboard_port or None,  # type: ignore[arg-type]
        dashboard_agent_listen_port=0,
        include_log_monitor=False,  # type: ignore[arg-type]
        no_monitor=True,
    )
    node = LeanNode(parameters, head=not request.head_address, shutdown_at_exit=False, spawn_reaper=False)
    pids = {kind: [one.process.pid for one in found] for kind, found in node.all_processes.items()}
    print(READY_PREFIX + json.dumps({"address": node.gcs_address, "pids": pids}), flush=True)
    os._exit(0)


def _without_agents(start: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that starts a process of Ray; a raylet's two agents are replaced by ones that do nothing."""
    raylet: Any = importlib.import_module("ray._raylet")

    @functools.wraps(start)
    def starting(command: list[str], kind: str, *arguments: Any, **named: Any) -> Any:
        options = dict(word.removeprefix("--").split("=", 1) for word in command if "=" in word)
        if "dashboard_agent_command" in options:
            for port in _AGENT_PORTS:
                # What Ray's own agent says of services that are not in use.
                raylet.persist_port(options["session_dir"], options["node_id"], port, -1)
            command = [
                f"{word.split('=', 1)[0]}={_STAND_IN}" if "_agent_command=" in word else word for word in command
            ]
        return start(command, kind, *arguments, **named)

    return starting


def _patient(get_node: Callable[..., Any], timeout_s: float) -> Callable[..., Any]:
    """Return a function that asks for a node until it has appeared, for longer than Ray does."""
    deadline = time.monotonic() + timeout_s

    @functools.wraps(get_node)
    def asking(*arguments: Any, **named: Any) -> Any:
        while True:
            try:
                return get_node(*arguments, **named)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    return asking


if __name__ == "__main__":
    main()
