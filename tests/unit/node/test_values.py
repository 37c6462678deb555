"""Values come back as they were sent, and bytes make nothing but values of ours."""

import contextlib
import math
from dataclasses import dataclass

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import NotOpenError
from actors.partition.anomalies import Anomaly, AnomalyFilter
from actors.store.events.event import Event, EventId, JsonPayload, Timestamp
from actors.store.query.planner import Order
from cluster.errors import ClusterError
from cluster.leader.status import LeaderStatus, Phase, PumpStat, RunnerStatus
from cluster.node.values import decode_value, encode_value
from raft.errors import FormatError

STATUS = LeaderStatus(
    epoch=3,
    led_since_us=5,
    jobs={"j": RunnerStatus(epoch=3, phase=Phase.RUNNING, pump=PumpStat(row_count=7, positions={0: 7}))},
)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.sampled_from([Order.ASCENDING, Phase.FAILED, STATUS]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    found = decode_value(encode_value(value))
    assert found == value
    assert repr(found) == repr(value)


def test_numbers_beyond_64_bits_and_not_numbers_come_back() -> None:
    assert decode_value(encode_value([1 << 64, -(1 << 70)])) == [1 << 64, -(1 << 70)]
    assert math.isnan(decode_value(encode_value(math.nan)))


def test_queries_and_their_answers_come_back() -> None:
    wanted = AnomalyFilter(key={"sym": "A"}, type=2)
    assert decode_value(encode_value(wanted)) == wanted
    found = Anomaly(id=(0, 5, 1), time=7, key=("A", None, 1.5), type=2, metric="qty < 4", detail={"a": [1, (2,)]})
    assert decode_value(encode_value([found])) == [found]


def test_events_come_back_with_their_ids_and_times() -> None:
    event = Event(EventId(1, 2, 3), ("a", "b"), Timestamp(5, 6), None, JsonPayload({"list": [1, (2, 3)]}))
    (found,) = decode_value(encode_value([event]))
    assert (found, type(found), type(found.id), type(found.payload)) == (event, Event, EventId, JsonPayload)


def test_an_error_of_ours_comes_back_as_it_was_raised() -> None:
    found = decode_value(encode_value(NotOpenError("partition 3 is not open")))
    assert (type(found), str(found)) == (NotOpenError, "partition 3 is not open")


def test_an_error_of_others_is_named() -> None:
    found = decode_value(encode_value(KeyError("x")))
    assert (type(found), str(found)) == (ClusterError, "KeyError: 'x'")


@dataclass(frozen=True)
class Stranger:
    """A class that is none of ours."""

    number: int


@pytest.mark.parametrize(
    "data",
    [
        encode_value(Stranger(1)),
        msgpack.packb(msgpack.ExtType(1, encode_value(["os", "system", {"command": "true"}]))),
        msgpack.packb(msgpack.ExtType(1, encode_value(["cluster.errors", "ClusterError", {}]))),
        msgpack.packb(msgpack.ExtType(3, encode_value(["cluster.leader.status", "Phase", "NONE"]))),
        msgpack.packb(msgpack.ExtType(1, encode_value(["cluster.node.values", "decode_value", {}]))),
        msgpack.packb(msgpack.ExtType(9, b"")),
        b"\xc1",
        b"",
    ],
)
def test_other_bytes_are_no_value(data: bytes) -> None:
    with pytest.raises(FormatError, match="are no value"):
        decode_value(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        decode_value(data)
