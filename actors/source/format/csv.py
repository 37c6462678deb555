"""CSV: a block of lines becomes raw columns; lines that are no records of the file's columns are bad.

A line is a record; a value in quotes may hold separators and doubled quotes, but no line end, unless the job says so:
then a record may be several lines (`actors.source.format.quoted`). What makes a line bad is
found on the bytes, before Polars reads the rest: another number of values than the header has, quotes in the wrong
places, bytes that are not UTF-8. So a line means the same beside any others. A blank line is no record. An empty value
is NULL, an empty value in quotes is empty text.
"""

import csv
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from actors.errors import SourceError
from actors.source.decoding import RowRules
from actors.source.format.quoted import quoted_record_ends
from actors.source.format.text import TextFormat, TextReader, field_names
from actors.source.protocol import Offsets
from actors.source.records import Origin, Texts, find_unreadable
from actors.source.transport.lines import LineFraming
from config.formats import CsvFormatSettings

_QUOTE, _LINE_END = 34, 10
_SHOWN_LENGTH_MAX = 200


class CsvReader:
    """Reads the lines of one file, whose header names its columns."""

    def __init__(self, settings: CsvFormatSettings, names: Sequence[str], wanted: Mapping[str, int]) -> None:
        self._width = len(names)
        self._wanted = dict(wanted)
        self._separator = settings.separator
        self._null_values = list(settings.null_values)
        self._size_bytes_max = settings.record_size_bytes_max
        self._may_hold_line_ends = settings.quoted_line_ends

    def read(self, lines: Texts) -> tuple[dict[str, pl.Series], Offsets, dict[int, str]]:
        """Return the raw columns of the good lines, the numbers of these lines, and what is wrong with the others."""
        content = lines.content
        faults = self._find_faults(content, lines)
        good = lines.ends > lines.starts
        if faults:
            good[np.fromiter(faults, dtype=np.int64, count=len(faults))] = False
        numbers = np.flatnonzero(good).astype(np.int64)
        text = content if numbers.size == good.size else _keep_lines(content, lines, good)
        columns = self._parse(text)
        if columns is None or (columns and len(next(iter(columns.values()))) != numbers.size):
            return self._read_one_by_one(content, lines, numbers, faults)
        return columns, numbers, faults

    def _find_faults(self, content: bytes, lines: Texts) -> dict[int, str]:
        buffer = np.frombuffer(content, dtype=np.uint8)
        separators = np.flatnonzero(buffer == ord(self._separator))
        faults: dict[int, str] = {}
        if b'"' in content:
            separators, bad_lines = self._check_quotes(buffer, separators, lines)
            place = "" if self._may_hold_line_ends else " on its line"
            faults |= dict.fromkeys(bad_lines, f"a quote opens inside a value, or does not close{place}")
        widths = np.diff(np.searchsorted(separators, np.append(lines.starts, len(content)))) + 1
        for line in np.flatnonzero((widths != self._width) & (lines.ends > lines.starts)).tolist():
            faults.setdefault(line, f"the line has {widths[line]} values, the file has {self._width} columns")
        if not lines.are_lines:
            faults |= self._find_line_ends(buffer, lines)
        return faults | find_unreadable(lines, self._size_bytes_max)

    def _find_line_ends(self, buffer: npt.NDArray[np.uint8], lines: Texts) -> dict[int, str]:
        """Return the records that hold a line end, outside quotes where those within them are fine."""
        places = np.flatnonzero(buffer == _LINE_END)
        owners = np.searchsorted(lines.starts, places, side="right") - 1
        is_inside = (owners >= 0) & (places < lines.ends[owners])
        if self._may_hold_line_ends:
            quotes = np.flatnonzero(buffer == _QUOTE)
            counts = np.searchsorted(quotes, places) - np.searchsorted(quotes, lines.starts)[owners]
            is_inside &= counts % 2 == 0
        where = " outside quotes" if self._may_hold_line_ends else ""
        return dict.fromkeys(owners[is_inside].tolist(), f"the record has a line end{where}")

    def _check_quotes(
        self, buffer: npt.NDArray[np.uint8], separators: npt.NDArray[np.intp], lines: Texts
    ) -> tuple[npt.NDArray[np.intp], list[int]]:
        """Return the separators outside quotes, and the lines whose quotes are in the wrong places."""
        quotes = np.flatnonzero(buffer == _QUOTE)
        line_of_quote = np.searchsorted(lines.starts, quotes, side="right") - 1
        first_of_line = np.searchsorted(quotes, lines.starts)
        opens = (np.arange(quotes.size) - first_of_line[line_of_quote]) % 2 == 0
        at_start = quotes == lines.starts[line_of_quote]
        at_end = quotes + 1 == lines.ends[line_of_quote]
        before = buffer[np.maximum(quotes - 1, 0)]
        after = buffer[np.minimum(quotes + 1, buffer.size - 1)]
        separator = ord(self._separator)
        fine_open = at_start | (before == separator) | ((before == _QUOTE) & ~at_start)
        fine_close = at_end | (after == separator) | (after == _QUOTE)
        bad = set(line_of_quote[np.where(opens, ~fine_open, ~fine_close)].tolist())
        counts = np.diff(np.append(first_of_line, quotes.size))
        bad |= set(np.flatnonzero(counts % 2).tolist())
        line_of_separator = np.searchsorted(lines.starts, separators, side="right") - 1
        inside = (np.searchsorted(quotes, separators) - first_of_line[line_of_separator]) % 2 == 1
        return separators[~inside], sorted(bad)

    def _parse(self, text: bytes) -> dict[str, pl.Series] | None:
        if not text:
            return {name: pl.Series(name, [], dtype=pl.String) for name in self._wanted}
        positions = sorted(set(self._wanted.values()))
        # Polars looks for marks of encodings and compression at the start; a line before the first keeps it from it.
        text = b"x" + self._separator.encode() * (self._width - 1) + b"\n" + text
        try:
            frame = pl.read_csv(
                text,
                has_header=False,
                columns=positions,
                separator=self._separator,
                infer_schema=False,
                null_values=self._null_values or None,
                raise_if_empty=False,
            )
        except pl.exceptions.PolarsError:
            return None
        by_position = dict(zip(positions, frame[1:].get_columns(), strict=True))
        return {name: by_position[position] for name, position in self._wanted.items()}

    def _read_one_by_one(
        self, content: bytes, lines: Texts, numbers: npt.NDArray[np.int64], faults: dict[int, str]
    ) -> tuple[dict[str, pl.Series], npt.NDArray[np.int64], dict[int, str]]:
        """Read each line by itself, when some of them cannot be read together."""
        good, parts = [], []
        for number in numbers.tolist():
            columns = self._parse(content[lines.starts[number] : lines.ends[number]] + b"\n")
            if columns is None or any(len(values) != 1 for values in columns.values()):
                faults[number] = "the line cannot be read as separated values"
            else:
                good.append(number)
                parts.append(columns)
        merged = (
            {name: pl.concat([part[name] for part in parts]) for name in self._wanted} if parts else self._parse(b"")
        )
        assert merged is not None
        return merged, np.array(good, dtype=np.int64), faults


