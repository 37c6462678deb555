"""The control server: answers calls of other processes of the cluster over HTTP with TLS on both sides.

`POST /v1/<call>` carries a call's arguments as one value (`cluster.node.values`), the reply its result, or with status
500 the error that it raised. Each call is carried out in a thread of its own, so that one that waits (for an election,
for a change) delays no other. Nobody without a certificate of the cluster gets as far as HTTP.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp import web

from cluster.errors import ClusterError
from cluster.node.values import decode_value, encode_value
from raft.errors import FormatError

log = logging.getLogger(__name__)

THREAD_COUNT: Final = 32
"""Calls that are carried out at the same time; others wait."""

BODY_SIZE_BYTES_MAX: Final = 64 << 20
"""Largest call that is taken; snapshots come in chunks."""

HANDSHAKE_TIMEOUT_S: Final = 5.0
"""Seconds that somebody has to prove to be of the cluster."""

BACKLOG: Final = 128
"""Connections that wait to be taken."""

Calls = Mapping[str, Callable[..., Any]]
"""What can be called, by name."""


class ControlServer:
    """Serves calls in threads of its own, from when it is made until it is closed."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None, calls: Calls) -> None:
        """Listen.

        Raises:
            ClusterError: the address cannot be listened at.
        """
        self._context = context
        self._calls = calls
        self._threads = ThreadPoolExecutor(THREAD_COUNT, thread_name_prefix="control")
        try:
            self._socket = _listen(address)
        except OSError as error:
            host, port = address
            raise ClusterError(
                f"{host}:{port} cannot be listened at ({error.strerror}); choose another port"
            ) from error
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._is_serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control server", daemon=True)
        self._thread.start()
        self._is_serving.wait()

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def close(self) -> None:
        """Take no more calls, and leave those that are being carried out to themselves."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._serve())
        self._is_serving.set()
        self._loop.run_forever()
        if self._server is not None:
            self._server.close()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _serve(self) -> web.AppRunner:
        application = web.Application(client_max_size=BODY_SIZE_BYTES_MAX)
        application.router.add_post("/v1/{call}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        # Not by a site of aiohttp, which has no limit for the time of a handshake.
        assert runner.server is not None, "it is set up"
        timeout_s = None if self._context is None else HANDSHAKE_TIMEOUT_S
        self._server = await self._loop.create_server(
            runner.server, sock=self._socket, ssl=self._context, ssl_handshake_timeout=timeout_s, backlog=BACKLOG
        )
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["call"]
        body = await request.read()
        call = self._calls.get(name)
        if call is None:
            return _response(404, ClusterError(f"there is no call {name!r} here"))
        return await self._loop.run_in_executor(self._threads, _carry_out, name, call, body)


def _carry_out(name: str, call: Callable[..., Any], body: bytes) -> web.Response:
    try:
        return _response(200, call(*decode_value(body)))
    except FormatError as error:
        return _response(400, error)
    except Exception as error:  # whatever it is, the caller is to know
        log.debug("a call failed", extra={"call": name}, exc_info=error)
        return _response(500, error)


def _response(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=encode_value(value), content_type="application/msgpack")


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
