"""Shards and snapshots of earlier versions open and go on as if today's code had written them.

Since fixture 2 the engine's snapshot has the latest ticks. Afterwards the record of the marks and snapshots got version
2: values have checksums in front, and are what they were behind them. Fixture 3 has both, and the share of the keys.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest

from actors.errors import DamagedEntryError, SnapshotError
from actors.partition.check import check_partition
from actors.partition.gaps import Gap
from actors.partition.partition import Partition
from actors.partition.sealing import SEALED, seal, unseal
from actors.shard import Shard
from tests.support.partition_fixture import (
    COMMITTED,
    DATA,
    ROWS,
    SNAPSHOT,
    SNAPSHOT_AT,
    fixture_job,
    send,
    write_fixture,
)
from tests.support.partition_jobs import read_table

FORMATS = Path(__file__).parents[2] / "support" / "formats"

VERSIONS = ("partition-1", "partition-2", "partition-3")

TABLES = ("anomalies", "dead_letters", "detectors", "engine", "episodes", "late_rows", "notices", "outbox", "partition")


def unpack(archive: Path, directory: Path) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        opened.extract(DATA, directory)
        return opened.read(SNAPSHOT)


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive that the code of today has written."""
    archive = tmp_path_factory.mktemp("today") / "today.zip"
    write_fixture(archive)
    return archive


def tables(partition: Partition) -> dict[str, Any]:
    return {name: read_table(partition, name) for name in TABLES}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shard_of_an_earlier_version_goes_on(version: str, tmp_path: Path, today: Path) -> None:
    job = fixture_job()
    found = []
    for name, archive in (("old", FORMATS / f"{version}.zip"), ("new", today)):
        unpack(archive, tmp_path / name)
        with Partition.open(job, 0, tmp_path / name) as partition:
            assert partition.begin(2, {0: 0}, 0) == {0: SNAPSHOT_AT}
            assert partition.committed == {0: COMMITTED}
            partition.validate()
            send(partition, job, SNAPSHOT_AT, len(ROWS), epoch=2)
            partition.flush(2, 0)
            partition.validate()
            found.append(tables(partition))
    # What waits for a sink is the same, under a mark of all sinks there and of this one here.
    marks = [one.pop("outbox") for one in found]
    assert [[value for _, value in one] for one in marks] == [[marks[0][0][1]]] * 2
    assert found[0] == found[1]


def plain_snapshot(snapshot: bytes) -> dict[str, Any]:
    """Return what a snapshot of a partition has, without versions and checksums."""
    found: dict[str, Any] = msgpack.unpackb(unseal(b"snapshot", snapshot), strict_map_key=False)
    states = [msgpack.unpackb(state) for state in found["detectors"]]
    plain = [state if isinstance(state, dict) else msgpack.unpackb(state[2]) for state in states]
    return found | {"version": 0, "detectors": plain, "fingerprint": without_share(found["fingerprint"])}


def without_share(fingerprint: list[str]) -> list[str]:
    """Return a fingerprint as it was before it said which share of the keys a partition has."""
    return [one for one in fingerprint if not one.startswith("share of ")]


def test_today_every_table_has_the_content_of_fixture_2(tmp_path: Path, today: Path) -> None:
    snapshots, found = [], []
    for name, archive in (("old", FORMATS / "partition-2.zip"), ("new", today)):
        snapshots.append(unpack(archive, tmp_path / name))
        with Partition.open(fixture_job(), 0, tmp_path / name) as partition:
            found.append(tables(partition))
    # What waits for a sink is the same, under a mark of all sinks there and of this one here.
    taken = [one.pop("outbox") for one in found]
    assert [[value for _, value in one] for one in taken] == [[taken[0][0][1]]] * 2
    marks = [msgpack.unpackb(tables.pop("partition")[0][1], strict_map_key=False) for tables in found]
    assert [record.pop("version") for record in marks] == [1, 2]
    fingerprints = [record.pop("fingerprint") for record in marks]
    assert [one[-1:] == [f"share of {fixture_job().partitions} by key"] for one in fingerprints] == [False, True]
    assert fingerprints[0] == without_share(fingerprints[1])
    assert [marks[1].pop(name) for name in ("gap_times", "not_replayed")] == [[], []]
    assert marks[0] == marks[1]
    assert found[0] == found[1]
    assert all(found[0].values())
    assert plain_snapshot(snapshots[0]) == plain_snapshot(snapshots[1])
    assert snapshots[1][:1] == SEALED


