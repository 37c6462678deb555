"""A topic of Kafka as a transport: each of its partitions is a split, and offsets are the broker's own.

The client is told which partitions to fetch and from where; the broker's memory of consumers is neither read nor
written. It fetches all of them at once in the background, so what arrives for one split while another is asked for is
kept. Offsets may have gaps: messages that compaction took out, marks of transactions.

The broker says where a partition ends for now, and only that ends the waiting for it; a broker that says nothing is
waited for a bounded time. Partitions that are added to the topic are found at the next look, some seconds later.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from actors.errors import SourceError
from actors.extras import need
from actors.source.protocol import Offsets, SplitInfo, beyond_end
from actors.source.records import Block, Origin, Texts
from actors.source.transport.positions import FileMark, PositionLog

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

CALL_TIMEOUT_S = 3.0
"""Longest wait for an answer to a question about a topic."""

WAIT_S = 0.25
"""Longest wait for messages at once."""

WAIT_COUNT_MAX = 4
"""Waits of one read, when the broker has said neither that there are messages nor that there are none."""

SILENT_READ_COUNT_MAX = 20
"""Reads in a row that the broker may leave without any answer."""

QUEUED_COUNT_MAX = 100_000
"""Messages of all splits that are kept for reads to come."""

_CALLBACK_COUNT_MAX = 10
_FETCH_COUNT_MAX = 30_000
_LOOK_PERIOD_MS = 5_000


class Message(Protocol):
    """A message, or what is said of a partition in place of one."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def value(self) -> bytes | None: ...
    def error(self) -> "KafkaError | None": ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Messages of one partition, one after the other."""

    offsets: Offsets
    values: list[bytes]

    def cut(self, start: int, end: int) -> "_Run":
        """Return the messages at places from `start` to `end`."""
        return _Run(offsets=self.offsets[start:end], values=self.values[start:end])


@dataclass(slots=True)
class _Partition:
    """A partition that is fetched."""

    position: int
    """Offset that is given out next."""

    runs: deque[_Run] = field(default_factory=deque)
    """Messages from there on, none of them empty."""

    is_at_end: bool = False
    """Whether the broker had nothing more after them."""

    silent_count: int = 0
    """Reads in a row without any answer."""

    error: "KafkaError | None" = None

    def take(self, count: int) -> _Run:
        """Take at most so many messages, at least one."""
        taken: list[_Run] = []
        while self.runs and count:
            run = self.runs.popleft()
            if len(run.values) > count:
                self.runs.appendleft(run.cut(count, len(run.values)))
                run = run.cut(0, count)
            taken.append(run)
            count -= len(run.values)
        if len(taken) == 1:
            return taken[0]
        values = list(chain.from_iterable(run.values for run in taken))
        return _Run(offsets=np.concatenate([run.offsets for run in taken]), values=values)


def client_settings(
    brokers: Sequence[str], security: Any, password: str | None, group: str
) -> dict[str, str | int | bool]:
    """Return the settings of a client that reads; `security` is that of the job, `group` what brokers show it as."""
    return connection_settings(brokers, security, password) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        # An offset that is gone is told to people; the client must not go on somewhere else.
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 100,
        "queued.max.messages.kbytes": 32_768,
        "statistics.interval.ms": _LOOK_PERIOD_MS,
    }


def connection_settings(brokers: Sequence[str], security: Any, password: str | None) -> dict[str, str | int | bool]:
    """Return how any client reaches brokers; `security` is that of the job."""
    protocol = ("sasl_" if security.username else "") + ("ssl" if security.tls else "plaintext")
    settings: dict[str, str | int | bool] = {
        "bootstrap.servers": ",".join(brokers),
        "client.id": "tocsin",
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 5_000,
        "socket.timeout.ms": 10_000,
        "topic.metadata.refresh.interval.ms": _LOOK_PERIOD_MS,
        "log_level": 0,
        "security.protocol": protocol,
    }
    if security.username:
        settings |= {
            "sasl.mechanism": security.mechanism,
            "sasl.username": security.username,
            "sasl.password": password or "",
        }
    names = {"ca": "ssl.ca.location", "certificate": "ssl.certificate.location", "key": "ssl.key.location"}
    return settings | {name: getattr(security, key) for key, name in names.items() if getattr(security, key)}


class KafkaTransport:
    """Brings the messages of a topic; `start_ms` is the time from which on they count, `None` for all."""

    is_finite = False

    def __init__(
        self,
        settings: Mapping[str, str | int | bool],
        topic: str,
        start_ms: int | None = None,
        positions: PositionLog | None = None,
    ) -> None:
        self._brokers = settings["bootstrap.servers"]
        self._topic = topic
        self._start_ms = start_ms
        self._positions = positions or PositionLog()
        self._origin = Origin(name=topic, stem=topic)
        self._partitions: dict[int, _Partition] = {}
        self._queued_count = 0
        self._reason = ""
        self._answer_count = -1
        self._trouble: str | None = None
        self._is_look_due = False
        self._consumer: Consumer | None = _consumer(settings, self._on_error, self._on_statistics)
        try:
            self._count = self._look()
        except BaseException:
            self.close()
            raise

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return a split for each partition of the topic."""
        if self._is_look_due:
            self._is_look_due = False
            self._count = max(self._look(), self._count)
        return tuple(SplitInfo(number=number, name=f"{self._topic}/{number}") for number in range(self._count))

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that the broker still has, or that of the time from which on messages count.

        Raises:
            SourceError: the broker does not answer.
        """
        low, high = self._bounds(split)
        if self._start_ms is None:
            return low
        known = self._positions.marks.get(split)
        if known is None:
            first = self._offset_of_time(split, self._start_ms, high)
            known = FileMark(number=split, path=self._topic, record_count=first, size_bytes=0, digest="start")
            self._positions.put(known)
        return max(low, known.record_count)

    def block_at(self, split: int, offset: int, record_count: int) -> Block[Texts] | None:
        """Return messages from an offset on, `None` when there are none yet.

        Raises:
            SourceError: the offset is gone or was never reached, or no broker answers.
        """
        partition = self._partitions.get(split)
        if partition is None or partition.position != offset:
            partition = self._fetch_from(split, offset)
        self._wait_for(split, partition)
        if not partition.runs:
            return None
        run = partition.take(record_count)
        self._queued_count -= len(run.values)
        partition.position = int(run.offsets[-1]) + 1
        return Block(
            origin=self._origin,
            offsets=run.offsets,
            next_offset=partition.position,
            content=Texts.of_messages(run.values),
        )

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        consumer, self._consumer = self._consumer, None
        self._partitions.clear()
        self._queued_count = 0
        if consumer is not None:
            consumer.close()

    @property
    def _client(self) -> "Consumer":
        if self._consumer is None:
            raise SourceError(f"topic {self._topic!r} is closed; open the source again")
        return self._consumer

    def _fetch_from(self, split: int, offset: int) -> _Partition:
        """Fetch a partition from an offset on, the others from where they are."""
        from confluent_kafka import TopicPartition

        if split in self._partitions:
            self._queued_count -= sum(len(run.values) for run in self._partitions[split].runs)
        partition = self._partitions[split] = _Partition(position=offset)
        ahead = {number: _next_of(one) for number, one in self._partitions.items()}
        self._client.assign([TopicPartition(self._topic, number, place) for number, place in ahead.items()])
        return partition

    def _wait_for(self, split: int, partition: _Partition) -> None:
        """Wait until the broker has said something of a partition, or for as long as a read may take."""
        if not partition.runs and self._queued_count < QUEUED_COUNT_MAX:
            self._take(0)
        for _ in range(1 if partition.silent_count else WAIT_COUNT_MAX):
            if partition.runs or partition.is_at_end or partition.error or self._trouble:
                break
            if self._queued_count >= QUEUED_COUNT_MAX:
                # What is kept for others must be read first.
                return
            self._take(WAIT_S)
        if partition.runs:
            partition.silent_count = 0
            return
        if partition.error is not None:
            raise self._error_of(split, partition)
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise SourceError(f"no broker of {self._brokers} answers: {trouble}")
        partition.silent_count = 0 if partition.is_at_end else partition.silent_count + 1
        if partition.silent_count > SILENT_READ_COUNT_MAX:
            raise SourceError(f"the broker of {self._topic}/{split} says nothing; tried {self._brokers}")

    def _take(self, wait_s: float) -> None:
        """Sort what has arrived by its partition; wait for the first of it."""
        client = self._client
        # What is said by callbacks is said while one message is asked for.
        first = cast("Message | None", client.poll(wait_s))
        arrived = [] if first is None else [first, *cast("list[Message]", client.consume(_FETCH_COUNT_MAX, 0))]
        if not arrived:
            return
        # Asking each message in a loop of the interpreter would cost more than reading it.
        kind = type(arrived[0])
        if set(map(type, map(kind.error, arrived))) != {type(None)}:
            for one in arrived:
                self._note(one)
            arrived = [one for one in arrived if one.error() is None]
        count = len(arrived)
        numbers = np.fromiter(map(kind.partition, arrived), dtype=np.int64, count=count)
        offsets = np.fromiter(map(kind.offset, arrived), dtype=np.int64, count=count)
        values = list(map(kind.value, arrived))
        # A message without a value says that its key is gone, which is no row.
        bodies = [value or b"" for value in values] if None in values else cast("list[bytes]", values)
        whole = _Run(offsets=offsets, values=bodies)
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), count] if count else []
        for start, end in pairwise(edges):
            self._keep(int(numbers[start]), whole.cut(start, end))

    def _keep(self, number: int, run: _Run) -> None:
        partition = self._partitions.get(number)
        if partition is None:
            return
        expected = _next_of(partition)
        if run.offsets[0] < expected:
            run = run.cut(int(np.searchsorted(run.offsets, expected)), len(run.values))
        if run.values:
            partition.runs.append(run)
            self._queued_count += len(run.values)
        partition.is_at_end = False
        self._trouble = None

    def _note(self, message: Message) -> None:
        from confluent_kafka import KafkaError

        error, partition = message.error(), self._partitions.get(message.partition())
        if partition is None or error is None:
            return
        if error.code() == KafkaError._PARTITION_EOF:
            partition.is_at_end, self._trouble = True, None
        else:
            partition.error = error

    def _error_of(self, split: int, partition: _Partition) -> SourceError:
        """Return what is wrong with a partition; the next read fetches it again."""
        from confluent_kafka import KafkaError

        error = partition.error
        assert error is not None
        del self._partitions[split]
        if error.code() not in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return SourceError(f"{self._topic}/{split}: {error.str()}")
        low, high = self._bounds(split)
        if partition.position > high:
            return beyond_end(SplitInfo(number=split, name=f"{self._topic}/{split}"), partition.position, high)
        return SourceError(
            f"offset {partition.position} of {self._topic}/{split} is gone: the broker keeps offsets from {low} on"
        )

    def _bounds(self, split: int) -> tuple[int, int]:
        from confluent_kafka import KafkaException, TopicPartition

        try:
            bounds = self._client.get_watermark_offsets(TopicPartition(self._topic, split), timeout=CALL_TIMEOUT_S)
        except KafkaException as error:
            raise self._unanswered(error) from error
        if bounds is None:
            raise SourceError(f"the broker of {self._topic}/{split} does not say which offsets it has")
        return bounds

    def _offset_of_time(self, split: int, time_ms: int, end: int) -> int:
        from confluent_kafka import KafkaException, TopicPartition

        asked = [TopicPartition(self._topic, split, time_ms)]
        try:
            found = self._client.offsets_for_times(asked, timeout=CALL_TIMEOUT_S)[0].offset
        except KafkaException as error:
            raise self._unanswered(error) from error
        # Nothing is that new yet.
        return found if found >= 0 else end

    def _look(self) -> int:
        """Return how many partitions the topic has."""
        from confluent_kafka import KafkaException

        try:
            topics = self._client.list_topics(self._topic, timeout=CALL_TIMEOUT_S).topics
        except KafkaException as error:
            raise self._unanswered(error) from error
        found = topics[self._topic]
        if found.error is not None:
            raise SourceError(f"topic {self._topic!r} of {self._brokers}: {found.error.str()}")
        return len(found.partitions)

    def _unanswered(self, error: Exception) -> SourceError:
        # The reason is known to a callback, which is called while messages are asked for.
        for _ in range(_CALLBACK_COUNT_MAX):
            self._client.poll(0)
        reason = error.args[0] if error.args else error
        shown = reason.str() if hasattr(reason, "str") else str(reason)
        return SourceError(f"no broker of {self._brokers} answers: {self._trouble or shown}")

    def _on_error(self, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError

        # Connections come and go; when all brokers are down, what was said before tells why.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._reason = error.str()
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._trouble = self._reason or error.str()

    def _on_statistics(self, text: str) -> None:
        found = json.loads(text)
        partitions = found.get("topics", {}).get(self._topic, {}).get("partitions", {})
        self._is_look_due = max(map(int, partitions), default=-1) >= self._count
        # Whoever fetches is answered all the time, also when there is nothing.
        answer_count = sum(int(one.get("rx", 0)) for one in found.get("brokers", {}).values())
        if answer_count == self._answer_count and self._partitions:
            self._trouble = self._reason or f"nothing for {_LOOK_PERIOD_MS // 1000} seconds"
        self._answer_count = answer_count


def _next_of(partition: _Partition) -> int:
    """Return the offset after the last message that is kept."""
    return int(partition.runs[-1].offsets[-1]) + 1 if partition.runs else partition.position


def _consumer(settings: Mapping[str, Any], on_error: Any, on_statistics: Any) -> "Consumer":
    need("kafka", SourceError)
    from confluent_kafka import Consumer, KafkaException

    try:
        return Consumer({**settings, "error_cb": on_error, "stats_cb": on_statistics})
    except KafkaException as error:
        raise SourceError(f"a client of Kafka cannot be made: {error.args[0].str()}") from error
