"""Findings: what a check has walked over, and what it found to be wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import lmdb
import msgpack

from actors.store.disk.blocks import Block
from actors.store.errors import StoreError
from actors.store.events.columns import Columns

DAMAGE = (StoreError, ValueError, TypeError, KeyError, IndexError, EOFError, lmdb.Error, msgpack.UnpackException)
"""What decoding damaged bytes raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is damaged or does not fit."""

    table: str

    place: str
    """Where: a block, a range of ids, a key."""

    fault: str
    """What is wrong."""


@dataclass(slots=True, kw_only=True)
class StoreCheck:
    """What a check has walked over and found."""

    block_count: int = 0
    """Blocks decoded."""

    event_count: int = 0
    """Events in the log."""

    findings: list[Finding] = field(default_factory=list)
    """What is wrong; empty when nothing is."""

    def add(self, table: str, place: str, fault: str) -> None:
        """Take a finding down."""
        self.findings.append(Finding(table=table, place=place, fault=fault))


def header_faults(block: Block, columns: Columns) -> Iterator[str]:
    """Yield what the header of a block states and its rows do not bear out."""
    sources = columns.source_time[columns.has_source]
    expected = {
        "rows": (block.row_count, len(columns)),
        "times": ((block.time_min, block.time_max), (int(columns.time.min()), int(columns.time.max()))),
        "source times": (block.source_count, len(sources)),
        "first id": (block.first_id, id_at(columns, 0)),
        "last id": (block.last_id, id_at(columns, -1)),
    }
    for name, (stated, found) in expected.items():
        if stated != found:
            yield f"its header states {name} {stated}, it has {found}"
    if len(sources) and (block.source_min, block.source_max) != (int(sources.min()), int(sources.max())):
        yield "its header states another range of source times than it has"


def ids_of(block: Block) -> str:
    """Return the range of ids that a block states."""
    return f"ids {block.first_id} to {block.last_id}"


def id_at(columns: Columns, row: int) -> tuple[int, int, int]:
    """Return the id of a row."""
    return int(columns.server[row]), int(columns.session[row]), int(columns.instance[row])
