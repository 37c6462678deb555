"""Environment of Ray's processes, complete before Ray is imported anywhere."""

import importlib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

ACTOR_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "RAY_worker_niceness": "0"}
"""Variables of all actors: a machine's cores are shared by actors, not by the threads of one, and who watches a busy
machine must not give way to what makes it busy (Ray would start actors at niceness 15)."""


def ray_environment(token_path: Path) -> Mapping[str, str]:
    """Return the variables that Ray must find: token authentication on, usage statistics off, quiet.

    Nor does Ray keep a record of every call, which all its processes would work for and its head remember.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_METRICS_EXPORT_INTERVAL_MS": "60000",
        "RAY_task_events_report_interval_ms": "0",
    }


def start_environment(slowness: float) -> Mapping[str, str]:
    """Return the variables that give Ray's processes more time to start on a slow machine."""
    return {
        "RAY_gcs_server_port_wait_time_s": str(round(30 * slowness)),
        "RAY_gcs_server_request_timeout_seconds": str(round(60 * slowness)),
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(round(60 * slowness)),
        "RAY_worker_register_timeout_seconds": str(round(60 * slowness)),
    }


def driver_environment() -> Mapping[str, str]:
    """Return the variables by which a driver learns in a fraction of a second that an actor is dead.

    Otherwise a call that has lost its connection waits a second for what else is known of the actor, and is looked at
    once a second.
    """
    return {"RAY_timeout_ms_task_wait_for_death_info": "50", "RAY_core_worker_internal_heartbeat_ms": "100"}


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from its own machine; a name that is not `localhost` counts as others'."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_environment(host: str) -> Mapping[str, str]:
    """Return the variables for Ray on a machine with that address.

    Ray's servers listen at all addresses of a machine, but for one case: a node whose address is that of `localhost`.
    Ray resolves that to an address others can reach, unless it is told that there are no others.
    """
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if is_loopback(host) else {}


def ray_host(host: str) -> str:
    """Return the address by which Ray knows a machine with that address: on loopback the one that keeps Ray there."""
    if not is_loopback(host):
        return host
    network: Any = importlib.import_module("ray._common.network_utils")
    found: str = network.get_localhost_ip()
    return found
