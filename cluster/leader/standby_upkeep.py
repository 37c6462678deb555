"""Upkeep of second copies, beside the rows: what sinks have, flushes while no rows come, and the end."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cluster.leader.desk import Desk
from cluster.leader.events import HostFlushed, MarksRead
from cluster.leader.failures import Failure
from cluster.leader.feeds import Feed
from cluster.leader.instructions import FlushStandbys, HostRequest, ReadMarks, TakeMarks
from cluster.leader.lanes import Lanes
from cluster.leader.positions import Positions
from config.settings import JobSettings


class StandbyUpkeep:
    """Upkeep of the copies that `feeds` feed; `on_failed` is told of a feed whose host does not do it."""

    def __init__(
        self,
        desk: Desk,
        settings: JobSettings,
        lanes: Lanes,
        positions: Positions,
        feeds: Mapping[str, Feed],
        on_failed: Callable[[Feed, Failure], None],
    ) -> None:
        self._desk = desk
        self._settings = settings
        self._lanes = lanes
        self._positions = positions
        self._feeds = feeds
        self._on_failed = on_failed
        self._marks_due_us = self._flush_due_us = desk.elapsed_us
        self._asked_count = 0
        """Marks and flushes that were asked for and not answered."""
        self._end_stage = 0
        self.whole: set[int] = set()
        """Partitions whose copies have everything durably, at the end."""

    def look_after(self) -> None:
        """Tell copies what sinks have, and flush what nothing comes after."""
        if self._asked_count:
            return
        now_us = self._desk.elapsed_us
        if self._marks_due_us <= now_us:
            self._marks_due_us = now_us + self._desk.limits.standby_marks_us
            self._pass_marks()
        if self._flush_due_us <= now_us:
            self._flush_due_us = now_us + self._settings.flush.period_ms * 1000
            self._flush(are_due=True)

    def _flush(self, *, are_due: bool) -> None:
        for feed in list(self._feeds.values()):
            if not are_due or feed.is_idle:
                then = self._on_due_flushed if are_due else partial(self._on_flushed, feed)
                self._ask_counted(feed, FlushStandbys, then, are_due=are_due)

    def _on_due_flushed(self, event: HostFlushed) -> None:
        """There is no more to do."""

    def _on_flushed(self, feed: Feed, event: HostFlushed) -> None:
        """Note which copies have everything durably, at the end."""
        for partition in feed.partitions & event.committed.keys():
            marks, sent = event.committed[partition], self._positions.next_for(partition)
            if all(marks.get(split, 0) >= offset for split, offset in sent.items()):
                self.whole.add(partition)

    def _ask_counted(self, feed: Feed, kind: type[HostRequest], then: Callable[[Any], None], **fields: Any) -> None:
        def answered(event: Any) -> None:
            self._asked_count -= 1
            then(event)

        def failed(failure: Failure) -> None:
            self._asked_count -= 1
            self._on_failed(feed, failure)

        self._asked_count += 1
        request = kind(request=self._desk.next_number(), host=feed.host, **fields)
        self._desk.ask(request, answered, failed)

    def _pass_marks(self) -> None:
        """Let copies know what the sinks have of their partitions."""
        if not self._settings.sinks or not self._feeds:
            return
        for host in self._lanes.hosts:
            self._asked_count += 1
            request = ReadMarks(request=self._desk.next_number(), host=host)
            # Whoever sends the host rows finds out what is wrong with it.
            self._desk.ask(request, self._on_marks, lambda _: self._on_no_marks())

    def _on_no_marks(self) -> None:
        self._asked_count -= 1

    def _on_marks(self, event: MarksRead) -> None:
        self._asked_count -= 1
        for feed in list(self._feeds.values()):
            marks = {number: event.marks[number] for number in feed.partitions & event.marks.keys()}
            if any(marks.values()):
                self._ask_counted(feed, TakeMarks, lambda _: None, marks=marks)

    def begin_end(self) -> None:
        """Let copies get everything, now that owners have it; call `end` until it is true."""
        self._end_stage = 0
        self.whole.clear()

    def end(self) -> bool:
        """Go on, and return whether copies know what sinks have, and have flushed."""
        if self._asked_count or not all(feed.is_idle for feed in self._feeds.values()):
            return False
        steps = (self._pass_marks, partial(self._flush, are_due=False))
        if self._end_stage == len(steps):
            return True
        steps[self._end_stage]()
        self._end_stage += 1
        return False

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        return [self._marks_due_us, self._flush_due_us] if self._feeds else []

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._asked_count >= 0
