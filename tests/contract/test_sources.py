"""What every source promises."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import polars as pl
import pytest

from actors.errors import SourceError
from actors.model import Schema
from actors.source.open import open_source, open_text_format
from actors.source.protocol import Source
from actors.source.reading import RecordSource
from actors.source.surroundings import Surroundings
from actors.stream.table import DurableStreamTable
from config.formats import CsvFormatSettings, LogFormatSettings, NdjsonFormatSettings, TextFormatSettings
from tests.support.canonical import is_canonical
from tests.support.jobs import TRADES_SCHEMA, make_trades_job
from tests.support.list_source import ListSource
from tests.support.message_transport import MessageTransport
from tests.support.reading import read_split

ROW_COUNT = 250
RECORD_COUNT = ROW_COUNT
ROWS = [(1538960461000 + number, f"S{number % 7}", number % 11) for number in range(ROW_COUNT)]
BAD = frozenset({0, 3, 4, 99, 249})
"""Numbers of the records that every source here is given in a form that is no row."""


def make_list(_: Path) -> Source:
    records = ["no row" if number in BAD else row for number, row in enumerate(ROWS)]
    return ListSource(Schema.from_mapping(TRADES_SCHEMA), [records])


def make_inline(directory: Path) -> Source:
    rows = [[time, sym, "bad" if number in BAD else qty] for number, (time, sym, qty) in enumerate(ROWS)]
    return open_source(make_trades_job({"type": "inline", "rows": rows}), directory)


def csv_lines() -> list[str]:
    return [f"{time},{sym},{'bad' if number in BAD else qty}" for number, (time, sym, qty) in enumerate(ROWS)]


def ndjson_lines() -> list[str]:
    return [
        f'{{"time": {time}, "sym": "{sym}", "qty": {"[]" if number in BAD else qty}}}'
        for number, (time, sym, qty) in enumerate(ROWS)
    ]


def log_lines() -> list[str]:
    return [
        f"{time} {'gives' if number in BAD else 'takes'} {qty} of {sym}" for number, (time, sym, qty) in enumerate(ROWS)
    ]


LOG = {"format": r"(?P<time>\d+) (?P<message>.*)", "templates": [{"id": 1, "text": "takes <qty> of <sym>"}]}


def make_csv(directory: Path) -> Source:
    lines = csv_lines()
    for number, part in enumerate((lines[:100], lines[100:200], lines[200:])):
        (directory / f"{number}.csv").write_text("\n".join(["time,sym,qty", *part]))
    return open_source(make_trades_job({"path": str(directory / "*.csv")}), directory)


def make_followed_csv(directory: Path) -> Source:
    lines = csv_lines()
    (directory / "a.csv").write_text("\n".join(["time,sym,qty", *lines]) + "\n")
    return open_source(make_trades_job({"path": str(directory / "a.csv"), "follow": True}), directory)


def make_ndjson(directory: Path) -> Source:
    (directory / "a.ndjson").write_text("\n".join(ndjson_lines()))
    return open_source(make_trades_job({"path": str(directory / "a.ndjson")}), directory)


def make_log(directory: Path) -> Source:
    (directory / "a.log").write_text("\n".join(log_lines()))
    return open_source(make_trades_job({"path": str(directory / "a.log")} | LOG), directory)


def make_quoted_csv(directory: Path) -> Source:
    rows = [f'{time},"{sym}",{"bad" if number in BAD else qty}' for number, (time, sym, qty) in enumerate(ROWS)]
    (directory / "a.csv").write_text("\r\n".join(["time,sym,qty", *rows]))
    return open_source(make_trades_job({"path": str(directory / "a.csv"), "quoted_line_ends": True}), directory)


def make_wide_csv(directory: Path) -> Source:
    (directory / "a.csv").write_text("\n".join(["time,sym,qty", *csv_lines()]), encoding="utf-16")
    return open_source(make_trades_job({"path": str(directory / "a.csv"), "encoding": "utf-16"}), directory)


def make_influx(directory: Path) -> Source:
    lines = [
        f"trades,sym={sym} qty={'bad' if number in BAD else qty}i {time}"
        for number, (time, sym, qty) in enumerate(ROWS)
    ]
    (directory / "a.lp").write_text("\n".join(lines))
    return open_source(make_trades_job({"path": str(directory / "a.lp"), "precision": "ms"}), directory)


def make_msgpack(directory: Path) -> Source:
    rows = [[time, sym, "bad" if number in BAD else qty] for number, (time, sym, qty) in enumerate(ROWS)]
    (directory / "a.msgpack").write_bytes(b"".join(map(msgpack.packb, rows)))
    return open_source(make_trades_job({"path": str(directory / "a.msgpack")}), directory)


def make_avro(directory: Path) -> Source:
    fastavro = pytest.importorskip("fastavro")
    fields = [{"name": "time", "type": "long"}, {"name": "sym", "type": "string"}, {"name": "qty", "type": "double"}]
    rows = [{"time": time, "sym": sym, "qty": 0.5 if n in BAD else qty} for n, (time, sym, qty) in enumerate(ROWS)]
    with (directory / "a.avro").open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "trade", "fields": fields}, rows)
    return open_source(make_trades_job({"path": str(directory / "a.avro")}), directory)


def make_parquet(directory: Path) -> Source:
    rows = [(None if number in BAD else time, sym, qty) for number, (time, sym, qty) in enumerate(ROWS)]
    frame = pl.DataFrame(rows, schema=["time", "sym", "qty"], orient="row")
    frame[:120].write_parquet(directory / "a.parquet")
    frame[120:].write_parquet(directory / "b.parquet", row_group_size=50)
    return open_source(
        make_trades_job({"path": [str(directory / "a.parquet"), str(directory / "b.parquet")]}), directory
    )


def make_stream(directory: Path) -> Source:
    job = make_trades_job({"type": "stream", "name": "trades"})
    table = DurableStreamTable.open(directory / "trades", job.row_schema)
    rows = [(None if number in BAD else time, sym, qty) for number, (time, sym, qty) in enumerate(ROWS)]
    for start in range(0, ROW_COUNT, 60):
        table.append(rows[start : start + 60])
    return open_source(job, directory, {"trades": table})


def make_messages(form: TextFormatSettings, messages: list[str]) -> Source:
    job = make_trades_job({"rows": []})
    transport = MessageTransport([{number: message.encode() for number, message in enumerate(messages)}])
    return RecordSource(job.row_schema, transport, open_text_format(job, form))


def make_csv_messages(_: Path) -> Source:
    return make_messages(CsvFormatSettings(), csv_lines())


def make_ndjson_messages(_: Path) -> Source:
    # A message may be spread over lines: it is a record by itself.
    return make_messages(NdjsonFormatSettings(), [line.replace(", ", ",\n") for line in ndjson_lines()])


def make_log_messages(_: Path) -> Source:
    return make_messages(LogFormatSettings.model_validate(LOG), log_lines())


def make_pipe(directory: Path, form: dict[str, Any], lines: list[str]) -> Source:
    job = make_trades_job({"type": "stdin", "format": form})
    path = directory / "lines"
    path.write_text("\n".join(lines))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        source = open_source(job, directory / "streams", around=Surroundings(stdin=descriptor))
        # A pipe can be read once: what follows comes from its journal.
        read_split(source)
    finally:
        os.close(descriptor)
    return source


def make_csv_pipe(directory: Path) -> Source:
    return make_pipe(directory, {"type": "csv"}, ["time,sym,qty", *csv_lines()])


def make_ndjson_pipe(directory: Path) -> Source:
    return make_pipe(directory, {"type": "json"}, ndjson_lines())


MAKERS = [
    make_list,
    make_inline,
    make_csv,
    make_followed_csv,
    make_ndjson,
    make_log,
    make_quoted_csv,
    make_wide_csv,
    make_influx,
    make_msgpack,
    make_avro,
    make_parquet,
    make_stream,
    make_csv_messages,
    make_ndjson_messages,
    make_log_messages,
    make_csv_pipe,
    make_ndjson_pipe,
]


@pytest.fixture(params=MAKERS, ids=[maker.__name__ for maker in MAKERS])
def make_source(request: pytest.FixtureRequest) -> Callable[[Path], Source]:
    maker: Callable[[Path], Source] = request.param
    return maker


@pytest.fixture
def source(make_source: Callable[[Path], Source], tmp_path: Path) -> Source:
    return make_source(tmp_path)


def test_is_a_source(source: Source) -> None:
    assert isinstance(source, Source)
    assert [split.number for split in source.splits()] == [0]
    assert source.earliest_offset(0) == 0


def test_every_record_is_a_row_or_a_dead_letter(source: Source) -> None:
    content = read_split(source)
    assert content.rows == tuple((number, row) for number, row in enumerate(ROWS) if number not in BAD)
    assert {letter.offset for letter in content.dead_letters} == BAD
    assert content.next_offset == RECORD_COUNT


@pytest.mark.parametrize("batch", [1, 7, 100, 10_000])
def test_the_cut_into_batches_changes_nothing(source: Source, batch: int) -> None:
    assert read_split(source, batch=batch) == read_split(source, batch=64)


@pytest.mark.parametrize("start", [1, 3, 99, 100, 200, 249, 250])
def test_reading_can_begin_at_any_offset(source: Source, start: int) -> None:
    content = read_split(source, start=start, batch=33)
    assert [offset for offset, _ in content.rows] == [n for n in range(start, ROW_COUNT) if n not in BAD]


def test_a_second_source_gives_the_same(make_source: Callable[[Path], Source], tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert read_split(make_source(tmp_path / "one")) == read_split(make_source(tmp_path / "two"), batch=9)


def test_frames_are_canonical_even_when_empty(source: Source) -> None:
    for offset in (0, RECORD_COUNT):
        assert is_canonical(source.schema, source.read(0, offset, 3).frame)


def test_dead_letters_say_why(source: Source) -> None:
    letters = read_split(source).dead_letters
    assert all(letter.reason and letter.split == 0 for letter in letters)


def test_an_offset_that_was_never_reached_is_refused(source: Source) -> None:
    with pytest.raises(SourceError, match="never reached"):
        source.read(0, RECORD_COUNT + 1, 10)


def test_a_split_that_does_not_exist_is_refused(source: Source) -> None:
    for split in (-1, 1):
        with pytest.raises(SourceError, match="no split"):
            source.read(split, 0, 10)
        with pytest.raises(SourceError, match="no split"):
            source.earliest_offset(split)


def test_a_negative_offset_and_an_empty_read_are_refused(source: Source) -> None:
    with pytest.raises(SourceError, match="negative"):
        source.read(0, -1, 10)
    with pytest.raises(ValueError, match="at least 1"):
        source.read(0, 0, 0)


def test_closing_twice_does_nothing(source: Source) -> None:
    source.close()
    source.close()


def test_offsets_of_a_transport_may_have_gaps() -> None:
    messages = {3: b"1538960461002,A,6", 7: b"bad", 90: b"1538960461003,B,5\r\n"}
    job = make_trades_job({"rows": []})
    for block_count in (1, 2, 40):
        source = RecordSource(
            job.row_schema, MessageTransport([messages], block_count), open_text_format(job, CsvFormatSettings())
        )
        content = read_split(source, start=source.earliest_offset(0), batch=10)
        assert content.rows == ((3, (1538960461002, "A", 6)), (90, (1538960461003, "B", 5)))
        assert ([letter.offset for letter in content.dead_letters], content.next_offset) == ([7], 91)


def test_a_format_is_named_apart_from_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(ndjson_lines()))
    source = open_source(make_trades_job({"type": "file", "path": str(tmp_path / "a.txt"), "format": "json"}), tmp_path)
    assert len(read_split(source).rows) == ROW_COUNT - len(BAD)
