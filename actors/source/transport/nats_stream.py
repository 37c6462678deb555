"""A stream of NATS JetStream as a transport: offsets are the stream's sequence numbers, from 0.

Messages are pulled through a consumer that the server forgets by itself: it acknowledges nothing, and is made anew
wherever reading begins. What it has delivered carries two numbers: that of the stream, which is the offset, and that
of the consumer, which has no gaps. So a message that got lost on the way is noticed, and is asked for again.

A filter of subjects makes a split of its own, whose offsets have gaps. The client runs in a thread with an event loop.
"""

import asyncio
import json
import ssl
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from actors.errors import SourceError
from actors.extras import need
from actors.source.loop_thread import LoopThread
from actors.source.protocol import SplitInfo, beyond_end
from actors.source.records import Block, Origin, Texts
from actors.source.transport.positions import FileMark, PositionLog

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.api import StreamInfo

CALL_TIMEOUT_S = 3.0
"""Longest wait for an answer."""

PULL_COUNT_MAX = 5_000
"""Messages that are asked for at once."""

SILENCE_S = 2.0
"""Longest wait for the next message of those that were asked for."""

FORGET_S = 60.0
"""Seconds without a pull after which the server forgets a consumer."""

_TROUBLE_LENGTH_MAX = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where a message stands."""

    stream_sequence: int
    consumer_sequence: int

    @classmethod
    def of(cls, reply: str) -> "Delivered":
        """Return what the reply subject of a message says.

        Raises:
            ValueError: it is no message of a consumer.
        """
        parts = reply.split(".")
        # Newer servers put the domain and the account before the name of the stream.
        first = 2 if len(parts) == 9 else 4
        if parts[:2] != ["$JS", "ACK"] or len(parts) < first + 7:
            raise ValueError(f"{reply!r} is not the reply subject of a message of a consumer")
        return cls(int(parts[first + 3]), int(parts[first + 4]))


@dataclass(slots=True)
class _Consumer:
    """A consumer of ours on the server."""

    name: str
    position: int
    """Offset that it delivers next, at least."""

    sequence: int = 0
    """Number of the last message that it delivered."""


class NatsTransport:
    """Brings the messages of a stream; `start_ms` is the time from which on they count, `None` for all."""

    is_finite = False

    def __init__(
        self,
        connection: Mapping[str, Any],
        stream: str,
        subjects: Sequence[str] = (),
        start_ms: int | None = None,
        positions: PositionLog | None = None,
    ) -> None:
        self._stream = stream
        self._subjects = tuple(subjects)
        self._start_ms = start_ms
        self._positions = positions or PositionLog()
        self._origin = Origin(name=stream, stem=stream)
        self._consumers: dict[int, _Consumer] = {}
        self._servers = ", ".join(connection["servers"])
        self._trouble = ""
        self._loop = LoopThread(f"nats {stream}")
        self._client: Client | None = None
        try:
            self._client = self._call(self._connect(connection), 2 * CALL_TIMEOUT_S)
            self._look()
        except BaseException:
            self.close()
            raise

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return a split for each filter of subjects, or one."""
        names = [f"{self._stream}/{subject}" for subject in self._subjects] or [self._stream]
        return tuple(SplitInfo(number=number, name=name) for number, name in enumerate(names))

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that the stream still has, or that of the time from which on messages count.

        Raises:
            SourceError: no server answers, or the stream is not the one that was read.
        """
        info = self._look()
        known = self._positions.marks.get(split)
        created = str(info.created)
        if known is not None and known.digest != created:
            raise SourceError(
                f"the stream {self._stream!r} was made at {created}, and the one that was read at {known.digest}; "
                "begin anew: a job of another name"
            )
        if known is None:
            first = 0 if self._start_ms is None else self._offset_of_time(split, self._start_ms, info)
            known = FileMark(number=split, path=self._stream, record_count=first, size_bytes=0, digest=created)
            self._positions.put(known)
        return max(info.state.first_seq - 1, known.record_count, 0)

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Texts] | None:
        """Return messages from an offset on, `None` when there are none yet.

        Raises:
            SourceError: the offset is gone or was never reached, or no server answers.
        """
        consumer = self._consumers.get(split)
        if consumer is None or consumer.position != offset:
            consumer = self._consume_from(split, offset)
        messages = self._call(self._pull(consumer.name, min(record_count, PULL_COUNT_MAX)))
        if messages is None:
            # The server has forgotten it, or was started anew.
            consumer = self._consume_from(split, offset)
            messages = self._call(self._pull(consumer.name, min(record_count, PULL_COUNT_MAX)))
        places = [Delivered.of(one.reply) for one in messages or ()]
        numbers = [place.consumer_sequence for place in places]
        count = next((at for at, number in enumerate(numbers) if number != consumer.sequence + at + 1), len(numbers))
        if count < len(numbers):
            # One before it was lost on the way: what follows is asked for again.
            del self._consumers[split]
        if not count:
            return None
        offsets = np.array([place.stream_sequence - 1 for place in places[:count]], dtype=np.int64)
        consumer.sequence += count
        consumer.position = int(offsets[-1]) + 1
        if consumer.position - offset > count:
            # Another subject's messages are between these, or what was there is gone.
            self._check_has(split, offset, self._look())
        return Block(
            origin=self._origin,
            offsets=offsets,
            next_offset=consumer.position,
            content=Texts.of_messages([one.data for one in (messages or ())[:count]]),
        )

    def close(self) -> None:
        """Close the connection and end the thread; a second call does nothing."""
        client, self._client = self._client, None
        self._consumers.clear()
        self._loop.close(None if client is None else client.close())

    def _call(self, work: Coroutine[Any, Any, T], timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Do something in the thread of the client, in bounded time."""
        from nats.errors import Error, NoServersError
        from nats.js.errors import NotFoundError

        try:
            return self._loop.run(work, timeout_s)
        except NotFoundError as error:
            raise SourceError(f"there is no stream {self._stream!r} on {self._servers}: {error.description}") from error
        except (NoServersError, TimeoutError, OSError) as error:
            reason = self._trouble or str(error) or "no answer in time"
            raise SourceError(f"no server of {self._servers} answers: {reason}") from error
        except Error as error:
            raise SourceError(f"{self._servers}: {error or type(error).__name__}") from error

    async def _connect(self, connection: Mapping[str, Any]) -> "Client":
        import nats

        async def note(error: Exception) -> None:
            # A server that refuses a login may close the connection before that is heard, and say it the next time.
            said = str(error) or type(error).__name__
            if said not in self._trouble:
                self._trouble = f"{self._trouble}; {said}".removeprefix("; ")[-_TROUBLE_LENGTH_MAX:]

        async def forget() -> None:
            self._trouble = ""

        client = await nats.connect(
            **connection,
            name="tocsin",
            connect_timeout=2,
            reconnect_time_wait=0.25,
            max_reconnect_attempts=3,
            allow_reconnect=True,
            error_cb=note,
            reconnected_cb=forget,
            pending_size=1 << 20,
        )
        self._trouble = ""
        return client

    def _look(self) -> "StreamInfo":
        return self._call(self._connected.jetstream(timeout=CALL_TIMEOUT_S).stream_info(self._stream))

    @property
    def _connected(self) -> "Client":
        if self._client is None or not self._client.is_connected:
            raise SourceError(f"no server of {self._servers} answers: {self._trouble or 'the connection is closed'}")
        return self._client

    def _check_has(self, split: int, offset: int, info: "StreamInfo") -> None:
        """Check that a stream has an offset, or that it comes next."""
        name = self.splits()[split].name
        if offset + 1 < info.state.first_seq:
            self._consumers.pop(split, None)
            raise SourceError(f"offset {offset} of {name} is gone: the stream begins at {info.state.first_seq - 1} now")
        if offset > info.state.last_seq:
            raise beyond_end(SplitInfo(number=split, name=name), offset, info.state.last_seq)

    def _consume_from(self, split: int, offset: int) -> _Consumer:
        self._check_has(split, offset, self._look())
        consumer = _Consumer(self._call(self._add_consumer(split, offset)), offset)
        self._consumers[split] = consumer
        return consumer

    async def _add_consumer(self, split: int, offset: int, start_ms: int | None = None) -> str:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=offset + 1,
            ack_policy=AckPolicy.NONE,
            filter_subject=self._subjects[split] if self._subjects else None,
            inactive_threshold=FORGET_S,
            num_replicas=1,
            mem_storage=True,
        )
        if start_ms is not None:
            config.deliver_policy, config.opt_start_seq = DeliverPolicy.BY_START_TIME, None
            config.opt_start_time = datetime.fromtimestamp(start_ms / 1000, UTC).isoformat()  # type: ignore[assignment]
        info = await self._connected.jetstream(timeout=CALL_TIMEOUT_S).add_consumer(self._stream, config)
        return info.name

    def _offset_of_time(self, split: int, start_ms: int, info: "StreamInfo") -> int:
        name = self._call(self._add_consumer(split, 0, start_ms))
        found = self._call(self._pull(name, 1))
        return Delivered.of(found[0].reply).stream_sequence - 1 if found else info.state.last_seq

    async def _pull(self, name: str, count: int) -> "list[Msg] | None":
        """Return messages that are there now, or `None` when there is no such consumer."""
        client = self._connected
        found: list[Msg] = []
        is_over = asyncio.Event()
        is_known = True

        async def take(message: "Msg") -> None:
            nonlocal is_known
            status = message.headers.get("Status") if message.headers and not message.data else None
            if status is None:
                found.append(message)
            elif status in ("503", "409"):
                is_known = False
            if status is not None or len(found) == count:
                is_over.set()

        inbox = client.new_inbox()
        waiting = await client.subscribe(inbox, cb=take, pending_msgs_limit=-1, pending_bytes_limit=-1)
        try:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{name}"
            await client.publish(subject, json.dumps({"batch": count, "no_wait": True}).encode(), reply=inbox)
            seen = -1
            while not is_over.is_set() and seen < len(found):
                seen = len(found)
                try:
                    await asyncio.wait_for(is_over.wait(), SILENCE_S)
                except TimeoutError:
                    continue
        finally:
            await waiting.unsubscribe()
        if not found and not is_over.is_set():
            raise TimeoutError(f"nothing for {SILENCE_S:.0f} seconds")
        return found if found or is_known else None


def connection_settings(
    servers: Sequence[str], security: Any, secrets: Mapping[str, str], tls: ssl.SSLContext | None
) -> dict[str, Any]:
    """Return how to connect; `security` is that of the job, `secrets` what its references stand for.

    Raises:
        SourceError: the client is not installed.
    """
    need("nats", SourceError)
    settings: dict[str, Any] = {"servers": list(servers)}
    given = {
        "user": security.username,
        "password": secrets.get("password"),
        "token": secrets.get("token"),
        "user_credentials": security.credentials,
        "tls": tls,
    }
    return settings | {name: value for name, value in given.items() if value is not None}
