"""The kind `new_event`: event ids that their key has not learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actors.detectors.errors import DetectorSpecError
from actors.detectors.known_values import KnownValuesSpec
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind
from actors.detectors.values import event_id_value
from actors.model import Schema


@detector_kind("new_event")
@dataclass(frozen=True, slots=True, kw_only=True)
class NewEventSpec(KnownValuesSpec):
    """Reports event ids that their key has not learned; here the event id is what is watched, not part of the group."""

    watches_events: ClassVar[bool] = True

    def _check(self) -> None:
        KnownValuesSpec._check(self)
        if self.configure_row_count is not None:
            raise DetectorSpecError(
                f"detector {self.name!r} has no variables to choose from; leave configure_row_count out"
            )

    def watched_columns(self) -> tuple[tuple[str, ...], ...]:
        """Return the columns of the event id."""
        return (self.event_id_columns,)

    def make_parts(self, given: Materials) -> Parts:
        """Return the watcher of event ids."""
        columns = given.names(self.event_id_columns)
        return Parts(watchers=[self.make_watcher(columns, "event", given.detail_of(columns))])

    @property
    def takes_lists(self) -> bool:
        """Whether a value that is accepted is a list: an event id of several columns is one."""
        return len(self.event_id_columns) > 1

    def event_ids_in(self, value: Any) -> Sequence[Any]:
        """Return the event ids that a value is made of."""
        return (value,)

    def checked_value(self, schema: Schema, about: str, value: Any) -> Any:
        """Return an event id that is to be accepted.

        Raises:
            DetectorValueError: it is none.
        """
        return event_id_value([schema[name] for name in self.event_id_columns], value)
