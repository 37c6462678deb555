"""Slots: one partial aggregate over one tuple of arguments, of every key's open pane.

A partial aggregate may have a second component that follows from the first as long as numbers are small, as the upper
half of a sum of whole numbers does. A slot is *narrow* while it does without: the engine need not carry, close and join
what says nothing. It widens for good once rows outgrow it, which changes no result.
"""

from collections.abc import Callable, Sequence

import numpy as np

from actors.engine.functions.partials import Partial
from actors.engine.keys.log import KeyedLog
from actors.engine.keys.per_key import PerKey
from actors.engine.language.program import Node
from actors.engine.vectors.vector import Array
from actors.engine.vectors.wide import is_small


class Slot:
    """A partial aggregate with its components of every key's open pane."""

    def __init__(self, partial: Partial, arguments: tuple[Node, ...]) -> None:
        self.partial = partial
        self.arguments = arguments
        self.is_narrow = partial.derived is not None
        """Whether a component is missing that follows from the first."""

        self.names = [f"component{i}" for i in range(1 if self.is_narrow else len(partial.neutral))]
        self.open = PerKey(**dict(zip(self.names, partial.neutral, strict=False)))
        self.columns: list[int] = []
        """For each component, its column among those of closed panes."""

    def widen(self, closed: KeyedLog) -> None:
        """Keep the second component too, beside the first in open panes and in closed ones."""
        derive = self.partial.derived
        assert derive is not None
        self.is_narrow = False
        self.names.append("component1")
        self.open.add("component1", self.partial.neutral[1], derive(self.open["component0"]))
        self.columns.append(closed.add_column(derive(closed.columns[self.columns[0]])))


def lay_out(slots: Sequence[Slot]) -> list[np.dtype]:
    """Give the components of slots their columns among those of closed panes, after the pane; return their types."""
    types: list[np.dtype] = []
    for slot in slots:
        fills = [slot.open.fill(name) for name in slot.names]
        slot.columns = list(range(1 + len(types), 1 + len(types) + len(fills)))
        types += [np.dtype(object) if isinstance(fill, str) else np.asarray(fill).dtype for fill in fills]
    return types


def shortened(slots: Sequence[Slot], state: dict[str, Array]) -> dict[str, Array]:
    """Return a state of windows without second components that follow from the first, as those of narrow slots do."""
    state = dict(state)
    for number, slot in enumerate(slots):
        derive = slot.partial.derived
        if derive is not None and not slot.is_narrow:
            (low, high), (first, second) = _components(slot, number, state)
            del state[f"slot{number}.component1"], state[f"closed.column{slot.columns[1]}"]
            if not (np.array_equal(derive(low), high) and np.array_equal(derive(first), second)):
                state |= {f"slot{number}.component1": high, f"closed.wide{number}": second}
    return state


def completed(slots: Sequence[Slot], state: dict[str, Array], widen: Callable[[Slot], None]) -> dict[str, Array]:
    """Return the whole of a state that `shortened` gave; slots that it does not fit in are made wide."""
    state = dict(state)
    for number, slot in enumerate(slots):
        derive, second = slot.partial.derived, state.pop(f"closed.wide{number}", None)
        if derive is None:
            continue
        low, first = state[f"slot{number}.component0"], state[f"closed.column{slot.columns[0]}"]
        if slot.is_narrow and (second is not None or not (is_small(low) and is_small(first))):
            widen(slot)
        if not slot.is_narrow:
            state.setdefault(f"slot{number}.component1", derive(low))
            state[f"closed.column{slot.columns[1]}"] = derive(first) if second is None else second
    return state


def _components(slot: Slot, number: int, state: dict[str, Array]) -> tuple[list[Array], list[Array]]:
    """Return the components of open panes, and those of closed ones."""
    return [state[f"slot{number}.{n}"] for n in slot.names], [state[f"closed.column{c}"] for c in slot.columns]
