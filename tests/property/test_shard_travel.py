"""A shard that travels: whatever is lost, doubled or restarted on the way, what arrives is one commit of its source."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.shard import Shard
from actors.shard import transfer as module
from actors.shard.errors import ShardCopyError
from actors.shard.generations import copies_beside, open_generation
from actors.shard.transfer import IncomingCopy, OutgoingCopy, ShardChunk

NAME = "job/2"
EVENTS = st.lists(
    st.sampled_from(("send", "send", "send", "send again", "lose", "write", "begin", "restart", "finish", "flip")),
    max_size=40,
)


class Travel:
    """A source that is written to and copied, and a target that takes the copy's chunks."""

    def __init__(self, directory: Path) -> None:
        self.source = open_generation(directory / "here" / "0002", 1, identifier=NAME)
        self.table = self.source.table("t")
        self.place = directory / "there" / "0002"
        self.place.parent.mkdir()
        self.values: list[bytes] = []
        self.offset = 0
        self.last: ShardChunk | None = None
        self.write()
        self.begin()
        self.restart()

    def write(self) -> None:
        value = bytes([len(self.values) % 256]) * (9000 + 500 * len(self.values))
        self.values.append(value)
        self.source.write(lambda txn: txn.put(b"value", value, db=self.table))

    def begin(self) -> None:
        self.outgoing = OutgoingCopy(self.source.directory, 2)
        self.outgoing.make(self.source)

    def restart(self) -> None:
        self.incoming = IncomingCopy(self.place, 2)
        self.outgoing = OutgoingCopy(self.source.directory, 2)

    def send(self, *, is_flipped: bool = False) -> None:
        chunk = self.outgoing.read_chunk(self.offset)
        data = bytes([chunk.data[0] ^ 1]) + chunk.data[1:] if is_flipped and chunk.data else chunk.data
        self.last = chunk
        try:
            self.offset = self.incoming.receive(chunk.offset, data, chunk.digest)
        except ShardCopyError:
            self.offset = 0

    def send_again(self) -> None:
        if self.last is not None:
            try:
                self.offset = self.incoming.receive(self.last.offset, self.last.data, self.last.digest)
            except ShardCopyError:
                self.offset = 0

    def finish(self) -> None:
        chunk = self.outgoing.read_chunk(self.offset)
        try:
            self.incoming.finish(chunk.size_bytes, chunk.digest, NAME)
        except ShardCopyError:
            self.offset = 0

    def arrived(self) -> bytes | None:
        """Return what has arrived, as a shard that opens."""
        for generation, path in copies_beside(self.place):
            assert generation == 2
            with Shard.open(path, identifier=NAME, read_only=True) as shard:
                table = shard.table("t")
                assert shard.generation == 2
                with shard.read() as txn:
                    return bytes(txn.get(b"value", db=table))
        return None


@settings(max_examples=15, deadline=None)
@given(EVENTS)
def test_what_arrives_is_one_commit_of_the_source(events: list[str]) -> None:
    directory = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_SIZE_BYTES", 8000)
        travel = Travel(directory)
        steps = {
            "send": travel.send, "send again": travel.send_again, "write": travel.write, "begin": travel.begin,
            "restart": travel.restart, "finish": travel.finish, "flip": lambda: travel.send(is_flipped=True),
            "lose": lambda: travel.outgoing.read_chunk(travel.offset),
        }  # fmt: skip
        for event in events:
            steps[event]()
            assert travel.arrived() in (None, *travel.values)
        travel.restart()
        travel.begin()
        travel.offset = 0
        while travel.offset < travel.outgoing.read_chunk(travel.offset).size_bytes:
            travel.send()
        travel.finish()
        assert travel.arrived() == travel.values[-1]
        travel.source.close()
    shutil.rmtree(directory)
