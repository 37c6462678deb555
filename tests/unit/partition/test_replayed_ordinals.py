"""An episode keeps its id when the rows that began it are replayed for the engine alone."""

from pathlib import Path

import pytest

from actors.engine.episodes.episode import Episode
from actors.partition.episode_table import EpisodeFilter
from actors.partition.partition import Partition
from cluster.leader.reading import SplitReader
from config import JobSettings
from tests.support.list_source import ListSource
from tests.support.partition_jobs import EPISODES, SINKS, make_partition_job, make_records, skip_sync
from tests.support.routing import routed

JOB = make_partition_job(
    **EPISODES | SINKS | {"ticks": 5, "partitions": 1, "engine": {"ticks_close_windows": True, "max_lateness": 8}},
    snapshot_interval_rows=1000,
)


def run(job: JobSettings, directory: Path, stop: int | None) -> list[Episode]:
    """Apply all rows, crash after the flush of those below `stop`, and return the episodes at the end."""
    source = ListSource(job.row_schema, make_records(2, 1, 24))
    for epoch, end in enumerate([end for end in (stop, 24) if end is not None], 1):
        reader = SplitReader(job, source)
        with Partition.open(job, 0, directory) as partition:
            start = partition.begin(epoch, {0: 0}, 0)[0]
            while start < end:
                batch = reader.read(0, start, min(3, end - start))
                partition.apply(epoch, routed(batch, 0, job.row_schema), 0)
                start = batch.end
            partition.flush(epoch, 0)
            found = partition.queries.episodes(EpisodeFilter(), 1000)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Episode]:
    return run(JOB, tmp_path_factory.mktemp("undisturbed"), None)


@pytest.mark.parametrize("stop", range(1, 24))
def test_a_crash_at_any_row_leaves_the_ids_of_episodes_as_they_are(
    stop: int, undisturbed: list[Episode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_sync(monkeypatch)
    assert run(JOB, tmp_path / "crashed", stop) == undisturbed
