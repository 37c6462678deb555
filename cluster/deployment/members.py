"""Members of the group as Ray actors.

Apart from `cluster.deployment.deploy` because a member contains the leader, which deploys hosts with that module.
"""

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.deployment.deploy import Handle, member_name, start_actor
from cluster.deployment.member_host import MemberHost
from cluster.local.home import Home


def start_member(group_id: int, member_id: str, settings: bytes, home: Home) -> Handle:
    """Start one member of the Raft group on this node, or find it."""
    here = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
    options = {"max_concurrency": 16, "scheduling_strategy": here}
    return start_actor(MemberHost, member_name(group_id, member_id), options, settings, str(home.directory))
