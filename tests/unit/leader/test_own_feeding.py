"""Second copies of splits that hosts read by themselves: what their hosts are asked for, and when."""

from typing import Any

import pytest

from actors.partition.values import OpenedPartition
from actors.split_reader import SplitProgress
from cluster.leader.acceptances import KnownValues
from cluster.leader.clock import ElapsedTime
from cluster.leader.desk import Desk
from cluster.leader.events import SplitsRead
from cluster.leader.feeding import FeedingTold
from cluster.leader.feeds import Feed, OwnFeed
from cluster.leader.instructions import ReadSplits
from cluster.leader.limits import LeaderLimits
from cluster.leader.own_feeding import OwnFeeding
from cluster.leader.positions import Positions
from tests.support.partition_jobs import OWN_SPLITS, make_partition_job

JOB = make_partition_job(**OWN_SPLITS)


class Copies:
    """The feed of a host with copies of both partitions, whose owners have nothing yet."""

    def __init__(self) -> None:
        self.clock = ElapsedTime()
        self.desk = Desk("n", self.clock, LeaderLimits(), 1.0)
        stand = {number: OpenedPartition(needed={number: 0}, reached={}) for number in (0, 1)}
        self.owners = Positions(stand, {0: 0, 1: 0}, are_own=True)
        self.feeds: dict[str, Feed] = {}
        self.told: list[tuple[Any, ...]] = []
        told = FeedingTold(
            failed=lambda feed, failure: self.told.append(("failed", failure.reason)),
            gone=lambda partitions, reason: self.told.append(("gone", *partitions)),
            troubled=lambda partition, reason: self.told.append(("troubled", partition, reason)),
        )
        self.feeding = OwnFeeding(self.desk, JOB, self.owners, KnownValues(), self.feeds, told)
        feed = self.feeds["host-1"] = self.feeding.new_feed("host-1")
        assert isinstance(feed, OwnFeed)
        self.feed = feed
        for number in (0, 1):
            feed.join(number, stand[number], {number: 0})

    def asked(self) -> list[ReadSplits]:
        """Let it go on, and return what the host is asked for."""
        self.feeding.go_on(self.feed)
        self.feed.validate()
        return [one for one in self.desk.take_out() if isinstance(one, ReadSplits)]

    def reply(self, request: ReadSplits, *progress: SplitProgress) -> None:
        self.desk.settle(SplitsRead(now_us=0, request=request.request, progress=progress))


@pytest.fixture
def copies() -> Copies:
    return Copies()


def test_a_host_reads_for_its_copies_what_owners_have_and_no_more(copies: Copies) -> None:
    assert copies.asked() == []
    copies.owners.reach(0, 10, at_end=False)
    (request,) = copies.asked()
    assert (request.host, request.offsets, request.ends) == ("host-1", {0: 0}, {0: 10})
    copies.owners.reach(0, 25, at_end=False)
    assert copies.asked() == []
    copies.reply(request, SplitProgress(split=0, start=0, end=10))
    assert copies.feeding.is_near(copies.feed, 0)
    assert copies.feed.lag(copies.owners.next_offsets) == 15
    (request,) = copies.asked()
    assert (request.offsets, request.ends) == ({0: 10}, {0: 25})


def test_copies_that_lag_get_more_batches_until_they_have_all_that_owners_had(copies: Copies) -> None:
    copies.owners.reach(0, 10, at_end=False)
    (request,) = copies.asked()
    assert request.batch_count_max == 2
    period_us = JOB.flush.period_ms * 1000
    copies.clock.pass_to(1)
    copies.clock.pass_to(1 + period_us)
    copies.reply(request, SplitProgress(split=0, start=0, end=6))
    # A request for two that takes a flush period was one batch in half of it: no more, and no less.
    (request,) = copies.asked()
    assert request.batch_count_max == 2
    copies.clock.pass_to(1 + 2 * period_us)
    copies.reply(request, SplitProgress(split=0, start=6, end=10))
    copies.owners.reach(0, 12, at_end=False)
    (request,) = copies.asked()
    assert request.batch_count_max == 1


def test_the_copy_that_lacks_most_is_read_first(copies: Copies) -> None:
    copies.owners.reach(0, 10, at_end=False)
    copies.owners.reach(1, 30, at_end=False)
    (request,) = copies.asked()
    assert list(request.offsets) == [1, 0]
    copies.reply(request, SplitProgress(split=1, start=0, end=25), SplitProgress(split=0, start=0, end=1))
    (request,) = copies.asked()
    assert request.offsets == {0: 1, 1: 25}
    assert list(request.offsets) == [0, 1]


def test_a_split_that_fails_for_the_copy_alone_waits_and_is_told(copies: Copies) -> None:
    copies.owners.reach(0, 10, at_end=False)
    copies.owners.reach(1, 7, at_end=False)
    (request,) = copies.asked()
    failed = SplitProgress(split=0, start=0, end=0, trouble="split 0 of the source: it is away")
    copies.reply(request, failed, SplitProgress(split=1, start=0, end=7))
    assert not copies.feeding.is_near(copies.feed, 0)
    assert copies.told == [("troubled", 0, "the standby of partition 0 on host-1 waits: " + str(failed.trouble))]
    assert copies.asked() == []
    (due_us,) = copies.feeding.dues_us()
    copies.clock.pass_to(0)
    copies.clock.pass_to(due_us)
    (request,) = copies.asked()
    copies.reply(request, SplitProgress(split=0, start=0, end=10))
    assert copies.told[1:] == [("troubled", 0, None)]


def test_a_copy_that_lacks_what_is_gone_is_to_be_replaced(copies: Copies) -> None:
    copies.owners.reach(1, 7, at_end=False)
    (request,) = copies.asked()
    copies.reply(request, SplitProgress(split=1, start=0, end=0, trouble="it begins at 5 now", gone_until=5))
    assert copies.told == [("gone", 1)]
