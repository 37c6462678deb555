"""The partition of the format fixture: its job, what it was sent, and how one is written.

`python -m tests.support.partition_fixture FILE.zip` writes the shard of a partition with the code of today. Run it only
when a format has a new version, into a new file, and keep the files of versions that are still read. The archive holds
the shard's data file, and a snapshot of the partition.
"""

import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from actors.partition.acceptances import Acceptance
from actors.partition.partition import Partition
from actors.partition.ticks import TickFinder
from config import JobSettings
from tests.support.partition_jobs import ALL_DETECTORS, EPISODES, EVENTS, SINKS, make_batch, make_partition_job

DATA, SNAPSHOT = "data.mdb", "snapshot"
"""Names in the archive."""

ROWS = [
    (1000 + at * 7 - (60 if at % 19 == 18 else 0), "ABC"[at % 3], at * 5 % 12, ("ann", "bob", "cid", "déd")[at % 7 % 4])
    for at in range(80)
]
"""Rows by offset; the shard has the first 60 of them, its engine the first 40."""

COMMITTED, SNAPSHOT_AT = 60, 40
"""Offsets that the shard and its engine stand at."""

ACCEPTANCE = Acceptance(
    acceptance_id="one", key=("A",), groups=((0, ("A",)),), variable="user", value="zoe", positions={0: 20}
)
"""A value that is accepted."""


def fixture_job() -> JobSettings:
    """Return a job that has something of everything that a partition keeps."""
    return make_partition_job(
        **ALL_DETECTORS,
        **EPISODES,
        **EVENTS,
        **SINKS,
        partitions=1,
        ticks=50,
        absent=100,
        engine={"garbage_size": 4, "nulls": "smallest"},
        snapshot_interval_rows=40,
        flush={"period_ms": 1_000_000, "rows": 1000},
        limits={"map_size_bytes_max": 16 << 20, "batch_rows_max": 7, "batches_in_flight_max": 3},
    )


def send(partition: Partition, job: JobSettings, start: int, end: int, *, epoch: int = 1) -> None:
    """Send rows of the fixture in batches of ten, each with a dead letter and the ticks at its rows."""
    finder = TickFinder("time", 50)
    for at in range(start, end, 10):
        batch = make_batch(job, at, ROWS[at : at + 10], letters=[at])
        partition.apply(epoch, replace(batch, ticks=finder.find(0, batch.frame, batch.offsets)), 0)


def write_fixture(path: Path) -> None:
    """Write the shard and the snapshot of a partition that was sent what a fixture has."""
    job = fixture_job()
    with tempfile.TemporaryDirectory() as directory:
        with Partition.open(job, 0, Path(directory)) as partition:
            partition.begin(1, {0: 0}, 0)
            partition.accept(1, [ACCEPTANCE])
            send(partition, job, 0, SNAPSHOT_AT)
            partition.flush(1, 0)
            send(partition, job, SNAPSHOT_AT, COMMITTED)
            partition.acknowledge(0, partition.outbox(0, 5))
            partition.flush(1, 0)
            snapshot = partition.snapshot()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(Path(directory) / DATA, DATA)
            archive.writestr(SNAPSHOT, snapshot)


if __name__ == "__main__":
    write_fixture(Path(sys.argv[1]))
