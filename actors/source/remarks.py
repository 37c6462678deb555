"""What is odd about the rows of a source, though no record is wrong by itself; for people, after a run or a look."""

from collections.abc import Mapping, Sequence

import polars as pl

from actors.source.protocol import DeadLetter


class Remarks:
    """Looks at rows and dead letters as they are read; `fields` names what the columns are in the records."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._empty = set(fields)
        self._row_count = 0
        self._first_letter: DeadLetter | None = None

    def note(self, frame: pl.DataFrame, letters: Sequence[DeadLetter]) -> None:
        """Take what one read gave."""
        self._row_count += frame.height
        if letters and self._first_letter is None:
            self._first_letter = letters[0]
        if frame.height and self._empty:
            self._empty = {name for name in self._empty if frame[name].null_count() == frame.height}

    def texts(self) -> tuple[str, ...]:
        """Return a sentence for each oddity of everything read so far."""
        if not self._row_count:
            letter = self._first_letter
            return () if letter is None else (f"every record is a dead letter; of the first: {letter.reason}",)
        return tuple(self._of_empty(name) for name in self._fields if name in self._empty)

    def _of_empty(self, name: str) -> str:
        field = self._fields[name]
        asked = "is the column right?" if field == name else f"is {field!r} its name in the records?"
        return f"column {name!r} is NULL in all {self._row_count} rows; {asked}"
