"""`tocsin run` on a directory that was kept, when the files are not those that were read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.cli import main

HEADER = "time,sym,qty\n"
ROWS = ["2026-01-01,A,6\n", "2026-01-02,A,1\n", "2026-01-03,A,6\n"]


Run = Callable[[], tuple[int | str | None, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a job that has run once in this folder; it gives the exit code and everything printed."""

    def once() -> tuple[int | str | None, str]:
        options = ["run", str(tmp_path / "job.yaml"), "--directory", str(tmp_path / "kept")]
        monkeypatch.setattr("sys.argv", ["tocsin", *options])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    (tmp_path / "job.yaml").write_text(
        "job: a\nschema: {time: TIMESTAMP, sym: SYMBOL, qty: INT}\ntime: time\nkey: sym\nmetrics: [qty < 4]\n"
        "source: {path: a.csv}\n"
    )
    (tmp_path / "a.csv").write_text(HEADER + "".join(ROWS))
    assert once()[0] == 0
    return once


@pytest.mark.parametrize("rows", [["2026-01-01,B,6\n"], [f"2026-01-{day:02},B,1\n" for day in range(1, 9)]])
def test_a_replaced_file_is_an_error_that_names_it_and_the_way_out(tmp_path: Path, run: Run, rows: list[str]) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "".join(rows))
    code, shown = run()
    assert code == 2
    assert f"{tmp_path / 'a.csv'}: the file " in shown
    assert "another --directory" in shown


def test_a_file_that_has_grown_goes_on_where_it_was(tmp_path: Path, run: Run) -> None:
    with (tmp_path / "a.csv").open("a") as file:
        file.write("2026-01-04,A,2\n")
    code, shown = run()
    assert code == 0
    assert "0 dead letters, 1 new anomalies" in shown
