"""NDJSON: which lines are rows, and what is wrong with the others."""

from pathlib import Path
from typing import Any

import pytest

from actors.source.open import open_source
from tests.support.jobs import make_trades_job
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
