"""The watcher of characters: which ones the texts of one variable are made of, per group."""

from collections.abc import Iterable, Sequence
from typing import Any

from actors.detectors.findings import CODE, ROW, ROWS, Finding, MakeDetail, distinct_values
from actors.detectors.groups import Batch


class CharsetWatcher:
    """The characters of one column of texts, per group."""

    def __init__(self, column: str, make_detail: MakeDetail) -> None:
        self.metric = f"new character of {column}"
        self.changed: set[int] = set()
        self._column = column
        self._make_detail = make_detail
        self._known: dict[int, set[str]] = {}
        self._muted: set[int] = set()

    def observe(self, batch: Batch) -> list[Finding]:
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
                findings.append(Finding(pairs[ROWS][place].to_list(), self._make_detail(code, shown)))
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
