"""The kind `new_value_combination`: combinations of values that their group has not learned."""

from dataclasses import dataclass
from typing import Any, ClassVar

from actors.detectors.checks import as_names, as_tuple, check_variables
from actors.detectors.known_values import KnownValuesSpec
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind
from actors.detectors.values import plain_values
from actors.model import Schema


@detector_kind("new_value_combination")
@dataclass(frozen=True, slots=True, kw_only=True)
class NewValueCombinationSpec(KnownValuesSpec):
    """Reports combinations of values of several columns that their group has not learned."""

    watch_field: ClassVar[str | None] = "combinations"

    combinations: tuple[tuple[str, ...], ...]
    """Combinations of columns; the position is the anomaly's type. A row with a NULL in one is not judged by it."""

    def _check(self) -> None:
        KnownValuesSpec._check(self)
        owner = repr(self.name)
        given = [
            as_tuple(owner, "a combination", columns) for columns in as_tuple(owner, "combinations", self.combinations)
        ]
        self.put("combinations", tuple(as_names(owner, "combinations", columns) for columns in given))
        check_variables(owner, self.combinations)
        for columns in self.combinations:
            check_variables(owner, columns)

    def watched_columns(self) -> tuple[tuple[str, ...], ...]:
        return self.combinations

    def make_parts(self, given: Materials) -> Parts:
        """Return a watcher for each combination."""
        return self.make_configured([given.names(columns) for columns in self.combinations], "combination", given)

    @property
    def takes_lists(self) -> bool:
        """Whether a value that is accepted is a list: a combination is one."""
        return True

    def checked_value(self, schema: Schema, about: str, value: Any) -> Any:
        """Return a combination that is to be accepted.

        Raises:
            DetectorValueError: it is none of these columns.
        """
        watched = [[schema[name] for name in names] for names in self.combinations]
        columns = next(columns for columns in watched if ", ".join(column.name for column in columns) == about)
        return plain_values(columns, value, f"a combination of {about}")
