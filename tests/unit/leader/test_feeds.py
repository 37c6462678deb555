"""Feeds of second copies, and where copies go."""

import numpy as np
import pytest

from actors.given_rows import to_frame
from actors.partition.values import OpenedPartition
from actors.source.protocol import DeadLetter, SourceBatch
from actors.split_reader import SplitProgress
from cluster.leader.again import cut
from cluster.leader.feeds import OwnFeed, RoutedFeed
from cluster.leader.reading import SplitBatch
from cluster.leader.standby_places import place_standbys
from tests.support.partition_jobs import make_partition_job

SCHEMA = make_partition_job().row_schema


def batch(start: int, end: int, split: int = 0) -> SplitBatch:
    frame = to_frame(SCHEMA, [(at, "A", 1, "ann") for at in range(start, end)])
    letter = DeadLetter(split=split, offset=end - 1, reason="bad", raw=b"?")
    rows = {0: (frame, np.arange(start, end))}
    ticks = ((start, 10), (end - 1, 20))
    return SplitBatch(split=split, start=start, end=end, rows=rows, dead_letters={1: (letter,)}, ticks=ticks)


@pytest.fixture
def feed() -> RoutedFeed:
    """A feed of the copies of partitions 0 and 1, which need split 0 from 10."""
    feed = RoutedFeed("host-1", in_flight_max=1, waiting_max=2)
    for partition in (0, 1):
        feed.join(partition, OpenedPartition(needed={0: 10}, reached={0: 12}), {0: 0})
    return feed


def sent(feed: RoutedFeed, *, lags: bool = False) -> tuple[int, int, tuple[int, ...]] | None:
    found = feed.take_sendable(lags=lags)
    feed.validate()
    return None if found is None else (found.start, found.end, found.partitions)


def test_a_feed_takes_what_comes_next_and_sends_no_more_than_may_be_on_the_way(feed: RoutedFeed) -> None:
    feed.post(batch(10, 15))
    feed.post(batch(15, 20))
    assert sent(feed) == (10, 15, (0, 1))
    assert sent(feed) is None
    feed.answered()
    assert sent(feed) == (15, 20, (0, 1))


def test_a_feed_that_lags_has_twice_as_much_on_the_way_until_it_does_not(feed: RoutedFeed) -> None:
    feed.post(batch(10, 15))
    feed.post(batch(15, 20))
    assert [sent(feed, lags=True) for _ in range(3)] == [(10, 15, (0, 1)), (15, 20, (0, 1)), None]
    feed.answered()
    feed.post(batch(20, 25))
    assert sent(feed) is None
    feed.answered()
    assert sent(feed) == (20, 25, (0, 1))


def test_a_feed_without_room_is_behind_and_reads_again_by_itself(feed: RoutedFeed) -> None:
    for start in (10, 15, 20):
        feed.post(batch(start, start + 5))
    assert feed.lag({0: 25}) == 5
    assert feed.wanted({0: 25}) == (0, 20, 5, True)
    assert sent(feed) == (10, 15, (0, 1))
    feed.answered()
    feed.take_again(batch(20, 25), {0: 25})
    assert (feed.lag({0: 25}), feed.wanted({0: 25})) == (0, None)


def test_reading_goes_on_with_the_same_reader_as_long_as_nothing_else_comes_between(feed: RoutedFeed) -> None:
    assert feed.wanted({0: 30}) == (0, 10, 20, True)
    feed.take_again(batch(10, 15), {0: 30})
    assert feed.wanted({0: 30}) == (0, 15, 15, False)
    feed.post(batch(15, 20))
    assert feed.wanted({0: 30}) == (0, 20, 10, True)


def test_a_feed_is_never_ahead_of_what_was_sent(feed: RoutedFeed) -> None:
    feed.wanted({0: 13})
    feed.take_again(batch(10, 15), {0: 13})
    assert sent(feed) == (10, 13, (0, 1))
    assert feed.reached == {0: 13}
    assert feed.wanted({0: 16}) == (0, 13, 3, True)


def test_a_copy_that_joins_takes_the_feed_back_to_where_it_stands(feed: RoutedFeed) -> None:
    feed.post(batch(10, 15))
    feed.join(2, OpenedPartition(needed={0: 4}, reached={0: 4}), {0: 0})
    assert sent(feed) == (10, 15, (0, 1))
    assert feed.wanted({0: 15}) == (0, 4, 11, True)


def test_a_copy_that_leaves_is_sent_nothing_more(feed: RoutedFeed) -> None:
    feed.post(batch(10, 15))
    feed.leave(0)
    assert sent(feed) == (10, 15, (1,))


