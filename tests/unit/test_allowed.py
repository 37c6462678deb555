"""What jobs may touch on a machine: folders, their links and patterns, and who is told."""

from pathlib import Path

import pytest

from actors.allowed import EVERYTHING, AllowedPaths
from actors.errors import SinkError, SourceError
from actors.model import AnomalyId
from actors.sink.ndjson import NdjsonSink
from actors.sink.protocol import SinkRecord
from actors.source.open import open_source
from cluster.allowed import allowed_environment, allowed_here
from cluster.errors import ClusterError
from cluster.local.cluster import allowed_paths
from cluster.local.home import Home
from cluster.node.settings import NodeSettings
from tests.support.jobs import make_trades_job
from tests.support.partition_jobs import make_partition_job


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("time,sym,qty\n1,A,6\n")
    return folder


def read(path: Path, inside: Path) -> None:
    job = make_trades_job({"type": "csv", "path": str(path)})
    open_source(job, inside, allowed=AllowedPaths.below([inside])).close()


def test_files_outside_are_refused_with_the_way_out(inside: Path) -> None:
    found = AllowedPaths.below([inside]).refusal(inside.parent / "secret.csv")
    assert found is not None
    assert str(inside) in found
    assert f"`--allow-path {inside.parent}`" in found


@pytest.mark.parametrize("name", ["secret.csv", "inside/../secret.csv", "*.csv", "s*/x.csv", "missing.csv"])
def test_a_source_outside_is_not_looked_for(inside: Path, name: str) -> None:
    with pytest.raises(SourceError, match="may not be touched"):
        read(inside.parent / name, inside)


def test_a_link_counts_as_what_it_leads_to(inside: Path) -> None:
    (inside / "link.csv").symlink_to(inside.parent / "secret.csv")
    for path in (inside / "link.csv", inside, inside / "*.csv"):
        with pytest.raises(SourceError, match="may not be touched"):
            read(path, inside)


def test_a_source_inside_is_read(inside: Path) -> None:
    (inside / "a.csv").write_text("time,sym,qty\n1,A,6\n")
    read(inside / "a.csv", inside)


def test_a_neighbour_with_the_same_beginning_is_outside(inside: Path) -> None:
    assert AllowedPaths.below([inside]).refusal(f"{inside}-too/a.csv")


def test_a_sink_outside_is_never_written(inside: Path) -> None:
    sink = NdjsonSink(inside.parent / "out", make_partition_job(), AllowedPaths.below([inside]))
    one = SinkRecord(
        partition=0, id=AnomalyId(split=0, offset=0, ordinal=0), time=1, key=("A",), type=0, metric="m", detail=None
    )
    with pytest.raises(SinkError, match="may not be touched"):
        sink.write([one])
    assert not (inside.parent / "out").exists()


def test_everything_is_allowed_on_one_machine_and_the_home_where_others_reach_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert allowed_paths(home, "127.0.0.2", ()) == ""
    assert allowed_paths(home, "127.0.0.2", ("/data",)) == f"{home.directory}/files:/data"
    assert allowed_paths(home, "10.0.0.1", ()) == f"{home.directory}/files"


def test_processes_of_a_node_know_what_it_allows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(*next(iter(allowed_environment(f"{tmp_path}:/data").items())))
    assert allowed_here() == AllowedPaths.below([tmp_path, "/data"])
    monkeypatch.setenv(*next(iter(allowed_environment("").items())))
    assert allowed_here() == EVERYTHING


def test_a_node_keeps_what_it_allows(tmp_path: Path) -> None:
    settings = NodeSettings(
        name="a",
        group_id=2,
        home="h",
        address="a:1",
        raft_address="a:2",
        members={},
        carries_ray=True,
        allowed_paths="/home:/data",
    )
    settings.write(tmp_path)
    assert NodeSettings.read(tmp_path) == settings


def test_a_folder_that_cannot_be_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="'/a:b'"):
        allowed_paths(Home(tmp_path), "10.0.0.1", ("/a:b",))
