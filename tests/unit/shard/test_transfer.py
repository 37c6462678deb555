"""A copy in chunks: whole or not there, whatever is lost, doubled, exchanged or interrupted on the way."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.shard import Shard, ShardIdentifierError, ShardMissingError
from actors.shard import transfer as module
from actors.shard.errors import ShardCopyError
from actors.shard.generations import open_generation
from actors.shard.transfer import IncomingCopy, OutgoingCopy, ShardChunk
from tests.support.file_crashes import crashes

NAME = "job/2"
VALUE = bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE_BYTES", 10_000)


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Shard]:
    with open_generation(tmp_path / "here" / "0002", 3, identifier=NAME) as shard:
        table = shard.table("t")
        shard.write(lambda txn: txn.put(b"value", VALUE, db=table))
        yield shard


def outgoing(sender: Shard, generation: int = 4) -> OutgoingCopy:
    copy = OutgoingCopy(sender.directory, generation)
    copy.make(sender)
    return copy


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there" / "0002"


def chunks_of(copy: OutgoingCopy) -> list[ShardChunk]:
    found = [copy.read_chunk(0)]
    while found[-1].offset + len(found[-1].data) < found[-1].size_bytes:
        found.append(copy.read_chunk(found[-1].offset + len(found[-1].data)))
    return found


def take(target: IncomingCopy, chunk: ShardChunk) -> int:
    return target.receive(chunk.offset, chunk.data, chunk.digest)


def finish(target: IncomingCopy, last: ShardChunk) -> None:
    target.finish(last.size_bytes, last.digest, NAME)


def value_at(place: Path, generation: int) -> bytes | None:
    with open_generation(place, generation, identifier=NAME) as shard:
        table = shard.table("t")
        with shard.read() as txn:
            return txn.get(b"value", db=table)


def test_a_copy_arrives_and_is_current_when_it_is_opened(sender: Shard, place: Path) -> None:
    chunks, target = chunks_of(outgoing(sender)), IncomingCopy(place, 4)
    assert [take(target, chunk) for chunk in chunks] == [chunk.offset + len(chunk.data) for chunk in chunks]
    assert len(chunks) > 3
    finish(target, chunks[-1])
    finish(target, chunks[-1])
    assert [path.name for path in place.parent.iterdir()] == ["0002.generation-4"]
    assert [path.name for path in place.with_name("0002.generation-4").iterdir()] == ["data.mdb"]
    assert value_at(place, 4) == VALUE


def test_chunks_that_come_twice_or_too_early_change_nothing(sender: Shard, place: Path) -> None:
    chunks, target = chunks_of(outgoing(sender)), IncomingCopy(place, 4)
    take(target, chunks[0])
    assert take(target, chunks[2]) == take(target, chunks[1]) - len(chunks[1].data)
    assert take(target, chunks[1]) == chunks[2].offset
    for chunk in chunks[2:]:
        take(target, chunk)
    finish(target, chunks[-1])


def test_both_sides_may_be_restarted_between_any_two_chunks(sender: Shard, place: Path) -> None:
    copy = outgoing(sender)
    last = chunks_of(copy)[-1]
    offset = 0
    while offset < last.size_bytes:
        offset = take(IncomingCopy(place, 4), OutgoingCopy(sender.directory, 4).read_chunk(offset))
    finish(IncomingCopy(place, 4), last)
    assert value_at(place, 4) == VALUE


def test_a_copy_that_was_begun_anew_does_not_continue_the_one_before(sender: Shard, place: Path) -> None:
    target = IncomingCopy(place, 4)
    first = chunks_of(outgoing(sender))
    for chunk in first[:3]:
        take(target, chunk)
    table = sender.table("t")
    sender.write(lambda txn: txn.put(b"value", VALUE[::-1], db=table))
    second = chunks_of(outgoing(sender))
    with pytest.raises(ShardCopyError, match=r"chunk 30000 of 0002.generation-4 does not continue .* from 0 on"):
        take(target, second[3])
    for chunk in second:
        take(target, chunk)
    finish(target, second[-1])
    assert value_at(place, 4) == VALUE[::-1]


def test_a_chunk_that_was_altered_is_refused(sender: Shard, place: Path) -> None:
    chunk = outgoing(sender).read_chunk(0)
    with pytest.raises(ShardCopyError, match="does not continue"):
        IncomingCopy(place, 4).receive(0, b"x" + chunk.data[1:], chunk.digest)


def test_what_is_not_whole_or_of_another_generation_or_partition_never_stands(sender: Shard, place: Path) -> None:
    chunks = chunks_of(outgoing(sender))
    target = IncomingCopy(place, 4)
    take(target, chunks[0])
    with pytest.raises(ShardCopyError, match="has 10000 bytes and not"):
        finish(target, chunks[-1])
    for generation, error in ((5, ShardCopyError), (4, ShardIdentifierError)):
        target = IncomingCopy(place, generation)
        for chunk in chunks:
            take(target, chunk)
        with pytest.raises(error, match=r"generation 4|not to 'job/1'"):
            target.finish(chunks[-1].size_bytes, chunks[-1].digest, NAME if generation == 5 else "job/1")
    assert {path.name for path in place.parent.iterdir()} <= {"0002.incoming"}


def test_bytes_that_the_disk_lost_are_noticed_at_the_end(sender: Shard, place: Path) -> None:
    chunks, target = chunks_of(outgoing(sender)), IncomingCopy(place, 4)
    for chunk in chunks:
        take(target, chunk)
    with place.with_name("0002.incoming").joinpath("data.mdb").open("r+b") as file:
        file.seek(20_000)
        file.write(bytes(100))
    with pytest.raises(ShardCopyError, match="another digest"):
        finish(target, chunks[-1])


def test_a_copy_that_was_given_up_cannot_be_read(sender: Shard) -> None:
    copy = outgoing(sender)
    copy.remove()
    with pytest.raises(ShardMissingError, match=r"0002.outgoing-4 to send; begin it anew"):
        copy.read_chunk(0)


def test_a_crash_at_any_step_of_the_end_leaves_a_whole_copy_or_none(sender: Shard, place: Path) -> None:
    chunks = chunks_of(outgoing(sender))

    def receive() -> None:
        for chunk in chunks:
            take(IncomingCopy(place, 4), chunk)

    receive()
    for number in crashes(lambda: finish(IncomingCopy(place, 4), chunks[-1])):
        arrived = place.with_name("0002.generation-4").exists()
        if not arrived:
            finish(IncomingCopy(place, 4), chunks[-1])
        assert value_at(place, 4) == VALUE, number
        shutil.rmtree(place.parent)
        place.parent.mkdir()
        receive()
    assert number > 2