def test_a_split_that_is_new_is_fed_from_its_first_batch(feed: RoutedFeed) -> None:
    feed.post(batch(3, 5, split=7))
    assert sent(feed) == (3, 5, (0, 1))


def test_a_batch_is_cut_with_its_letters_and_ticks() -> None:
    found = cut(batch(10, 15), 12)
    assert (found.start, found.end, found.row_count, found.dead_letter_count) == (10, 12, 2, 0)
    assert found.ticks == ((10, 10),)
    assert cut(found, 20) is found


NODES = {"host-0": "a", "host-1": "b"}


def test_each_copy_goes_to_a_host_of_another_node() -> None:
    placed, pinned = place_standbys({0: "host-0", 1: "host-1"}, {}, NODES, ("a", "b"))
    assert (placed, pinned) == ({0: "host-1", 1: "host-0"}, {})


def test_without_another_node_there_is_no_copy() -> None:
    assert place_standbys({0: "host-0"}, {}, NODES, ("a",)) == ({}, {})
    assert place_standbys({0: "host-0"}, {}, {}, ()) == ({}, {})


def test_a_new_host_is_placed_where_the_job_has_none() -> None:
    placed, pinned = place_standbys({0: "host-0", 1: "host-0"}, {}, {"host-0": "a"}, ("a", "b"))
    assert (placed, pinned) == ({0: "host-1", 1: "host-1"}, {"host-1": "b"})


def test_a_new_host_is_of_the_kind_of_the_owner() -> None:
    placed, pinned = place_standbys({0: "shared-0"}, {}, {"shared-0": "a"}, ("a", "b"))
    assert (placed, pinned) == ({0: "shared-1"}, {"shared-1": "b"})


def test_copies_stay_where_they_are_unless_their_node_leaves_or_is_the_owners() -> None:
    nodes = {"host-0": "a", "host-1": "b", "host-2": "c"}
    owners = {0: "host-0", 1: "host-1", 2: "host-0"}
    standbys = {0: "host-2", 1: "host-1", 2: "host-1"}
    placed, _ = place_standbys(owners, standbys, nodes, ("a", "b", "c"))
    assert placed == {0: "host-2", 1: "host-0", 2: "host-1"}
    placed, _ = place_standbys(owners, standbys, nodes, ("a", "b"), {"c"})
    assert placed[0] == "host-1"


def test_a_copy_on_a_node_that_is_away_waits_for_it() -> None:
    assert place_standbys({0: "host-0"}, {0: "host-1"}, NODES, ("a",)) == ({0: "host-1"}, {})


def test_an_own_feed_wants_what_owners_have_and_a_copy_lacks() -> None:
    feed = OwnFeed("host-1")
    feed.join(0, OpenedPartition(needed={0: 10}, reached={0: 12}), {0: 0})
    feed.join(2, OpenedPartition(needed={}, reached={}), {2: 5})
    assert feed.wanted({0: 15, 1: 9, 2: 5}, 0) == {0: (10, 15)}
    feed.due_us[0] = 100
    assert feed.wanted({0: 15, 2: 8}, 99) == {2: (5, 8)}
    assert feed.lag({0: 15, 1: 9, 2: 8}) == 8
    feed.leave(2)
    assert feed.lag({0: 15, 1: 9, 2: 8}) == 5
    feed.validate()


def test_an_own_feed_forgets_what_was_asked_before_a_copy_was_opened_anew() -> None:
    feed, progress = OwnFeed("host-1"), SplitProgress(split=0, start=10, end=15)
    feed.join(0, OpenedPartition(needed={0: 10}, reached={0: 10}), {0: 0})
    before = feed.joinings()[0]
    feed.leave(0)
    assert not feed.take(progress, 15, before)
    feed.join(0, OpenedPartition(needed={0: 10}, reached={0: 10}), {0: 0})
    assert not feed.take(progress, 15, before)
    assert not feed.has_caught_up(0)
    assert feed.take(progress, 15, feed.joinings()[0])
    assert feed.has_caught_up(0)
    assert feed.reached == {0: 15}
    feed.validate()


def test_a_batch_is_cut_below_an_offset() -> None:
    letters = tuple(DeadLetter(split=0, offset=at, reason="bad", raw=b"?") for at in (3, 6))
    frame = to_frame(SCHEMA, [(at, "A", 1, "ann") for at in (2, 5)])
    found = SourceBatch(frame=frame, offsets=np.array([2, 5]), next_offset=8, dead_letters=letters, at_end=True)
    assert found.below(8) is found
    part = found.below(5)
    part.validate()
    assert (part.offsets.tolist(), part.next_offset, part.dead_letters, part.at_end) == ([2], 5, letters[:1], False)
