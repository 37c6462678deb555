"""NDJSON: which lines are rows, and what is wrong with the others."""

from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source, open_text_format
from actors.source.reading import RecordSource
from config.formats import NdjsonFormatSettings
from tests.support.jobs import make_trades_job
from tests.support.message_transport import MessageTransport
from tests.support.reading import SplitContent, read_split

GOOD = '{"time": 2, "sym": "B", "qty": 5}'
LONG_NUMBER = "9" * 5000


def read(folder: Path, text: str | bytes, schema: dict[str, str] | None = None, **settings: Any) -> SplitContent:
    path = folder / "a.ndjson"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    more = {} if schema is None else {"schema": schema}
    return read_split(open_source(make_trades_job({"type": "ndjson", "path": str(path)} | settings, **more), folder))


def test_objects_are_rows_whatever_the_order_and_case_of_their_keys(tmp_path: Path) -> None:
    content = read(tmp_path, '{"QTY": 6, "sym": "A", "Time": "1970-01-01T00:00:00.001", "extra": [1]}\n' + GOOD)
    assert content.rows == ((0, (1, "A", 6)), (1, (2, "B", 5)))


def test_null_is_null_and_whole_fractions_are_whole_numbers(tmp_path: Path) -> None:
    content = read(tmp_path, '{"time": 1, "sym": null, "qty": 6.0}\n{"time": 1.0, "sym": "", "qty": null}')
    assert content.rows == ((0, (1, None, 6)), (1, (1, "", None)))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"time": 1, "sym": "A"}', "the object has no key 'qty'"),
        ('{"time": 1, "sym": "A", "qty": "6"}', "column 'qty' is INT, which cannot hold '6'"),
        ('{"time": 1, "sym": "A", "qty": true}', "column 'qty' is INT, which cannot hold True"),
        ('{"time": 1, "sym": "A", "qty": 6.5}', "column 'qty' is INT, which cannot hold 6.5"),
        ('{"time": 1, "sym": "A", "qty": NaN}', "column 'qty' is INT, which cannot hold nan"),
        ('{"time": 1, "sym": "A", "qty": 9223372036854775808}', "which cannot hold 9223372036854775808"),
        ('{"time": 1, "sym": 5, "qty": 6}', "column 'sym' is SYMBOL, which cannot hold 5"),
        ('{"time": 1, "sym": "\\ud800", "qty": 6}', "column 'sym' is SYMBOL, which cannot hold"),
        ('{"time": null, "sym": "A", "qty": 6}', "the time, column 'time', is empty"),
        ('{"time": {}, "sym": "A", "qty": 6}', "column 'time' is TIMESTAMP, which cannot hold {}"),
        ("[1, 2]", "the line is JSON but no object"),
        ('{"time": 1, "sym": "A", "qty"', "the line is no JSON: Expecting ':' delimiter at character 30"),
        (f"{GOOD}, {GOOD}", "the line is no JSON: Extra data"),
        (f'{{"time": {LONG_NUMBER}}}', "the line is no JSON that can be read"),
        ("[" * 5000, "the line is no JSON"),
    ],
)
def test_a_bad_line_is_a_dead_letter_and_the_next_goes_on(tmp_path: Path, line: str, reason: str) -> None:
    content = read(tmp_path, f"{line}\n{GOOD}\n")
    assert [letter.offset for letter in content.dead_letters] == [0]
    assert reason in content.dead_letters[0].reason
    assert content.rows == ((1, (2, "B", 5)),)


def test_a_line_cannot_reach_into_the_next(tmp_path: Path) -> None:
    content = read(tmp_path, f'{GOOD}, "\u241e tocsin", {GOOD}\n{{"time": [1\n2], "sym": "A", "qty": 6}}\n{GOOD}')
    assert [letter.offset for letter in content.dead_letters] == [0, 1, 2]
    assert content.rows == ((3, (2, "B", 5)),)


def test_a_missing_key_may_mean_null(tmp_path: Path) -> None:
    assert read(tmp_path, '{"time": 1}', missing="null").rows == ((0, (1, None, None)),)


def test_values_of_several_types_in_one_column_are_judged_one_by_one(tmp_path: Path) -> None:
    schema = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "DOUBLE"}
    values = ["1", "2.5", "null", '"3"', "true", "[]", "1e400"]
    content = read(tmp_path, "\n".join(f'{{"time": 1, "sym": "A", "qty": {value}}}' for value in values), schema)
    assert [(offset, row[2]) for offset, row in content.rows] == [(0, 1.0), (1, 2.5), (2, None), (6, None)]
    assert [letter.offset for letter in content.dead_letters] == [3, 4, 5]


PATHS = {"columns": {"time": "meta.time", "qty": "q[1].n"}}


def test_a_name_may_be_a_path_into_objects_and_lists(tmp_path: Path) -> None:
    text = (
        '{"meta": {"time": 1}, "sym": "A", "q": [0, {"n": 6}]}\n{"META": {"Time": 2}, "sym": "B", "Q": [0, {"N": 5}]}'
    )
    assert read(tmp_path, text, **PATHS).rows == ((0, (1, "A", 6)), (1, (2, "B", 5)))


