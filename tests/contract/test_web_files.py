"""Files that a web server gives: read as files of the machine are, whatever the server can and whatever breaks."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from actors.source.surroundings import Surroundings
from actors.source.transport import lines, positions
from actors.source.transport.remote import store, web
from tests.support.file_server import FileServer, serving
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

HEADER = "time,sym,qty\n"
LINES = [f"{number},A,{number % 100}\n" for number in range(20_000)]
WHOLE = (HEADER + "".join(LINES)).encode()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer(files={"/a.csv": WHOLE})) as place:
        yield place


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tries follow each other at once, and pieces be small."""
    monkeypatch.setattr(web, "RETRIES", web.RETRIES.new(backoff_factor=0, backoff_jitter=0))
    monkeypatch.setattr(store, "PIECE_SIZE_BYTES", 50_000)


def open_urls(
    tmp_path: Path,
    *urls: str,
    allowed: AllowedPaths | None = None,
    environment: dict[str, str] | None = None,
    key: list[str] | None = None,
    **source: Any,
) -> Source:
    job = make_trades_job({"path": list(urls), **source}, **({} if key is None else {"key": key}))
    around = Surroundings(environment=environment or {})
    return open_source(job, tmp_path, positions=tmp_path / "kept", allowed=allowed or AllowedPaths(), around=around)


def times(source: Source, start: int = 0) -> list[int]:
    return [row[0] for _, row in read_split(source, start=start).rows]


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("tags", ["etag", "date", "none"])
def test_a_file_has_its_rows_and_is_gone_on_with_after_a_restart(
    server: FileServer, tmp_path: Path, has_ranges: bool, tags: str
) -> None:
    server.has_ranges, server.tags = has_ranges, tags
    assert times(open_urls(tmp_path, server.url("/a.csv"))) == list(range(20_000))
    again = open_urls(tmp_path, server.url("/a.csv"))
    for start in (15_000, 3, 19_999):
        assert again.read(0, start, 2).frame["time"].to_list() == list(range(20_000))[start : start + 2]


def test_what_was_read_is_not_read_again_after_a_restart(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "PIECE_SIZE_BYTES", 10_000)
    monkeypatch.setattr(lines, "BLOCK_SIZE_BYTES", 10_000)
    options = {"record_size_bytes_max": 1000}
    assert len(times(open_urls(tmp_path, server.url("/a.csv"), **options))) == 20_000
    server.sent_bytes = 0
    source = open_urls(tmp_path, server.url("/a.csv"), **options)
    assert source.read(0, 20_000, 5).next_offset == 20_000
    # The piece with the header, and the last one.
    assert server.sent_bytes < 110_000


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_read_as_it_is(
    server: FileServer, tmp_path: Path, has_ranges: bool, pack: Callable[[bytes], bytes]
) -> None:
    server.has_ranges = has_ranges
    server.files["/b.csv.gz"] = pack(WHOLE)
    assert times(open_urls(tmp_path, server.url("/b.csv.gz"))) == list(range(20_000))
    assert times(open_urls(tmp_path, server.url("/b.csv.gz")), start=19_990) == list(range(19_990, 20_000))


def test_an_archive_that_ends_in_the_middle_is_an_error(server: FileServer, tmp_path: Path) -> None:
    server.files["/b.csv.gz"] = gzip.compress(WHOLE)[:-100]
    with pytest.raises(SourceError, match=r"/b\.csv\.gz: the archive \(gzip\) ends in the middle"):
        times(open_urls(tmp_path, server.url("/b.csv.gz")))


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_connection_that_breaks_is_gone_on_with_where_it_was(
    server: FileServer, tmp_path: Path, has_ranges: bool
) -> None:
    server.has_ranges = has_ranges
    server.drops = [0, 100, 49_000]
    server.statuses = [503, 429]
    assert times(open_urls(tmp_path, server.url("/a.csv"))) == list(range(20_000))
    assert not server.drops


