"""Patterns of log lines: the texts of job files made into regular expressions, and what their groups are called.

A *format* takes a record apart into its time, what goes with it (host, process) and its message; a *template* takes a
message apart into variables. Both are regular expressions that must fit the whole text; a template may be given as
plain text instead, where `<name>` and `<*>` stand for words and `<name...>` and `<...>` for any text; a backslash in
front makes them plain text. Expressions run in linear time whatever a line holds, so look-around and references to
groups do not exist.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import polars as pl

POSITIONAL = "var_"
"""Variables without a name are called by this and their number, from 0."""

FORMATS: Mapping[str, tuple[str, str]] = {
    "iso": (
        r"(?P<time>\d{4}-\d\d-\d\d[T ]+\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)\s+(?P<message>.*)",
        "auto",
    ),
    "journal": (
        r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)\s+(?P<host>\S+)\s+"
        r"(?P<process>[^\s\[:]+)(?:\[(?P<pid>\d+)\])?:\s*(?P<message>.*)",
        "auto",
    ),
    "syslog": (
        r"(?P<time>[A-Z][a-z]{2}\s+\d{1,2}\s+\d\d:\d\d:\d\d)\s+(?P<host>\S+)\s+"
        r"(?P<process>[^\s\[:]+)(?:\[(?P<pid>\d+)\])?:\s*(?P<message>.*)",
        "%b %d %H:%M:%S",
    ),
}
"""Formats that have a name: the expression and how the time is written."""

_SHOWN_LENGTH_MAX = 200
"""Letters of an expression that a message shows."""

_PLACEHOLDER = re.compile(r"(\\)?<(\*|[A-Za-z_][A-Za-z0-9_]*)?(\.\.\.)?>")
_YEAR_DIRECTIVES = re.compile(r"%[YyCGsFDcxv+]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePattern:
    """An expression that must fit a whole text, and the variables it finds."""

    regex: str
    """The expression, for Polars; its first group is the whole text."""

    groups: tuple[tuple[str, str], ...]
    """Name of a group in what Polars gives, and of the variable; in the order of the text."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, in the order of the text."""
        return tuple(name for _, name in self.groups)


@cache
def compile_regex(regex: str) -> LinePattern:
    """Return the pattern of a regular expression.

    Raises:
        ValueError: it is none.
    """
    try:
        parsed = re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{_shown(regex)} is no regular expression: {error}") from None
    names = {number: name for name, number in parsed.groupindex.items()}
    groups = []
    for number in range(1, parsed.groups + 1):
        unnamed = number - sum(1 for known in names if known < number) - 1
        # The group around everything moves all others by one.
        groups.append((names.get(number, str(number + 1)), names.get(number, f"{POSITIONAL}{unnamed}")))
    found = [name.lower() for _, name in groups]
    repeated = [name for place, (_, name) in enumerate(groups) if name.lower() in found[:place]]
    if repeated:
        raise ValueError(f"{_shown(regex)} has two variables {repeated[0]!r}, whatever their case; name them apart")
    pattern = LinePattern(regex=rf"\A({regex})\z", groups=tuple(groups))
    try:
        pl.Series([""]).str.extract_groups(pattern.regex)
    except pl.exceptions.PolarsError as error:
        cause = next((line for line in str(error).splitlines() if line.startswith("error: ")), "it is too large")
        raise ValueError(f"{_shown(regex)} cannot be used: {cause.removeprefix('error: ')}") from None
    return pattern


def regex_of_text(text: str) -> str:
    """Return the regular expression of a template that is plain text with placeholders.

    Raises:
        ValueError: a name stands twice, or nothing is left of the text.
    """
    if not text.strip():
        raise ValueError("the text of a template is empty; give what its messages have in common")
    names = [found[2] for found in _PLACEHOLDER.finditer(text) if not found[1] and found[2] not in (None, "*")]
    repeated = [name for place, name in enumerate(names) if name in names[:place]]
    if repeated:
        raise ValueError(f"the variable {repeated[0]!r} stands twice in {text!r}; give each a name of its own")
    words = r"\s+".join(_regex_of_word(word) for word in text.split())
    return rf"(?s)\s*{words}\s*"


def escape_text(message: str) -> str:
    """Return the template text that stands for a message as it is, blanks aside."""
    return _PLACEHOLDER.sub(lambda found: found[0] if found[0] == "<>" else f"\\{found[0]}", message)


def needs_year(time_format: str) -> bool:
    """Return whether times of a format tell no year."""
    return "%" in time_format and _YEAR_DIRECTIVES.search(time_format) is None


def year_in_name(name: str) -> int | None:
    """Return the year that the name of a file holds: its first four digits from 1900 to 2099, or `None`."""
    found = re.search(r"(?:19|20)\d\d", name)
    return None if found is None else int(found[0])


def _shown(regex: str) -> str:
    return repr(regex) if len(regex) <= _SHOWN_LENGTH_MAX else f"{regex[:_SHOWN_LENGTH_MAX]!r}..."


def _regex_of_word(word: str) -> str:
    parts, position = [], 0
    for found in _PLACEHOLDER.finditer(word):
        if found[0] == "<>":
            continue
        parts.append(re.escape(word[position : found.start()]))
        if found[1]:
            position = found.start() + 1
            continue
        name = found[2] if found[2] not in (None, "*") else None
        content = r".*?" if found[3] else r"\S+?"
        parts.append(f"(?P<{name}>{content})" if name else f"({content})")
        position = found.end()
    parts.append(re.escape(word[position:]))
    return "".join(parts)
