"""The engine's figures beside what they must and should reach, as one table."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Target(NamedTuple):
    """What a figure must reach, and should; one value for each number of keys, or one for all."""

    unit: str
    must: tuple[float, ...]
    aim: tuple[float, ...] = ()
    is_limit: bool = False
    """Whether smaller is better."""


TARGETS = {
    "tumbling, batches of 10000": Target("M rows/s", (7, 6, 2.5), (10, 15, 6)),
    "tumbling, batches of 1000": Target("M rows/s", (2, 2, 1), (3, 4, 2)),
    "sliding, mergeable aggregates": Target("M rows/s", (5, 3, 0.5), (8, 4, 1)),
    "sliding, with percentile": Target("M rows/s", (0.8, 0.6, 0.3), (2, 1.5, 0.8)),
    "tumbling / plain loop": Target("x", (4, 4, 4)),
    "batch of 10000, p99": Target("ms", (5, 5, 15), is_limit=True),
    "snapshot": Target("ms", (50,), is_limit=True),
    "snapshot size": Target("MB", (1.5,), is_limit=True),
    "restore": Target("ms", (50,), is_limit=True),
}
KEY_COUNTS = (10, 1_000, 100_000)


@dataclass
class Scorecard:
    """Figures by name and number of keys."""

    figures: dict[tuple[str, int], float] = field(default_factory=dict)

    def note(self, name: str, key_count: int, value: float) -> None:
        """Take a figure into the table if it has a target."""
        if name in TARGETS:
            self.figures[name, key_count] = value

    def print(self) -> None:
        """Print the table; an asterisk stands behind what falls short of what it must reach."""
        print(f"\n{'CPU time, medians':32}" + "".join(f"{f'{count} keys':>14}" for count in KEY_COUNTS) + "   must")
        for name, target in TARGETS.items():
            cells = [self._cell(name, target, place) for place in range(len(KEY_COUNTS))]
            must = " / ".join(f"{value:g}" for value in target.must)
            aim = f" (aim {' / '.join(f'{value:g}' for value in target.aim)})" if target.aim else ""
            print(f"{name:32}{''.join(cells)}   {must} {target.unit}{aim}")

    def _cell(self, name: str, target: Target, place: int) -> str:
        value = self.figures.get((name, KEY_COUNTS[place]))
        if value is None:
            return " " * 14
        must = target.must[min(place, len(target.must) - 1)]
        falls_short = value > must if target.is_limit else value < must
        return f"{value:>13.2f}" + ("*" if falls_short else " ")
