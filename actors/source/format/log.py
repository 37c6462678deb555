"""Logs: a block of lines becomes records, records become fields, messages become events with variables.

A *record* is a line, or, where the first line of a record is known by an expression, that line and those after it; its
number is that of its first line. The *format* must fit a record, and the first *template* that fits a message gives the
event id and the variables. Each record is judged by itself: which templates there are is part of the job and nothing
is learned from the lines, so the same line has the same event id wherever and whenever it is read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from actors.errors import SourceError
from actors.source.decoding import RowRules
from actors.source.format.text import TextFormat, field_names
from actors.source.protocol import Offsets
from actors.source.records import Origin, Texts, find_bad_text
from actors.source.transport.lines import Beginnings, LineFraming
from config.formats import DEAD_LETTER, LogFormatSettings
from config.log_patterns import LinePattern, year_in_name


class LogReader:
    """Reads records into text columns, under the names that a job gives them.

    Raises:
        SourceError: the year is to come from the name of the file, which has none.
    """

    def __init__(self, source: LogFormatSettings, fields: Mapping[str, str], time_column: str, name: str) -> None:
        self._formats = source.format_patterns
        self._comments = source.comments
        self._templates = [(template.event_id, template.shown, template.pattern) for template in source.templates]
        self._unmatched = source.unmatched
        self._start = record_beginnings(source)
        self._fields = {column: field.lower() for column, field in fields.items()}
        self._time_column = time_column
        self._size_bytes_max = source.record_size_bytes_max
        self._year = year_in_name(Path(name).name) if source.year == "file" else source.year
        if source.year == "file" and self._year is None:
            raise SourceError(f"{name}: the name tells no year; rename the file, or give `year` as a number")

    def read(self, lines: Texts) -> tuple[dict[str, pl.Series], Offsets, dict[int, str]]:
        """Return the fields of the good records by column, the numbers of these, and what is wrong with others."""
        texts, numbers, faults = self._records(lines)
        fits, groups = self._fields_of(texts)
        self._note_unfit(faults, numbers, texts, fits)
        found = {name: values.filter(fits) for name, values in groups.items()}
        texts, numbers = texts.filter(fits), numbers[fits.to_numpy()]
        if self._templates:
            found |= self._events(found["message"])
            if self._unmatched == DEAD_LETTER:
                fits = found["event_id"].is_not_null()
                _note_faults(faults, numbers, (~fits).to_numpy(), "no template fits the message")
                found, numbers = {name: values.filter(fits) for name, values in found.items()}, numbers[fits.to_numpy()]
        columns = {column: found[field].alias(column) for column, field in self._fields.items()}
        if self._year is not None:
            times = columns[self._time_column]
            columns[self._time_column] = pl.select(pl.format(f"{self._year} {{}}", times)).to_series()
        return columns, numbers, faults

    def _fields_of(self, texts: pl.Series) -> tuple[pl.Series, dict[str, pl.Series]]:
        """Return which texts fit a format, and their fields by the first that each fits; an empty one is NULL."""
        fits, found = self._one_format(texts, self._formats[0])
        nothing = pl.Series([None] * len(texts), dtype=pl.String)
        for pattern in self._formats[1:]:
            for name in pattern.variables:
                found.setdefault(name.lower(), nothing)
            rest = fits.not_().arg_true()
            if not len(rest):
                continue
            own, others = self._one_format(texts[rest], pattern)
            # `scatter` changes what it is called on.
            fits = fits.clone().scatter(rest, own)
            for name, values in found.items():
                found[name] = values.clone().scatter(rest, others.get(name, nothing[: len(rest)]))
        return fits, found

    @staticmethod
    def _one_format(texts: pl.Series, pattern: LinePattern) -> tuple[pl.Series, dict[str, pl.Series]]:
        groups = {name.lower(): values for name, values in match(texts, pattern).items()}
        fits = groups.pop(WHOLE).is_not_null()
        found = {name: values if name == "message" else _filled(values) for name, values in groups.items()}
        return fits, {"message": texts, **found}

    def _note_unfit(self, faults: dict[int, str], numbers: Offsets, texts: pl.Series, fits: pl.Series) -> None:
        reason = "the line does not fit the format" if len(self._formats) == 1 else "the line fits none of the formats"
        _note_faults(faults, numbers, (~fits).to_numpy(), reason)
        if self._comments is None:
            hint = f'{reason}; with `comments: "#"` lines that begin with it are no records'
            _note_faults(faults, numbers, (~fits & texts.str.starts_with("#")).to_numpy(), hint)

    def _records(self, lines: Texts) -> tuple[pl.Series, Offsets, dict[int, str]]:
        """Return the texts and numbers of the records that can be read, and what is wrong with others."""
        content, size_max = lines.content, self._size_bytes_max
        first, end = self._spans(lines)
        faults: dict[int, str] = {}
        if self._start is not None:
            self._note_headless(lines, int(first[0]) if first.size else lines.starts.size, faults)
        bad = np.array(find_bad_text(lines), dtype=np.int64)
        is_text = np.searchsorted(bad, first) == np.searchsorted(bad, end)
        _note_faults(faults, first, ~is_text, "the line is not UTF-8 text")
        fine = is_text & (lines.ends[end - 1] - lines.starts[first] <= size_max)
        _note_faults(faults, first, is_text & ~fine, f"the record is longer than {size_max} bytes")
        if self._start is None and lines.are_lines and fine.all():
            texts = pl.Series([content.decode()]).str.split("\n").explode().str.strip_suffix("\r")[: first.size]
        else:
            first, end = first[fine], end[fine]
            spans = zip(lines.starts[first].tolist(), lines.ends[end - 1].tolist(), strict=True)
            texts = pl.Series([content[low:high].decode() for low, high in spans], dtype=pl.String)
        if self._start is not None:
            # Blank lines between two records belong to neither.
            texts = texts.str.strip_chars_end("\r\n")
        present = texts != ""
        if self._comments is not None:
            present &= ~texts.str.starts_with(self._comments)
        return texts.filter(present), first[present.to_numpy()], faults

    def _spans(self, lines: Texts) -> tuple[Offsets, Offsets]:
        """Return the first line of each record and the line after its last."""
        if self._start is None:
            every = np.arange(lines.starts.size, dtype=np.int64)
            return every, every + 1
        first = np.searchsorted(lines.starts, np.array(self._start(lines.content), dtype=np.int64))
        return first, np.append(first[1:], lines.starts.size)[: first.size]

    def _note_headless(self, lines: Texts, end: int, faults: dict[int, str]) -> None:
        """Note the lines before the first record; there are some at the beginning of a file only."""
        mark = None if self._comments is None else self._comments.encode()
        for number in range(end):
            is_comment = mark is not None and lines.raw(number).startswith(mark)
            if lines.starts[number] < lines.ends[number] and not is_comment:
                faults.setdefault(number, "the line comes before the first that begins a record")

    def _events(self, messages: pl.Series) -> dict[str, pl.Series]:
        """Return event id, template, variables as JSON, and each variable, of messages."""
        wanted = set(self._fields.values())
        count = len(messages)
        kinds = np.full(count, -1, dtype=np.int64)
        parts: dict[str, list[tuple[Offsets, pl.Series]]] = {}
        rest = np.arange(count, dtype=np.int64)
        for kind, (_, _, pattern) in enumerate(self._templates):
            if not rest.size:
                break
            fits = messages[rest].str.contains(pattern.regex).to_numpy()
            rows, rest = rest[fits], rest[~fits]
            if not rows.size:
                continue
            kinds[rows] = kind
            groups = match(messages[rows], pattern)
            groups.pop(WHOLE)
            groups = {name: _filled(values) for name, values in groups.items()}
            for name, values in groups.items():
                parts.setdefault(name.lower(), []).append((rows, values))
            if "variables" in wanted:
                parts.setdefault("variables", []).append((rows, _as_json(groups, rows.size)))
        names = wanted & {name.lower() for _, _, pattern in self._templates for name in pattern.variables}
        found = {name: spread(parts.get(name, ()), count) for name in sorted(names | (wanted & {"variables"}))}
        fallback = None if self._unmatched == DEAD_LETTER else self._unmatched
        ids = pl.Series([*(event_id for event_id, _, _ in self._templates), fallback], dtype=pl.String)
        shown = pl.Series([*(text for _, text, _ in self._templates), None], dtype=pl.String)
        # The last entry stands for messages that no template fits.
        places = np.where(kinds < 0, len(self._templates), kinds)
        return found | {"event_id": ids[places], "template": shown[places]}


def log_format(settings: LogFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format of log lines, or of blocks of lines."""
    fields, time_column = field_names(rules.schema, settings.columns), rules.schema[rules.time_column].name

    def open_reader(origin: Origin) -> LogReader:
        return LogReader(settings, fields, time_column, origin.name)

    framing = LineFraming(record_size_bytes_max=settings.record_size_bytes_max, beginnings=record_beginnings(settings))
    # A template may be there for messages that have not come yet.
    always = set.intersection(*({name.lower() for name in one.variables} for one in settings.format_patterns))
    always.add("message")
    expected = {column: field for column, field in fields.items() if field.lower() in always}
    return TextFormat(rules, expected, framing, open_reader, columns=settings.columns, encoding=settings.encoding)


