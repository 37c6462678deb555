"""Syslog: messages over TCP, TLS and UDP, with both framings of TCP.

A sender of syslog hears of nothing, so nothing is acknowledged: over TCP it is made to wait while the job does not keep
up, over UDP the system drops what nobody takes. A message whose connection ends within it is kept as what it is: torn.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from actors.source.access import BrokerAccess
from actors.source.format.syslog import TORN
from actors.source.push.http import listening
from actors.source.push.journal import Arrival
from actors.source.push.keeper import LOOK_S, Keeper
from config.push import SyslogSource

log = logging.getLogger(__name__)

READ_SIZE_BYTES = 1 << 16
RECEIVE_BUFFER_BYTES = 8 << 20
"""What the system may keep of datagrams that nobody has taken yet, as far as it allows that."""

_COUNT_DIGITS_MAX = 9


class FrameCutter:
    """Cuts the bytes of one connection into messages; too long ones are cut to a byte more than they may have."""

    def __init__(self, size_bytes_max: int) -> None:
        self._limit = size_bytes_max + 1
        self._rest = bytearray()
        self._skip = 0
        """Bytes of a counted message that is too long, still to come."""
        self._is_skipping_line = False

    def cut(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now."""
        found: list[bytes] = []
        self._rest += data
        while self._rest:
            if self._skip:
                count = min(self._skip, len(self._rest))
                del self._rest[:count]
                self._skip -= count
            elif not self._is_skipping_line and self._is_counted():
                if not self._cut_counted(found):
                    break
            elif not self._cut_line(found):
                break
        return found

    def torn(self) -> bytes:
        """Return what is left of a message when the connection has ended."""
        rest = b"" if self._is_skipping_line else bytes(self._rest)
        self._rest.clear()
        return rest

    @property
    def is_counted(self) -> bool:
        """Whether what is left says how long it is."""
        return self._is_counted()

    def _is_counted(self) -> bool:
        return bool(self._rest) and 0x31 <= self._rest[0] <= 0x39

    def _cut_counted(self, found: list[bytes]) -> bool:
        """Take a message that begins with its length; return whether it, or enough of it, was there."""
        at = self._rest.find(b" ", 0, _COUNT_DIGITS_MAX + 1)
        digits = bytes(self._rest[: at if at >= 0 else _COUNT_DIGITS_MAX + 1])
        if at < 0 and digits.isdigit() and len(digits) <= _COUNT_DIGITS_MAX:
            return False
        if at < 0 or not digits.isdigit():
            # No length after all, but a line that begins with a digit.
            return self._cut_line(found)
        size = int(digits)
        taken = min(size, self._limit)
        if len(self._rest) < at + 1 + taken:
            return False
        found.append(bytes(self._rest[at + 1 : at + 1 + taken]))
        del self._rest[: at + 1 + taken]
        self._skip = size - taken
        return True

    def _cut_line(self, found: list[bytes]) -> bool:
        """Take a message that ends with a line feed or NUL; return whether it, or enough of it, was there."""
        ends = [at for at in (self._rest.find(b"\n"), self._rest.find(b"\0")) if at >= 0]
        if ends:
            line = bytes(self._rest[: min(ends)])
            del self._rest[: min(ends) + 1]
            if line and not self._is_skipping_line:
                found.append(line[: self._limit])
            self._is_skipping_line = False
            return True
        if self._is_skipping_line:
            self._rest.clear()
        elif len(self._rest) > self._limit:
            found.append(bytes(self._rest[: self._limit]))
            self._rest.clear()
            self._is_skipping_line = True
        return False


class SyslogFeed:
    """Listens, and keeps what comes, until it is closed.

    Raises:
        SourceError: an address cannot be taken.
    """

    def __init__(
        self, source: SyslogSource, access: BrokerAccess, keeper: Keeper, now_us: Callable[[], int], size_bytes_max: int
    ) -> None:
        self._access = access
        self._keeper = keeper
        self._now_us = now_us
        self._size_bytes_max = size_bytes_max
        self._stream: socket.socket | None = None
        self._datagrams: socket.socket | None = None
        place = source.listen
        if "tcp" in source.protocols:
            self._stream = listening(place)
            self.port = int(self._stream.getsockname()[1])
            # Both have one port, also where the system has chosen it.
            place = f"{place.rpartition(':')[0]}:{self.port}"
        if "udp" in source.protocols:
            self._datagrams = listening(place, socket.SOCK_DGRAM)
            self._datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self.port = int(self._datagrams.getsockname()[1])
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._keeper.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            log.exception("what listens for syslog has ended")
            self._keeper.say("what listens for syslog has ended")
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = None
        if self._stream is not None:
            server = await asyncio.start_server(self._take, sock=self._stream, ssl=self._access.tls)
        reading = None if self._datagrams is None else asyncio.create_task(self._take_datagrams(self._datagrams))
        await self._stopping.wait()
        if server is not None:
            server.close()
        for task in [*self._tasks, *([reading] if reading is not None else [])]:
            task.cancel()
        await asyncio.gather(*self._tasks, *([reading] if reading is not None else []), return_exceptions=True)
        if self._datagrams is not None:
            self._datagrams.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a server calls it in one"
        self._tasks.add(task)
        cutter, place = FrameCutter(self._size_bytes_max), _sender(writer.get_extra_info("peername"))
        try:
            while data := await reader.read(READ_SIZE_BYTES):
                self._submit(cutter.cut(data), place)
                await self._room()
        except OSError:
            log.info("a connection of syslog was lost", extra={"sender": place})
        finally:
            self._tasks.discard(task)
            is_counted, rest = cutter.is_counted, cutter.torn()
            if rest:
                # A line without its end may be whole; a message that is shorter than it says is not.
                self._submit([rest], place, TORN if is_counted else None)
            writer.close()

    async def _take_datagrams(self, place: socket.socket) -> None:
        place.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            data, sender = await loop.sock_recvfrom(place, READ_SIZE_BYTES)
            message = data.rstrip(b"\n\0")
            if message:
                self._submit([message], _sender(sender))
            await self._room()

    async def _room(self) -> None:
        while not self._keeper.has_room():
            await asyncio.sleep(LOOK_S)

    def _submit(self, records: list[bytes], place: str, header: str | None = None) -> None:
        if records:
            arrival = Arrival(records=records, place=place, received_us=self._now_us(), header=header)
            self._keeper.submit(arrival)


def _sender(name: Any) -> str:
    return str(name[0]) if isinstance(name, tuple) and name else "unknown"
