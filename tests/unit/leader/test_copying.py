"""A shard gets to another node in chunks, whatever a host of before has left, and opens there at its generation."""

from pathlib import Path
from typing import Any

import pytest

from actors.errors import StaleEpochError
from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.shard import transfer
from cluster.leader.copying import copy_shard
from tests.support.near_host import NearHost
from tests.support.partition_jobs import make_batch, make_partition_job
from tests.support.shard_copies import chunks_of

JOB = make_partition_job(metrics=["qty > 8"], window=None)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(transfer, "CHUNK_SIZE_BYTES", 10_000)
    source, target = (PartitionHost(JOB.to_bytes(), str(tmp_path / name)) for name in ("a", "b"))
    source.open(1, [0], {0: 0}, {}, 0, (), {0: 1})
    rows = make_batch(JOB, 0, [(1000 + at, "A", 9, "ann") for at in range(4)])
    frames = {0: (rows.frame, rows.offsets)}
    source.apply(1, HostBatch(split=0, start=0, end=4, partitions=(0,), rows=frames, dead_letters={}), 0)
    yield source, target
    source.close()
    target.close()


def copy(source: PartitionHost, target: PartitionHost, epoch: int = 1) -> None:
    copy_shard(NearHost(source), NearHost(target), epoch, 0, 2, lambda: 0)  # type: ignore[arg-type]


def test_a_copy_has_everything_and_opens_at_its_generation(
    hosts: tuple[PartitionHost, PartitionHost], tmp_path: Path
) -> None:
    source, target = hosts
    copy(source, target)
    opened = target.open(1, [0], {}, {}, 0, (), {0: 2})[0]
    assert (dict(opened.reached), opened.generation, target.stat()[0].anomaly_count) == ({0: 4}, 2, 4)
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == ["0000"]


def test_a_copy_goes_on_where_an_interrupted_one_has_ended(hosts: tuple[PartitionHost, PartitionHost]) -> None:
    source, target = hosts
    chunks = chunks_of(source, 1, 0, 2)
    target.receive_chunk(1, 0, 2, next(chunks))
    copy(source, target)
    assert dict(target.open(1, [0], {}, {}, 0, (), {0: 2})[0].reached) == {0: 4}


def test_a_leader_whose_epoch_is_over_copies_nothing(hosts: tuple[PartitionHost, PartitionHost]) -> None:
    source, target = hosts
    target.open(5, [], {}, {}, 0)
    with pytest.raises(StaleEpochError):
        copy(source, target)