def test_a_sealed_value_is_the_checksum_and_the_value() -> None:
    assert seal(b"key", b"value") == b"\x02value\xce" + zlib.crc32(b"key\x02value\xce").to_bytes(4, "little")
    assert unseal(b"key", seal(b"key", b"value")) == unseal(b"key", b"value") == b"value"
    with pytest.raises(DamagedEntryError, match="b'other' of a partition does not fit its checksum; restore the shard"):
        unseal(b"other", seal(b"key", b"value"))


@pytest.mark.parametrize("name", TABLES)
def test_a_flipped_bit_in_a_table_is_found(name: str, tmp_path: Path, today: Path) -> None:
    unpack(today, tmp_path / "shard")
    with Shard.open(tmp_path / "shard", identifier="trades/0") as shard:
        table = shard.table(name)
        with shard.read() as txn, txn.cursor(table) as cursor:
            key, value = next((bytes(key), bytes(value)) for key, value in cursor if value)
        for bit in (1 << place for place in range(8)):
            damaged = value[:-1] + bytes([value[-1] ^ bit])
            shard.write(lambda txn: txn.put(key, damaged, db=table))  # noqa: B023  # called at once
            found = check_partition(shard)
            assert [finding.table for finding in found] == [name]
            assert "checksum" in found[0].fault
    if name in {"partition", "engine", "detectors"}:
        with pytest.raises(DamagedEntryError, match="does not fit its checksum"):
            Partition.open(fixture_job(), 0, tmp_path / "shard")


def test_a_mark_of_an_outbox_that_is_none_hides_nothing(tmp_path: Path, today: Path) -> None:
    unpack(today, tmp_path / "shard")
    with Shard.open(tmp_path / "shard", identifier="trades/0") as shard:
        table = shard.table("outbox")
        with shard.read() as txn, txn.cursor(table) as cursor:
            cursor.first()
            place, stored = bytes(cursor.key()), bytes(cursor.value())
        for bit in (1 << place for place in range(8)):
            flipped = bytes([stored[0] ^ bit]) + stored[1:]
            shard.write(lambda txn: txn.put(place, flipped, db=table))  # noqa: B023  # called at once
            assert check_partition(shard)
    with pytest.raises(DamagedEntryError, match="does not fit its checksum"):
        Partition.open(fixture_job(), 0, tmp_path / "shard")


def test_marks_and_snapshots_of_a_later_version_are_refused(tmp_path: Path, today: Path) -> None:
    unpack(today, tmp_path / "shard")
    with Shard.open(tmp_path / "shard", identifier="trades/0") as shard:
        table = shard.table("partition")
        later = seal(b"marks", msgpack.packb({"version": 3}))
        shard.write(lambda txn: txn.put(b"marks", later, db=table))
    with pytest.raises(SnapshotError, match="a shard of format 3; this version reads formats 1 and 2"):
        Partition.open(fixture_job(), 0, tmp_path / "shard")


def test_a_flipped_bit_in_a_snapshot_of_a_partition_is_found(tmp_path: Path, today: Path) -> None:
    snapshot = unpack(today, tmp_path / "shard")
    with Partition.open(fixture_job(), 0, tmp_path / "new") as partition:
        for place in (*range(40), *range(40, len(snapshot), 97)):
            damaged = bytearray(snapshot)
            damaged[place] ^= 1 << place % 8
            with pytest.raises(SnapshotError):
                partition.restore(bytes(damaged), 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_snapshot_of_an_earlier_version_is_taken_over(version: str, tmp_path: Path) -> None:
    snapshot = unpack(FORMATS / f"{version}.zip", tmp_path / "old")
    with Partition.open(fixture_job(), 0, tmp_path / "new") as partition:
        partition.restore(snapshot, 0)
        partition.validate()
        assert partition.begin(2, {0: 0}, 0) == {0: COMMITTED}
        assert partition.stat().gaps == (Gap(split=0, start=0, end=COMMITTED, noted_us=0),)
