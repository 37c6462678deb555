"""Stored events on their way to a screen or a file, in whatever form, without holding them all."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import polars as pl

from actors.store import Event, QueryLatestParams
from actors.store.query.planner import QueryParams
from cluster.client.event_pages import cursor_after
from cluster.client.nodes import PAGE_EVENT_COUNT
from cluster.show.event_layout import EventLayout, event_record, pick_columns
from cluster.show.event_spool import EventSpool
from cluster.show.frame_output import write_frames
from cluster.show.output import Form, Output, write_json, write_next


@dataclass(slots=True, kw_only=True)
class Exported:
    """What was written; complete when the export has ended."""

    count: int = 0
    """Events written."""

    more_follows: bool = False
    """Whether at least one further event would have matched."""

    last: Event | None = None
    """The last event."""

    def cursor(self, params: QueryParams) -> str | None:
        """Return what the next page begins after; `None` when there was nothing, or the query cannot be continued."""
        if self.last is None or isinstance(params, QueryLatestParams):
            return None
        return cursor_after(params, self.last)


def export_events(output: Output, params: QueryParams, events: Iterator[Event], count_max: int | None) -> Exported:
    """Write events, at most `count_max` of them (`None`: all); one more is taken to know whether more follow.

    JSON on the standard output ends with a line `{"next": cursor}` when more follow.

    Raises:
        ClusterError: a column that there is not, or a file that cannot be written.
    """
    exported = Exported()
    batches = _batches(events, count_max, exported)
    if output.form is Form.JSON:
        write_json(output, (pick_columns(event_record(event), output.columns) for batch in batches for event in batch))
        write_next(output, exported.cursor(params) if exported.more_follows else None)
        return exported
    with EventSpool() as spool:
        layout = EventLayout()
        for batch in batches:
            layout.see(batch)
            spool.add(batch)
        as_text = output.form is not Form.PARQUET
        schema = layout.schema | (dict.fromkeys(("timestamp", "source_timestamp"), pl.String) if as_text else {})
        frames = (layout.frame(batch, times_as_text=as_text) for batch in spool.batches())
        write_frames(output, schema, frames)
    return exported


def _batches(events: Iterator[Event], count_max: int | None, exported: Exported) -> Iterator[list[Event]]:
    wanted = islice(events, count_max)
    while batch := list(islice(wanted, PAGE_EVENT_COUNT)):
        exported.count += len(batch)
        exported.last = batch[-1]
        yield batch
    exported.more_follows = count_max is not None and next(events, None) is not None
