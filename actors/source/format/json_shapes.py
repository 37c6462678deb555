"""Lines of JSON that are all of one shape: a regular expression takes their values out, many lines in one call.

The *shape* of a line is its text with a place for each value that is neither an object nor a list: the lines of one
producer mostly have one or a few. A shape is learned from a line that the parser has read, and matches a line only
where no reader of JSON could mean anything else: the same names in the same places, texts without escapes, numbers that
fit. So which columns a shape has is found out once, by the same rules as for a parsed object, and a line that no shape
matches, however odd, is left to the parser. Nothing but speed depends on which shapes are known.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from actors.model import ColumnType
from actors.source.protocol import Offsets

Part = tuple[dict[str, pl.Series], Offsets]
"""Values of rows by column, and the places of these."""

SHAPE_COUNT_MAX = 4
"""Shapes that are kept, and looked for in one block."""

LINE_COUNT_MIN = 64
"""Fewer lines than that are parsed."""

SHARE_MIN = 0.25
"""Part of some lines that must be of a shape, so that it is worth looking at the others."""

_SAMPLE_COUNT = 64
_LEARN_COUNT = 4
_PAUSE_LINE_COUNT = 100_000
"""Lines after which a shape is looked for again, when none was found."""

_LINE_SIZE_MAX = 8192
_PLACE_COUNT_MAX = 128
_CAPTURE_COUNT_MAX = 14
"""Values that are taken out of a line: the quick way to match a regular expression has no room for more."""

_TOKEN = re.compile(
    r'[ \t\r\n]+|[{}\[\]:,]|"(?:[^"\\]|\\.)*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null'
)
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~]")

_TEXT = r'[^"\\\x00-\x1f]*'
# So many digits fit 64 bits.
_WHOLE = r"-?(?:0|[1-9][0-9]{0,17})"
_FRACTION = r"(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
_ANY = (
    rf'(?:"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}))*"|{_WHOLE}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?'
    "|true|false|null)"
)
_PATTERNS = {
    "text": f'"({_TEXT})"',
    "whole": f"({_WHOLE})",
    "fraction": f"({_WHOLE}{_FRACTION})",
    "number": f"({_WHOLE}(?:\\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)",
    "truth": "(true|false)",
}
_DTYPES = {"whole": pl.Int64, "fraction": pl.Float64, "number": pl.Float64}

_LINE, _PLACE = "line", "place"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What lines of one shape look like."""

    pattern: str
    """Regular expression of a whole line; its first group is there in every line."""

    kinds: tuple[str, ...]
    """What each of the other groups is."""

    columns: Mapping[str, int | None]
    """Column -> the number of its group among those, `None` for one that is NULL."""

    def share(self, lines: pl.Series) -> float:
        """Return which part of lines is of the shape."""
        return len(lines.filter(lines.str.contains(self.pattern))) / max(len(lines), 1)

    def take(self, left: pl.DataFrame) -> tuple[Part, pl.DataFrame]:
        """Return what the lines of the shape say, and the others."""
        groups = left.select(pl.col(_LINE).str.extract_groups(self.pattern)).unnest(_LINE)
        is_match = groups.to_series(0).is_not_null()
        values = []
        for number, kind in enumerate(self.kinds, 1):
            texts = groups.to_series(number)
            found = _values(texts, kind)
            if found.null_count() > texts.null_count():
                is_match &= found.is_not_null() | texts.is_null()
            # A whole number has no sign of its zero, and a fraction has.
            if kind == "number" and (found == 0).any():
                is_match &= (texts != "-0").fill_null(True)
            values.append(found)
        rest = left.clear()
        if not is_match.all():
            values = [one.filter(is_match) for one in values]
            left, rest = left.filter(is_match), left.filter(~is_match)
        empty = pl.Series([None] * left.height, dtype=pl.Null) if None in self.columns.values() else pl.Series()
        columns = {name: empty if group is None else values[group] for name, group in self.columns.items()}
        return (columns, left.get_column(_PLACE).to_numpy()), rest


