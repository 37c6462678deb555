"""The unit tier's promise, kept by force: no sockets, no waiting, no Ray.

The interpreter reports what it is about to do to an audit hook; while a unit test runs, the hook fails the test for
what the tier forbids, also when a library does it. The hook stays for the life of the process, hence the switch, and
looks at the main thread only, because the threads of pytest's own workers may wait. Pairs of local sockets are allowed:
they are how an event loop wakes itself. A test that needs more belongs in another tier.
"""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3  # noqa: F401  when it is imported it looks with a socket whether there is IPv6

_sleep = time.sleep
_running = False


def _applies() -> bool:
    """Whether what happens now is done by a unit test."""
    return _running and threading.current_thread() is threading.main_thread()


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Fail the running unit test for what its tier forbids."""
    if event == "socket.__new__" and arguments[1] != socket.AF_UNIX and _applies():
        pytest.fail("a unit test opens no socket")
    if event == "import" and arguments[0].partition(".")[0] == "ray" and _applies():
        pytest.fail("a unit test does not import Ray")


def _refuse_sleep(seconds: float) -> None:
    """Fail the running unit test when it waits; Python 3.11 does not report sleeping to audit hooks."""
    if seconds > 0 and _applies():
        pytest.fail("a unit test does not sleep: pass the time in")
    _sleep(seconds)


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def refusals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch the refusals on while a unit test and the fixtures set up after this one run."""
    global _running
    monkeypatch.setattr(time, "sleep", _refuse_sleep)
    _running = True
    yield
    _running = False
