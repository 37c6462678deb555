"""Own feeding: hosts read the splits of their second copies, as far as owners have told that they are.

An owner that reads on has more than its copy at nearly every moment: one step. That is read after a failover, and a
partition that moves to its copy waits for it. A copy that lacks more is read for with more batches at a time than its
host's own splits: with as many it would lag for as long as the input lasts. A split whose source fails for the copy
alone is tried again after a pause that grows, and `status` says so; the job does not wait.
"""

from collections.abc import Mapping
from functools import partial

from actors.split_reader import SplitProgress
from cluster.leader.acceptances import KnownValues
from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk
from cluster.leader.events import SplitsRead
from cluster.leader.feeding import AskedFeeds, FeedingTold
from cluster.leader.feeds import CATCH_UP_FACTOR, Feed, OwnFeed
from cluster.leader.instructions import ReadSplits
from cluster.leader.pace import Pace
from cluster.leader.positions import Positions
from cluster.leader.reading import SplitBatch
from config.settings import JobSettings


class OwnFeeding(AskedFeeds):
    """Feeds of one job whose hosts read their own splits."""

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
        self._positions = positions
        self._pace = Pace(settings.flush.period_ms * 1000, settings.limits.batches_in_flight_max)
        self._backoffs: dict[int, Backoff] = {}

    def new_feed(self, host: str) -> Feed:
        """Return the feed of a host whose copies know all accepted values."""
        feed = OwnFeed(host)
        feed.told_count = self._known.count
        return feed

    def post(self, batch: SplitBatch) -> None:
        """Nobody routes rows."""
        raise AssertionError("hosts read their own splits")

    def go_on(self, feed: Feed) -> None:
        """Have the host read what its copies lack."""
        assert isinstance(feed, OwnFeed), "hosts read their own splits"
        self.tell_values(feed)
        wanted = {} if feed.is_reading else feed.wanted(self._positions.next_offsets, self._desk.elapsed_us)
        if not wanted:
            return
        feed.is_reading = True
        ends = {split: end for split, (_, end) in wanted.items()}
        factor = 1 if all(map(feed.has_caught_up, wanted)) else CATCH_UP_FACTOR
        then = partial(self._on_read, feed, self._desk.elapsed_us, factor, ends, feed.joinings())
        self.ask(
            feed,
            ReadSplits,
            then,
            offsets={split: start for split, (start, _) in wanted.items()},
            batch_count_max=factor * self._pace.count(feed.host),
            ends=ends,
        )

    def is_near(self, feed: Feed, partition: int) -> bool:
        """Whether a copy is as far as its owner, or one step behind it."""
        assert isinstance(feed, OwnFeed), "hosts read their own splits"
        return feed.has_caught_up(partition) or not feed.lag(self._positions.next_for(partition))

    def has_sent(self, feed: Feed) -> bool:
        """Whether nothing waits to be sent."""
        return True

    def _on_read(
        self,
        feed: OwnFeed,
        asked_us: int,
        factor: int,
        ends: Mapping[int, int],
        joinings: Mapping[int, int],
        event: SplitsRead,
    ) -> None:
        feed.is_reading = False
        self._pace.took(feed.host, (self._desk.elapsed_us - asked_us) // factor)
        for progress in event.progress:
            split = progress.split
            if self.is_current(feed) and feed.take(progress, ends[split], joinings.get(split)):
                self._judge(feed, progress)

    def _judge(self, feed: OwnFeed, progress: SplitProgress) -> None:
        split = progress.split
        if progress.gone_until:
            self._told.gone((split,), f"{feed.host}: {progress.trouble}")
        elif progress.trouble is not None:
            self._wait(feed, split)
            self._told.troubled(split, f"the standby of partition {split} on {feed.host} waits: {progress.trouble}")
        elif progress.end == progress.start:
            # The owner has records that are not to be seen from here yet.
            self._wait(feed, split)
        elif self._backoffs.pop(split, None) is not None:
            self._told.troubled(split, None)

    def _wait(self, feed: OwnFeed, split: int) -> None:
        backoff = self._backoffs.setdefault(split, Backoff(self._desk.limits, self._desk.jitter))
        feed.due_us[split] = self._desk.elapsed_us + backoff.pause_us()

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        own = [feed for feed in self._feeds.values() if isinstance(feed, OwnFeed)]
        return [due_us for feed in own for due_us in feed.due_us.values() if due_us > self._desk.elapsed_us]
