"""Environment of Ray's processes, complete before Ray is imported anywhere."""

from collections.abc import Mapping
from pathlib import Path

ACTOR_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "RAY_worker_niceness": "0"}
"""Variables of all actors: a machine's cores are shared by actors, not by the threads of one, and who watches a busy
machine must not give way to what makes it busy (Ray would start actors at niceness 15)."""


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
