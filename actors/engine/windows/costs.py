"""What windows keep of each key, and what aggregate calls cost."""

from actors.engine.functions.sequences import constant_work
from actors.engine.keys.kept import WINDOW_ROWS_GUESS, Holding, Work
from actors.engine.keys.log import KeyedLog
from actors.engine.keys.per_key import PerKey
from actors.engine.windows.grid import Grid
from actors.engine.windows.plan import Call, WindowPlan


def window_parts(plan: WindowPlan, keys: PerKey, closed: KeyedLog, rows: KeyedLog, grid: Grid) -> list[Holding]:
    """Return what is kept of each key."""
    pane_count = grid.pane_count
    found = [Holding(keys.kept("open pane and latest window"), ())]
    for number, slot in enumerate(plan.slots):
        users = () if number == 0 else tuple(call.node.index for call in plan.calls if number in call.slots)
        of = ", ".join(argument.term.source for argument in slot.arguments)
        what = f"{slot.partial.what} of {of}" if of else slot.partial.what
        found.append(Holding(slot.open.kept("open pane", what), users))
        if pane_count > 1:
            part = slot.columns if number else [0, *slot.columns]
            kept = closed.kept("closed panes", what, entry="pane", entry_count_max=pane_count - 1, part=part)
            found.append(Holding(kept, users))
    for number, node in enumerate(plan.stored):
        users = tuple(call.node.index for call in plan.calls if number in call.stored)
        part = [2 * number, 2 * number + 1]
        found.append(Holding(rows.kept("rows of the window", node.term.source, part=part), users))
    for node in (*(call.node for call in plan.calls), *plan.earlier):
        if node.index in plan.held:
            kept = plan.held[node.index].kept("latest value", node.term.source)
            found.append(Holding(kept, (node.index,)))
    return found


def window_work(call: Call, grid: Grid) -> list[Work]:
    """Return what an aggregate call costs."""
    pane_count, overlap = grid.pane_count, -(-grid.window_size // grid.step)
    if call.stored:
        why = "needs all rows of the window at once" + (", in order" if call.is_replayed else "")
        if overlap > 1:
            why += f"; each row is in {overlap} windows"
        rows = Work(order="O(rows of the window)", per="closing", why=why, weight=WINDOW_ROWS_GUESS)
        return [constant_work("keeps the row's values"), rows]
    added = constant_work("adds to partial aggregates")
    if pane_count == 1:
        return [added, Work(order="O(1)", per="closing", why="finishes them", weight=1)]
    why = f"joins {pane_count} panes"
    return [added, Work(order="O(panes)", per="closing", why=why, weight=pane_count)]
