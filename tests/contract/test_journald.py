"""What a source of systemd's journal promises, shown with real journal files and `journalctl`."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.errors import SourceError
from config import JobSettings, make_job
from tests.support.pushing import fed, until


def write(directory: Path, numbers: Sequence[int]) -> None:
    """Add entries to a journal, as another machine sends them."""
    program = shutil.which("systemd-journal-remote", path="/lib/systemd:/usr/lib/systemd")
    if program is None or shutil.which("journalctl") is None:
        pytest.skip("systemd-journal-remote is not installed")
    entries = [
        f"__REALTIME_TIMESTAMP={1_767_225_600_000_000 + number}\n__MONOTONIC_TIMESTAMP={number + 1}\n"
        f"_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=h\nSYSLOG_IDENTIFIER=app\nPRIORITY={number % 8}\n"
        f"MESSAGE=message {number}\n"
        for number in numbers
    ]
    text = "\n".join(entries) + "\n"
    # The program makes a file anew, and journalctl reads all files of a folder.
    command = [program, f"--output={directory}/{numbers[0]}.journal", "-"]
    subprocess.run(command, input=text.encode(), check=True, capture_output=True)


def job_of(directory: Path, **settings: Any) -> JobSettings:
    source = {"type": "journald", "directory": str(directory), "start": "earliest"} | settings
    return make_job({"job": "logs", "key": ["app"], "metrics": ["severity < 3"], "source": source})


def rows_of(numbers: Sequence[int]) -> list[Any]:
    return [(1_767_225_600_000 + n // 1000, "h", None, "app", n % 8, f"message {n}") for n in numbers]


def test_entries_are_rows_once_whatever_ends_meanwhile(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    write(journal, range(50))
    with fed(job_of(journal), tmp_path / "a") as one:
        assert one.rows(50) == rows_of(range(50))
        write(journal, range(50, 70))
        assert one.rows(70) == rows_of(range(70))
        for program in psutil.Process().children():
            if program.name() == "journalctl":
                program.kill()
        write(journal, range(70, 80))
        assert one.rows(80) == rows_of(range(80))
    write(journal, range(80, 90))
    with fed(job_of(journal), tmp_path / "a") as one:
        assert one.rows(90) == rows_of(range(90))
    assert not [child for child in psutil.Process().children() if child.name() == "journalctl"]


def test_a_job_may_begin_at_what_comes_and_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    write(journal, range(50))
    with fed(job_of(journal, start="latest"), tmp_path / "a") as one:
        until(lambda: any(child.name() == "journalctl" for child in psutil.Process().children()))
        assert one.now() == []
    with fed(job_of(tmp_path / "other"), tmp_path / "b") as one:

        def is_said() -> bool:
            try:
                one.source.read(0, 0, 10)
            except SourceError as error:
                return "journalctl has ended: " in str(error)
            return False

        until(is_said)
