"""Logs: records, times, events and variables."""

import json
from pathlib import Path
from typing import Any

import pytest

import actors.source.transport.lines
from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from config import ConfigError, make_job
from tests.support.reading import SplitContent, read_split

MS = 1000
NEW_YEAR_2026_S = 1_767_225_600

APT = r"(?s)Start-Date: (?P<time>\S+\s+\S+)\nCommandline: (?P<message>[^\n]*).*"


def open_log(
    path: Path, schema: dict[str, str] | None = None, job: dict[str, Any] | None = None, **source: Any
) -> Source:
    plain = {"job": "logs", "events": {"store": True}, "source": {"type": "log", "path": str(path)} | source}
    return open_source(
        make_job(plain | ({} if schema is None else {"schema": schema, "time": "time"}) | (job or {})), path
    )


def read(folder: Path, text: str | bytes, schema: dict[str, str] | None = None, **source: Any) -> SplitContent:
    path = folder / "a-2026.log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_split(open_log(path, schema, **source))


def reasons(content: SplitContent) -> dict[int, str]:
    return {letter.offset: letter.reason for letter in content.dead_letters}


def test_a_line_is_a_time_and_a_message(tmp_path: Path) -> None:
    content = read(tmp_path, "2026-01-01 00:00:05 status installed\n2026-01-01T00:00:06.5Z x\n")
    assert content.rows == (
        (0, ((NEW_YEAR_2026_S + 5) * MS, "status installed")),
        (1, (NEW_YEAR_2026_S * MS + 6500, "x")),
    )


def test_a_line_without_the_format_is_a_dead_letter_and_the_next_goes_on(tmp_path: Path) -> None:
    content = read(tmp_path, b"no time\n\n2026-01-01 00:00:00 x\n2026-02-30 00:00:00 y\n2026-01-01 00:00:00 \xff\n")
    assert [offset for offset, _ in content.rows] == [2]
    assert reasons(content) == {
        0: "the line does not fit the format",
        3: "column 'time' is TIMESTAMP, which cannot hold '2026-02-30 00:00:00'",
        4: "the line is not UTF-8 text",
    }
    assert content.dead_letters[0].raw == b"no time"


def test_a_journal_line_has_host_process_and_pid(tmp_path: Path) -> None:
    text = "2026-01-01T01:00:00+0100 web1 sshd[17]: hello: you\n2026-01-01T00:00:01+00:00 web1 kernel: up\n"
    content = read(tmp_path, text, format="journal")
    assert content.rows == (
        (0, (NEW_YEAR_2026_S * MS, "web1", "sshd", "17", "hello: you")),
        (1, (NEW_YEAR_2026_S * MS + 1000, "web1", "kernel", None, "up")),
    )


@pytest.mark.parametrize("year", [2026, "file"])
def test_a_time_without_a_year_gets_the_one_declared_or_that_of_the_file_name(tmp_path: Path, year: int | str) -> None:
    content = read(tmp_path, "Jan  1 00:00:07 web1 cron: x\nFeb 29 00:00:07 web1 cron: y\n", format="syslog", year=year)
    assert content.rows == ((0, ((NEW_YEAR_2026_S + 7) * MS, "web1", "cron", None, "x")),)
    assert list(reasons(content)) == [1]


def test_a_file_whose_name_tells_no_year_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("Jan  1 00:00:07 web1 cron: x\n")
    with pytest.raises(SourceError, match="the name tells no year"):
        read_split(open_log(tmp_path / "a.log", format="syslog", year="file"))


def test_a_time_may_be_seconds_since_the_epoch(tmp_path: Path) -> None:
    content = read(
        tmp_path, "[1767225600.25] x\n", format=r"\[(?P<time>[\d.]+)\] (?P<message>.*)", time_format="epoch_s"
    )
    assert content.rows == ((0, (NEW_YEAR_2026_S * MS + 250, "x")),)


