"""Templates found in logs: they fit what they were found in, and stand in a job file."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli import cli
from cluster.client.templates import Mining, mine_templates, show_templates
from cluster.local.speed import slowness
from config import load_job

pytest.importorskip("drain3", reason="templates are found by drain3, from the extra `drain`")

LINES = [f"2026-01-01 00:00:{n:02d} connect from 10.0.0.{n} port {n}" for n in range(20)]
LINES += [
    f"2026-01-01 00:01:{n:02d} user {name} <none> logged in" for n, name in enumerate(["ann", "bob", "cid", "dan"])
]
LINES += ["2026-01-01 00:02:00 only once", "no time"]


def write(folder: Path) -> Path:
    path = folder / "a.log"
    path.write_text("\n".join(LINES) + "\n")
    return path


def test_kinds_of_messages_become_templates(tmp_path: Path) -> None:
    found = mine_templates(write(tmp_path), Mining())
    assert found.templates == (
        ("user_none_logged_in", r"user <*> \<none> logged in", 4),
        ("connect_from_port", "connect from <*> port <*>", 20),
    )
    assert (found.matched_count, found.line_count, found.formatless_count) == (24, 26, 1)


def test_a_kind_may_need_fewer_lines(tmp_path: Path) -> None:
    found = mine_templates(write(tmp_path), Mining(count_min=1))
    assert [event_id for event_id, _, _ in found.templates] == ["only_once", "user_none_logged_in", "connect_from_port"]
    assert found.matched_count == 25


def test_the_same_log_gives_the_same_templates(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert show_templates(mine_templates(path, Mining())) == show_templates(mine_templates(path, Mining()))


def test_what_is_printed_is_a_part_of_a_job_file(tmp_path: Path) -> None:
    printed = CliRunner().invoke(cli, ["learn", "templates", str(write(tmp_path))])
    assert "2 templates fit 24 of 26 lines; 1 do not fit the format 'iso'" in printed.stderr
    (tmp_path / "templates.yaml").write_text(printed.stdout)
    (tmp_path / "job.yaml").write_text(
        "job: a\nevents: {store: true}\nsource: {path: a.log, templates: templates.yaml}\n"
    )
    job = load_job(tmp_path / "job.yaml")
    assert list(job.schema_types) == ["time", "event_id", "var_0", "var_1", "message"]


def test_blocks_of_lines_are_messages_too(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("\n".join(f"Start: 2026-01-01 00:00:0{n}\nEnd: user{n} left" for n in range(9)))
    mining = Mining(log_format=r"(?s)Start: (?P<time>\S+ \S+)\n(?P<message>.*)", record_start="Start: ")
    assert mine_templates(path, mining).templates == (("end_left", "End: <*> left", 9),)


@pytest.mark.parametrize("word", ["a" * 100_000, "a1" * 50_000, "<a" * 50_000, "'" * 100_000, "ab " * 50_000])
def test_a_long_word_takes_linear_time(tmp_path: Path, word: str) -> None:
    path = tmp_path / "a.log"
    path.write_text(f"2026-01-01 00:00:00 {word}\n" * 2 + "2026-01-01 00:00:00 went in\n" * 2)
    start = time.process_time()
    found = mine_templates(path, Mining())
    assert ("went_in", "went in", 2) in found.templates
    assert (found.line_count, time.process_time() - start < 5 * slowness()) == (4, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the log is empty"),
        ("\n\n", "the log is empty"),
        ("no time\n", "1 do not fit the format 'iso': give another --format"),
        ("2026-01-01 00:00:00 once\n", "a kind needs 2; give a longer log, or a smaller --min-count"),
        (
            "2026-01-01 00:00:00 once\n2026-01-01 00:00:00 so it is\n",
            "no 2 lines are alike; try a smaller --similarity",
        ),
        (f"2026-01-01 00:00:00 {'a=b ' * 20_000}\n" * 2, "2 are left out, with more than 10000 characters"),
    ],
)
def test_a_log_without_templates_says_why_and_prints_what_a_job_takes(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.log").write_text(text)
    printed = CliRunner().invoke(cli, ["learn", "templates", str(tmp_path / "a.log")])
    assert printed.exit_code == 1
    assert reason in printed.stderr
    (tmp_path / "templates.yaml").write_text(printed.stdout)
    (tmp_path / "job.yaml").write_text(
        "job: a\nevents: {store: true}\nsource: {path: a.log, templates: templates.yaml}\n"
    )
    assert load_job(tmp_path / "job.yaml").source.type == "log"


def test_lines_that_cannot_be_read_count_as_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"2026-01-01 00:00:00 went in\n" * 3 + b"\xff\xfe\n" + b"x" * (2 << 20) + b"\n\n")
    found = mine_templates(tmp_path / "a.log", Mining())
    assert (found.matched_count, found.line_count, found.formatless_count) == (3, 5, 2)
