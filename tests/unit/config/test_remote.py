"""Settings of files that are in stores: what may be said, what is refused, and that no secret is part of a job."""

from typing import Any

import pytest

from actors.allowed import AllowedPaths
from cluster.allowed import joined, parted
from config import ConfigError
from config.load import parse_job
from config.sources import FileSource
from tests.support.jobs import make_trades_job

JOB = """
job: trades
schema: {time: TIMESTAMP, sym: SYMBOL, qty: INT}
time: time
key: [sym]
metrics: [qty > 5]
"""


def source_of(text: str) -> FileSource:
    source = parse_job(f"{JOB}source: {text}\n", "/base").source
    assert isinstance(source, FileSource)
    return source


def test_a_url_is_a_place_by_itself_and_its_ending_says_the_format() -> None:
    source = source_of("{path: 's3://rows/2026/*.csv.gz'}")
    assert (source.type, source.paths, source.is_remote) == ("csv", ("s3://rows/2026/*.csv.gz",), True)  # type: ignore[attr-defined]
    assert source_of("{path: 'https://example.org/rows.ndjson?day=1'}").type == "ndjson"  # type: ignore[attr-defined]
    assert source_of("{path: rows.csv}").paths == ("/base/rows.csv",)


def test_files_of_secrets_are_relative_to_the_job_file() -> None:
    options = "{headers: {Authorization: 'file:token'}, ca: ca.pem}"
    storage = source_of(f"{{path: 'https://example.org/rows.csv', storage_options: {options}}}").storage_options
    assert storage is not None
    assert (storage.headers, storage.ca) == ({"Authorization": "file:/base/token"}, "/base/ca.pem")
    storage = source_of("{path: 's3://a/b.csv', storage_options: {key: env:K, secret: 'file:s'}}").storage_options
    assert storage is not None
    assert (storage.key, storage.secret) == ("env:K", "file:/base/s")


@pytest.mark.parametrize(
    ("path", "options", "text"),
    [
        ("ftp://a/b.csv", None, r"ftp:// is not read; use one of s3://, gs://, http://, https://"),
        (["s3://a/b.csv", "rows.csv"], None, "all on machines, or all in one kind of store"),
        (["s3://a/b.csv", "gs://a/b.csv"], None, "all in one kind of store"),
        ("rows.csv", {"region": "eu"}, "storage_options: the files are on machines"),
        ("https://user:word@example.org/a.csv", None, "a job file holds no secrets"),
        ("https://example.org/a.csv?X-Amz-Signature=abc", None, "this URL is signed"),
        ("https://example.org/*.csv", None, "a web server lists no files"),
        ("https://example.org/a/", None, "a web server lists no files"),
        ("https://example.org/a/../b.csv", None, r"goes up by `\.\.`"),
        ("https://example.org/a/%2E%2e/b.csv", None, r"goes up by `\.\.`"),
        ("https:///a.csv", None, "is no URL"),
        ("https://example.org:x/a.csv", None, "is no URL"),
        ("s3://a/b.csv", {"key": "AKIA123", "secret": "env:S"}, "a job file holds no secrets"),
        ("s3://a/b.csv", {"key": "env:K"}, "belong together, and there is no `secret`"),
        ("s3://a/b.csv", {"anonymous": True, "token": "env:T"}, "leave them or `anonymous` out"),
        ("s3://a/b.csv", {"headers": {"A": "b"}}, "`headers` means nothing to s3://"),
        ("s3://a/b.csv", {"endpoint": "localhost:9000"}, "is no address"),
        ("gs://a/b.csv", {"region": "eu"}, "`region` means nothing to gs://"),
        ("https://a/b.csv", {"headers": {"Authorization": "Bearer abc"}}, "a job file holds no secrets"),
        ("https://a/b.csv", {"headers": {"Range": "bytes=0-1"}}, "follows from what is read"),
        ("https://a/b.csv", {"headers": {"X A": "b"}}, "cannot be the name of a header"),
        ("https://a/b.csv", {"headers": {"X-A": "b\r\nX-B: c"}}, "holds letters that no header can"),
        ("https://a/b.csv", {"timeout": 0}, "timeout"),
    ],
)
def test_what_cannot_be_meant_is_refused(path: Any, options: Any, text: str) -> None:
    source = {"type": "csv", "path": path} | ({} if options is None else {"storage_options": options})
    with pytest.raises(ConfigError, match=text):
        make_trades_job(source)


def test_rotation_is_about_files_of_a_machine() -> None:
    with pytest.raises(ConfigError, match="about files of a machine"):
        make_trades_job({"path": "s3://a/b.csv", "type": "csv", "follow": True, "lost": "gap"})


def test_how_a_store_is_reached_does_not_make_another_job() -> None:
    plain = make_trades_job({"type": "csv", "path": "s3://a/b.csv"})
    other = make_trades_job({"type": "csv", "path": "s3://a/b.csv", "storage_options": {"region": "eu-west-1"}})
    assert plain.fingerprint == other.fingerprint
    assert make_trades_job({"type": "csv", "path": "s3://a/c.csv"}).fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("s3://rows/a/b.csv", True),
        ("s3://rows/a", True),
        ("s3://rows/ab.csv", False),
        ("s3://other/a/b.csv", False),
        ("s3://rows/a/../b.csv", False),
        ("https://example.org/data/b.csv", True),
        ("https://EXAMPLE.org:443/data/b.csv", True),
        ("https://example.org:444/data/b.csv", False),
        ("http://example.org/data/b.csv", False),
        ("https://example.org/data/%2e%2e/b.csv", False),
        ("https://example.org@evil.org/data/b.csv", False),
        ("https://example.org.evil.org/data/b.csv", False),
        ("/data/files/b.csv", True),
        ("/data/b.csv", False),
    ],
)
def test_urls_are_allowed_by_what_they_lie_below(url: str, is_allowed: bool) -> None:
    allowed = AllowedPaths.below(["/data/files", "s3://rows/a", "https://example.org/data/"])
    assert (allowed.refusal(url) is None) == is_allowed


def test_urls_that_are_allowed_are_told_to_other_processes() -> None:
    names = ["/data/files", "s3://rows/a", "https://example.org:8443/data/"]
    assert parted(joined(names)) == names
