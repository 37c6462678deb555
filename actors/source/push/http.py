"""What others send by HTTP: a body is on disk before its sender is told 2xx.

A request that is repeated with the same `Idempotency-Key` is known, also by another process later, because the key is
kept in the transaction of the records. While the job does not keep up, senders are told to come back (429).

The server runs in a thread with an event loop of its own; the keeper answers from its thread.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import logging
import socket
import threading
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import xxhash

from actors.errors import SourceError
from actors.source.access import BrokerAccess
from actors.source.push.bodies import BodyCutter, BodyError
from actors.source.push.journal import Arrival, Mark
from actors.source.push.keeper import Keeper, Outcome
from config.push import LISTEN, HttpSource

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

_QUIET = logging.getLogger(f"{__name__}.requests")
# Whoever sends bytes that are no request could fill a disk with what is said of them.
_QUIET.setLevel(logging.CRITICAL)

KEYS_MAX = 100_000
"""Idempotency keys that are remembered, the newest."""

KEY_LENGTH_MAX = 255
"""Letters of such a key."""

REQUESTS_MAX = 64
"""Requests that are read or written at the same time; others are told to come back."""

BODY_TIMEOUT_S = 60.0
"""Longest time that a sender may take for a body."""

RETRY_AFTER_S = 1
"""Seconds after which a sender may come back."""

ALIVE_PATHS = ("/ping", "/health")
"""What senders of line protocol ask to know whether somebody is there."""


class _RefusedError(Exception):
    """A request is answered with another status than 2xx."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


class HttpFeed:
    """Listens, and keeps what comes, until it is closed.

    Raises:
        SourceError: the address cannot be taken.
    """

    def __init__(
        self,
        source: HttpSource,
        access: BrokerAccess,
        cutter: BodyCutter,
        keeper: Keeper,
        now_us: Callable[[], int],
    ) -> None:
        self._source = source
        self._access = access
        self._cutter = cutter
        self._keeper = keeper
        self._now_us = now_us
        self._request_count = 0
        self._socket = listening(source.listen)
        self.port = int(self._socket.getsockname()[1])
        """Port that it listens at."""
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; requests that wait for an answer get none."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._keeper.close()
        self._socket.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            log.exception("what listens for HTTP has ended")
            self._keeper.say("what listens for HTTP has ended")
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        from aiohttp import web

        server = web.Server(self._handle, access_log=None, logger=_QUIET, auto_decompress=False)
        runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket, ssl_context=self._access.tls).start()
            await self._stopping.wait()
        finally:
            await runner.cleanup()

    async def _handle(self, request: "web.BaseRequest") -> "web.StreamResponse":
        from aiohttp import web

        self._request_count += 1
        try:
            if self._request_count > REQUESTS_MAX:
                raise _come_back("too many requests at the same time")
            return await self._answer(request)
        except _RefusedError as refused:
            # Who is refused before the body was read would send all of it into a connection that nobody reads.
            headers = refused.headers if request.content.at_eof() else refused.headers | {"Connection": "close"}
            return web.Response(status=refused.status, text=refused.reason + "\n", headers=headers)
        finally:
            self._request_count -= 1

    async def _answer(self, request: "web.BaseRequest") -> "web.StreamResponse":
        from aiohttp import web

        self._check_token(request.headers.get("Authorization", ""))
        if request.method in ("GET", "HEAD") and request.path in ALIVE_PATHS:
            return web.Response(status=204)
        if request.method not in ("POST", "PUT"):
            raise _RefusedError(405, f"{request.method} is not for this; POST records", {"Allow": "POST, PUT"})
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= KEY_LENGTH_MAX:
            raise _RefusedError(400, f"an Idempotency-Key has 1 to {KEY_LENGTH_MAX} letters")
        if not self._keeper.has_room():
            raise _come_back("the job does not keep up with what was sent before")
        body = await self._body(request)
        try:
            records, header = self._cutter.cut(body, request.content_type, request.query)
        except BodyError as error:
            raise _RefusedError(400, str(error)) from error
        return _response(await self._keep(records, header, request.path, key, body))

    async def _keep(self, records: list[bytes], header: str | None, path: str, key: str | None, body: bytes) -> Outcome:
        """Have records kept, and return what became of them."""
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        def tell(outcome: Outcome) -> None:
            # The loop is closed where this source is.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, outcome)

        mark = None
        if key is not None:
            digest = xxhash.xxh3_128(body)
            digest.update(path.encode("utf-8", "surrogatepass"))
            mark = Mark(key=key, digest=digest.hexdigest())
        arrival = Arrival(records=records, place=path, received_us=self._now_us(), header=header, mark=mark)
        self._keeper.submit(arrival, tell, may_be_known=True)
        found: Outcome = await done
        return found

    def _check_token(self, given: str) -> None:
        token = self._access.secrets.get("token")
        if token is None:
            return
        kind, _, value = given.partition(" ")
        if kind.lower() == "basic":
            value = _password_of(value)
        elif kind.lower() not in ("bearer", "token"):
            value = ""
        if not hmac.compare_digest(value.encode("utf-8", "replace"), token.encode()):
            raise _RefusedError(401, "the token is missing or another one", {"WWW-Authenticate": "Bearer"})

    async def _body(self, request: "web.BaseRequest") -> bytes:
        """Return the whole body, unpacked."""
        limit = self._source.body_size_bytes_max
        if (request.content_length or 0) > limit:
            raise _too_long(limit)
        unpack = _unpacker(request.headers.get("Content-Encoding", "identity"))
        found = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for data in request.content.iter_any():
                    found += data if unpack is None else unpack.decompress(data, limit + 1 - len(found))
                    if len(found) > limit:
                        raise _too_long(limit)
        except TimeoutError:
            raise _RefusedError(408, f"the body did not come within {BODY_TIMEOUT_S:.0f} seconds") from None
        except zlib.error as error:
            raise _RefusedError(400, f"the body cannot be unpacked: {error}") from error
        if unpack is not None and (not unpack.eof or unpack.unused_data):
            raise _RefusedError(400, "the packed body is torn, or more follows it")
        return bytes(found)


