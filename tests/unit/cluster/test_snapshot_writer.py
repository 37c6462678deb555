"""Snapshots of a host are files as long as somebody wants them, and are written slowly while rows go on."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from actors.engine.snapshot import Capture
from actors.errors import NotOpenError
from actors.files import open_locked
from actors.partition.capture import PartitionCapture
from cluster.deployment.snapshot_writer import SnapshotWriter
from raft.digests import digest_of

BLOCK = bytes(1 << 20)


class Pieces(Capture):
    """Pieces that take some work; what is in `before` is done before the second one."""

    def __init__(self, pieces: Sequence[bytes] = (b"a", b"b")) -> None:
        self._pieces = pieces

    def pieces(self) -> Iterator[bytes]:
        for piece in self._pieces:
            hashlib.sha256(BLOCK).digest()
            yield piece


class Dropped(Pieces):
    """A capture that is dropped while it is written."""

    def __init__(self, writer: SnapshotWriter, name: str) -> None:
        super().__init__()
        self._writer = writer
        self._name = name

    def pieces(self) -> Iterator[bytes]:
        self._writer.drop(self._name)
        yield from super().pieces()


def captured(engine: Capture) -> PartitionCapture:
    return PartitionCapture(b"key", {0: 3}, {"engine": engine, "version": 2})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SnapshotWriter]:
    writer = SnapshotWriter(tmp_path / "outgoing")
    yield writer
    writer.close()
    assert not [*tmp_path.glob("outgoing/*")]


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_file_has_the_bytes_of_the_capture_until_it_is_dropped(writer: SnapshotWriter, share: float) -> None:
    writer.keep("one", 1, 0, captured(Pieces()))
    written = writer.write("one", share)
    data = Path(written.path).read_bytes()
    assert data == b"".join(captured(Pieces()).pieces())
    assert (written.digest, written.size_bytes) == (digest_of(data), len(data))
    assert Path(written.path).stat().st_mode & 0o777 == 0o600
    writer.drop("one")
    assert not Path(written.path).exists()


def test_one_that_is_dropped_while_it_is_written_ends_there(writer: SnapshotWriter) -> None:
    writer.keep("one", 1, 0, captured(Dropped(writer, "one")))
    with pytest.raises(NotOpenError, match="is not wanted any more"):
        writer.write("one", 1.0)


def test_a_later_capture_and_a_later_leader_take_the_place_of_earlier_ones(writer: SnapshotWriter) -> None:
    for name, epoch, partition in (("a", 1, 0), ("b", 1, 1), ("c", 1, 0), ("d", 2, 2)):
        writer.keep(name, epoch, partition, captured(Pieces()))
        if name == "c":
            with pytest.raises(NotOpenError):
                writer.write("a", 1.0)
            writer.write("b", 1.0)
    with pytest.raises(NotOpenError):
        writer.write("b", 1.0)
    writer.write("d", 1.0)


def test_what_a_dead_process_has_left_is_removed_and_what_another_one_wants_stays(tmp_path: Path) -> None:
    (tmp_path / "left").write_bytes(b"x")
    with open_locked(tmp_path / "wanted", wait=False):
        SnapshotWriter(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["wanted"]


def test_while_rows_go_on_the_writer_rests_eight_times_as_long_as_it_works(tmp_path: Path) -> None:
    rests: list[float] = []
    writer = SnapshotWriter(tmp_path, lambda: sum(rests), rests.append)
    writer.keep("fast", 1, 0, captured(Pieces([b"x"] * 20)))
    writer.keep("slow", 1, 1, captured(Pieces([b"x"] * 20)))
    writer.write("fast", 1.0)
    assert rests == []
    writer.write("slow", 1 / 9)
    # Twenty hashes of a mebibyte, each of which takes 0.4 ms at least.
    assert sum(rests) > 0.05