def test_a_server_that_breaks_off_again_and_again_is_an_error_and_the_next_read_goes_on(
    server: FileServer, tmp_path: Path
) -> None:
    source = open_urls(tmp_path, server.url("/a.csv"))
    server.drops = [100_000, 1, 1, 1, 1, 1, 1]
    with pytest.raises(SourceError, match=r"/a\.csv: cannot be read now, tried 5 times: .*breaks off after 1 of"):
        times(source)
    server.drops = []
    assert times(source) == list(range(20_000))


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_wrong_length_is_noticed_where_it_matters(server: FileServer, tmp_path: Path, has_ranges: bool) -> None:
    server.has_ranges, server.extra_length = has_ranges, 7
    if has_ranges:
        # What it says of the part is right, and the part is there.
        assert len(times(open_urls(tmp_path, server.url("/a.csv")))) == 20_000
        return
    with pytest.raises(SourceError, match=r"/a\.csv: cannot be read now.*breaks off after 206903 of 206910"):
        times(open_urls(tmp_path, server.url("/a.csv")))


@pytest.mark.parametrize(
    ("status", "text"),
    [(404, "there is no such file"), (403, r"does not let this job read it.*Authorization"), (418, "answers 418")],
)
def test_what_a_server_refuses_names_the_url(server: FileServer, tmp_path: Path, status: int, text: str) -> None:
    server.statuses = [status]
    with pytest.raises(SourceError, match=rf"http://127\.0\.0\.1:{server.port}/a\.csv: .*{text}"):
        times(open_urls(tmp_path, server.url("/a.csv")))


def test_nobody_listens_is_an_error_that_names_the_url_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/a\.csv: cannot be read now"):
        times(open_urls(tmp_path, "http://127.0.0.1:9/a.csv"))
    assert not caplog.records


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("other", [WHOLE.replace(b"5,A", b"5,B"), WHOLE[:1000], WHOLE.replace(b"7,A", b"7,AA")])
def test_a_file_that_was_replaced_is_an_error_in_the_run_and_after_it(
    server: FileServer, tmp_path: Path, has_ranges: bool, other: bytes
) -> None:
    server.has_ranges = has_ranges
    source = open_urls(tmp_path, server.url("/a.csv"), follow=True)
    assert source.read(0, 0, 20_000).next_offset == 20_000
    server.files["/a.csv"] = other
    again = open_urls(tmp_path, server.url("/a.csv"), follow=True)
    # What has grown is known by both ends of what was read, as a file of the machine is, until the next start.
    for one in (again,) if len(other) > len(WHOLE) and has_ranges else (source, again):
        with pytest.raises(SourceError, match=r"was replaced or changed|has become shorter"):
            one.read(0, 20_000, 5)


def test_a_file_that_is_replaced_between_two_reads_is_never_read_half_and_half(
    server: FileServer, tmp_path: Path
) -> None:
    def replace(path: str) -> None:
        if len(server.requests) == 4:
            server.files["/a.csv"] = WHOLE.replace(b",A,", b",B,")

    server.on_request = replace
    rows = read_split(open_urls(tmp_path, server.url("/a.csv"))).rows
    assert (len(rows), {row[1] for _, row in rows}) == (20_000, {"B"})


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("tags", ["etag", "date", "none"])
def test_a_file_that_grows_is_followed(server: FileServer, tmp_path: Path, has_ranges: bool, tags: str) -> None:
    server.has_ranges, server.tags = has_ranges, tags
    server.files["/a.csv"] = (HEADER + "".join(LINES[:10])).encode() + b"10,A"
    source = open_urls(tmp_path, server.url("/a.csv"), follow=True)
    assert times(source) == list(range(10))
    for end in (100, 5_000, 5_001, 20_000):
        server.files["/a.csv"] = (HEADER + "".join(LINES[:end])).encode()
        start = source.read(0, 0, 1).next_offset
        assert times(source, start=start)[-1] == end - 1
    assert times(open_urls(tmp_path, server.url("/a.csv"), follow=True), start=19_999) == [19_999]


