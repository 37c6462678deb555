"""Calls between processes of a cluster: over real sockets, with TLS on both sides."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actors.errors import NotOpenError
from cluster.errors import ClusterError, NoAnswerError
from cluster.node import control as module
from cluster.node.calls import NodeClient
from cluster.node.control import ControlServer
from raft.credentials import Credentials
from tests.support.credentials import credentials

hold = threading.Event()


def fail() -> None:
    """Raise what hosts raise."""
    raise NotOpenError("partition 3 is not open")


CALLS: dict[str, Any] = {
    "add": lambda first, second: first + second,
    "echo": lambda value: value,
    "fail": fail,
    "wait": lambda: hold.wait(30),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ControlServer]:
    """Return a server of our own."""
    server = ControlServer(("127.0.0.1", 0), credentials().server_context(), CALLS)
    yield server
    hold.set()
    server.close()


@pytest.fixture
def client(server: ControlServer) -> Iterator[NodeClient]:
    """Return somebody of the same cluster."""
    client = NodeClient(server.address, credentials().client_context())
    yield client
    client.close()


def test_a_call_returns_what_is_returned_there(client: NodeClient) -> None:
    assert client.call("add", 1, 2) == 3
    assert client.call("echo", [(1, [2]), {"a": b"\0" * (9 << 20)}]) == [(1, [2]), {"a": b"\0" * (9 << 20)}]


def test_a_call_raises_what_is_raised_there(client: NodeClient) -> None:
    with pytest.raises(NotOpenError, match="partition 3 is not open"):
        client.call("fail")
    with pytest.raises(ClusterError, match="TypeError"):
        client.call("add", 1)
    with pytest.raises(ClusterError, match="no call 'none' here"):
        client.call("none")


def test_a_call_that_takes_too_long_is_given_up_and_delays_no_other(client: NodeClient) -> None:
    with pytest.raises(NoAnswerError, match="does not answer"):
        client.call("wait", timeout_s=0.2)
    assert client.call("add", 1, 2) == 3


def test_nobody_who_is_gone_answers(server: ControlServer) -> None:
    other = ControlServer(("127.0.0.1", 0), credentials().server_context(), CALLS)
    client = NodeClient(other.address, credentials().client_context())
    assert client.call("add", 1, 2) == 3
    other.close()
    with pytest.raises(NoAnswerError, match="does not answer"):
        client.call("add", 1, 2)


def test_a_port_that_is_taken_is_named(server: ControlServer) -> None:
    host, port = server.address.split(":")
    with pytest.raises(ClusterError, match=f"{server.address} cannot be listened at"):
        ControlServer((host, int(port)), None, {})


def test_those_of_another_cluster_get_no_answer(server: ControlServer) -> None:
    stranger = Credentials.derive("tocsin-3", "another password of some length")
    with pytest.raises(NoAnswerError):
        NodeClient(server.address, stranger.client_context()).call("add", 1, 2)


@pytest.mark.parametrize(
    "sent", [b"", b"\0\0\0\1\5", b"POST /v1/add HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 600]
)
def test_bytes_of_strangers_end_their_connection_and_nothing_else(
    server: ControlServer, client: NodeClient, sent: bytes
) -> None:
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        heard = b"".join(iter(lambda: _receive(stranger), b""))
    # An alert of TLS at most: no name, no version, no word of HTTP.
    assert b"HTTP" not in heard
    assert len(heard) < 20
    assert client.call("add", 1, 2) == 3


def test_many_who_say_nothing_keep_nobody_out_and_are_sent_away(
    server: ControlServer, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT_S", 0.5)
    other = ControlServer(("127.0.0.1", 0), credentials().server_context(), CALLS)
    host, port = other.address.split(":")
    silent = [socket.create_connection((host, int(port)), timeout=10) for _ in range(200)]
    assert NodeClient(other.address, credentials().client_context()).call("add", 1, 2) == 3
    assert [_receive(one) for one in silent] == [b""] * 200
    for one in silent:
        one.close()
    other.close()


def test_a_stranger_without_a_certificate_gets_no_word_of_http(server: ControlServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = server.address.split(":")
    with context.wrap_socket(socket.create_connection((host, int(port)), timeout=5)) as stranger:
        heard = b""
        # In TLS 1.3 a client hears at its first read only that it is not let in.
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            stranger.sendall(b"POST /v1/add HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            heard = stranger.recv(100)
    assert heard == b""


def _receive(stranger: socket.socket) -> bytes:
    try:
        return stranger.recv(1000)
    except ConnectionError:
        return b""


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such option")
def test_a_machine_that_is_gone_is_noticed_while_an_answer_is_waited_for(client: NodeClient) -> None:
    assert client.call("add", 1, 2) == 3
    (connection,) = client._idle.queue
    found = {name: connection.sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in PROBES}
    assert found == PROBES
    assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert connection.sock.gettimeout() == 10.0


PROBES = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 8000}
"""Eight seconds, whatever the deadline of the call is."""
