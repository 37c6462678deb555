"""The kind `charset`: texts with a character that their group has not learned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actors.detectors.findings import CODE, ROW, ROWS, MakeDetail, UnusualRows, distinct_values
from actors.detectors.groups import GroupedRows
from actors.detectors.parts import Materials
from actors.detectors.registry import detector_kind
from actors.detectors.specs import VariablesSpec
from actors.model import Column, ColumnType


@detector_kind("charset")
@dataclass(frozen=True, slots=True, kw_only=True)
class CharsetSpec(VariablesSpec):
    """Reports texts with a character that their group has not learned in that variable."""

    detail_names: ClassVar[tuple[str, ...]] = ("value", "unknown")

    watches: ClassVar[str] = "texts"

    @classmethod
    def can_watch(cls, kind: ColumnType) -> bool:
        """Return whether a column has texts."""
        return kind.is_text

    def make_watcher(self, column: Column, given: Materials) -> "CharsetWatcher":
        """Return the watcher of one column."""
        return CharsetWatcher(column.name, given.detail_of([column.name]))


class CharsetWatcher:
    """The characters of one column of texts, per group."""

    def __init__(self, column: str, make_detail: MakeDetail) -> None:
        self.metric = f"new character of {column}"
        self.about: str | None = column
        self.changed: set[int] = set()
        self._column = column
        self._make_detail = make_detail
        self._known: dict[int, set[str]] = {}
        self._muted: set[int] = set()

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Learn from a batch and return the texts with characters that are unknown."""
        pairs = distinct_values(batch, [self._column], with_times=False)
        columns = (pairs[CODE].to_list(), pairs[self._column].to_list(), pairs[ROW].to_list())
        findings = []
        for place, (code, text, first) in enumerate(zip(*columns, strict=True)):
            known = self._known.get(code)
            if known is None:
                known = self._known[code] = set()
            if known.issuperset(text) or code in self._muted:
                continue
            if batch.is_learning[first]:
                known.update(text)
                self.changed.add(code)
            else:
                shown = {"value": text, "unknown": "".join(sorted(set(text) - known))}
                findings.append(UnusualRows(pairs[ROWS][place].to_list(), self._make_detail(code, shown)))
        return findings

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Let the characters of a text count as known for a group."""
        del now
        self._known.setdefault(code, set()).update(value)
        self.changed.add(code)

    def mute(self, code: int) -> None:
        """Stop watching a group."""
        self._muted.add(code)
        self._known.pop(code, None)
        self.changed.add(code)

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return {code for code, known in self._known.items() if known} | self._muted

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        return ["".join(sorted(self._known.get(code, ()))), code in self._muted]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        characters, is_muted = saved
        self._known[code] = set(characters)
        if is_muted:
            self._muted.add(code)

    def validate(self) -> None:
        """Assert that what is known are single characters."""
        for code, known in self._known.items():
            assert all(len(character) == 1 for character in known), f"group {code} knows {known}"
