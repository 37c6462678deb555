"""What Ray finds in the environment of our processes, and what was there before."""

import os

from cluster.local.home import Home
from cluster.node.ray_environment import address_environment, ray_environment

LOCAL_HOST = "127.0.0.2"
"""Loopback address of a cluster of one machine; Ray's own is that of `localhost` (`ray_host`)."""

_former: dict[str, str | None] = {}
"""Variables of the environment that were set for Ray, as they were before; `None`: not there."""


def prepare_environment(home: Home) -> None:
    """Set what Ray must find in this process's environment; call it before Ray is imported."""
    ours = {**ray_environment(home.token_path), **address_environment(LOCAL_HOST)}
    for name in ours:
        _former.setdefault(name, os.environ.get(name))
    os.environ.update(ours)


def environment_of_others() -> dict[str, str]:
    """Return this process's environment as it was given, for those who use a Ray that others have started."""
    return {name: value for name in os.environ if (value := _former.get(name, os.environ[name])) is not None}
