"""What a job says of a baseline."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

from actors.detectors.baseline import season
from actors.detectors.baseline.reasons import DIRECTIONS, Rule
from actors.detectors.baseline.tuning import SENSITIVITIES
from actors.detectors.baseline.watcher import BaselineWatcher
from actors.detectors.checks import check_choice
from actors.detectors.errors import DetectorSpecError
from actors.detectors.parts import Materials
from actors.detectors.registry import detector_kind
from actors.detectors.specs import VariablesSpec
from actors.durations import nanoseconds_per_unit
from actors.model import Column, ColumnType


@detector_kind("baseline")
@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSpec(VariablesSpec):
    """Reports numbers, levels and courses that are unusual for their group; needs no rule and no learn phase.

    Raises:
        DetectorSpecError: an option that is none of those there are.
    """

    detail_names: ClassVar[tuple[str, ...]] = ("value", "score", "expected", "low", "high", "why", "text")

    watches: ClassVar[str] = "numbers"

    sensitivity: str | float = "default"
    """`low`, `default`, `high`, or a number: the more, the fewer alarms."""

    season: str = "auto"
    """`auto`, `none`, `day` or `week`: what the time of a row is compared by."""

    direction: str = "both"
    """`up`, `down` or `both`: which changes are alarms."""

    min_change: float | str = 0.0
    """Least change that is an alarm: an amount in the unit of the column, or a share of what was expected: `5%`."""

    def _check(self) -> None:
        VariablesSpec._check(self)
        owner = repr(self.name)
        if isinstance(self.sensitivity, str):
            self.put("sensitivity", check_choice(owner, "sensitivity", self.sensitivity, tuple(SENSITIVITIES)))
        elif not _is_number(self.sensitivity) or self.sensitivity <= 0:
            raise DetectorSpecError(
                f"sensitivity {self.sensitivity!r} of {owner} must be low, default, high or a number above 0; "
                f"default is {SENSITIVITIES['default']}, and a smaller number gives more alarms"
            )
        self.put("season", check_choice(owner, "season", self.season, season.SEASONS))
        self.put("direction", check_choice(owner, "direction", self.direction, DIRECTIONS))
        self._change_min()

    def _change_min(self) -> tuple[float, bool]:
        """Return the least change, and whether it is a share of what was expected."""
        given: Any = self.min_change
        is_relative = False
        if isinstance(given, str) and given.strip().endswith("%"):
            is_relative = True
            try:
                given = float(given.strip()[:-1]) / 100
            except ValueError:
                given = -1.0
        if not _is_number(given) or given < 0:
            raise DetectorSpecError(
                f"min_change {self.min_change!r} of {self.name!r} must be a number that is not negative, or a share "
                "such as '5%'"
            )
        return float(given), is_relative

    @classmethod
    def can_watch(cls, kind: ColumnType) -> bool:
        """Return whether a column has numbers."""
        return kind.is_integer or kind is ColumnType.DOUBLE

    def make_watcher(self, column: Column, given: Materials) -> BaselineWatcher:
        """Return the watcher of one column.

        Raises:
            DetectorSpecError: times of that type do not tell the places of the season apart.
        """
        time = given.schema[given.time_column]
        own_season = self.season
        if not season.can_have(own_season, time.type):
            if own_season != "auto":
                raise DetectorSpecError(
                    f"season {own_season!r} of {self.name!r} needs finer times than column {time.name!r}, which is "
                    f"{time.type}; use `season: none`"
                )
            own_season = "none"
        unit_ns = nanoseconds_per_unit(time.type)
        warm_up_ns = season.length_ns(own_season) if own_season in ("day", "week") else 0
        change_min, is_relative = self._change_min()
        rule = Rule(
            sensitivity=SENSITIVITIES[self.sensitivity] if isinstance(self.sensitivity, str) else self.sensitivity,
            season=own_season,
            warm_up=warm_up_ns // unit_ns if unit_ns else 0,
            direction=self.direction,
            change_min=change_min,
            is_change_relative=is_relative,
        )
        return BaselineWatcher(column, time, rule, given.detail_of([column.name]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
