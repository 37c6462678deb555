"""The kind `new_value`: values of a variable that its group has not learned."""

from dataclasses import dataclass
from typing import ClassVar

from actors.detectors.checks import as_names, check_variables
from actors.detectors.known_values import KnownValuesSpec
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind


@detector_kind("new_value")
@dataclass(frozen=True, slots=True, kw_only=True)
class NewValueSpec(KnownValuesSpec):
    """Reports values of a variable that its group has not learned. NULL is no value."""

    watch_field: ClassVar[str | None] = "variables"

    variables: tuple[str, ...]
    """Columns watched, each by itself; the position is the anomaly's type."""

    def _check(self) -> None:
        KnownValuesSpec._check(self)
        self.put("variables", as_names(repr(self.name), "variables", self.variables))
        check_variables(repr(self.name), self.variables)

    def watched_columns(self) -> tuple[tuple[str, ...], ...]:
        """Return each variable by itself."""
        return tuple((name,) for name in self.variables)

    def make_parts(self, given: Materials) -> Parts:
        """Return a watcher for each variable."""
        return self.make_configured([given.names([name]) for name in self.variables], "value", given)