class _JoinedTimes:
    """Reads lines whose time stands in several columns."""

    def __init__(self, reader: CsvReader, time_column: str, parts: Sequence[str]) -> None:
        self._reader = reader
        self._time_column = time_column
        self._parts = parts

    def read(self, lines: Texts) -> tuple[dict[str, pl.Series], Offsets, dict[int, str]]:
        """Return the raw columns, with one time of all its parts; it is NULL when one of them is."""
        columns, numbers, faults = self._reader.read(lines)
        parts = pl.DataFrame({part: columns.pop(part) for part in self._parts})
        trimmed = [pl.col(part).str.strip_chars() for part in self._parts]
        columns[self._time_column] = parts.select(pl.concat_str(trimmed, separator=" ")).to_series()
        return columns, numbers, faults


def csv_format(settings: CsvFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format of separated values; names come from the header of an origin, or are those of the schema."""
    fields = field_names(rules.schema, settings.columns)
    time_column = rules.schema[rules.time_column].name
    parts = {f"{time_column}\0{place}": name for place, name in enumerate(settings.time_columns)}
    in_file: dict[str, str] = {}
    for column, field in fields.items():
        in_file |= parts if parts and column == time_column else {column: field}

    def open_reader(origin: Origin) -> TextReader:
        has_header = origin.header is not None
        names = read_names(origin.header or b"", origin.name, settings.separator) if has_header else [*in_file.values()]
        reader = CsvReader(settings, names, find_columns(names, in_file, origin.name))
        return _JoinedTimes(reader, time_column, tuple(parts)) if parts else reader

    limit = settings.record_size_bytes_max
    ends = quoted_record_ends(settings.separator, limit) if settings.quoted_line_ends else None
    framing = LineFraming(has_header=settings.header, record_size_bytes_max=limit, record_ends=ends)
    shown = fields | ({time_column: " ".join(settings.time_columns)} if parts else {})
    return TextFormat(rules, shown, framing, open_reader, columns=settings.columns, encoding=settings.encoding)


def read_names(header: bytes, path: str, separator: str) -> list[str]:
    """Return the names in the header of a file.

    Raises:
        SourceError: the header is no text.
    """
    try:
        rows = list(csv.reader([header.decode()], delimiter=separator, strict=True))
    except UnicodeDecodeError as error:
        raise _nameless(path, "is not UTF-8 text; save the file as UTF-8") from error
    except csv.Error as error:
        bare = "has carriage returns in it; end lines with line feeds"
        raise _nameless(path, bare if b"\r" in header else "has quotes in the wrong places") from error
    return [name.strip() for name in rows[0]] if rows else []


def _nameless(path: str, what: str) -> SourceError:
    return SourceError(f"{path}: the first line does not name columns: it {what}")


def find_columns(names: Sequence[str], fields: Mapping[str, str], path: str) -> dict[str, int]:
    """Return where the columns of the schema stand among the names of a file; `fields` gives names that differ.

    Raises:
        SourceError: the file lacks a column, or has two of its name.
    """
    exact = {name: position for position, name in reversed(list(enumerate(names)))}
    folded = {name.lower(): position for position, name in reversed(list(enumerate(names)))}
    found: dict[str, int] = {}
    for column, field in fields.items():
        position = exact.get(field, folded.get(field.lower()))
        if position is None:
            has = ", ".join(name if name.isprintable() else repr(name) for name in names) or "none"
            has = has if len(has) <= _SHOWN_LENGTH_MAX else f"{has[:_SHOWN_LENGTH_MAX]}..."
            raise SourceError(f"{path}: no column {field!r}; the file has {has}. {_way_to_column(names, column)}")
        if sum(name == names[position] for name in names) > 1:
            raise SourceError(f"{path}: two columns are named {names[position]!r}; rename one")
        found[column] = position
    return found


def _way_to_column(names: Sequence[str], column: str) -> str:
    if not names or (len(names) == 1 and names[0].startswith("#")):
        return "The first line must name the columns: remove what stands before that line"
    other = next((sign for sign in ";\t|, " if sign in names[0]), None) if len(names) == 1 else None
    if other is not None:
        return f"Is the separator {other!r}? Give it as `separator`"
    return f"Map names with `columns: {{{column}: NAME}}`, or give `header: false` if the first line names none"


def _keep_lines(content: bytes, lines: Texts, good: npt.NDArray[np.bool_]) -> bytes:
    """Return the good lines, run by run."""
    changes = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(np.int8)))
    runs = changes.reshape(-1, 2)
    kept = [content[lines.starts[start] : lines.ends[end - 1]] for start, end in runs.tolist()]
    return b"\n".join(kept) + b"\n" if kept else b""
