"""What is wrong with nodes is said with their names, and one that is silent keeps nobody waiting twice."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.client import nodes
from cluster.client.nodes import Nodes
from cluster.errors import NoAnswerError
from cluster.node.status import ChildStatus, NodeStatus, RayPhase, RayStatus
from cluster.show.problems import cluster_problems
from raft.member_status import MemberStatus

FINE = NodeStatus(
    name="node-1",
    pid=1,
    member=MemberStatus(name="node-1", identity="", role="leader", problem=""),
    led_epoch=2,
    ray=RayStatus(phase=RayPhase.RUNNING),
    child=ChildStatus(pid=2, address="a:1", silence_s=1.2),
)


def test_nodes_that_are_fine_have_no_problems() -> None:
    assert cluster_problems([("node-1", FINE), ("node-2", replace(FINE, child=ChildStatus(pid=3, silence_s=20)))]) == []


def test_who_does_not_answer_or_is_silent_is_named() -> None:
    silent = replace(FINE, child=replace(FINE.child, silence_s=7.4))
    hung = replace(FINE, ray=RayStatus(phase=RayPhase.RUNNING, problem="gcs_server of Ray is stopped"))
    assert cluster_problems([("node-1", silent), ("node-2", None), ("node-3", hung)]) == [
        "node-1: its leader's process has been silent for 7 s",
        "node-2: does not answer",
        "node-3: gcs_server of Ray is stopped",
    ]


def test_a_silent_node_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "LOOK_TIMEOUT_S", 0.05)
    asked: list[str] = []

    def client(_: Nodes, address: str) -> Any:
        def call(*_: object, timeout_s: float) -> str:
            asked.append(address)
            if address == "hangs":
                time.sleep(timeout_s)
                raise NoAnswerError(address)
            return address

        return SimpleNamespace(call=call)

    monkeypatch.setattr(Nodes, "client", client)
    found = object.__new__(Nodes)
    found._addresses = {"node-1": "answers", "node-2": "hangs"}
    found._silent_until_s = {}
    with ThreadPoolExecutor(4) as found._threads:
        for _ in range(2):
            assert found._ask_all("status") == [("node-1", "answers"), ("node-2", None)]
    assert sorted(asked) == ["answers", "answers", "hangs"]
