"""The journal of a push source: kept together, known again, bounded by what was read."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from actors.errors import SourceError
from actors.source.push.journal import FORGET_ALL, SCHEMA, SPLIT_COUNT, Arrival, JournalTransport, Mark, PushJournal
from actors.source.push.keeper import Keeper, Outcome
from actors.stream.table import DurableStreamTable, StreamLimits


@pytest.fixture
def table(tmp_path: Path) -> Iterator[DurableStreamTable]:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA, split_count=SPLIT_COUNT) as one:
        yield one
        one.validate()


def arrival(*records: bytes, header: str | None = None, mark: Mark | None = None) -> Arrival:
    return Arrival(records=records, place="a/b", received_us=5, header=header, mark=mark)


def transport(table: DurableStreamTable) -> JournalTransport:
    return JournalTransport(table, "$topic", owns_table=False)


def test_records_of_any_bytes_are_read_as_they_came_in_blocks_of_one_header(table: DurableStreamTable) -> None:
    journal = PushJournal(table, StreamLimits(), 10)
    records = [bytes(range(256)), b"", b"\0", b"a\n"]
    journal.append([arrival(*records[:2]), arrival(*records[2:]), arrival(b"c", header="x"), arrival(b"d")])
    found, offset = [], 0
    while (block := transport(table).block_at(0, offset, 10)) is not None:
        found.append((block.origin.header, block.content.messages(), block.content.meta["$topic"].to_list()))
        assert block.offsets.tolist() == list(range(offset, block.next_offset))
        offset = block.next_offset
    assert found == [(None, records, ["a/b"] * 4), (b"x", [b"c"], ["a/b"]), (None, [b"d"], ["a/b"])]


def test_marks_are_known_by_who_opens_the_journal_again_and_no_more_than_so_many(table: DurableStreamTable) -> None:
    journal = PushJournal(table, StreamLimits(), 3)
    for number in range(8):
        journal.append([arrival(b"r", mark=Mark(key=f"é{number}", digest=str(number)))])
    for one in (journal, PushJournal(table, StreamLimits(), 3)):
        assert [one.digest_of(f"é{number}") for number in (4, 5, 7)] == [None, "5", "7"]
    assert table.bounds(1).earliest_offset > 0
    journal.append([arrival(mark=FORGET_ALL), arrival(mark=Mark(key="a", digest="b"))])
    for one in (journal, PushJournal(table, StreamLimits(), 3)):
        assert (one.digest_of("é7"), one.digest_of("a")) == (None, "b")


def test_what_was_not_read_is_never_given_up_and_leaves_no_room(table: DurableStreamTable) -> None:
    journal = PushJournal(table, StreamLimits(row_count_max=100), 3)
    for number in range(5):
        assert journal.has_room() == (number <= 1)
        journal.append([arrival(*[b"r"] * 30)])
    assert table.bounds(0).earliest_offset == 0
    reader = transport(table)
    assert reader.block_at(0, 140, 5) is not None
    assert journal.has_room()
    journal.append([arrival(b"r")])
    assert table.bounds(0).earliest_offset == 51


def test_why_nothing_arrives_is_said_once_everything_is_read(table: DurableStreamTable) -> None:
    journal = PushJournal(table, StreamLimits(), 3)
    journal.append([arrival(b"r")])
    journal.say("nobody answers")
    assert transport(table).block_at(0, 0, 5) is not None
    with pytest.raises(SourceError, match="nobody answers"):
        transport(table).block_at(0, 1, 5)
    journal.say(None)
    assert transport(table).block_at(0, 1, 5) is None


def outcomes(keeper: Keeper, arrivals: Sequence[Arrival], *, may_be_known: bool = True) -> list[Outcome]:
    found: list[Outcome] = []
    ended = threading.Event()
    for number, one in enumerate(arrivals):

        def done(outcome: Outcome, is_last: bool = number == len(arrivals) - 1) -> None:
            found.append(outcome)
            if is_last:
                ended.set()

        keeper.submit(one, done, may_be_known=may_be_known)
    assert ended.wait(30)
    return found


def test_a_repeated_arrival_is_kept_once_and_another_under_its_mark_clashes(table: DurableStreamTable) -> None:
    one, other = (arrival(b"r", mark=Mark(key="a", digest=digest)) for digest in "xy")
    keeper = Keeper(PushJournal(table, StreamLimits(), 10), must_keep=False)
    assert outcomes(keeper, [one, one, other]) == [Outcome.KEPT, Outcome.KNOWN, Outcome.CLASH]
    assert outcomes(keeper, [one]) == [Outcome.KNOWN]
    keeper.close()
    # Who must keep what comes takes a mark for a name that is used again.
    keeper = Keeper(PushJournal(table, StreamLimits(), 10), must_keep=True)
    assert outcomes(keeper, [one, other, other]) == [Outcome.KNOWN, Outcome.KEPT, Outcome.KNOWN]
    assert outcomes(keeper, [other], may_be_known=False) == [Outcome.KEPT]
    keeper.close()
    block = transport(table).block_at(0, 0, 10)
    assert block is not None
    assert np.array_equal(block.offsets, range(3))


def test_what_cannot_be_written_is_told_and_said(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA, split_count=SPLIT_COUNT) as table:
        keeper = Keeper(PushJournal(table, StreamLimits(), 10), must_keep=False)
        (tmp_path / "t" / "data.mdb").rename(tmp_path / "gone")
        assert outcomes(keeper, [arrival(b"r", mark=Mark(key="a", digest="b"))]) == [Outcome.FAILED]
        assert "cannot be written" in (tmp_path / "t" / "trouble").read_text()
        keeper.close()
