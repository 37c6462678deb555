"""Who holds a port open and says nothing is told from who speaks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.node.gcs_look import answers


@contextmanager
def listening(said: bytes | None) -> Iterator[str]:
    """Listen, and say something to who connects; `None` takes no connection, as a process that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(said or b"")

        if said is not None:
            threading.Thread(target=serve, daemon=True).start()
        yield "{}:{}".format(*server.getsockname())


@pytest.mark.parametrize(
    ("said", "does"),
    [
        (b"\0\0\0\4\0\0\0\0\0", True),
        (b"\0\0\6\4\0\0\0\0\0", True),
        (b"HTTP/1.1 400", False),
        (b"", False),
        (None, False),
    ],
)
def test_only_the_settings_of_http_2_are_an_answer(said: bytes | None, does: bool) -> None:
    with listening(said) as address:
        assert answers(address, 0.3) is does


def test_nobody_answers_at_a_port_that_is_closed() -> None:
    with listening(None) as address:
        pass
    assert not answers(address, 0.3)
