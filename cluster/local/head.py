"""The head process: starts Ray on this machine, waits, and takes Ray down with it.

One process owns all of Ray's, so ending a cluster means ending one process that we started ourselves and no other
cluster of the machine is touched. Everything listens on loopback: Ray replaces 127.0.0.1 by the machine's address,
so the node is 127.0.0.2. The environment must be complete before Ray is imported (see `ray_environment`).
"""

import functools
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NODE_ADDRESS = "127.0.0.2"
"""Loopback address of the local node."""

ACTOR_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "RAY_worker_niceness": "0"}
"""Variables of all actors: a machine's cores are shared by actors, not by the threads of one, and who watches a busy
machine must not give way to what makes it busy (Ray would start actors at niceness 15)."""

READY_PREFIX = "ready "
"""Start of the line that tells the parent where Ray listens."""

STAY_LINE = "stay\n"
"""Line by which the parent lets the cluster outlive it; without it the cluster ends with the parent."""

REGISTER_TIMEOUT_S = 30
"""Seconds that Ray's node has to appear, which Ray has no setting for."""


def ray_environment(token_path: Path) -> Mapping[str, str]:
    """Return the variables that Ray must find: token authentication on, usage statistics off, quiet."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_METRICS_EXPORT_INTERVAL_MS": "60000",
    }


def start_environment(slowness: float) -> Mapping[str, str]:
    """Return the variables that give Ray's processes more time to start on a slow machine."""
    return {
        "RAY_gcs_server_port_wait_time_s": str(round(30 * slowness)),
        "RAY_gcs_server_request_timeout_seconds": str(round(60 * slowness)),
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(round(60 * slowness)),
        "RAY_worker_register_timeout_seconds": str(round(60 * slowness)),
    }


def ray_temporary(place: str) -> str:
    """Return the directory that Ray opens to everybody, inside of one that is its owner's; Ray needs short paths."""
    return f"{place}/r"


def main() -> None:
    """Start Ray, print one `ready` line of JSON, and stop it when told to, or when the standard input ends too early.

    The input ends however the process at its other end dies, so Ray does not outlive a start that came to nothing.
    Arguments: the directory for Ray's own, port of the job server (0: without), number of CPUs, bytes of the object
    store, and how many times slower than usual the machine is.
    """
    place, dashboard_port, cpu_count, store_bytes = sys.argv[1], *map(int, sys.argv[2:5])
    # Inherited by all of Ray's processes, ours among them: what they make is their owner's alone.
    os.umask(0o077)
    stop = threading.Event()
    _stop_on_signals(stop)
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    import ray
    from ray._private import parameter, services

    # `ray.init` has no argument for the one port that is the same for all clusters of a machine: the second cluster's
    # job server would have no agent. 0 lets Ray choose, as `ray start --dashboard-agent-listen-port=0` does.
    any_port = functools.partialmethod(parameter.RayParams.__init__, dashboard_agent_listen_port=0)
    parameter.RayParams.__init__ = any_port  # type: ignore[method-assign,assignment]  # see above
    services.get_node = _patient(services.get_node, REGISTER_TIMEOUT_S * float(sys.argv[5]))
    context: Any = ray.init(
        _node_ip_address=NODE_ADDRESS,
        _temp_dir=ray_temporary(place),
        include_dashboard=dashboard_port > 0,
        dashboard_host="127.0.0.1",
        dashboard_port=dashboard_port or None,
        num_cpus=cpu_count,
        object_store_memory=store_bytes,
        log_to_driver=False,
        configure_logging=False,
    )
    print(READY_PREFIX + json.dumps({"address": context.address_info["gcs_address"], "pid": os.getpid()}), flush=True)
    # Ray puts handlers of its own in place while it starts.
    _stop_on_signals(stop)
    stop.wait()
    ray.shutdown()
    shutil.rmtree(place, ignore_errors=True)


def _patient(get_node: Callable[..., Any], timeout_s: float) -> Callable[..., Any]:
    """Return a function that asks for a node until it has appeared, for longer than Ray does."""
    deadline = time.monotonic() + timeout_s

    def asking(*arguments: Any) -> Any:
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    return asking


def _stop_at_end_of_input(stop: threading.Event) -> None:
    if sys.stdin.readline() != STAY_LINE:
        stop.set()


def _stop_on_signals(stop: threading.Event) -> None:
    # The signals are not blocked instead, because Ray's processes would inherit that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


if __name__ == "__main__":
    main()
