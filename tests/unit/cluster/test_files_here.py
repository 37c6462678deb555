"""Whether a node has the files of a source."""

from pathlib import Path

from actors.allowed import EVERYTHING, AllowedPaths
from cluster.node.files_here import missing_here


def test_files_folders_and_patterns_are_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    paths = [str(tmp_path / "a.csv"), str(tmp_path), str(tmp_path / "*.csv")]
    assert missing_here(paths, EVERYTHING) is None
    gone = str(tmp_path / "*.json")
    assert missing_here([*paths, gone], EVERYTHING) == f"{gone} is not there"
    assert missing_here([str(tmp_path / "b.csv")], EVERYTHING) == f"{tmp_path / 'b.csv'} is not there"


def test_nothing_is_said_of_what_jobs_may_not_touch(tmp_path: Path) -> None:
    allowed = AllowedPaths.below([tmp_path / "inside"])
    told = [missing_here([str(tmp_path / name)], allowed) or "" for name in ("there.csv", "gone.csv")]
    assert all("may not be touched by a job" in one for one in told)