def test_a_name_as_it_is_written_comes_before_a_path(tmp_path: Path) -> None:
    text = '{"meta.time": 1, "meta": {"time": 9}, "sym": "A", "q[1].n": 6, "q": [0, {"n": 7}]}'
    assert read(tmp_path, text, **PATHS).rows == ((0, (1, "A", 6)),)


@pytest.mark.parametrize("odd", ['[{"n": 6}]', '"ab"', '{"1": {"n": 6}}', "null", "[0, 5]"])
def test_a_path_that_leads_nowhere_is_a_missing_key(tmp_path: Path, odd: str) -> None:
    text = f'{{"meta": {{"time": 1}}, "sym": "A", "q": {odd}}}'
    (letter,) = read(tmp_path, text, **PATHS).dead_letters
    assert letter.reason == "the object has no key 'q[1].n'"
    assert read(tmp_path, text, **PATHS, missing="null").rows == ((0, (1, "A", None)),)


LISTS = """
{"time": 1, "sym": "A", "items": [{"qty": 6}, {"qty": 5, "sym": "B"}, {"qty": "bad"}]}
{"time": 2, "sym": "A", "items": []}
{"time": 3, "sym": "A", "items": 5}
{"time": 4, "sym": "A"}
{"time": 5, "sym": "A", "items": [{"qty": 1}, {"qty": 2}, {"qty": 3}, {"qty": 4}]}
no JSON
{"time": 6, "sym": "A", "items": [{"qty": 6}]}
"""


def test_a_list_that_is_exploded_becomes_a_row_for_each_element(tmp_path: Path) -> None:
    content = read(tmp_path, LISTS, explode="items", explode_rows_max=3)
    assert content.rows == ((3, (1, "A", 6)), (4, (1, "B", 5)), (21, (6, "A", 6)))
    assert [(letter.offset, letter.reason) for letter in content.dead_letters] == [
        (5, "column 'qty' is INT, which cannot hold 'bad'"),
        (9, "'items' is no list, and each of its elements should be a row"),
        (12, "the object has no list 'items'"),
        (15, "the list 'items' has 4 elements; `explode_rows_max` allows 3"),
        (18, "the line is no JSON: Expecting value at character 1; write one object a line"),
    ]
    assert content.next_offset == 24


@pytest.mark.parametrize("start", range(25))
def test_a_read_may_begin_and_end_at_any_element(tmp_path: Path, start: int) -> None:
    (tmp_path / "a.ndjson").write_text(LISTS)
    settings = {"path": str(tmp_path / "a.ndjson"), "explode": "items", "explode_rows_max": 3}
    whole = read_split(open_source(make_trades_job(settings), tmp_path))
    for batch in (1, 2, 100):
        part = read_split(open_source(make_trades_job(settings), tmp_path), start=start, batch=batch)
        assert part.rows == tuple(one for one in whole.rows if one[0] >= start)
        assert part.dead_letters == tuple(one for one in whole.dead_letters if one.offset >= start)


def test_the_element_stands_in_the_place_of_the_list(tmp_path: Path) -> None:
    text = '{"time": 1, "sym": "A", "data": {"qty": [5, 6]}}\n{"time": 2, "sym": "A", "data": {"qty": [[7]]}}'
    assert read(tmp_path, text, explode="data.qty", columns={"qty": "data.qty"}).rows == (
        (0, (1, "A", 5)),
        (1, (1, "A", 6)),
    )
    deeper = read(tmp_path, text, explode="data.qty", columns={"qty": "data.qty[0]"}, missing="null")
    assert deeper.rows[-1] == (1000, (2, "A", 7))


def test_an_offset_that_is_too_large_for_its_list_is_an_error(tmp_path: Path) -> None:
    job = make_trades_job({"rows": []})
    form = open_text_format(job, NdjsonFormatSettings(explode="items"))
    source = RecordSource(job.row_schema, MessageTransport([{2**60: b'{"items": []}'}]), form)
    with pytest.raises(SourceError, match="make `explode_rows_max` smaller"):
        source.read(0, 0, 10)


@pytest.mark.parametrize("filler", ["", ', "sym": "A"'])
def test_a_whole_number_beyond_64_bits_is_a_real_number_in_a_real_column(tmp_path: Path, filler: str) -> None:
    numbers = [2**64 - 1, -(2**63) - 1, 1, 10**400, 2.5]
    lines = [f'{{"time": 1, "qty": {number}{filler if row % 2 else ""}}}\n' for row, number in enumerate(numbers)]
    schema = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "DOUBLE"}
    for some in (lines, lines[:1], lines[1:4], lines[3:4]):
        content = read(tmp_path, "".join(some), schema, missing="null")
        first = lines.index(some[0])
        wanted = [float(number) if abs(number) < 10**400 else None for number in numbers[first : first + len(some)]]
        assert [values[2] for _, values in content.rows] == wanted
        assert content.dead_letters == ()
