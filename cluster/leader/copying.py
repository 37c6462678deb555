"""Copying a shard from the host that has it to one on another node, chunk after chunk.

Nothing depends on it before it is whole: the copy becomes the shard when it is opened at its generation. It waits for
the hosts, so it has a thread of its own.
"""

import queue
from collections.abc import Callable
from typing import TypeVar

from cluster.errors import NoAnswerError
from cluster.leader.ports import HostPort, Reply

T = TypeVar("T")

CHUNK_TIMEOUT_S = 60.0
"""Seconds that a host has to make a copy, or to give or take a chunk of it."""


def copy_shard(
    source: HostPort, target: HostPort, epoch: int, partition: int, generation: int, now_us: Callable[[], int]
) -> None:
    """Let the target's node have a copy of a shard, durably.

    Raises:
        NoAnswerError: a host does not answer.
        TocsinError: what a host says.
    """
    size_bytes = _wait(source.begin_copy(epoch, partition, generation, now_us()))
    offset, digest = 0, b""
    while offset < size_bytes:
        chunk = _wait(source.read_chunk(partition, generation, offset))
        # What was received before may be there still, or be gone: the target knows.
        offset = _wait(target.receive_chunk(epoch, partition, generation, chunk))
        digest = chunk.digest
    _wait(target.finish_copy(epoch, partition, generation, size_bytes, digest))
    _wait(source.end_copy(epoch, partition, generation))


def _wait(reply: Reply[T]) -> T:
    answers: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()
    reply.when_done(lambda answer: answers.put((answer, None)), lambda error: answers.put((None, error)))
    try:
        answer, error = answers.get(timeout=CHUNK_TIMEOUT_S)
    except queue.Empty:
        raise NoAnswerError(f"a host has not answered for {CHUNK_TIMEOUT_S:.0f} s while a shard was copied") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # one of the two is there