def test_a_file_that_grows_with_every_request_is_read(server: FileServer, tmp_path: Path) -> None:
    state = [10]

    def grow(path: str) -> None:
        if state[0] < 100:
            state[0] += 1
            server.files["/a.csv"] = (HEADER + "".join(LINES[: state[0]])).encode()

    server.files["/a.csv"] = (HEADER + "".join(LINES[:10])).encode()
    server.on_request = grow
    source = open_urls(tmp_path, server.url("/a.csv"), follow=True)
    position = 0
    for _ in range(30):
        position = source.read(0, position, 1000).next_offset
    assert position == 100
    assert times(source) == list(range(len(times(source))))


def test_several_files_are_splits_by_their_names(server: FileServer, tmp_path: Path) -> None:
    server.files |= {"/x/b%20c.csv?part=1": (HEADER + "5,A,1\n").encode()}
    urls = [server.url("/a.csv"), server.url("/x/b%20c.csv?part=1")]
    job = make_trades_job(
        {"path": urls}, schema={"time": "TIMESTAMP", "file": "SYMBOL", "qty": "INT"}, key=["file"], metrics=["qty > 1"]
    )
    source = open_source(job, tmp_path)
    assert [split.name for split in source.splits()] == ["a", "b c"]
    assert source.read(1, 0, 9).frame["file"].to_list() == ["b c"]


def test_redirects_are_followed_to_where_a_job_may_read(server: FileServer, tmp_path: Path) -> None:
    server.redirects = {"/old.csv": "/a.csv", "/loop.csv": "/loop.csv", "/out.csv": "file:///etc/passwd"}
    assert len(times(open_urls(tmp_path, server.url("/old.csv")))) == 20_000
    for name, text in (("loop", "sends elsewhere more than 5 times"), ("out", "which is not followed")):
        with pytest.raises(SourceError, match=text):
            times(open_urls(tmp_path / name, server.url(f"/{name}.csv")))
    with serving(FileServer(files={"/secret.csv": WHOLE})) as other:
        server.redirects["/away.csv"] = other.url("/secret.csv")
        headers = {"Authorization": "env:TOKEN"}
        options: dict[str, Any] = {"storage_options": {"headers": headers}, "environment": {"TOKEN": "Bearer abc"}}
        assert len(times(open_urls(tmp_path / "away", server.url("/away.csv"), **options))) == 20_000
        assert server.requests[-1][1]["Authorization"] == "Bearer abc"
        assert "Authorization" not in other.requests[-1][1]
        allowed = AllowedPaths.below([server.url("/")])
        with pytest.raises(SourceError, match=r"sends to .*/secret\.csv may not be read by a job"):
            times(open_urls(tmp_path / "no", server.url("/away.csv"), allowed=allowed))


def test_who_allows_folders_has_allowed_no_url(server: FileServer, tmp_path: Path) -> None:
    url = server.url("/a.csv")
    with pytest.raises(SourceError, match=r"a\.csv may not be read by a job: this node allows no URL.*--allow-path"):
        open_urls(tmp_path, url, allowed=AllowedPaths.below(["/"]))
    assert len(times(open_urls(tmp_path, url, allowed=AllowedPaths.below(["/data", server.url("")])))) == 20_000


def test_a_secret_that_is_not_set_is_an_error(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"variable TOKEN of `storage_options.headers.X-Key` is not set"):
        open_urls(tmp_path, server.url("/a.csv"), storage_options={"headers": {"X-Key": "env:TOKEN"}})


def test_looks_at_what_is_followed_are_as_far_apart_as_the_job_says(server: FileServer, tmp_path: Path) -> None:
    now = [0.0]
    job = make_trades_job({"path": server.url("/a.csv"), "follow": True, "storage_options": {"look_period": 5}})
    source = open_source(job, tmp_path, around=Surroundings(now_s=lambda: now[0]))
    assert len(times(source)) == 20_000
    count = len(server.requests)
    for _ in range(100):
        now[0] += 0.01
        assert source.read(0, 20_000, 9).next_offset == 20_000
    assert len(server.requests) == count
    server.files["/a.csv"] += b"20000,A,1\n"
    now[0] += 5
    assert times(source, start=20_000) == [20_000]
