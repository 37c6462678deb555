"""The unit tier refuses what it forbids; see `conftest.py` beside this file."""

import socket
import sys
import time

import pytest


def test_a_socket_is_refused() -> None:
    with pytest.raises(pytest.fail.Exception, match="opens no socket"):
        socket.socket()


def test_a_local_pair_of_sockets_is_allowed() -> None:
    for end in socket.socketpair():
        end.close()


def test_sleeping_is_refused() -> None:
    with pytest.raises(pytest.fail.Exception, match="does not sleep"):
        time.sleep(0.001)


def test_giving_way_is_allowed() -> None:
    time.sleep(0)


def test_importing_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(pytest.fail.Exception, match="does not import Ray"):
        __import__("ray")  # what a statement calls, and what the interpreter reports; importlib is not reported
