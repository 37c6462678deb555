"""Every row that is read goes to the right partition once, in order, however keys are spread."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.given_rows import to_frame
from actors.routing import Router, partition_of_key
from actors.source.protocol import DeadLetter, SourceBatch
from cluster.leader.reading import SplitReader, route
from tests.support.list_source import ListSource
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job(partitions=4)

SYMS = [None, "", "A", "B", "C", "D", "E", "F", "G"]


@given(
    st.lists(st.tuples(st.sampled_from(SYMS), st.booleans()), max_size=40),
    st.integers(1, 6),
    st.sampled_from([("sym",), ("sym", "user"), ()]),
)
def test_routing_covers_every_row_once_and_keeps_the_order(
    given_rows: list[tuple[str | None, bool]], partitions: int, key: tuple[str, ...]
) -> None:
    job = make_partition_job(partitions=partitions, key=list(key))
    values = [(1000, sym, at, "ann" if flag else "bob") for at, (sym, flag) in enumerate(given_rows)]
    batch = SourceBatch(
        frame=to_frame(job.row_schema, values),
        offsets=np.arange(len(values), dtype=np.int64) * 2,
        next_offset=2 * len(values),
    )
    routed, letters = route(Router(job.key_columns, job.partitions), 0, batch)
    assert letters == {}
    found = {}
    for number, (frame, offsets) in routed.items():
        assert offsets.tolist() == sorted(offsets.tolist())
        assert frame.height == len(offsets) > 0
        for row, offset in zip(frame.rows(), offsets.tolist(), strict=True):
            assert offset not in found
            found[offset] = row
            place = {"sym": row[1], "user": row[3]}
            assert number == partition_of_key([place[name] for name in key], partitions)
    assert found == {2 * at: row for at, row in enumerate(values)}


@pytest.mark.parametrize(("split", "keeper"), [(0, 0), (3, 3), (5, 1)])
def test_dead_letters_go_to_the_partition_of_their_split(split: int, keeper: int) -> None:
    letter = DeadLetter(split=split, offset=0, reason="bad", raw=b"")
    batch = SourceBatch(
        frame=to_frame(JOB.row_schema, []), offsets=np.empty(0, np.int64), next_offset=1, dead_letters=(letter,)
    )
    assert route(Router(JOB.key_columns, JOB.partitions), split, batch) == ({}, {keeper: (letter,)})


def test_a_message_has_what_its_partitions_need_and_nothing_else() -> None:
    rows = [(1000, "A", 1, "ann"), "bad", (1000, "A", 2, "ann")]
    read = SplitReader(JOB, ListSource(JOB.row_schema, [rows])).read(0, 0, 9)
    owner = partition_of_key(["A"], 4)
    assert (read.start, read.end, read.row_count, read.dead_letter_count, read.at_end) == (0, 3, 2, 1, True)
    others = read.message([number for number in range(4) if number not in (owner, 0)])
    assert (dict(others.rows), dict(others.dead_letters), others.end) == ({}, {}, 3)
    mine = read.message([owner, 0])
    assert [offsets.tolist() for _, offsets in mine.rows.values()] == [[0, 2]]
    assert [letter.offset for letter in mine.dead_letters[0]] == [1]


def test_splits_that_come_later_are_named_once_with_their_first_offset() -> None:
    splits: list[list[tuple[object, ...] | str]] = [[(1000, "A", 1, "ann")]]
    reader = SplitReader(JOB, ListSource(JOB.row_schema, splits))
    assert reader.earliest() == {0: 0}
    splits.append([(1000, "B", 1, "ann")])
    assert [dict(reader.read(0, 0, 1).new_splits) for _ in range(2)] == [{1: 0}, {}]
