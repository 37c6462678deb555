"""A stream table between processes: one writes, others read what is committed."""

import subprocess
import sys
from pathlib import Path

from actors.model import Schema
from actors.stream.table import DurableStreamTable
from cluster.local.speed import slowness

ROOT = Path(__file__).parents[2]

READER = """
import sys
from pathlib import Path
from actors.stream.table import DurableStreamTable
with DurableStreamTable.open(Path(sys.argv[1]), read_only=True) as table:
    frame, next_offset = table.read(0, 0, 100)
    print(frame.rows(), next_offset)
"""

WRITER = """
import sys
from pathlib import Path
from actors.errors import TocsinError
from actors.stream.table import DurableStreamTable
try:
    DurableStreamTable.open(Path(sys.argv[1]))
except TocsinError as error:
    print(type(error).__name__)
"""


def run(program: str, table: DurableStreamTable) -> str:
    command = [sys.executable, "-c", program, str(table._shard.directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 * slowness(), cwd=ROOT).stdout


def test_other_processes_read_and_cannot_write(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", Schema.from_mapping({"time": "TIMESTAMP"})) as table:
        table.append([(1,), (2,)])
        assert run(READER, table) == "[(1,), (2,)] 2\n"
        assert run(WRITER, table) == "ShardOwnedError\n"
        table.append([(3,)])
        assert run(READER, table) == "[(1,), (2,), (3,)] 3\n"
