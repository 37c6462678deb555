"""A bounded set of things that a group has learned: sequences, or counts of events."""

from collections.abc import Iterable, Sequence
from typing import Any

Thing = tuple[Any, ...]


class KnownThings:
    """Things per group. A group that learns more than allowed is muted: nothing of it is judged any more."""

    def __init__(self, count_max: int, *, reports_once: bool) -> None:
        self._count_max = count_max
        self._reports_once = reports_once
        self._known: dict[int, dict[Thing, None]] = {}
        self._learned_count: dict[int, int] = {}
        self.muted: set[int] = set()
        self.changed: set[int] = set()

    def of(self, code: int) -> dict[Thing, None]:
        """Return the things a group knows, as keys."""
        known = self._known.get(code)
        if known is None:
            known = self._known[code] = {}
        return known

    def learned_count(self, code: int) -> int:
        """Return how many things a group has learned, not counting those it only reported."""
        return self._learned_count.get(code, 0)

    def learn(self, code: int, thing: Thing) -> None:
        """Let a group learn a thing, or mute it when it has learned too many."""
        known = self.of(code)
        if code in self.muted or thing in known:
            return
        self.changed.add(code)
        if len(known) >= self._count_max:
            self.muted.add(code)
            known.clear()
            return
        self.accept(code, thing)

    def accept(self, code: int, thing: Thing) -> None:
        """Let a thing count as known."""
        known = self.of(code)
        if thing not in known:
            known[thing] = None
            self._learned_count[code] = self.learned_count(code) + 1
            self.changed.add(code)

    def note_reported(self, code: int, thing: Thing) -> None:
        """Note that a thing was reported: it counts as known from then on, where it is to be reported once."""
        known = self.of(code)
        if self._reports_once and len(known) < self._count_max:
            known[thing] = None
            self.changed.add(code)

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return {code for code, known in self._known.items() if known} | self.muted

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        return [list(self._known.get(code, ())), self.learned_count(code), code in self.muted]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        things, learned_count, is_muted = saved
        self._known[code] = dict.fromkeys(map(with_tuples, things))
        self._learned_count[code] = learned_count
        if is_muted:
            self.muted.add(code)

    def validate(self) -> None:
        """Assert that no group has learned more than it knows."""
        for code, count in self._learned_count.items():
            # What a muted group knew is forgotten, how much it was is not.
            assert code in self.muted or 0 <= count <= len(self._known.get(code, ())), (
                f"group {code} has learned {count}"
            )


def with_tuples(value: Any) -> Any:
    """Return a value whose lists are tuples: they come out of saved bytes as lists."""
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value