TEMPLATES = [
    {"id": "status", "text": "status <state> <package>:<*> <*>"},
    {"id": 7, "regex": r"run (?P<command>.+?)(?: for (\S+))?"},
]
LINES = """2026-01-01 00:00:00 status installed libc6:amd64 2:1.0-1
2026-01-01 00:00:01 run apt  full-upgrade for root
2026-01-01 00:00:02 run "quotes"
2026-01-01 00:00:03 something else
2026-01-01 00:00:04 status  half x:y z w
"""


def test_the_first_template_that_fits_gives_event_id_and_variables(tmp_path: Path) -> None:
    content = read(tmp_path, LINES, templates=TEMPLATES)
    assert [row[1:-1] for _, row in content.rows] == [
        ("status", "installed", "libc6", "amd64", "2:1.0-1", None),
        ("7", None, None, "root", None, "apt  full-upgrade"),
        ("7", None, None, None, None, '"quotes"'),
    ]
    assert reasons(content) == {3: "no template fits the message", 4: "no template fits the message"}


def test_a_message_without_a_template_may_have_an_event_id(tmp_path: Path) -> None:
    schema = {"time": "DATETIME", "event_id": "SYMBOL", "template": "STRING", "variables": "STRING"}
    content = read(tmp_path, LINES, schema, templates=TEMPLATES, unmatched="other")
    assert [row[1:3] for _, row in content.rows][2:4] == [("7", TEMPLATES[1]["regex"]), ("other", None)]
    variables = [row[3] and json.loads(row[3]) for _, row in content.rows]
    assert variables[0] == {"state": "installed", "package": "libc6", "var_0": "amd64", "var_1": "2:1.0-1"}
    assert variables[2:4] == [{"command": '"quotes"', "var_0": None}, None]


def test_variables_have_the_type_of_their_column(tmp_path: Path) -> None:
    schema = {"time": "DATETIME", "event_id": "INT", "size": "LONG"}
    text = "2026-01-01 00:00:00 took 17 bytes\n2026-01-01 00:00:00 took many bytes\n"
    content = read(tmp_path, text, schema, templates=[{"id": 1, "text": "took <size> bytes"}])
    assert content.rows == ((0, (NEW_YEAR_2026_S, 1, 17)),)
    assert reasons(content) == {1: "column 'size' is LONG, which cannot hold 'many'"}


@pytest.mark.parametrize(
    ("text", "message", "values"),
    [
        ("a <x> b", "a  1   b", ["1"]),
        ("a <x...>", "a 1 b c", ["1 b c"]),
        ("<*>:<*>", "a:b:c", ["a", "b:c"]),
        ("(<*>) a.b <>", "(1) a.b <>", ["1"]),
        ("a<...>b", "ab", [None]),
        ("<1>", "<1>", []),
        (r"\<none> <*>", "<none> x", ["x"]),
        (r"\\<*>", r"\<*>", []),
    ],
)
def test_a_template_may_be_plain_text(tmp_path: Path, text: str, message: str, values: list[str | None]) -> None:
    schema = {"time": "DATETIME", "variables": "STRING"}
    content = read(tmp_path, f"2026-01-01 00:00:00 {message}\n", schema, templates=[{"id": 1, "text": text}])
    assert [list(json.loads(row[1]).values()) for _, row in content.rows] == [values]


BLOCKS = """
Start-Date: 2026-01-01  00:00:01
Commandline: apt-get install x
Install: x:amd64 (1.0)

Start-Date: 2026-01-01  00:00:02
Upgrade: y
Start-Date: 2026-01-01  00:00:03
Commandline: apt-get remove z
"""


def apt(path: Path, **source: Any) -> Source:
    return open_log(path, format=APT, record_start="Start-Date: ", **source)


