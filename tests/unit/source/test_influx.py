"""Line protocol of InfluxDB: quick lines, lines with escapes, hostile lines."""

import contextlib
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.source.format.influx import LineError, cut_lines, parse_line
from actors.source.open import open_text_format
from actors.source.records import Origin, Texts
from tests.support.jobs import make_trades_job


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("m f=1", {"measurement": "m", "f": 1.0}),
        (
            "m,t=a f=1i,g=t,h=-2.5e3,i=7u 12",
            {"measurement": "m", "t": "a", "f": 1, "g": True, "h": -2500.0, "i": 7, "time": 12},
        ),
        ("m  f=1   12  ", {"measurement": "m", "f": 1.0, "time": 12}),
        ('m f="a b,c=d",g=1 5', {"measurement": "m", "f": "a b,c=d", "g": 1.0, "time": 5}),
        (r"my\ m\,x,t\=a=b\ c\,d f=1", {"measurement": "my m,x", "t=a": "b c,d", "f": 1.0}),
        (r'm f="say \"x\" \\ y",p="C:\new"', {"measurement": "m", "f": 'say "x" \\ y', "p": "C:\\new"}),
        ('m,t=5" f="x"', {"measurement": "m", "t": '5"', "f": "x"}),
        ('m f="é\n2" 3', {"measurement": "m", "f": "é\n2", "time": 3}),
        ('m f="",time="no" 3', {"measurement": "m", "f": "", "time": 3}),
    ],
)
def test_a_line_is_its_tags_and_fields(line: str, expected: dict[str, Any]) -> None:
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("m", "no fields"),
        ("m,t=a", "no fields"),
        (",t=a f=1", "no measurement"),
        ("m f", "no name with a value"),
        ("m f=", "no name with a value"),
        ("m =1", "no name with a value"),
        ("m,t f=1", "no name with a value"),
        ("m f=1 2 3", "more after its time"),
        ("m f=1 2.5", "no whole number"),
        ("m f=1 ١٢", "no whole number"),
        ("m f=abc", "no value"),
        ("m f=1_0", "no value"),
        ("m f=nan", "no value"),
        ("m f=0x1", "no value"),
        ("m f=1ii", "no value"),
        ('m f="a', "not closed"),
        ("<html>", "no fields"),
    ],
)
def test_what_is_no_line_is_said(line: str, text: str) -> None:
    with pytest.raises(LineError, match=text):
        parse_line(line)


@given(st.text(alphabet='ab,= "\\\n1it.', max_size=30))
def test_any_text_is_a_line_or_said_to_be_none_and_cutting_loses_no_letter(text: str) -> None:
    with contextlib.suppress(LineError):
        assert "measurement" in parse_line(text)
    assert b"\n".join(cut_lines(text.encode())) == text.encode()


def test_a_line_end_within_quotes_belongs_to_the_text() -> None:
    lines = [b'a f="x\ny" 1', b'b,t=5" f=1', b'd f="\\"\nz"', b"e f=1", b'g f="open']
    assert cut_lines(b"\n".join(lines)) == lines


def decoded(form: dict[str, Any], messages: list[bytes], header: bytes | None = None, **meta: pl.Series) -> Any:
    columns = {"sym": "host", "qty": "n"} | form.pop("columns", {})
    source = {"type": "mqtt", "url": "mqtt://a", "topics": "a", "format": {"type": "influx", "columns": columns} | form}
    job = make_trades_job(source)
    decode = open_text_format(job, job.source.format).decoder(Origin(name="a", stem="a", header=header))
    found = decode(Texts.of_messages(messages, {f"${name}": values for name, values in meta.items()}))
    return found.frame.rows(), found.rows.tolist(), dict(found.faults)


def test_lines_are_rows_with_times_of_their_unit_or_of_their_arrival() -> None:
    lines = [
        b"m,host=a n=1i 5000000",
        b"# no line",
        b"",
        b"m,host=b n=2.0",
        b"m,host=c 7",
        b"m,host=d n=2.5 7",
        b"m,host=e x=1",
    ]
    received = pl.Series(range(9000, 9007), dtype=pl.Int64).cast(pl.Datetime("us"))
    rows, places, faults = decoded({}, lines, received=received)
    assert rows == [(5, "a", 1), (9, "b", 2), (9, "e", None)]
    assert places == [0, 3, 6]
    assert faults[4] == "'7' is no name with a value"
    assert "column 'qty' is INT, which cannot hold 2.5" in faults[5]
    assert decoded({"precision": "ms"}, [b"m,host=a n=1i 5"])[0] == [(5, "a", 1)]
    assert decoded({}, [b"m,host=a n=1i 5"], b"precision=s")[0] == [(5000, "a", 1)]
    assert decoded({}, [b"m,host=a n=1i"])[2] == {0: "the time, column 'time', is empty"}


def test_lines_of_other_measurements_are_no_records_and_missing_fields_may_be_refused() -> None:
    lines = [b"cpu,host=a n=1i 5000000", b"mem,host=a n=1i 5000000", b"cpu,host=a x=1i 5000000"]
    assert decoded({"measurements": "cpu"}, lines)[1:] == ([0, 2], {})
    assert decoded({"missing": "refuse"}, lines)[1:] == ([0, 1], {2: "the line has no tag or field 'n'"})
