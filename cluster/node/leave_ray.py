"""Ends the actors that nodes of this machine have on a Ray that others have started; Ray goes on.

Run as a process of its own when the nodes have ended, so that nobody starts the actors again; the directory of one of
the nodes is its argument.
"""

import sys
from pathlib import Path

from cluster.node.ray_guest import find_raylet
from cluster.node.security import credentials_of, guest_namespace
from cluster.node.settings import NodeSettings


def main() -> None:
    """End what is there."""
    directory = Path(sys.argv[1])
    settings = NodeSettings.read(directory)
    raylet = find_raylet(settings.ray_address)
    if raylet is None:
        return
    from cluster.deployment.deploy import connect, end_actors_of

    connect(raylet.address, raylet.host, guest_namespace(credentials_of(directory)))
    end_actors_of(settings.group_id, sys.argv[2:])


if __name__ == "__main__":
    main()
