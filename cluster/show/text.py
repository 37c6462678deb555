"""What all commands print with: plain tables and lines of JSON. Pure, and imported in no time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len

from actors.json_lines import json_line
from actors.partition.gaps import Gap, explain_gap

_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}
"""What a table shows in place of signs that would break it."""


def show_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text below a header, numbers to the right."""
    # A table of `rich` takes 0.7 ms for a row, 300 times this; only the width of letters is its business.
    widths = [max(cell_len(name), *(cell_len(row[i]) for row in rows), 0) for i, name in enumerate(names)]
    is_number = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(names))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            " " * (width - cell_len(cell)) + cell if right else cell + " " * (width - cell_len(cell))
            for cell, width, right in zip(cells, widths, is_number, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(names), line(["-" * width for width in widths]), *map(line, rows)])


def show_json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    """Return records as lines of JSON."""
    return "\n".join(map(json_line, records))


def show_time_us(time_us: int | None) -> str:
    """Return a moment in UTC, or a dash."""
    if time_us is None:
        return "-"
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def show_gap(gap: Gap, where: str = "") -> str:
    """Return what a partition lacks, and since when that is known."""
    since = "" if gap.noted_us is None else f" (found {show_time_us(gap.noted_us)})"
    return f"gap{where}: {gap.records} {explain_gap(gap)}{since}"


def show_cell(value: Any) -> str:
    """Return one value of a table as text."""
    if value is None:
        return "NULL"
    return str(value).translate(_CONTROLS)


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
