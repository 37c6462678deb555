"""The pump sends every row once, in order, to the right partition, and never too much at a time."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.frames import to_frame
from actors.host import NotOpenError
from actors.routing import partition_of_key
from actors.source.protocol import DeadLetter, SourceBatch
from cluster.leader.pump import Pump, first_needed, route
from config import JobSettings
from tests.support.list_source import ListSource
from tests.support.partition_jobs import SINKS, Record, make_partition_job
from tests.support.partition_ports import HeldPort

JOB = make_partition_job(partitions=4, limits={"batch_rows_max": 3, "batches_in_flight_max": 2})

SYMS = [None, "", "A", "B", "C", "D", "E", "F", "G"]


def rows(*syms: str | None) -> list[tuple[object, ...]]:
    return [(1000, sym, at, "ann") for at, sym in enumerate(syms)]


def make_pump(
    job: JobSettings, splits: Sequence[Sequence[Record]], *names: str, positions: dict[int, int] | None = None
) -> tuple[Pump, list[HeldPort]]:
    """Return a pump, and one port for each name, which own the partitions in turn."""
    ports = [HeldPort(name) for name in names]
    owners = {partition: ports[partition % len(ports)] for partition in range(job.partitions)}
    source = ListSource(job.row_schema, splits)
    return Pump(job, source, owners, positions or {}, 7, lambda: 5_000), ports


def run(pump: Pump) -> None:
    while pump.pump_once():
        pass
    pump.drain()


def ranges(port: HeldPort) -> list[tuple[int, int, int]]:
    return [(batch.split, batch.start, batch.end) for batch in port.batches]


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
    routed, letters = route(job, 0, batch)
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
    assert route(JOB, split, batch) == ({}, {keeper: (letter,)})


def test_every_host_is_told_of_every_batch_and_of_the_partitions_it_is_for() -> None:
    pump, ports = make_pump(JOB, [rows("A", "A", "A", "A")], "one", "two")
    run(pump)
    for port, partitions in zip(ports, [(0, 2), (1, 3)], strict=True):
        assert ranges(port) == [(0, 0, 3), (0, 3, 4)]
        assert [batch.partitions for batch in port.batches] == [partitions, partitions]
    owner = partition_of_key(["A"], 4)
    assert [sorted(batch.rows) for port in ports for batch in port.batches if batch.rows] == [[owner], [owner]]


def test_dead_letters_are_sent_once() -> None:
    pump, ports = make_pump(JOB, [["bad", *rows("A"), "bad too"]], "one", "two", "three")
    run(pump)
    sent = [
        letter.offset
        for port in ports
        for batch in port.batches
        for all_ in batch.dead_letters.values()
        for letter in all_
    ]
    assert sent == [0, 2]
    assert pump.stat().dead_letter_count == 2


def test_splits_take_turns_until_each_has_ended() -> None:
    pump, (port,) = make_pump(JOB, [rows(*"ABCDEFG"), rows(*"AB")], "one")
    run(pump)
    assert ranges(port) == [(0, 0, 3), (1, 0, 2), (0, 3, 6), (0, 6, 7)]
    assert (pump.stat().at_end, pump.stat().positions) == (True, {0: 7, 1: 2})


def test_at_most_so_many_batches_are_in_flight() -> None:
    pump, (port,) = make_pump(JOB, [rows(*"ABCDEFGABCDEFG")], "one")
    pump.pump_once()
    pump.pump_once()
    assert (port.waits, len(port.held)) == (0, 2)
    pump.pump_once()
    assert (port.waits, len(port.held)) == (1, 2)
    run(pump)
    assert port.in_flight_max == 2


def test_a_slow_host_holds_up_its_own_batches_only_up_to_the_limit() -> None:
    pump, (slow, fast) = make_pump(JOB, [rows(*"ABCDEFGABCDEFG")], "slow", "fast")
    for _ in range(2):
        pump.pump_once()
        fast.release()
    assert (slow.waits, fast.waits, len(slow.held), len(fast.held)) == (0, 0, 2, 0)
    pump.pump_once()
    assert (slow.waits, fast.waits) == (1, 0)


def test_anomalies_are_counted_when_hosts_answer() -> None:
    pump, (port,) = make_pump(JOB, [rows(*"ABC")], "one")
    pump.pump_once()
    assert pump.stat().anomaly_count == 0
    port.release(answer=12)
    pump.drain()
    assert (pump.stat().anomaly_count, pump.stat().row_count) == (12, 3)


def test_what_a_host_raises_reaches_the_one_who_pumps() -> None:
    pump, (port,) = make_pump(JOB, [rows(*"ABCDEFG")], "one")
    pump.pump_once()
    port.release(error=OSError("the host is gone"))
    with pytest.raises(OSError, match="the host is gone"):
        pump.pump_once()


def test_pumping_starts_at_the_positions_given() -> None:
    pump, (port,) = make_pump(JOB, [rows(*"ABCDEFG"), rows(*"AB")], "one", positions={0: 5, 1: 2})
    run(pump)
    assert ranges(port) == [(0, 5, 7)]
    assert [offsets.tolist() for _, offsets in port.batches[0].rows.values()] in ([[5], [6]], [[6], [5]], [[5, 6]])


def test_a_partition_that_moves_gets_what_was_kept_back_and_the_others_go_on() -> None:
    pump, (port,) = make_pump(JOB, [rows(*"ABCDEFGABCDEFG")], "one")
    pump.pump_once()
    pump.hold(3)
    pump.pump_once()
    pump.pump_once()
    other = HeldPort("other")
    pump.hand_over(3, other)
    pump.pump_once()
    assert [batch.partitions for batch in port.batches] == [(0, 1, 2, 3), (0, 1, 2), (0, 1, 2), (0, 1, 2)]
    assert [batch.partitions for batch in other.batches] == [(3,), (3,), (3,)]
    assert ranges(other) == ranges(port)[1:]
    assert {partition: owner.name for partition, owner in pump.owners.items()} == {
        0: "one",
        1: "one",
        2: "one",
        3: "other",
    }


def test_what_is_kept_back_is_bounded() -> None:
    job = make_partition_job(partitions=2, limits={"batch_rows_max": 1, "batches_in_flight_max": 1})
    pump, (port,) = make_pump(job, [rows(*"ABCDEFGABCDEFG")], "one")
    pump.hold(0)
    run(pump)
    assert (len(port.batches), pump.stat().at_end) == (4, False)
    pump.hand_over(0, port)
    run(pump)
    assert pump.stat().at_end
    assert [batch.start for batch in port.batches if 0 in batch.partitions] == list(range(14))


def test_nothing_ends_while_rows_are_kept_back() -> None:
    pump, _ = make_pump(JOB, [rows(*"AB")], "one")
    pump.hold(0)
    with pytest.raises(AssertionError, match="kept back"):
        pump.finish()


def test_a_host_that_owns_nothing_any_more_has_answered_everything() -> None:
    pump, (port,) = make_pump(JOB, [rows(*"ABC")], "one")
    pump.pump_once()
    other = HeldPort("other")
    for partition in range(4):
        pump.hold(partition)
        pump.hand_over(partition, other)
    assert (len(port.held), pump.stat().anomaly_count) == (0, 1)


def test_sinks_are_fed_by_one_call_at_a_time() -> None:
    job = make_partition_job(**SINKS)
    pump, (port,) = make_pump(job, [[]], "one")
    pump.deliver()
    pump.deliver()
    assert len(port.held) == 1
    port.release()
    pump.deliver()
    assert [kind for kind, _ in port.calls] == ["deliver", "deliver"]


def test_a_job_without_sinks_delivers_nothing() -> None:
    pump, (port,) = make_pump(JOB, [[]], "one")
    pump.deliver()
    assert port.calls == []


def test_the_answer_of_a_host_that_owns_nothing_any_more_is_not_waited_for() -> None:
    job = make_partition_job(**SINKS)
    pump, (gone, stays) = make_pump(job, [[]], "gone", "stays")
    pump.deliver()
    pump.hold(0)
    pump.hand_over(0, stays)
    pump.finish()
    assert gone.waits == 0


def test_finishing_flushes_and_empties_the_outboxes() -> None:
    pump, (port,) = make_pump(make_partition_job(**SINKS), [rows(*"AB")], "one")
    port.deliveries = [1000, 5, 0]
    pump.pump_once()
    pump.finish()
    assert [kind for kind, _ in port.calls] == ["apply", "flush", "deliver", "deliver", "deliver"]
    assert not port.held


@pytest.mark.parametrize("committed", [{}, {0: {0: 2}}, {0: {0: 2}, 1: {0: 1}}])
def test_finishing_notices_that_a_host_has_lost_what_it_was_sent(committed: dict[int, dict[int, int]]) -> None:
    pump, (port,) = make_pump(make_partition_job(**SINKS), [rows(*"AB")], "one")
    port.committed = committed
    pump.pump_once()
    with pytest.raises(NotOpenError, match="one has lost rows of partition"):
        pump.finish()
    assert [kind for kind, _ in port.calls] == ["apply", "flush"]


def test_a_tick_waits_for_what_is_in_flight() -> None:
    pump, ports = make_pump(JOB, [rows(*"AB")], "one", "two")
    pump.pump_once()
    pump.tick()
    assert [[kind for kind, _ in port.calls] for port in ports] == [["apply", "tick"]] * 2


@pytest.mark.parametrize(
    ("needed", "earliest", "expected"),
    [
        ([{0: 7, 1: 2}, {0: 5, 1: 9}], {0: 0, 1: 0}, {0: 5, 1: 2}),
        ([{0: 7}, {}], {0: 3}, {0: 3}),
        ([], {0: 3}, {0: 3}),
        ([{0: 7, 9: 1}], {0: 0}, {0: 7}),
    ],
)
def test_the_first_offset_needed_is_the_lowest_of_all_partitions(
    needed: list[dict[int, int]], earliest: dict[int, int], expected: dict[int, int]
) -> None:
    assert first_needed(needed, earliest) == expected
