"""Every private name of PySyncObj that the seam uses is there, of the kind and with the arguments it relies on."""

import inspect
import random
import socket
from pathlib import Path
from types import CodeType
from typing import Any

import pysyncobj.version
import pytest
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from raft.consensus import Consensus
from raft.pysyncobj_seam import PYSYNCOBJ_VERSION, REPLACED, Internals, Private, RaftSeam
from tests.unit.raft.lone import Lone, PlainTransport

PRIVATE = {name: value.name for name, value in vars(Internals).items() if isinstance(value, Private)}
KINDS = {
    "state": int,
    "term": int,
    "voted_for": type(None),
    "leader": type(None),
    "append_due_s": int,
    "log": object,
    "commit_index": int,
    "applied_index": int,
    "leader_commit_index": type(None),
    "election_index": type(None),
    "others": set,
    "connected": set,
    "next_index": dict,
    "match_index": dict,
    "answered_at_s": dict,
    "command_number": int,
    "waiting": dict,
}
CALLED = {
    "_applyCommand": ["self", "command", "callback", "commandType"],
    "doTick": ["self", "timeToWait"],
    "_SyncObj__setState": ["self", "newState"],
    "_SyncObj__setCurrentTerm": ["self", "term", "votedForNodeId"],
    "_SyncObj__onLeaderChanged": ["self"],
}
OF_REPLACED = {
    "_SyncObj__onMessageReceived": ["self", "node", "message"],
    "_SyncObj__generateRaftTimeout": ["self"],
    "_SyncObj__sendAppendEntries": ["self"],
    "_checkCommandsToApply": ["self"],
    "_SyncObj__applyLogEntries": ["self"],
    "_SyncObj__tryLogCompaction": ["self"],
    "_SyncObj__parseChangeClusterRequest": ["self", "command"],
    "_SyncObj__changeCluster": ["self", "request"],
}
OF_TRANSPORT = {
    "_onMessageReceived": ["self", "node", "message"],
    "_onNodeConnected": ["self", "node"],
    "_onNodeDisconnected": ["self", "node"],
}


def plain_member() -> Any:
    """Return a member of PySyncObj's own."""
    return SyncObj(Node("a"), [], SyncObjConf(autoTick=False), transport=PlainTransport())


def arguments(kind: type, name: str) -> list[str]:
    return list(inspect.signature(getattr(kind, name)).parameters)


def names_in(code: CodeType) -> set[str]:
    """Return the names that a function uses, those of functions inside of it too."""
    inner = [names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def test_the_version_is_the_one_whose_names_are_known() -> None:
    assert pysyncobj.version.VERSION == PYSYNCOBJ_VERSION


def test_every_attribute_is_there_and_of_its_kind() -> None:
    assert PRIVATE.keys() == KINDS.keys()
    attributes = vars(plain_member())
    odd = [name for name, kind in KINDS.items() if not isinstance(attributes.get(PRIVATE[name], ...), kind)]
    assert odd == []


@pytest.mark.parametrize("name", [*CALLED, *OF_REPLACED])
def test_every_method_takes_what_it_is_given(name: str) -> None:
    assert arguments(SyncObj, name) == {**CALLED, **OF_REPLACED}[name]


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_replaced_is_called_by_pysyncobj(name: str) -> None:
    functions = [value for value in vars(SyncObj).values() if inspect.isfunction(value)]
    assert any(name in names_in(function.__code__) for function in functions)
    assert getattr(Consensus, name) is getattr(Consensus, REPLACED[name])


def test_the_seam_replaces_and_calls_what_is_listed_here_and_nothing_else() -> None:
    used = set().union(*(names_in(value.__code__) for value in vars(RaftSeam).values() if inspect.isfunction(value)))
    assert {name for name in used if name.startswith("_SyncObj__")} <= {*CALLED, *REPLACED}
    assert REPLACED.keys() == OF_REPLACED.keys()
    source = Path(inspect.getfile(RaftSeam)).parent
    others = [path.name for path in source.glob("*.py") if "_SyncObj__" in path.read_text()]
    assert others == ["pysyncobj_seam.py"]


@pytest.mark.parametrize("name", OF_TRANSPORT)
def test_the_transport_passes_on_what_it_is_given(name: str) -> None:
    assert arguments(Transport, name) == OF_TRANSPORT[name]


def test_the_names_read_and_write_what_pysyncobj_uses(tmp_path: Path) -> None:
    member = Lone(tmp_path).member
    member._raft.term = 7
    assert (member.raftCurrentTerm, member._raft.commit_index) == (7, member.raftCommitIndex)
    with pytest.raises(AssertionError):
        Private[int]("madeUp").__set__(member._raft, random.Random(1).randrange(9))


def test_the_outcomes_of_a_command_are_known() -> None:
    names = {name for name in vars(FAIL_REASON) if name.isupper()}
    assert names >= {"SUCCESS", "MISSING_LEADER", "DISCARDED", "UNKNOWN_OUTCOME", "REQUEST_DENIED"}


def test_addresses_are_shown_as_before_it_was_imported() -> None:
    assert socket.inet_ntop(socket.AF_INET6, bytes(15) + b"\x01") == "::1"
    assert socket.inet_ntop(socket.AF_INET, b"\x7f\x00\x00\x01") == "127.0.0.1"