class JsonShapes:
    """Finds the shapes of lines; `find` says how each column is found in an object, `kinds` what each of them is.

    What `find` returns is the value, or it raises `KeyError` when there is none, which means NULL if so said.
    """

    def __init__(
        self, find: Mapping[str, Callable[[Any], Any]], kinds: Mapping[str, ColumnType], *, null_when_missing: bool
    ) -> None:
        self._find = find
        self._kinds = kinds
        self._null_when_missing = null_when_missing
        self._known: list[_Shape] = []
        self._pause = 0

    def read(self, lines: pl.Series) -> tuple[list[Part], dict[int, str]]:
        """Return the rows of lines, NULL being none, in parts, and by their places the lines that must be parsed."""
        left = pl.DataFrame({_LINE: lines, _PLACE: np.arange(len(lines), dtype=np.int64)})
        if lines.null_count():
            left = left.drop_nulls()
        parts: list[Part] = []
        self._pause = max(0, self._pause - left.height)
        while left.height >= LINE_COUNT_MIN and len(parts) < SHAPE_COUNT_MAX:
            shape = self._shape_for(left.get_column(_LINE).head(_SAMPLE_COUNT))
            if shape is None:
                break
            part, left = shape.take(left)
            parts.append(part)
        return parts, dict(zip(left.get_column(_PLACE).to_list(), left.get_column(_LINE).to_list(), strict=True))

    def _shape_for(self, lines: pl.Series) -> _Shape | None:
        """Return a shape that enough of some lines have."""
        for at, shape in enumerate(self._known):
            if shape.share(lines) >= SHARE_MIN:
                # What is found most comes first.
                self._known.insert(0, self._known.pop(at))
                return shape
        if self._pause:
            return None
        for line in lines.head(_LEARN_COUNT):
            learned = self._learn(line)
            if learned is not None and learned.share(lines) >= SHARE_MIN:
                self._known = [learned, *self._known[: SHAPE_COUNT_MAX - 1]]
                return learned
        self._pause = _PAUSE_LINE_COUNT
        return None

    def _learn(self, line: str) -> _Shape | None:
        """Return the shape of a line, `None` if it has none."""
        found = _places(line)
        if found is None:
            return None
        between, leaves = found
        # With the number of each place in place of its value, rules for names say which place a column has.
        whole = json.loads("".join(part + str(at) for at, part in enumerate(between[:-1])) + between[-1])
        columns: dict[str, int | None] = {}
        for name, find in self._find.items():
            try:
                columns[name] = find(whole)
            except KeyError:
                if not self._null_when_missing:
                    return None
                columns[name] = None
        places = sorted({at for at in columns.values() if type(at) is int})
        if len(places) > _CAPTURE_COUNT_MAX or any(at is not None and type(at) is not int for at in columns.values()):
            return None
        kinds = {
            at: _kind(leaves[at], {self._kinds[name] for name, other in columns.items() if other == at})
            for at in places
        }
        texts = [f"(?:null|{_PATTERNS[kinds[at]]})" if at in kinds else _ANY for at in range(len(leaves))]
        pattern = "".join(_escape(part) + text for part, text in zip(between, [*texts, r"[ \t\r\n]*$"], strict=True))
        groups = {at: number for number, at in enumerate(places)}
        return _Shape(
            # The first brace is there whatever is NULL.
            pattern=f"^({_escape('{')}){pattern.removeprefix(_escape('{'))}",
            kinds=tuple(kinds[at] for at in places),
            columns={name: None if at is None else groups[at] for name, at in columns.items()},
        )


def _places(line: str) -> tuple[list[str], list[str]] | None:
    """Return the texts between the values of an object, one more than there are of these, and the values as text."""
    if len(line) > _LINE_SIZE_MAX or not line.startswith("{"):
        return None
    try:
        if type(json.loads(line)) is not dict:
            return None
    except (ValueError, RecursionError):
        return None
    tokens: list[str] = []
    position = 0
    while position < len(line):
        match = _TOKEN.match(line, position)
        if match is None:
            # What the parser of Python takes besides JSON.
            return None
        tokens.append(match.group())
        position = match.end()
    between, leaves = [""], list[str]()
    for at, token in enumerate(tokens):
        if token[0] in "{}[]:, \t\r\n" or (token[0] == '"' and _is_name(tokens[at + 1 :])):
            between[-1] += token
        else:
            leaves.append(token)
            between.append("")
    return (between, leaves) if len(leaves) <= _PLACE_COUNT_MAX else None


def _is_name(after: Sequence[str]) -> bool:
    """Return whether a text of an object is a name, by what comes after it."""
    return next((token for token in after[:2] if not token.isspace()), "") == ":"


def _kind(leaf: str, wanted: set[ColumnType]) -> str:
    """Return what values are in the place of one, for columns of some types."""
    if leaf == "null":
        kind = next(iter(wanted))
        leaf = '"' if kind.is_text else "true" if kind is ColumnType.BOOL else "0"
    if leaf[0] == '"':
        return "text"
    if leaf in ("true", "false"):
        return "truth"
    if wanted == {ColumnType.DOUBLE}:
        return "number"
    return "fraction" if set(leaf) & set(".eE") else "whole"


def _values(texts: pl.Series, kind: str) -> pl.Series:
    if kind == "text":
        return texts
    return texts == "true" if kind == "truth" else texts.cast(_DTYPES[kind], strict=False)


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found.group(), text)
