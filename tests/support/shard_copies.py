"""The copy of a partition's shard, as another node gets it."""

from collections.abc import Iterator

from actors.host import PartitionHost
from actors.shard.transfer import ShardChunk


def chunks_of(host: PartitionHost, epoch: int, number: int, generation: int, now_us: int = 0) -> Iterator[ShardChunk]:
    """Have a host make a copy, and yield it from its beginning to its end."""
    size, offset = host.begin_copy(epoch, number, generation, now_us), 0
    while offset < size:
        chunk = host.read_chunk(number, generation, offset)
        yield chunk
        offset += len(chunk.data)