def listening(place: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket that is bound to an address, and listens if it is one of connections.

    Raises:
        SourceError: the address cannot be taken.
    """
    match = LISTEN.fullmatch(place)
    assert match is not None, "the address was checked"
    host, port = match["six"] or match["host"], int(match["port"])
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind)
    except OSError as error:
        raise SourceError(f"{place} is no address of this machine: {error.strerror or error}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        if kind == socket.SOCK_STREAM:
            found.listen(128)
    except OSError as error:
        found.close()
        raise SourceError(f"nobody can listen at {place}: {error.strerror or error}") from error
    return found


def _response(outcome: Outcome) -> "web.Response":
    from aiohttp import web

    if outcome is Outcome.CLASH:
        raise _RefusedError(422, "another body was sent with this Idempotency-Key")
    if outcome is Outcome.FAILED:
        raise _RefusedError(503, "what was sent cannot be written just now", {"Retry-After": str(RETRY_AFTER_S)})
    return web.Response(status=204, headers={"Idempotency-Replayed": "true"} if outcome is Outcome.KNOWN else {})


def _unpacker(encoding: str) -> Any:
    """Return what unpacks a body, `None` when there is nothing to unpack."""
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        case "deflate":
            return zlib.decompressobj()
        case _:
            raise _RefusedError(415, f"bodies may be packed by gzip or deflate, not {encoding!r}")


def _password_of(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _too_long(limit: int) -> _RefusedError:
    return _RefusedError(413, f"a body has at most {limit} bytes; send fewer records at once")


def _come_back(why: str) -> _RefusedError:
    return _RefusedError(429, f"come back later: {why}", {"Retry-After": str(RETRY_AFTER_S)})