WHOLE = "\0whole"
"""Name of the whole text in what `match` returns; NULL where the pattern does not fit."""


def match(texts: pl.Series, pattern: LinePattern) -> dict[str, pl.Series]:
    """Return the variables of texts by name, all NULL where the pattern does not fit."""
    found = texts.str.extract_groups(pattern.regex).struct.unnest()
    return {WHOLE: found["1"], **{name: found[group] for group, name in pattern.groups}}


def _filled(values: pl.Series) -> pl.Series:
    """Return texts with NULL in place of empty ones: a group that has found nothing has no value."""
    return values.set(values == "", None)


def spread(parts: Sequence[tuple[Offsets, pl.Series]], count: int) -> pl.Series:
    """Return a column of so many rows that holds values at the rows given, NULL elsewhere."""
    if not parts:
        return pl.Series([None] * count, dtype=pl.String)
    values = pl.concat([part for _, part in parts])
    places = np.full(count, len(values), dtype=np.int64)
    places[np.concatenate([rows for rows, _ in parts])] = np.arange(len(values))
    return values.extend_constant(None, 1)[places]


def record_beginnings(source: LogFormatSettings) -> Beginnings | None:
    """Return what finds the first lines of records, or `None` where each line is a record."""
    if source.record_start is None:
        return None
    regex = rf"\A(?:{source.record_start})"

    def find(content: bytes) -> Sequence[int]:
        starts = Texts.of_lines(content).starts
        # By Polars, which takes linear time whatever a line holds.
        lines = pl.Series([content.decode(errors="replace")]).str.split("\n").explode()[: starts.size]
        found: list[int] = starts[lines.str.strip_suffix("\r").str.contains(regex).to_numpy()].tolist()
        return found

    return find


def _as_json(groups: Mapping[str, pl.Series], count: int) -> pl.Series:
    if not groups:
        return pl.repeat("{}", count, dtype=pl.String, eager=True)
    return pl.DataFrame(groups).select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _note_faults(faults: dict[int, str], numbers: Offsets, is_bad: npt.NDArray[np.bool_], reason: str) -> None:
    for number in numbers[is_bad].tolist():
        faults[number] = reason
