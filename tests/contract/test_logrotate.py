"""A log that the real logrotate rotates is followed: nothing is missing, nothing is there twice."""

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from actors.source.open import open_source
from actors.source.protocol import Source
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

PROGRAM = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")

WAYS = {
    "create": ["create 0600"],
    "create-compress": ["create 0600", "compress"],
    "create-delaycompress": ["create 0600", "compress", "delaycompress"],
    "copytruncate": ["copytruncate"],
    "copytruncate-compress": ["copytruncate", "compress"],
    "copytruncate-delaycompress": ["copytruncate", "compress", "delaycompress"],
    "create-olddir": ["create 0600", "compress", "delaycompress", "olddir old"],
}


class Log:
    """A log with a writer that keeps it open, as programs do; lines are numbered."""

    def __init__(self, folder: Path, way: str) -> None:
        folder.mkdir(mode=0o700)
        (folder / "old").mkdir(mode=0o700)
        self.path = folder / "app.log"
        self._settings, self._state = folder / "logrotate.conf", folder / "state"
        lines = "".join(f"  {line}\n" for line in ["rotate 50", "missingok", *WAYS[way]])
        self._settings.write_text(f"{self.path} {{\n{lines}}}\n")
        self._settings.chmod(0o600)
        self.count = 0
        self._descriptor = self._open()

    def write(self, count: int) -> None:
        lines = "".join(f"{number},A,{number % 100}\n" for number in range(self.count, self.count + count))
        os.write(self._descriptor, lines.encode())
        self.count += count

    def rotate(self) -> None:
        assert PROGRAM is not None
        command = [PROGRAM, "--force", "--state", str(self._state), str(self._settings)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def reopen(self) -> None:
        os.close(self._descriptor)
        self._descriptor = self._open()

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def follow(log: Log, way: str) -> Source:
    rotated = {"rotated": f"{log.path.parent}/old/app.log*"} if "olddir" in way else {}
    job = make_trades_job({"type": "csv", "header": False, "path": str(log.path), "follow": True, **rotated})
    return open_source(job, log.path.parent, positions=log.path.parent / "kept")


@pytest.mark.skipif(PROGRAM is None, reason="logrotate is not installed")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_missing_and_nothing_doubled(tmp_path: Path, way: str, seed: int) -> None:
    random = Random(f"{way} {seed}")
    log = Log(tmp_path / "log", way)
    source, times = follow(log, way), []
    # What was there before the job saw the file is not read.
    position = read_split(source).next_offset
    keeps_name = way.startswith("copytruncate")
    for _ in range(12):
        log.write(random.randrange(1, 30))
        for _ in range(random.randrange(0, 3)):
            found = read_split(source, start=position)
            times, position = [*times, *(row[0] for _, row in found.rows)], found.next_offset
            log.write(random.randrange(0, 10))
        if random.random() < 0.4:
            source.close()
            source = follow(log, way)
        log.rotate()
        if not keeps_name:
            # A program goes on in the old file until it is told; when it is told late, that is compressed already.
            if "compress" not in way or "delaycompress" in way:
                log.write(random.randrange(0, 10))
            log.reopen()
        if random.random() < 0.5:
            found = read_split(source, start=position)
            times, position = [*times, *(row[0] for _, row in found.rows)], found.next_offset
    log.write(5)
    found = read_split(source, start=position)
    times += [row[0] for _, row in found.rows]
    assert times == list(range(log.count))
    # From the beginning too: offsets find their files again, whatever these are called by now.
    assert [row[0] for _, row in read_split(follow(log, way)).rows] == times
    log.close()
