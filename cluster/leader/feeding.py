"""Feeding: second copies get the batches that owners get, and what they lack is read again for them alone.

What is wrong with a host or the source is told to `cluster.leader.standby`, which decides about the copies.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from cluster.leader.acceptances import KnownValues
from cluster.leader.desk import Desk
from cluster.leader.events import SplitRead
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.feeds import Feed, RoutedFeed
from cluster.leader.instructions import AcceptValues, HostRequest, ReadAgain, SendBatch
from cluster.leader.positions import Positions
from cluster.leader.reading import SplitBatch
from config.settings import JobSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedingTold:
    """Who is told what about the copies of a feed."""

    failed: Callable[[Feed, Failure], None]
    """Their host does not do what it is asked."""

    gone: Callable[[Collection[int], str], None]
    """The source does not have what these partitions lack any more, and why."""

    troubled: Callable[[int, str | None], None]
    """A partition's copy gets nothing just now, and why; `None` says that it does again."""


class Feeding(Protocol):
    """Has feeds filled and emptied: `RoutedFeeding`, or `OwnFeeding` where hosts read their own splits."""

    def new_feed(self, host: str) -> Feed:
        """Return the feed of a host whose copies know all accepted values."""
        ...

    def post(self, batch: SplitBatch) -> None:
        """Take a batch that goes to the owners."""
        ...

    def go_on(self, feed: Feed) -> None:
        """Do for a feed what can be done now."""
        ...

    def is_near(self, feed: Feed, partition: int) -> bool:
        """Whether a copy is as far as its owner, or one step behind it."""
        ...

    def has_sent(self, feed: Feed) -> bool:
        """Whether nothing waits to be sent."""
        ...

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        ...


class AskedFeeds:
    """What both ways have in common: what the hosts of feeds are asked, and what accepted values they know."""

    def __init__(
        self, desk: Desk, settings: JobSettings, known: KnownValues, feeds: Mapping[str, Feed], told: FeedingTold
    ) -> None:
        self._desk = desk
        self._batch_count_max = settings.limits.batches_in_flight_max
        self._known = known
        self._feeds = feeds
        self._told = told

    def is_current(self, feed: Feed) -> bool:
        """Whether a feed is still that of its host."""
        return self._feeds.get(feed.host) is feed

    def tell_values(self, feed: Feed) -> None:
        """Let the copies know values that were accepted since, before they get rows from where these hold."""
        if feed.told_count < self._known.count:
            news, feed.told_count = self._known.all[feed.told_count :], self._known.count
            self.ask(feed, AcceptValues, lambda _: None, acceptances=news)

    def ask(self, feed: Feed, kind: type[HostRequest], then: Callable[[Any], None], **fields: Any) -> None:
        """Ask the host of a feed for something."""
        request = kind(request=self._desk.next_number(), host=feed.host, **fields)
        # It waits for what was sent before, also to the partitions that the host owns.
        timeout_us = 2 * self._batch_count_max * self._desk.limits.reply_timeout_us
        self._desk.ask(request, then, partial(self._told.failed, feed), timeout_us)


class RoutedFeeding(AskedFeeds):
    """Feeds of one job whose rows are routed by its leader."""

    def __init__(
        self,
        desk: Desk,
        settings: JobSettings,
        positions: Positions,
        known: KnownValues,
        feeds: Mapping[str, Feed],
        told: FeedingTold,
    ) -> None:
        super().__init__(desk, settings, known, feeds, told)
        self._limits = settings.limits
        self._positions = positions

    def _all(self) -> list[RoutedFeed]:
        return [feed for feed in self._feeds.values() if isinstance(feed, RoutedFeed)]

    def new_feed(self, host: str) -> Feed:
        """Return the feed of a host whose copies know all accepted values."""
        in_flight_max = self._limits.batches_in_flight_max
        feed = RoutedFeed(host, in_flight_max, self._desk.limits.kept_batch_factor * in_flight_max)
        feed.told_count = self._known.count
        return feed

    def post(self, batch: SplitBatch) -> None:
        """Take a batch that goes to the owners."""
        for feed in self._all():
            feed.post(batch)

    def go_on(self, feed: Feed) -> None:
        """Send what may go, and read again what is lacking."""
        assert isinstance(feed, RoutedFeed), "rows are routed"
        self.tell_values(feed)
        lags = feed.lag(self._positions.next_offsets) > 0
        while (batch := feed.take_sendable(lags=lags)) is not None:
            self.ask(feed, SendBatch, lambda _: feed.answered(), batch=batch)
        self._read(feed)

    def is_near(self, feed: Feed, partition: int) -> bool:
        """Whether a copy is as far as its owner."""
        return not feed.lag(self._positions.next_offsets)

    def has_sent(self, feed: Feed) -> bool:
        """Whether nothing waits to be sent."""
        assert isinstance(feed, RoutedFeed), "rows are routed"
        return feed.has_sent

    def _read(self, feed: RoutedFeed) -> None:
        if feed.is_reading or not feed.has_room or feed.read_due_us > self._desk.elapsed_us:
            return
        wanted = feed.wanted(self._positions.next_offsets)
        if wanted is None:
            return
        split, offset, count, is_first = wanted
        feed.is_reading = True
        request = ReadAgain(
            request=self._desk.next_number(),
            host=feed.host,
            split=split,
            offset=offset,
            row_count_max=min(count, self._limits.batch_rows_max),
            is_first=is_first,
        )
        self._desk.ask(request, partial(self._on_read, feed), partial(self._on_not_read, feed))

    def _on_read(self, feed: RoutedFeed, event: SplitRead) -> None:
        feed.is_reading = False
        feed.take_again(event.batch, self._positions.next_offsets)
        if event.batch.end == event.batch.start:
            feed.read_due_us = self._desk.elapsed_us + self._desk.limits.retry_us_max

    def _on_not_read(self, feed: RoutedFeed, failure: Failure) -> None:
        feed.is_reading = False
        feed.read_due_us = self._desk.elapsed_us + self._desk.limits.retry_us_min
        if failure.kind is FailureKind.INPUT_GONE and self.is_current(feed):
            self._told.gone(feed.partitions, failure.reason)

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        return [feed.read_due_us for feed in self._all() if feed.read_due_us]
