"""What sinks of brokers promise, shown with the real servers: killed, paused, refusing, and after a crash of ours."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SinkError
from actors.model import AnomalyId
from actors.sink.open import SinkPlaces, open_sinks
from actors.sink.protocol import Sink, SinkRecord
from cluster.local.speed import slowness
from tests.support.broker_places import BROKERS, Broker, KafkaBroker, NatsBroker, RedisBroker
from tests.support.brokers import free_port
from tests.support.partition_jobs import make_partition_job
from tests.support.sink_records import written

RECORDS = [
    SinkRecord(
        partition=0,
        id=AnomalyId(split=0, offset=offset, ordinal=0),
        time=1538960461003,
        key=("a.b",),
        type=0,
        metric="qty > 8",
        detail='{"values": {"qty": 9}}',
    )
    for offset in range(8)
]
IDS = [f"trades/0-{offset}-0" for offset in range(8)]
HUGE = replace(RECORDS[3], metric="x" * 1_500_000)
"""More than a message may have."""


def sink_of(settings: dict[str, Any], places: SinkPlaces | None = None) -> Sink:
    (sink,) = open_sinks(make_partition_job(metrics=["qty > 8"], window=None, sinks=[settings]), places or SinkPlaces())
    return sink


@pytest.fixture(scope="module", params=BROKERS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with ExitStack() as stack:
        yield BROKERS[request.param](stack, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def broker(served: Broker) -> Broker:
    served.renew()
    return served


def impatient(broker: Broker) -> dict[str, Any]:
    """Return the settings of a sink that waits for one second."""
    return broker.settings(timeout="1s")


def until(condition: Callable[[], bool]) -> None:
    due_s = time.monotonic() + 30 * slowness()
    while not condition():
        assert time.monotonic() < due_s, "it takes too long"
        time.sleep(0.05)


def test_messages_are_records_in_order_under_their_ids(broker: Broker) -> None:
    sink = sink_of(broker.settings())
    sink.write(RECORDS[:5])
    sink.write(RECORDS[5:])
    sink.close()
    found = broker.taken()
    assert [one for one, _ in found] == IDS
    assert found[0][1] == {
        "id": "trades/0-0-0", "job": "trades", "kind": "anomaly", "time": "2018-10-08T01:01:01.003Z",
        "key": {"sym": "a.b"}, "type": 0, "metric": "qty > 8", "detail": {"values": {"qty": 9}}, "split": 0,
        "offset": 0, "ordinal": 0,
    }  # fmt: skip


def test_a_body_is_a_template(broker: Broker) -> None:
    sink = sink_of(broker.settings(body={"n": "{qty}", "text": "{sym}!"}))
    sink.write(RECORDS[:1])
    sink.close()
    assert broker.taken() == [("trades/0-0-0", {"n": 9, "text": "a.b!"})]


def test_what_was_not_marked_comes_again_under_its_id(broker: Broker) -> None:
    sink = sink_of(broker.settings())
    sink.write(RECORDS[:4])
    sink.close()
    again = sink_of(broker.settings())
    again.write(RECORDS[2:6])
    again.close()
    assert broker.ids() == (IDS[:6] if broker.knows_ids else IDS[:4] + IDS[2:6])


def test_a_broker_that_is_killed_gets_everything_when_it_is_back(broker: Broker) -> None:
    sink = sink_of(impatient(broker))
    until(lambda: written(sink, RECORDS[:2]))
    broker.server.kill()
    started_s = time.monotonic()
    with pytest.raises(SinkError, match="comes") as caught:
        sink.write(RECORDS[2:])
    assert (caught.value.taken_count, time.monotonic() - started_s < 14 * slowness()) == (0, True)
    broker.server.start()
    if not broker.keeps_on_kill:
        broker.make(broker.name)
    until(lambda: written(sink, RECORDS[2:]))
    sink.close()
    assert broker.ids() == (IDS if broker.keeps_on_kill else IDS[2:])


def test_a_broker_that_says_nothing_is_waited_for_in_bounded_time(broker: Broker) -> None:
    sink = sink_of(impatient(broker))
    until(lambda: written(sink, RECORDS[:2]))
    broker.server.pause()
    try:
        started_s = time.monotonic()
        with pytest.raises(SinkError, match="comes"):
            sink.write(RECORDS[2:])
        assert time.monotonic() - started_s < 14 * slowness()
    finally:
        broker.server.go_on()
    until(lambda: written(sink, RECORDS[2:]))
    sink.close()
    # Some may have been taken though that was not heard.
    assert list(dict.fromkeys(broker.ids())) == IDS
    if broker.knows_ids:
        assert broker.ids() == IDS


def test_nothing_is_let_past_one_that_is_refused(broker: Broker) -> None:
    if isinstance(broker, RedisBroker):
        pytest.skip("it refuses none")
    sink = sink_of(broker.settings())
    with pytest.raises(SinkError, match="trades/0-3-0 was not taken") as caught:
        sink.write([*RECORDS[:3], HUGE, *RECORDS[4:]])
    assert (caught.value.taken_count, broker.ids()) == (3, IDS[:3])
    sink.write(RECORDS[3:])
    sink.close()
    assert broker.ids() == IDS


def test_a_place_that_is_not_there_is_said(broker: Broker) -> None:
    key, message = {
        "kafka": ({"topic": "none"}, "nknown topic"),
        "nats": ({"subject": "none"}, "no stream takes the subject 'none'; make one that does"),
        "redis": ({"stream": "text"}, "WRONGTYPE"),
    }[broker.settings()["type"]]
    if isinstance(broker, RedisBroker):
        broker.client.set("text", "no stream")
    sink = sink_of(broker.settings(**key))
    with pytest.raises(SinkError, match=message):
        sink.write(RECORDS)
    sink.close()


def test_messages_of_kafka_have_the_values_of_the_key_as_key(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = KafkaBroker(stack, tmp_path)
        broker.renew()
        for more in ({}, {"key": "{job}/{sym}"}):
            sink = sink_of(broker.settings(**more))
            sink.write(RECORDS[:1])
            sink.close()
        assert [one.key() for one in broker.messages()] == [b"a.b", b"trades/a.b"]


def test_what_stands_for_a_value_is_one_word_of_a_subject(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = NatsBroker(stack, tmp_path)
        broker.renew()
        sink = sink_of(broker.settings(stream="alarms1"))
        sink.write([replace(RECORDS[at], key=(sym,)) for at, sym in enumerate(("a.b", "* >", "", None))])
        with pytest.raises(SinkError, match="expected stream does not match"):
            sink_of(broker.settings(stream="other")).write(RECORDS[4:])
        sink.close()
        assert [one.subject for one in broker.messages()] == ["alarms1.a_b", "alarms1.___", "alarms1._", "alarms1.NULL"]


def test_a_stream_of_redis_may_keep_the_newest_alone_and_each_sink_counts_for_itself(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = RedisBroker(stack, tmp_path)
        broker.make("alarms")
        sink_of(broker.settings(maxlen=1)).write(RECORDS)
        assert broker.ids()[-1] == IDS[-1]
        sink_of(broker.settings(name="other", stream="alarms")).write(RECORDS[:1])
        assert broker.ids()[-1] == IDS[0]
        sink_of(broker.settings(stream="{a}b")).write(RECORDS[:1])
        assert sorted(broker.client.keys()) == [b"alarms", b"{alarms}:marks", b"{a}b", b"{a}b:marks"]


def test_nobody_at_an_address_is_said() -> None:
    place = f"127.0.0.1:{free_port()}"
    for settings in (
        {"type": "kafka", "brokers": [place], "topic": "a"},
        {"type": "nats", "servers": [f"nats://{place}"], "subject": "a"},
        {"type": "redis", "url": f"redis://{place}", "stream": "a"},
    ):
        with pytest.raises(SinkError, match=r"what (comes|follows)"):
            sink_of(settings).write(RECORDS)
    secret = {"username": "me", "password": "env:NONE"}
    with pytest.raises(SinkError, match=r"the variable NONE of `security\.password` is not set"):
        sink_of({"type": "redis", "url": f"redis://{place}", "stream": "a", "security": secret}).write(RECORDS)
