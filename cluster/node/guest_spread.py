"""Keeps a cluster on as many machines of a Ray of others as it is to be on: the leading node's work, in its driver.

A machine on which Ray is back and our node is not gets it started again; while fewer nodes answer than are wanted,
another machine gets one, which joins the group.
"""

import logging
import threading
import time
from pathlib import Path
from typing import Final

from cluster.client.nodes import Nodes
from cluster.deployment.guests import Keepers
from cluster.local.home import Home
from cluster.node.group_port import NodeGroup
from cluster.node.guest_plan import GuestPlan, hosts_to_start
from cluster.node.settings import NodeSettings
from raft.passwords import read_password_file

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""Seconds between two looks at the machines of that Ray."""

PATIENCE_S: Final = 20.0
"""Seconds of leading before a node that says nothing counts as one that does not come by itself."""


class GuestSpread:
    """Looks again and again, in a thread of its own."""

    def __init__(self, settings: NodeSettings, plan: GuestPlan, group: NodeGroup) -> None:
        self._settings = settings
        self._plan = plan
        self._group = group
        self._keepers = Keepers(plan)
        self._leads_since_s: float | None = None

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="spread", daemon=True).start()

    def _run(self) -> None:
        waiting = threading.Event()
        while not waiting.wait(LOOK_S):
            try:
                self._look()
            except Exception as error:
                log.warning("the machines of Ray were not looked at", extra={"reason": str(error)})

    def _look(self) -> None:
        now_s = time.monotonic()
        if self._group.led_epoch() is None:
            self._leads_since_s = None
            return
        self._leads_since_s = self._leads_since_s or now_s
        if now_s - self._leads_since_s < PATIENCE_S:
            return
        nodes, answering = self._group.state().nodes, self._group.answering_nodes()
        names = {node.machine: name for name, node in nodes.items()}
        known = {host: name in answering for host, name in names.items()}
        wanted = hosts_to_start(known, self._keepers.alive(), self._plan.count)
        if not wanted:
            return
        looks = self._keepers.ask_all({host: {"do": "look"} for host in wanted})
        for host, said in looks.items():
            if "error" not in said and not said["name"] and host in names:
                self._forget(names.pop(host))
        log.info("nodes are started on machines of Ray", extra={"machines": wanted})
        home = Home(Path(self._settings.home))
        request = {"do": "begin", "password": read_password_file(home.password_path), "seed": self._settings.address}
        begun = {host: {**request, "is_unknown": host not in names} for host in wanted}
        for host, said in self._keepers.ask_all(begun).items():
            log.info("a machine of Ray answers", extra={"machine": host, "reason": said.get("error", "")})

    def _forget(self, name: str) -> None:
        """Take a node out of the cluster whose home is gone from its machine: it has nothing to come back with."""
        log.warning("a node has lost its home, and another one takes its place", extra={"node": name})
        Nodes(Home(Path(self._settings.home))).expel(name)
