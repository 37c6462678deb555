"""Streams of Redis as a transport: each is a split, and an offset is made of the id of its entry.

An id is two numbers, milliseconds and a sequence within one; the offset is the first times a power of two, plus the
second. So offsets grow as ids do, have gaps, and any reader knows where to go on without a memory of its own. What was
trimmed is known by the stream's own counters, and by what this machine has read of it before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from actors.errors import SourceError
from actors.extras import need
from actors.source.protocol import SplitInfo, beyond_end
from actors.source.records import Block, C, Fields, Origin, Texts
from actors.source.transport.positions import FileMark, PositionLog

if TYPE_CHECKING:
    import redis

CALL_TIMEOUT_S = 3.0
"""Longest wait for an answer."""

READ_COUNT_MAX = 5_000
"""Entries that are asked for at once."""

OFFSET_BITS = 63
"""What an offset may take, without its sign."""


@dataclass(slots=True)
class _Place:
    """How far a stream was read."""

    position: int
    """Offset that comes next."""

    rank: int | None
    """Entries that there have been before it, `None` while that is not known."""

    is_at_end: bool = False
    """Whether nothing followed when it was looked at last."""


Content = Callable[[Sequence[Mapping[bytes, bytes]]], C]
"""Makes content of the fields of entries."""


def fields_of(entries: Sequence[Mapping[bytes, bytes]]) -> Fields:
    """Return entries as they are."""
    return Fields(rows=entries)


def texts_in(field: str) -> "Content[Texts]":
    """Return what makes texts of entries, which stand in a field of each; without it there is no record."""
    name = field.encode()
    return lambda entries: Texts.of_messages([one.get(name, b"") for one in entries])


class RedisTransport(Generic[C]):
    """Brings the entries of streams as some content; `start_ms` is when those that count begin, `None` for all."""

    is_finite = False

    def __init__(
        self,
        client: "redis.Redis",
        streams: Sequence[str],
        sequence_bits: int,
        content: Content[C],
        start_ms: int | None = None,
        positions: PositionLog | None = None,
    ) -> None:
        self._client = client
        self._streams = tuple(streams)
        self._bits = sequence_bits
        self._content = content
        self._start_ms = start_ms
        self._positions = positions or PositionLog()
        self._places: dict[int, _Place] = {}
        for split in range(len(self._streams)):
            self._look(split)

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return a split for each stream."""
        return tuple(SplitInfo(number=number, name=name) for number, name in enumerate(self._streams))

    def earliest_offset(self, split: int) -> int:
        """Return the first offset from which on nothing is gone, or that of the time from which on entries count.

        Raises:
            SourceError: the server does not answer, or there is no such stream.
        """
        start = 0 if self._start_ms is None else self._start_ms << self._bits
        return max(self._first_whole(split, self._look(split)), start)

    def block_at(self, split: int, offset: int, record_count: int) -> Block[C] | None:
        """Return entries from an offset on, `None` when there are none yet.

        Raises:
            SourceError: the offset is gone or was never reached, or the server does not answer.
        """
        name, place = self._streams[split], self._places.get(split)
        if place is None or place.position != offset:
            place = self._places[split] = self._begin(split, offset)
        low = f"{offset >> self._bits}-{offset & ((1 << self._bits) - 1)}"
        found = self._ask("xrange", name, low, "+", min(record_count, READ_COUNT_MAX))
        if not found:
            self._reach_end(split, place)
            return None
        # Trimming may have overtaken the reading.
        info = self._look(split)
        if offset < self._first_whole(split, info):
            del self._places[split]
            raise self._gone(split, offset, info)
        offsets = np.array([self._offset(split, one[0]) for one in found], dtype=np.int64)
        place.position = int(offsets[-1]) + 1
        place.is_at_end = False
        if place.rank is not None:
            place.rank += len(found)
            self._mark(split, place)
        content = self._content([one[1] or {} for one in found])
        return Block(origin=Origin(name=name, stem=name), offsets=offsets, next_offset=place.position, content=content)

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._client.close()

    def _begin(self, split: int, offset: int) -> "_Place":
        """Return the place at an offset, of which the stream must have everything that follows."""
        info = self._look(split)
        if offset < self._first_whole(split, info):
            raise self._gone(split, offset, info)
        end = self._offset(split, info["last-generated-id"]) + 1 if int(info["entries-added"]) else 0
        if offset > max(end, (self._start_ms or 0) << self._bits):
            raise beyond_end(self.splits()[split], offset, end)
        known = self._positions.marks.get(split)
        if known is not None and known.record_count == offset:
            return _Place(offset, known.size_bytes)
        first = info["first-entry"]
        is_first = not first or offset <= self._offset(split, first[0])
        return _Place(offset, _removed(info) if is_first else None)

    def _reach_end(self, split: int, place: "_Place") -> None:
        """Know how many entries there have been before a place that none follows."""
        if place.is_at_end:
            return
        info = self._look(split)
        if not int(info["entries-added"]) or self._offset(split, info["last-generated-id"]) < place.position:
            place.is_at_end, place.rank = True, int(info["entries-added"])
            self._mark(split, place)

    def _first_whole(self, split: int, info: Mapping[str, Any]) -> int:
        """Return the first offset from which on nothing is gone, as far as one can know."""
        removed, first = _removed(info), info["first-entry"]
        if not removed:
            return 0
        left = self._offset(split, first[0]) if first else self._offset(split, info["last-generated-id"]) + 1
        known = self._positions.marks.get(split)
        place = self._places.get(split)
        if place is not None and place.rank is not None and place.rank >= removed:
            left = min(left, place.position)
        if known is not None and known.size_bytes >= removed:
            left = min(left, known.record_count)
        return left

    def _mark(self, split: int, place: "_Place") -> None:
        assert place.rank is not None, "it is known"
        name = self._streams[split]
        self._positions.put(
            FileMark(number=split, path=name, record_count=place.position, size_bytes=place.rank, digest="")
        )

    def _offset(self, split: int, name: bytes) -> int:
        """Return the offset of an entry by its id.

        Raises:
            SourceError: it is too large to be one.
        """
        time_ms, sequence = map(int, name.split(b"-"))
        if sequence >> self._bits or time_ms >> (OFFSET_BITS - self._bits):
            raise SourceError(
                f"the entry {name.decode()} of {self._streams[split]} has an id beyond what offsets hold with "
                f"`sequence_bits: {self._bits}`; another number begins anew, in a job of another name"
            )
        return time_ms << self._bits | sequence

    def _gone(self, split: int, offset: int, info: Mapping[str, Any]) -> SourceError:
        return SourceError(
            f"offset {offset} of {self._streams[split]} is gone: the stream was trimmed, and has everything from "
            f"{self._first_whole(split, info)} on"
        )

    def _look(self, split: int) -> Mapping[str, Any]:
        found = self._ask("xinfo_stream", self._streams[split])
        if "entries-added" not in found:
            raise SourceError("this Redis is older than 7, which does not count the entries of a stream; update it")
        return dict(found)

    def _ask(self, command: str, *arguments: Any) -> Any:
        from redis.exceptions import ConnectionError as NoConnectionError
        from redis.exceptions import RedisError
        from redis.exceptions import TimeoutError as NoAnswerError

        try:
            return getattr(self._client, command)(*arguments)
        except (NoConnectionError, NoAnswerError) as error:
            raise SourceError(f"Redis does not answer: {error}") from error
        except RedisError as error:
            if str(error) == "no such key":
                raise SourceError(f"there is no stream {arguments[0]!r}; the first XADD makes it") from error
            raise SourceError(f"Redis refuses {command} of {arguments[0]!r}: {error}") from error


def _removed(info: Mapping[str, Any]) -> int:
    """Return how many entries a stream had and has no more."""
    return int(info["entries-added"]) - int(info["length"])


def open_client(url: str, security: Any, password: str | None, timeout_s: float = CALL_TIMEOUT_S) -> "redis.Redis":
    """Return a client, which connects when it is asked something; `timeout_s` is the longest wait for an answer.

    Raises:
        SourceError: the client is not installed, or the settings are none.
    """
    need("redis", SourceError)
    import redis

    secure: dict[str, Any] = {}
    if url.startswith("rediss:") or security.tls:
        url = url.replace("redis:", "rediss:", 1)
        secure = {
            "ssl_ca_certs": security.ca,
            "ssl_certfile": security.certificate,
            "ssl_keyfile": security.key,
        }
    try:
        return redis.Redis.from_url(
            url,
            username=security.username,
            password=password,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            protocol=2,
            decode_responses=False,
            **secure,
        )
    except (redis.exceptions.RedisError, ValueError) as error:
        raise SourceError(f"a client of Redis cannot be made: {error}") from error
