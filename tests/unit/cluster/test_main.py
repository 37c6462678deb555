"""The command line as a whole: what ends in a message and an exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.cli import main
from tests.support.repository import ROOT


def test_a_directory_that_cannot_be_used_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    job = str(ROOT / "config" / "examples" / "trades.yaml")
    monkeypatch.setattr("sys.argv", ["tocsin", "run", job, "--directory", str(tmp_path / "file")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert "Not a directory" in shown


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--json"]])
def test_an_output_that_is_full_is_one_message(arguments: list[str]) -> None:
    job = str(ROOT / "config" / "examples" / "trades.yaml")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cluster", "run", job, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: the output cannot be written: No space left on device")
    assert "Traceback" not in done.stderr
