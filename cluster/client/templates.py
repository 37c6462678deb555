"""Templates found in a log by Drain, ahead of time: they are written into the job and only matched when it runs.

Drain groups messages as it reads them, so what it finds depends on all lines before. A job whose event ids depended on
that could neither be replayed from the middle nor give the same result on another number of partitions; a job with
declared templates can. Pieces of words with a digit count as variables before Drain looks at a message.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from actors.extras import need
from actors.source.format.log import LogReader, record_beginnings
from actors.source.transport.lines import LineFile, LineFraming
from cluster.errors import ClusterError
from config.log_patterns import FORMATS, compile_regex, escape_text, needs_year, regex_of_text
from config.sources import LogSource

VARIABLE = "<*>"

CLUSTER_COUNT_MAX = 1000
"""Kinds of messages that are kept, which is what a job may have."""

MESSAGE_LENGTH_MAX = 10_000
"""Characters of a message beyond which it is left out: nobody could read its template, and compiling takes long."""

_PIECES = re.compile(r"[^\s\"'`\[\](){}<>=,;|]+")
_DIGIT = re.compile(r"\d")
_LEAP_YEAR = 2000
_ID_WORD_COUNT_MAX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """How templates are looked for."""

    log_format: str = "iso"
    """Format of the log, as in a job file."""

    record_start: str | None = None
    """Expression of the first line of a record, as in a job file."""

    similarity: float = 0.5
    """Share of words that messages of a kind have in common at least."""

    depth: int = 4
    """Depth of Drain's tree: two less than the number of first words by which kinds are told apart."""

    count_min: int = 2
    """Lines that a kind needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """What was found."""

    templates: tuple[tuple[str, str, int], ...]
    """Event id, text and number of lines of each, in the order in which they are to be tried."""

    line_count: int
    """Records of the log."""

    formatless_count: int
    """Records that do not fit the format, so that they have no message."""

    too_long_count: int = 0
    """Records that are too long for a template."""

    @property
    def matched_count(self) -> int:
        """Records that some template fits."""
        return sum(count for _, _, count in self.templates)

    def summary(self, mining: Mining) -> str:
        """Return in a line how much of the log the templates fit, and why there are none."""
        text = f"{len(self.templates)} templates fit {self.matched_count} of {self.line_count} lines"
        if not self.line_count:
            return f"{text}: the log is empty"
        if self.formatless_count:
            text += f"; {self.formatless_count} do not fit the format {mining.log_format!r}"
        if self.formatless_count == self.line_count:
            return f"{text}: give another --format"
        if self.too_long_count:
            text += f"; {self.too_long_count} are left out, with more than {MESSAGE_LENGTH_MAX} characters"
        if self.templates:
            return text
        if self.line_count - self.formatless_count < mining.count_min:
            return f"{text}: a kind needs {mining.count_min}; give a longer log, or a smaller --min-count"
        if self.line_count - self.formatless_count == self.too_long_count:
            return text
        return f"{text}: no {mining.count_min} lines are alike; try a smaller --similarity"


def mine_templates(path: Path, mining: Mining) -> Mined:
    """Return the templates of the messages in a log.

    Raises:
        ClusterError: the extra `drain` is not installed.
        SourceError: the log cannot be read.
    """
    drain = _open_drain(mining)
    source = LogSource(
        path=str(path), format=mining.log_format, record_start=mining.record_start, year=_any_year(mining.log_format)
    )
    fitting_count = formatless_count = too_long_count = 0
    for messages, bad_count in _messages(path, source):
        fitting_count += len(messages)
        formatless_count += bad_count
        for message in messages.to_list():
            if len(message) > MESSAGE_LENGTH_MAX:
                too_long_count += 1
            else:
                drain.add_log_message(_with_variables(message))
    texts = sorted({" ".join(cluster.log_template_tokens) for cluster in drain.clusters}, key=_specificity)
    patterns = _patterns(texts)
    counts = _count_matches(path, source, patterns)
    kept = [text for text in texts if counts[text] >= mining.count_min]
    counts = _count_matches(path, source, {text: patterns[text] for text in kept})
    ids = _event_ids(kept)
    return Mined(
        templates=tuple((event_id, text, counts[text]) for event_id, text in zip(ids, kept, strict=True)),
        line_count=fitting_count + formatless_count,
        formatless_count=formatless_count,
        too_long_count=too_long_count,
    )


def show_templates(found: Mined) -> str:
    """Return templates as YAML, the part `templates` of a log source."""
    lines = ["templates:" if found.templates else "templates: []"]
    for event_id, text, count in found.templates:
        entry = yaml.safe_dump({"id": event_id, "text": text}, default_flow_style=True, sort_keys=False, width=10_000)
        lines.append(f"- {entry.strip()}  # {count} lines")
    return "\n".join(lines)


def _open_drain(mining: Mining) -> Any:
    (drain,) = need("drain", lambda text: ClusterError(f"{text}, or write the templates by hand"))
    return drain.Drain(depth=mining.depth, sim_th=mining.similarity, max_clusters=CLUSTER_COUNT_MAX, param_str=VARIABLE)


def _with_variables(message: str) -> str:
    # A mark of its own stands for variables until all that only looks like one is escaped.
    plain = _PIECES.sub(_variable_if_digits, message.replace("\0", " "))
    return escape_text(plain).replace("\0", VARIABLE)


def _variable_if_digits(piece: re.Match[str]) -> str:
    return "\0" if _DIGIT.search(piece[0]) else piece[0]


def _any_year(log_format: str) -> int | None:
    """Return a year for formats that tell none; it is not looked at."""
    return _LEAP_YEAR if log_format in FORMATS and needs_year(FORMATS[log_format][1]) else None


def _messages(path: Path, source: LogSource) -> Iterator[tuple[pl.Series, int]]:
    """Yield the messages of the records that fit the format, and the number of the others, block by block."""
    framing = LineFraming(record_size_bytes_max=source.record_size_bytes_max, beginnings=record_beginnings(source))
    lines = LineFile(path, framing, is_complete=True)
    fields: dict[str, str] = {name: name for name in ("time", "message") if name in source.fields}
    reader = LogReader(source, fields, "time", str(path))
    record = 0
    while (block := lines.block_with(record)) is not None:
        columns, _, faults = reader.read(block.content)
        yield columns["message"], len(faults) + len(block.bad)
        record = block.next_offset


def _specificity(text: str) -> tuple[int, int, str]:
    """Order templates so that one with more variables, or less text, does not take the lines of another."""
    return text.count(VARIABLE), -len(text), text


def _patterns(texts: Sequence[str]) -> dict[str, str]:
    """Return the pattern of each template, but of those that are too long for one."""
    patterns = {}
    for text in texts:
        with suppress(ValueError):
            patterns[text] = compile_regex(regex_of_text(text)).regex
    return patterns


def _count_matches(path: Path, source: LogSource, patterns: Mapping[str, str]) -> Counter[str]:
    """Return how many messages each template is the first to fit."""
    counts: Counter[str] = Counter()
    for messages, _ in _messages(path, source):
        for text, regex in patterns.items():
            if not len(messages):
                break
            fits = messages.str.contains(regex)
            counts[text] += int(fits.sum())
            messages = messages.filter(~fits)
    return counts


def _event_ids(texts: Sequence[str]) -> list[str]:
    """Return an id for each template, made of its first plain words."""
    found: list[str] = []
    for text in texts:
        words = re.findall(r"[a-z]+", text.replace(VARIABLE, " ").lower())[:_ID_WORD_COUNT_MAX]
        name = "_".join(words) or "event"
        number = 2
        unique = name
        while unique in found:
            unique, number = f"{name}_{number}", number + 1
        found.append(unique)
    return found
