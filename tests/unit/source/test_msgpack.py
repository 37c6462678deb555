"""MessagePack: objects and arrays as rows, hostile bytes as dead letters."""

import datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.source.open import open_text_format
from actors.source.records import Origin, Texts
from tests.support.jobs import make_trades_job


def decoded(messages: list[bytes], **form: Any) -> Any:
    source = {"type": "mqtt", "url": "mqtt://a", "topics": "a", "format": {"type": "msgpack"} | form}
    job = make_trades_job(source)
    found = open_text_format(job, job.source.format).decoder(Origin(name="a", stem="a"))(Texts.of_messages(messages))
    return found.frame.rows(), found.rows.tolist(), dict(found.faults)


def test_objects_and_arrays_of_the_columns_are_rows() -> None:
    when = datetime.datetime(1970, 1, 1, 0, 0, 7, tzinfo=datetime.UTC)
    messages = [
        msgpack.packb({"time": 5, "sym": "A", "qty": 10}),
        msgpack.packb([6, "B", None]),
        msgpack.packb({b"TIME": when, "Sym": "C", "qty": 3.0}, datetime=True),
        b"",
    ]
    assert messages[0].endswith(b"\n"), "a line end that is a number"
    assert decoded(messages) == ([(5, "A", 10), (6, "B", None), (7000, "C", 3)], [0, 1, 2], {})


def test_an_array_of_objects_becomes_rows_where_it_is_exploded() -> None:
    message = msgpack.packb([{"time": 5, "sym": "A", "qty": 1}, [6, "B", 2], 7])
    one = msgpack.packb({"time": 8, "sym": "C", "qty": 3})
    rows, places, faults = decoded([message, one], explode=".", explode_rows_max=10)
    assert (rows, places, list(faults)) == ([(5, "A", 1), (6, "B", 2), (8, "C", 3)], [0, 1, 10], [2])
    inner = msgpack.packb({"a": {"b": [{"qty": 1}, {"qty": 2}]}, "sym": "A", "time": 5})
    assert decoded([inner], explode="a.b")[0] == [(5, "A", 1), (5, "A", 2)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"\xc1", "no MessagePack"),
        (msgpack.packb({"time": 5})[:-1], "no MessagePack"),
        (msgpack.packb({"a": 1}) + b"x", "longer than its MessagePack"),
        (b"\xa1\xff", "not UTF-8"),
        (msgpack.packb(5), "is a int; write an object"),
        (msgpack.packb([1, 2]), "the array has 2 values; the schema has 3 columns"),
        (msgpack.packb([{"a": 1}]), "say `explode: .`"),
        (msgpack.packb({"time": 5, "sym": "A"}), "no key 'qty'"),
        (msgpack.packb({"time": 5, "sym": b"\xff", "qty": 1}), "column 'sym'"),
        (b"\x91" * 5000, "no MessagePack"),
        (b"\xdf\xff\xff\xff\xff", "no MessagePack"),
        (b"x" * 200, "longer than 100 bytes"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_beside_good_rows(message: bytes, text: str) -> None:
    good = msgpack.packb([6, "B", 1])
    limit = {} if message.startswith(b"\x91") else {"record_size_bytes_max": 100}
    rows, places, faults = decoded([good, message, good], **limit)
    assert (rows, places, list(faults)) == ([(6, "B", 1)] * 2, [0, 2], [1])
    assert text in faults[1]


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_are_rows_or_dead_letters(messages: list[bytes]) -> None:
    _, places, faults = decoded(messages)
    assert sorted([*places, *faults]) == [number for number, one in enumerate(messages) if one]
