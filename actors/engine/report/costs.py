"""Costs: what each metric keeps and does, and what the engine holds, before rows come and afterwards.

Nothing is known here about functions: sequence states, windows and key numbers say themselves what they keep and how
much work they are, and this module adds it up for metrics. State that several metrics need is counted once for all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from actors.engine.keys.kept import Kept, Work
from actors.engine.language.program import Node
from actors.engine.language.terms import Metric, MetricKind
from actors.engine.windows.windows import NoWindows, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCost:
    """One part of the state and the metrics that need it."""

    kept: Kept
    metrics: tuple[int, ...]
    """Positions of the metrics; all metrics for the key itself."""

    @property
    def is_shared(self) -> bool:
        """Whether several metrics need it."""
        return len(self.metrics) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCost:
    """What one metric keeps and does."""

    metric_index: int
    metric: Metric
    states: tuple[StateCost, ...]
    """State of its own or shared with others; what every key needs anyway is left out."""

    work: tuple[Work, ...]
    """What it costs while rows come; each sort of work once, the heaviest last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCosts:
    """What an engine keeps of each key."""

    metrics: tuple[MetricCost, ...]
    states: tuple[StateCost, ...]
    """All parts of the state, each once."""

    @property
    def key_size_bytes(self) -> int:
        """Bytes of each key, with the entries whose number is known from the metrics."""
        return sum(state.kept.bounded_size_bytes for state in self.states)

    @property
    def row_size_bytes(self) -> int:
        """Bytes besides for each row of a key that a window, or a length of time, holds."""
        open_ended = (state.kept for state in self.states if state.kept.entry_count_max is None)
        return sum(kept.entry_size_bytes for kept in open_ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMemory:
    """Bytes that an engine's state takes now; the room that arrays have for more is included."""

    state_size_bytes: int
    key_count: int
    late_size_bytes: int
    """Late rows that nobody has taken yet, bounded by `late_rows_max`."""

    parts: tuple[tuple[str, int], ...]
    """Name and bytes of each part of the state, the largest first."""

    @property
    def key_size_bytes(self) -> float:
        """Bytes of state for each key."""
        return self.state_size_bytes / max(self.key_count, 1)


def engine_costs(
    metrics: Sequence[Metric],
    nodes: Sequence[Node],
    windows: Windows | NoWindows,
    shared: Sequence[Kept],
) -> EngineCosts:
    """Return what metrics keep and do; `nodes` are their terms and `shared` is what every key needs anyway."""
    calls = [list(stateful_nodes(node)) for node in nodes]
    everybody = tuple(range(len(metrics)))
    states = [StateCost(kept=kept, metrics=everybody) for kept in shared]
    own: list[StateCost] = []
    for node in _distinct(calls):
        if node.state is not None:
            own.append(_named(node, StateCost(kept=node.state.kept(), metrics=_users((node.index,), calls))))
    for kept, indexes in windows.kept():
        if indexes:
            own.append(StateCost(kept=kept, metrics=_users(indexes, calls)))
        else:
            over = [i for i, metric in enumerate(metrics) if metric.kind is not MetricKind.ROW]
            states.append(StateCost(kept=kept, metrics=tuple(over)))
    costs = tuple(
        MetricCost(
            metric_index=index,
            metric=metric,
            states=tuple(state for state in own if index in state.metrics),
            work=_work(calls[index], windows),
        )
        for index, metric in enumerate(metrics)
    )
    return EngineCosts(metrics=costs, states=(*states, *own))


def stateful_nodes(node: Node) -> Iterator[Node]:
    """Yield the aggregate and order-sensitive calls of a metric; what stands inside an aggregate has no own state."""
    if node.term.is_aggregate or node.state is not None:
        yield node
    if not node.term.is_aggregate:
        for argument in node.arguments:
            yield from stateful_nodes(argument)


def _distinct(calls: Sequence[Sequence[Node]]) -> list[Node]:
    return list({node.index: node for nodes in calls for node in nodes}.values())


def _users(indexes: Sequence[int], calls: Sequence[Sequence[Node]]) -> tuple[int, ...]:
    return tuple(i for i, nodes in enumerate(calls) if any(node.index in indexes for node in nodes))


def _named(node: Node, state: StateCost) -> StateCost:
    named = replace(state.kept, of=node.term.source)
    return StateCost(kept=named, metrics=state.metrics)


def _work(nodes: Sequence[Node], windows: Windows | NoWindows) -> tuple[Work, ...]:
    found = {Work(order="O(1)", per="row", why="tests the row's own values", weight=0)} if not nodes else set()
    for node in nodes:
        if node.state is not None:
            found.add(node.state.work())
        else:
            found.update(windows.work(node.index))
    return tuple(sorted(found, key=lambda work: (work.weight, work.per != "row", work.why)))


def memory_of(costs: EngineCosts, others: Sequence[Kept], key_count: int, late_size_bytes: int) -> EngineMemory:
    """Return the bytes that state takes, as its parts and others beside them say."""
    kept = [*(state.kept for state in costs.states), *others]
    parts = sorted(((str(part), part.held_size_bytes) for part in kept), key=lambda part: -part[1])
    return EngineMemory(
        state_size_bytes=sum(size for _, size in parts),
        key_count=key_count,
        late_size_bytes=late_size_bytes,
        parts=tuple(parts),
    )
