"""Rows in the job file."""

from datetime import datetime
from pathlib import Path

from actors.source.open import open_source
from config import load_job
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

EXAMPLES = Path(__file__).parents[3] / "config" / "examples"


def test_the_first_example_has_the_six_rows_of_trades() -> None:
    source = open_source(load_job(EXAMPLES / "trades.yaml"), Path("nowhere"))
    assert [row for _, row in read_split(source).rows] == [
        (1538960461002, "A", 6),
        (1538960461003, "B", 5),
        (1538960461004, "A", 4),
        (1538960461005, "B", 3),
        (1538960461006, "A", 2),
        (1538960461007, "B", 1),
    ]


def test_rows_of_any_values_are_rows_or_dead_letters() -> None:
    rows = [[datetime(1970, 1, 1), "A", 6], [2, 5, 5], ["x", "A", 4], [3, None, None], [None, "A", 3], [4, "A", {}]]
    content = read_split(open_source(make_trades_job({"rows": rows}), Path("nowhere")))
    assert content.rows == ((0, (0, "A", 6)), (3, (3, None, None)))
    assert [letter.offset for letter in content.dead_letters] == [1, 2, 4, 5]
    assert content.dead_letters[0].raw == b'{"time": 2, "sym": 5, "qty": 5}'


def test_no_rows_are_an_end_at_once() -> None:
    batch = open_source(make_trades_job({"rows": []}), Path("nowhere")).read(0, 0, 10)
    assert (batch.frame.height, batch.next_offset, batch.at_end) == (0, 0, True)
