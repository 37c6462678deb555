"""The leader's process: a Ray driver that stands by, and runs the jobs of the group while its node's member leads.

It asks its node for everything that concerns the group, over calls that may be kept waiting, and answers queries itself
(`cluster.node.leader_calls`). It ends with its node, because its standard input ends then.
"""

import json
import logging
import os
import sys
import threading
from pathlib import Path

from cluster.local.home import Home
from cluster.node.control import ControlServer
from cluster.node.log import begin_log
from cluster.node.ray_environment import driver_environment, ray_host
from cluster.node.ray_guest import usable_raylet
from cluster.node.security import NAMESPACE, contexts_of, credentials_of, guest_namespace
from cluster.node.settings import NodeSettings

log = logging.getLogger(__name__)


def main() -> None:
    """Stand by, until the standard input ends."""
    begin_log()
    directory = Path(sys.argv[1])
    settings = NodeSettings.read(directory)
    os.umask(0o077)
    os.environ.update(driver_environment())
    # Takes seconds, in which Ray is still being started.
    from cluster.deployment.deploy import connect
    from cluster.deployment.node_deployment import NodeDeployment
    from cluster.leader.supervisor import Leader
    from cluster.node.group_port import NodeGroup
    from cluster.node.guest_spread import GuestSpread
    from cluster.node.leader_calls import LeaderCalls
    from cluster.node.lingering import HostUse, LingeringHosts
    from cluster.node.resting import RestingMover
    from cluster.node.sampler_watch import SamplerWatch
    from cluster.node.silence import Silence

    log.info("stands by for Ray")
    line = sys.stdin.readline()
    if not line:
        return
    log.info("connects to Ray")
    threading.Thread(target=_end_with_input, daemon=True).start()
    if settings.ray_address:
        raylet = usable_raylet(settings.ray_address)
        connect(raylet.address, raylet.host, guest_namespace(credentials_of(directory)))
    else:
        connect(json.loads(line)["ray_address"], ray_host(settings.host), NAMESPACE)
    log.info("is connected to Ray")
    security = contexts_of(directory)
    group = NodeGroup(settings, security)
    deployment = NodeDeployment(settings, group, Home(Path(settings.home)))
    leader = Leader(group, deployment)
    use, silence = HostUse(), Silence()
    calls = LeaderCalls(leader, deployment, group, use, silence)
    server = ControlServer((settings.host, 0), security.server, calls.by_name)
    leader.start()
    RestingMover(leader, deployment, group, use, silence).start()
    LingeringHosts(leader, deployment, group, use).start()
    SamplerWatch(group, deployment).start()
    if settings.spread is not None:
        GuestSpread(settings, settings.spread, group).start()
    log.info("could lead")
    # From here on the node knows that this process could lead.
    group.run(server.address)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
