"""Calls to a control server: what a process of the cluster asks of another one.

A connection is kept and used again. A call that finds its kept connection closed is made once more on a new one: every
call may be made twice, because proposals carry their request id and the others ask, or set what stays set.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator
from queue import Empty, LifoQueue
from typing import Any, Final

from cluster.errors import NoAnswerError
from cluster.node.values import decode_value, encode_value
from raft.credentials import SERVER_NAME
from raft.errors import FormatError
from raft.settings import split_address

CALL_TIMEOUT_S: Final = 10.0
"""Seconds that a call may take, unless it says otherwise."""

RELAY_S: Final = 0.5
"""Seconds that a node has besides to say that somebody did not answer it in time."""

CONNECT_S: Final = 5.0
"""Seconds that a machine has to take a connection; its system does that, however busy its processes are."""

PROBE_S: Final = 2
"""Seconds without a word after which the system asks the other one whether it is there, and between such questions."""

PROBE_COUNT: Final = 3
"""Questions without an answer after which the connection is lost."""

IDLE_CONNECTION_COUNT_MAX: Final = 8
"""Connections that are kept."""


class NodeClient:
    """Calls one control server, from any thread."""

    def __init__(self, address: str, context: ssl.SSLContext | None) -> None:
        self._address = address
        self._host, self._port = split_address(address)
        self._context = context
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue(IDLE_CONNECTION_COUNT_MAX)

    @property
    def address(self) -> str:
        """Where the server listens, as host:port."""
        return self._address

    def call(self, name: str, *arguments: object, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Return what a call returned there, or raise what it raised.

        Raises:
            NoAnswerError: no answer came in time, or nobody listens.
        """
        body = encode_value(list(arguments))
        try:
            status, data = self._post(name, body, timeout_s)
            value = decode_value(data)
        except (OSError, http.client.HTTPException, FormatError) as error:
            raise NoAnswerError(f"{self._address} does not answer ({error or type(error).__name__})") from error
        if status == http.client.OK:
            return value
        raise value if isinstance(value, Exception) else NoAnswerError(f"{self._address} answers {value!r}")

    def forward(self, name: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Make a call for somebody else: return status and body of the answer as they came.

        Raises:
            NoAnswerError: no answer came in time, or nobody listens.
        """
        try:
            return self._post(name, body, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(f"{self._address} does not answer ({error or type(error).__name__})") from error

    def _post(self, name: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            return self._exchange(self._connect(timeout_s), name, body)
        try:
            connection.sock.settimeout(timeout_s)
            return self._exchange(connection, name, body)
        except (ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError):
            return self._exchange(self._connect(timeout_s), name, body)

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        return _Connection(self._host, self._port, timeout_s, self._context)

    def _exchange(self, connection: http.client.HTTPConnection, name: str, body: bytes) -> tuple[int, bytes]:
        try:
            connection.request("POST", f"/v1/{name}", body)
            response = connection.getresponse()
            data = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close or self._idle.full():
            connection.close()
        else:
            self._idle.put(connection)
        return response.status, data

    def close(self) -> None:
        """Close the kept connections."""
        while not self._idle.empty():
            self._idle.get().close()


class RelayedClient(NodeClient):
    """Calls a control server by way of a node, for who reaches that one alone."""

    def __init__(self, address: str, via: NodeClient) -> None:
        super().__init__(address, None)
        self._via = via

    def _post(self, name: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        status, data = self._via.call("relay", self._address, name, body, timeout_s, timeout_s=timeout_s + RELAY_S)
        return int(status), bytes(data)


class _Connection(http.client.HTTPConnection):
    """A connection to whoever has a certificate of the cluster, which names no machine; or without TLS to anybody.

    A machine that has died, or is cut off, is noticed in seconds, however long the answer may take.
    """

    def __init__(self, host: str, port: int, timeout_s: float, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=min(timeout_s, CONNECT_S))
        self._answer_timeout_s = timeout_s
        self._own_context = context

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._answer_timeout_s)
        for level, option, value in _PROBES:
            self.sock.setsockopt(level, option, value)
        if self._own_context is not None:
            self.sock = self._own_context.wrap_socket(self.sock, server_hostname=SERVER_NAME)


def _probes() -> Iterator[tuple[int, int, int]]:
    """Yield the options of sockets by which the system looks whether the other machine is there, as far as it can."""
    yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
    values = {
        "TCP_KEEPIDLE": PROBE_S,
        "TCP_KEEPINTVL": PROBE_S,
        "TCP_KEEPCNT": PROBE_COUNT,
        # Also while something that was sent is not acknowledged, when there are no probes.
        "TCP_USER_TIMEOUT": 1000 * PROBE_S * (PROBE_COUNT + 1),
    }
    for name, value in values.items():
        if hasattr(socket, name):
            yield socket.IPPROTO_TCP, getattr(socket, name), value


_PROBES: Final = tuple(_probes())


class NodeClients:
    """The servers that somebody calls, by address: each has one client, which keeps its connections."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._clients: dict[str, NodeClient] = {}

    def at(self, address: str) -> NodeClient:
        """Return how to call the server that listens at an address."""
        if address not in self._clients:
            self._clients[address] = NodeClient(address, self._context)
        return self._clients[address]
