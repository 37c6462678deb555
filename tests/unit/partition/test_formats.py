"""Shards and snapshots of earlier versions open and go on as if today's code had written them.

Since version 2 the engine's snapshot has the latest ticks.
"""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from actors.partition.partition import Partition
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

TABLES = ("anomalies", "dead_letters", "detectors", "engine", "episodes", "late_rows", "notices", "outbox", "partition")


def unpack(archive: Path, directory: Path) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        opened.extract(DATA, directory)
        return opened.read(SNAPSHOT)


def tables(partition: Partition) -> dict[str, Any]:
    return {name: read_table(partition, name) for name in TABLES}


@pytest.mark.parametrize("version", ["partition-1", "partition-2"])
def test_a_shard_of_an_earlier_version_goes_on(version: str, tmp_path: Path) -> None:
    job = fixture_job()
    found = []
    write_fixture(tmp_path / "today.zip")
    for name, archive in (("old", FORMATS / f"{version}.zip"), ("new", tmp_path / "today.zip")):
        unpack(archive, tmp_path / name)
        with Partition.open(job, 0, tmp_path / name) as partition:
            assert partition.begin(2, {0: 0}, 0) == {0: SNAPSHOT_AT}
            assert partition.committed == {0: COMMITTED}
            partition.validate()
            send(partition, job, SNAPSHOT_AT, len(ROWS), epoch=2)
            partition.flush(2, 0)
            partition.validate()
            found.append(tables(partition))
    assert found[0] == found[1]


def test_today_every_table_has_the_bytes_of_version_2(tmp_path: Path) -> None:
    write_fixture(tmp_path / "today.zip")
    snapshots, found = [], []
    for name, archive in (("old", FORMATS / "partition-2.zip"), ("new", tmp_path / "today.zip")):
        snapshots.append(unpack(archive, tmp_path / name))
        with Partition.open(fixture_job(), 0, tmp_path / name) as partition:
            found.append(tables(partition))
    assert found[0] == found[1]
    assert all(found[0].values())
    assert snapshots[0] == snapshots[1]


@pytest.mark.parametrize("version", ["partition-1", "partition-2"])
def test_a_snapshot_of_an_earlier_version_is_taken_over(version: str, tmp_path: Path) -> None:
    snapshot = unpack(FORMATS / f"{version}.zip", tmp_path / "old")
    with Partition.open(fixture_job(), 0, tmp_path / "new") as partition:
        partition.restore(snapshot, 0)
        partition.validate()
        assert partition.begin(2, {0: 0}, 0) == {0: COMMITTED}
        assert partition.stat().gaps == ((0, 0, COMMITTED),)