def test_a_record_of_several_lines_has_the_offset_of_its_first(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("lost\n" + BLOCKS)
    content = read_split(apt(tmp_path / "a.log", time_format="%Y-%m-%d  %H:%M:%S"))
    start = NEW_YEAR_2026_S * MS
    assert content.rows == ((2, (start + 1000, "apt-get install x")), (8, (start + 3000, "apt-get remove z")))
    assert reasons(content) == {
        0: "the line comes before the first that begins a record",
        6: "the line does not fit the format",
    }
    assert content.next_offset == 10


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_record_of_several_lines_is_whole_wherever_it_is_cut(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.source.transport.lines, "BLOCK_SIZE_BYTES", 100)
    (tmp_path / "a.log").write_text(BLOCKS * 9)
    small = apt(tmp_path / "a.log", time_format="%Y-%m-%d  %H:%M:%S", record_size_bytes_max=90)
    content = read_split(small, batch=batch)
    assert [offset for offset, _ in content.rows] == [at + 9 * n for n in range(9) for at in (1, 7)]
    assert content == read_split(apt(tmp_path / "a.log", time_format="%Y-%m-%d  %H:%M:%S"))
    late = read_split(apt(tmp_path / "a.log", time_format="%Y-%m-%d  %H:%M:%S"), start=3)
    assert late.rows == content.rows[1:]


@pytest.mark.parametrize("start", ["(?i)start-date: ", r"(\w+-?)+Date: ", "[Sß]tart-.*[0-9]$"])
def test_a_record_starts_by_any_expression_in_linear_time(tmp_path: Path, start: str) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(f"Start-Date: 2026-01-01 00:00:00\r\nCommandline: a\r\n{'a' * 60}\n".encode())
    source = {"format": r"(?s)\S+ (?P<time>\S+ \S+)\s+(?P<message>\S+ \S+).*", "record_start": start}
    assert [row[1] for _, row in read_split(open_log(path, **source)).rows] == ["Commandline: a"]


def test_the_last_line_of_a_complete_file_belongs_to_its_record_without_a_line_end(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(BLOCKS[:-1])
    content = read_split(apt(tmp_path / "a.log", time_format="%Y-%m-%d  %H:%M:%S"))
    assert ([offset for offset, _ in content.rows], content.next_offset) == ([1, 7], 9)


def test_the_last_record_of_a_growing_file_waits_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(BLOCKS)
    source = apt(path, time_format="%Y-%m-%d  %H:%M:%S", follow=True)
    assert source.read(0, 0, 100).next_offset == 7
    with path.open("a") as file:
        file.write("Remove: z\nStart-Date: 2026-01-01  00:00:04\n")
    found = source.read(0, 7, 100)
    assert (found.frame["message"].to_list(), found.next_offset) == (["apt-get remove z"], 10)


def test_a_record_beyond_the_limit_is_one_dead_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.source.transport.lines, "BLOCK_SIZE_BYTES", 100)
    long = "Start-Date: 2026-01-01  00:00:01\n" + "more Start-Date: \n" * 40 + "x" * 400 + "Start-Date: \n"
    (tmp_path / "a.log").write_text(long + BLOCKS[1:] + long)
    source = apt(tmp_path / "a.log", time_format="%Y-%m-%d  %H:%M:%S", record_size_bytes_max=90)
    content = read_split(source, batch=3)
    assert [offset for offset, _ in content.rows] == [42, 48]
    assert [offset for offset, reason in reasons(content).items() if "longer than 90 bytes" in reason] == [0, 50]
    assert content.next_offset == 92


def test_lines_of_one_log_may_have_several_formats(tmp_path: Path) -> None:
    formats = [
        r"(?P<time>\S+) (?P<ip>\S+) (?P<status>\d+)",
        r"(?P<time>\S+) (?P<IP>\S+) says (?P<message>.*)",
        r"(?P<time>\S+) - (?P<ip>\S*)",
    ]
    lines = [
        "2026-01-01T00:00:00 1.2.3.4 200",
        "2026-01-01T00:00:01 5.6.7.8 says hello",
        "2026-01-01T00:00:02 - ",
        "none",
    ]
    schema = {"time": "TIMESTAMP", "ip": "SYMBOL", "status": "INT", "message": "STRING"}
    content = read(tmp_path, "\n".join(lines) + "\n", schema, format=formats, templates=[{"id": "a", "text": "<*...>"}])
    assert [row[1:] for _, row in content.rows] == [
        ("1.2.3.4", 200, lines[0]),
        ("5.6.7.8", None, "hello"),
        (None, None, lines[2]),
    ]
    assert reasons(content) == {3: "the line fits none of the formats"}
    alone = read(tmp_path, lines[0] + "\n", schema, format=formats, templates=[{"id": "a", "text": "<*...>"}])
    assert [row for _, row in alone.rows] == [row for _, row in content.rows[:1]]


def test_lines_of_comment_are_no_records_where_the_job_says_what_they_begin_with(tmp_path: Path) -> None:
    text = "#Fields: time message\n2026-01-01T00:00:00 a\n# more\n2026-01-01T00:00:01 b\n"
    content = read(tmp_path, text, comments="#")
    assert ([row[1] for _, row in content.rows], reasons(content)) == (["a", "b"], {})
    assert reasons(read(tmp_path, text))[0].endswith('with `comments: "#"` lines that begin with it are no records')
    many = "# head\n\nStart 2026-01-01T00:00:00\n# of it\nStart 2026-01-01T00:00:01\n"
    shape = {"format": r"(?s)Start (?P<time>\S+)(?P<message>.*)", "record_start": "Start"}
    content = read(tmp_path, many, comments="#", **shape)
    assert ([row[1] for _, row in content.rows], reasons(content)) == (["\n# of it", ""], {})


def test_a_group_that_finds_nothing_is_null(tmp_path: Path) -> None:
    schema = {"time": "TIMESTAMP", "user": "SYMBOL", "code": "INT", "event_id": "SYMBOL"}
    content = read(
        tmp_path,
        "2026-01-01T00:00:00 [] by x code\n2026-01-01T00:00:01 [7] by \n",
        schema,
        format=r"(?P<time>\S+) \[(?P<code>\d*)\] (?P<message>.*)",
        templates=[{"id": "e", "regex": "by (?P<user>x?).*"}],
    )
    assert [row[1:] for _, row in content.rows] == [("x", None, "e"), (None, 7, "e")]


def test_types_are_given_to_single_columns(tmp_path: Path) -> None:
    source = {
        "type": "log",
        "path": str(tmp_path / "a.log"),
        "format": r"(?P<time>\S+) (?P<ip>\S+) (?P<status>\d+)",
        "types": {"STATUS": "INT", "file": "SYMBOL"},
    }
    job = {"job": "a", "source": source, "events": {"store": True}}
    expected = {"time": "TIMESTAMP", "ip": "SYMBOL", "status": "INT", "message": "STRING", "file": "SYMBOL"}
    assert make_job(job).schema_types == expected
    for types, said in (
        ({"stauts": "INT"}, "no line has a field 'stauts'; did you mean 'status'"),
        ({"status": "NUMBER"}, "NUMBER"),
    ):
        with pytest.raises(ConfigError, match=said):
            make_job({**job, "source": {**source, "types": types}})
    with pytest.raises(ConfigError, match="`schema` says LONG"):
        make_job(
            {
                **job,
                "schema": {"time": "TIMESTAMP", "status": "LONG"},
                "time": "time",
                "source": {**source, "types": {"status": "INT"}},
            }
        )


def test_formats_of_one_log_write_times_in_one_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="these formats write times in several ways"):
        read(tmp_path, "", format=["iso", "syslog"], year=2026)
    assert read(tmp_path, "2026-01-01T00:00:00 a\n", format=["journal", "iso"]).rows[0][1][-1] == "a"
